"""TrainingPanel: start, pause and steer a run, and see beside each control what is really in force."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

from ..core.clipping import CLIP_MODES, Clip
from ..session import Session
from .view import Pictured, View, answer_anywhere, let_go, module, style

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

#: The rates that the slider spans; a rate outside, set from code, widens it.
_RATES = (1e-6, 1.0)
_LIMITS = (1e-3, 1e2)
#: What an arrow key moves a logarithmic slider by, in powers of ten: about 5 %, five of the slider's steps.
_NOTCH = 0.02
#: The slider's own step. The page shows values rounded to it, and two digits must survive that.
_STEP = _NOTCH / 5


#: What a way to clip is called where its name is too long for a button.
_CLIP_WORDS = {"adaptive": "AGC"}


class _Part(View):
    """A picture of the panel: its traits are written by the kernel alone, so that no control ever is."""

    _esm = module("training.js")
    _css = style("training.css", "dashboard.css")
    part = traitlets.Unicode(help='"head" or "facts"').tag(sync=True)


class _Head(_Part):
    """The run in one line: model, task, status, epoch, step, speed, time left; and its failure."""

    watches = ("pulse", "status", "error", "epochs")
    run = traitlets.Dict(help="title, about, status, epoch, epochs, steps, share, rate, left").tag(sync=True)
    error = traitlets.Unicode(help="why the run failed, one sentence").tag(sync=True)
    trace = traitlets.Unicode(help="the traceback of the failure").tag(sync=True)

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
        }


class _Facts(_Part):
    """Beside each control: what is in force, what is still on its way, what was rejected and why."""

    watches = ("applied", "rejected", "lr", "batch_size", "clip", "status", "notes")
    asked = traitlets.Dict(help="control -> what was asked for").tag(sync=True)
    applied = traitlets.Dict(help="control -> what is in force").tag(sync=True)
    rejected = traitlets.Dict(help="control -> why the wish was rejected").tag(sync=True)
    running = traitlets.Bool(help="whether steps are being taken").tag(sync=True)
    notes = traitlets.List(help="what the session chose by itself, in sentences").tag(sync=True)

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
            "notes": list(session.notes),
        }


class TrainingPanel(Pictured, ipywidgets.VBox):
    """Buttons to start, pause, step and stop; sliders for learning rate and batch size; gradient clipping.

    Each control is a wish of the session; under it stands what is in force. A value that cannot be is
    rejected there, and the run goes on. Changes made from code move the controls too.

    Parameters
    ----------
    session : the session that is steered.
    """

    session: Session | None = None

    def __init__(self, session: Session) -> None:
        if not isinstance(session, Session):
            raise TypeError(
                f"TrainingPanel wants a Session, not {type(session).__name__}: "
                "dlwidgets.TrainingPanel(session)."
            )
        self.session = session
        self._head, self._facts = _Head(session), _Facts(session)
        #: What a control of ours has just wished for: it stands where the person left it.
        self._wished: tuple[str, Any] | None = None
        #: The thread on which controls are being set here, if any.
        self._showing: int | None = None
        buttons = [
            self._button("Start", "play", "start", "Train in the background", lambda run: run.start()),
            self._button("Resume", "play", "resume", "Go on where the run paused", lambda run: run.resume()),
            self._button(
                "Pause",
                "pause",
                "pause",
                "Pause after the step being taken",
                lambda run: run.pause(wait=False),
            ),
            self._button(
                "Step", "step-forward", "step", "Take one step, then pause", lambda run: run.step(wait=False)
            ),
            self._button("Stop", "stop", "stop", "End the run", lambda run: run.stop(wait=False)),
        ]
        self.bar = ipywidgets.HBox([self._head, ipywidgets.HBox(buttons).add_class("dlw-buttons")])
        self.bar.add_class("dlw-bar").add_class("dlw-vars")

        self.lr = _log_slider("Learning rate", _RATES, session.lr, ".1e")
        self.batch_size = ipywidgets.SelectionSlider(
            options=_sizes(session.batch_size),
            value=session.batch_size,
            description="Batch size",
            continuous_update=False,
        )
        clip = Clip.read(session.clip)
        self.clip = ipywidgets.ToggleButtons(
            options=[(_CLIP_WORDS.get(mode, mode), mode) for mode in CLIP_MODES],
            value=clip.mode,
            description="Clip gradients",
            tooltips=[
                "Leave gradients as they are",
                "Scale all gradients so that their total L2 norm stays below",
                "Cut each gradient element at",
                "Adaptive (AGC): scale each unit's gradient so that its norm, in parts of its weights', stays below",
            ],
        )
        self.limit = _log_slider("Clip at", _LIMITS, clip.limit, ".2g")
        controls = [self.lr, self.batch_size, self.clip, self.limit]
        for control in controls:
            control.observe(self._asked, names="value")
        self.controls = (
            ipywidgets.VBox([*controls, self._facts]).add_class("dlw-controls").add_class("dlw-vars")
        )
        session.observe(self._moved, names=["lr", "batch_size", "clip"])
        super().__init__([self.bar, self.controls])
        self.add_class("dlw-panel")
        for widget in (*controls, *buttons):
            answer_anywhere(widget)

    def _button(
        self, text: str, icon: str, kind: str, tip: str, do: Callable[[Session], Any]
    ) -> ipywidgets.Button:
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
        # Set here, a control tells us too; a page that moves one meanwhile does so on another thread.
        if session is None or self._showing == threading.get_ident():
            return
        if control is self.lr:
            name, wanted = "lr", _meant(self.lr)
        elif control is self.batch_size:
            name, wanted = "batch_size", self.batch_size.value
        else:
            name, wanted = "clip", None if self.clip.value == "off" else (self.clip.value, _meant(self.limit))
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

    def _moved(self, change: Any) -> None:
        """A wish was written, here or in code: the control shows it."""
        name, value = change["name"], change["new"]
        if self._wished == (name, value):
            return
        if self._facts.refused.pop(name, None):
            self._facts.refresh()
        self._showing = threading.get_ident()
        try:
            if name == "lr":
                _show_on_log(self.lr, value)
            elif name == "batch_size":
                self._show_size(value)
            else:
                clip = Clip.read(value)
                self.clip.value = clip.mode
                answer_anywhere(self.clip)
                if clip.mode != "off":
                    _show_on_log(self.limit, clip.limit)
        finally:
            self._showing = None

    def _show_size(self, size: int) -> None:
        control = self.batch_size
        if size not in control.options:
            control.options = _sizes(size)
        control.value = size
        answer_anywhere(control)

    def figure(self) -> Figure:
        """Return the run's state and its controls as a table."""
        from ..core.figures.training import panel_figure

        head, facts = self._head, self._facts
        kept = {"run": head.run, "error": head.error, "asked": facts.asked, "applied": facts.applied}
        # Asked anew: the traits hold what a page was last sent.
        now = {**kept, **head.project(), **facts.project()}
        return panel_figure(*(now[name] for name in kept))

    def close(self) -> None:
        """Remove the panel and let the session go; a run goes on."""
        if self.comm is None:  # closed before, or refused: Python closes what it collects
            return
        if self.session is not None:
            self.session.unobserve(self._moved, names=["lr", "batch_size", "clip"])
            self.session = None
            buttons = self.bar.children[1]
            let_go(
                *buttons.children,
                *self.bar.children,
                self.bar,
                *self.controls.children,
                self.controls,
                self.layout,
            )
        super().close()


def about(session: Session) -> str:
    """Return what a session trains in a few words: "multilabel, 14 classes · 1.21 M parameters"."""
    classes = f", {len(session.classes)} classes" if session.classes else ""
    count = sum(parameter.numel() for parameter in session.model.parameters())
    return f"{session.task}{classes} · {short(count)} parameters"


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


def _meant(slider: ipywidgets.FloatLogSlider) -> float:
    """Return what a person means who left a logarithmic slider there: 3e-3, and not its step at 3.0199e-3.

    What was typed into the readout, or set from code, is between two steps and meant to the digit.
    """
    value = slider.value
    steps = (math.log10(value) - slider.min) / slider.step
    if abs(steps - round(steps)) > 1e-6:
        return value
    short = float(f"{value:.1e}")
    return short if abs(math.log10(short / value)) <= 0.51 * _NOTCH else float(f"{value:.2e}")


def _log_slider(text: str, span: tuple[float, float], value: float, digits: str) -> ipywidgets.FloatLogSlider:
    low, high = (math.log10(end) for end in span)
    # Not at every move of a drag, but where it ends: each would be a change of the run. And with continuous
    # updates the page reports every value that is set from code once more, rounded to the slider's step.
    slider = ipywidgets.FloatLogSlider(
        value=span[0], min=low, max=high, step=_STEP, readout_format=digits, description=text,
        continuous_update=False,
    ).add_class("dlw-log")  # fmt: skip
    _show_on_log(slider, value)
    return slider


def _show_on_log(slider: ipywidgets.FloatLogSlider, value: float) -> None:
    """Let a logarithmic slider show a value, widening its range by powers of ten where that is outside."""
    if value <= 0:
        return  # no place on such a scale; the line under the control says it
    power = math.log10(value)
    if power < slider.min:
        slider.min = math.floor(power)
    if power > slider.max:
        slider.max = math.ceil(power)
    slider.value = value
    answer_anywhere(slider)
