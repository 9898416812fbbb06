"""TrainingPanel: start, pause and steer a run, and see beside each control what is really in force."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

from ..core.controls import CLIP_MODES, Clip
from ..session import Session
from .view import Pictured, View, answer_anywhere, let_go, module, style

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

#: The rates that the slider spans; a rate outside, set from code, widens it.
_RATES = (1e-6, 1.0)
_LIMITS = (1e-3, 1e2)
#: What an arrow key moves a logarithmic slider by, in powers of ten: about 5 %; training.js has the fifth of it.
_NOTCH = 0.02
#: The slider's own step. The page rounds every value to it, and two digits must survive that (half a step is 0.5 %).
_STEP = _NOTCH / 5


class _Part(View):
    """A picture of the panel: its traits are written by the kernel alone, so that no control ever is."""

    _esm = module("training.js")
    _css = style("training.css", "dashboard.css")
    part = traitlets.Unicode(help='"head" or "facts"').tag(sync=True)


class _Head(_Part):
    """The run in one line: model, task, status, epoch, step, speed, time left; its notes and its failure."""

    watches = ("pulse", "status", "error", "epochs", "notes")
    run = traitlets.Dict(help="title, about, status, epoch, epochs, steps, share, rate, left").tag(sync=True)
    error = traitlets.Unicode(help="why the run failed, one sentence").tag(sync=True)
    trace = traitlets.Unicode(help="the traceback of the failure").tag(sync=True)
    notes = traitlets.List(help="what the session chose by itself, in sentences").tag(sync=True)

    def __init__(self, session: Session) -> None:
        # Neither changes, and counting parameters is too slow to do at every picture.
        self._names = {"title": type(session.model).__name__, "about": about(session)}
        super().__init__(session, part="head")

    def project(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            return {}
        return {
            "run": {**self._names, "status": session.status, **session.progress()},
            "error": session.error,
            "trace": session.traceback,
            "notes": list(session.notes),
        }


class _Facts(_Part):
    """Beside each control: what is in force, what is still on its way, what was rejected and why."""

    watches = ("pulse", "applied", "rejected", "lr", "batch_size", "clip", "status")
    asked = traitlets.Dict(help="control -> what was asked for").tag(sync=True)
    applied = traitlets.Dict(help="control -> what is in force").tag(sync=True)
    rejected = traitlets.Dict(help="control -> why the wish was rejected").tag(sync=True)
    running = traitlets.Bool(help="whether steps are being taken").tag(sync=True)

    def __init__(self, session: Session) -> None:
        #: Values that the session refused at once: control -> why.
        self.refused: dict[str, str] = {}
        super().__init__(session, part="facts")

    def project(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            return {}
        return {
            "asked": {"lr": session.lr, "batch_size": session.batch_size, "clip": session.clip},
            "applied": {name: session.applied[name] for name in ("lr", "batch_size", "clip")},
            "rejected": {**session.rejected, **self.refused},
            "running": session.status == "running",
        }


class TrainingPanel(Pictured, ipywidgets.VBox):
    """Buttons to start, pause, step and stop; sliders for learning rate and batch size; gradient clipping.

    Each control is a wish of the session; under it stands what is in force. A value that cannot be is
    rejected there, and the run goes on. Changes made from code move the controls too.

    Parameters
    ----------
    session : the session that is steered.
    """

    def __init__(self, session: Session) -> None:
        if not isinstance(session, Session):
            raise TypeError(
                f"TrainingPanel wants a Session, not {type(session).__name__}: dlwidgets.TrainingPanel(session)."
            )
        self.session: Session | None = session
        self._head, self._facts = _Head(session), _Facts(session)
        #: What a control of ours has just wished for: it stands where the person left it.
        self._wished: tuple[str, Any] | None = None
        buttons = [
            self._button("Start", "play", "start", "Train in the background", lambda run: run.start()),
            self._button("Resume", "play", "resume", "Go on where the run paused", lambda run: run.resume()),
            self._button("Pause", "pause", "pause", "Pause after the step being taken", lambda run: run.pause(wait=False)),
            self._button("Step", "step-forward", "step", "Take one step, then pause", lambda run: run.step(wait=False)),
            self._button("Stop", "stop", "stop", "End the run", lambda run: run.stop(wait=False)),
        ]
        self.bar = ipywidgets.HBox([self._head, ipywidgets.HBox(buttons).add_class("dlw-buttons")]).add_class("dlw-bar")

        self.lr = _log_slider("Learning rate", _RATES, session.lr, ".1e")
        self.batch_size = ipywidgets.SelectionSlider(
            options=_sizes(session.batch_size), value=session.batch_size, description="Batch size",
        )
        clip = Clip.read(session.clip)
        self.clip = ipywidgets.ToggleButtons(
            options=list(CLIP_MODES), value=clip.mode, description="Clip gradients",
            tooltips=["Leave gradients as they are", "Scale all gradients so that their total L2 norm stays below",
                      "Cut each gradient element at"],
        )
        self.limit = _log_slider("Clip at", _LIMITS, clip.limit, ".2g")
        controls = [self.lr, self.batch_size, self.clip, self.limit]
        for control in controls:
            control.observe(self._asked, names="value")
        self.controls = ipywidgets.VBox([*controls, self._facts]).add_class("dlw-controls")
        session.observe(self._moved, names=["lr", "batch_size", "clip"])
        super().__init__([self.bar, self.controls])
        self.add_class("dlw-panel")
        for widget in (*controls, *buttons):
            answer_anywhere(widget)

    def _button(self, text: str, icon: str, kind: str, tip: str, do: Callable[[Session], Any]) -> ipywidgets.Button:
        button = ipywidgets.Button(description=text, icon=icon, tooltip=tip)
        button.add_class("dlw-button").add_class(f"dlw-{kind}")

        def clicked(_button: Any) -> None:
            if self.session is not None:
                do(self.session)

        button.on_click(clicked)
        return button

    def _asked(self, change: Any) -> None:
        """A person moved a control: wish for it; a sentence of refusal goes beside it."""
        session, control = self.session, change["owner"]
        if session is None:
            return
        # The page rounds a value set from code to its slider's step and reports that: nobody asked for it.
        if control is self.lr and _same(self.lr.value, session.lr):
            return
        if control is self.limit and session.clip is not None and _same(self.limit.value, session.clip[1]):
            return
        name = "lr" if control is self.lr else "batch_size" if control is self.batch_size else "clip"
        wanted: Any = {
            "lr": lambda: _meant(self.lr.value),
            "batch_size": lambda: self.batch_size.value,
            "clip": lambda: None if self.clip.value == "off" else (self.clip.value, self._limit(session)),
        }[name]()
        self._wished = name, wanted
        try:
            with session.by("panel"):
                setattr(session, name, wanted)
        except ValueError as error:
            self._facts.refused[name] = str(error)
        else:
            self._facts.refused.pop(name, None)
        finally:
            self._wished = None
        self._facts.refresh()

    def _limit(self, session: Session) -> float:
        # Another mode keeps a limit that was set from code to its last digit.
        kept = session.clip is not None and _same(self.limit.value, session.clip[1])
        return session.clip[1] if kept else _meant(self.limit.value)

    def _moved(self, change: Any) -> None:
        """A wish was written, here or in code: the control shows it."""
        name, value = change["name"], change["new"]
        if self._wished == (name, value):
            return
        self._facts.refused.pop(name, None)
        if name == "clip":
            clip = Clip.read(value)
            _show(self.clip, clip.mode)
            if clip.mode != "off":
                _show_on_log(self.limit, clip.limit)
        elif name == "lr":
            _show_on_log(self.lr, value)
        elif value in self.batch_size.options:
            _show(self.batch_size, value)
        else:
            # Setting the options falls back to the first: no wish of anybody's, and nothing to be sent.
            self.batch_size.unobserve(self._asked, names="value")
            with self.batch_size.hold_sync():
                self.batch_size.options = _sizes(value)
                self.batch_size.value = value
            self.batch_size.observe(self._asked, names="value")
            answer_anywhere(self.batch_size)

    def figure(self) -> Figure:
        """Return the run's state and its controls as a table."""
        from ..core.figures.training import panel_figure

        # Asked now: the traits hold what a page was last sent.
        head, facts = self._head, self._facts
        now = {**head.get_state(), **facts.get_state(), **head.project(), **facts.project()}
        return panel_figure(now["run"], now["asked"], now["applied"], now["error"])

    def close(self) -> None:
        """Remove the panel and let the session go; a run goes on."""
        if self.comm is None:  # closed before, or refused: Python closes what it collects
            return
        if self.session is not None:
            self.session.unobserve(self._moved, names=["lr", "batch_size", "clip"])
            self.session = None
            buttons = self.bar.children[1]
            let_go(*buttons.children, *self.bar.children, self.bar, *self.controls.children, self.controls, self)
        super().close()


def about(session: Session) -> str:
    """Return what a session trains in a few words: "multilabel, 14 classes · 1.21 M parameters"."""
    classes = f", {len(session.classes)} classes" if session.classes else ""
    return f"{session.task}{classes} · {short(sum(p.numel() for p in session.model.parameters()))} parameters"


def short(count: int) -> str:
    """Return a count with three digits and a unit: 432, 1.21 M."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _sizes(size: int) -> list[int]:
    """Return the powers of two up to 1,024 and beyond `size`, with `size` among them."""
    most = max(10, math.ceil(math.log2(size)))
    return sorted({2**power for power in range(most + 1)} | {size})


def _same(shown: float, wanted: float, within: float = _STEP) -> bool:
    """Say whether two positive numbers lie within half a slider's step of each other."""
    return wanted > 0 and abs(math.log10(shown / wanted)) <= 0.51 * within


def _meant(value: float) -> float:
    """Return what a person means who left a logarithmic slider there: 3e-3, and not its notch at 3.0199e-3."""
    short = float(f"{value:.1e}")
    return short if _same(short, value, _NOTCH) else float(f"{value:.2e}")


def _log_slider(text: str, span: tuple[float, float], value: float, digits: str) -> ipywidgets.FloatLogSlider:
    low, high = (math.log10(end) for end in span)
    slider = ipywidgets.FloatLogSlider(
        value=span[0], min=low, max=high, step=_STEP, readout_format=digits, description=text,
    ).add_class("dlw-log")  # fmt: skip
    _show_on_log(slider, value)
    return slider


def _show_on_log(slider: ipywidgets.FloatLogSlider, value: float) -> None:
    """Let a logarithmic slider show a value, widening its range where the value lies outside."""
    if value <= 0:
        return  # no place on such a scale; the line under the control says it
    power = math.log10(value)
    with slider.hold_sync():
        if power < slider.min:
            slider.min = math.floor(power)
        if power > slider.max:
            slider.max = math.ceil(power)
        slider.value = value
    answer_anywhere(slider)


def _show(control: Any, value: Any) -> None:
    if control.value != value:
        control.value = value
    answer_anywhere(control)
