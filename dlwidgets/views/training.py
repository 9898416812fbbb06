"""TrainingPanel: start, pause and steer a run, and see beside each control what is really in force."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

from ..core.controls import CLIP_MODES, Clip
from ..session import Session
from .view import Pictured, View, answer_anywhere, module, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The rates that the slider spans; a rate outside, set from code, widens it.
_RATES = (1e-6, 1.0)
_LIMITS = (1e-3, 1e2)
#: One notch of a logarithmic slider, in powers of ten: about 5 %.
_NOTCH = 0.02


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
        super().__init__(session, part="head")

    def project(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            return {}
        return {
            "run": {"title": type(session.model).__name__, "about": about(session), "status": session.status,
                    **session.progress()},
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
        buttons = [
            _button("Start", "play", "start", "Train in the background", session.start),
            _button("Resume", "play", "resume", "Go on where the run paused", session.resume),
            _button("Pause", "pause", "pause", "Pause after the step being taken", lambda: session.pause(wait=False)),
            _button("Step", "step-forward", "step", "Take one step, then pause", lambda: session.step(wait=False)),
            _button("Stop", "stop", "stop", "End the run", lambda: session.stop(wait=False)),
        ]
        self.bar = ipywidgets.HBox([self._head, ipywidgets.HBox(buttons).add_class("dlw-buttons")]).add_class("dlw-bar")

        self.lr = ipywidgets.FloatLogSlider(
            value=session.lr or _RATES[0], min=math.log10(_RATES[0]), max=math.log10(_RATES[1]), step=_NOTCH,
            readout_format=".1e", description="Learning rate",
        )
        self.batch_size = ipywidgets.SelectionSlider(
            options=_sizes(session.batch_size), value=session.batch_size, description="Batch size",
        )
        clip = Clip.read(session.clip)
        self.clip = ipywidgets.ToggleButtons(
            options=list(CLIP_MODES), value=clip.mode, description="Clip gradients",
            tooltips=["Leave gradients as they are", "Scale all gradients so that their total L2 norm stays below",
                      "Cut each gradient element at"],
        )
        self.limit = ipywidgets.FloatLogSlider(
            value=clip.limit, min=math.log10(_LIMITS[0]), max=math.log10(_LIMITS[1]), step=_NOTCH,
            readout_format=".2g", description="Clip at",
        )
        controls = [self.lr, self.batch_size, self.clip, self.limit]
        for control in controls:
            control.observe(self._asked, names="value")
        self.controls = ipywidgets.VBox([*controls, self._facts]).add_class("dlw-controls")
        session.observe(self._moved, names=["lr", "batch_size", "clip"])
        super().__init__([self.bar, self.controls])
        self.add_class("dlw-panel")
        for widget in (*controls, *buttons):
            answer_anywhere(widget)

    def _asked(self, change: Any) -> None:
        """A person moved a control: wish for it; a sentence of refusal goes beside it."""
        session, control = self.session, change["owner"]
        if session is None:
            return
        name = "lr" if control is self.lr else "batch_size" if control is self.batch_size else "clip"
        # The page rounds a value set from code to its slider's nearest notch and reports that: nobody asked for it.
        if control is self.lr and _same(self.lr.value, session.lr):
            return
        if control is self.limit and session.clip is not None and _same(self.limit.value, session.clip[1]):
            return
        wanted = {
            "lr": _meant(self.lr.value),
            "batch_size": self.batch_size.value,
            "clip": (self.clip.value, _meant(self.limit.value)),
        }[name]
        try:
            with session.by("panel"):
                setattr(session, name, wanted)
        except ValueError as error:
            self._facts.refused[name] = str(error)
        else:
            self._facts.refused.pop(name, None)
        self._facts.refresh()

    def _moved(self, change: Any) -> None:
        """A wish was written, here or in code: the control shows it."""
        value = change["new"]
        if change["name"] == "clip":
            clip = Clip.read(value)
            _show(self.clip, clip.mode)
            if clip.mode != "off":
                _show(self.limit, clip.limit)
        elif change["name"] == "lr":
            _show(self.lr, value)
        elif self.batch_size.value != value:
            if value not in self.batch_size.options:
                # Setting the options falls back to the first: no wish of anybody's.
                self.batch_size.unobserve(self._asked, names="value")
                self.batch_size.options = _sizes(value)
                self.batch_size.value = value
                self.batch_size.observe(self._asked, names="value")
            _show(self.batch_size, value)

    def figure(self) -> Figure:
        """Return the run's state and its controls as a table."""
        from ..core.figures.training import panel_figure

        head, facts = self._head, self._facts
        return panel_figure(dict(head.run), dict(facts.asked), dict(facts.applied), head.error)

    def close(self) -> None:
        """Remove the panel and let the session go; a run goes on."""
        if self.session is not None:
            self.session.unobserve(self._moved, names=["lr", "batch_size", "clip"])
            self.session = None
        for control in (self.lr, self.batch_size, self.clip, self.limit):
            control.unobserve_all()
        for box in (*self.bar.children, *self.controls.children):
            for child in getattr(box, "children", ()):
                child.close()
            box.close()
        self.bar.close()
        self.controls.close()
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


def _same(shown: float, wanted: float) -> bool:
    """Say whether two positive numbers lie within half a notch of each other."""
    return wanted > 0 and abs(math.log10(shown / wanted)) <= 0.51 * _NOTCH


def _meant(value: float) -> float:
    """Return what a person means who left a logarithmic slider there: 3e-3, and not its notch at 3.0199e-3."""
    short = float(f"{value:.1e}")
    return short if _same(short, value) else float(f"{value:.2e}")


def _button(text: str, icon: str, kind: str, tip: str, do: Any) -> ipywidgets.Button:
    button = ipywidgets.Button(description=text, icon=icon, tooltip=tip)
    button.add_class("dlw-button").add_class(f"dlw-{kind}")
    button.on_click(lambda _: do())
    return button


def _show(control: Any, value: Any) -> None:
    """Let a control show a value, widening its range where the value lies outside."""
    if isinstance(control, ipywidgets.FloatLogSlider):
        if value <= 0:
            return  # no place on a logarithmic scale; the line under the control says it
        power = math.log(value, control.base)
        if power < control.min:
            control.min = math.floor(power)
        if power > control.max:
            control.max = math.ceil(power)
        if _same(control.value, value) and control.value != value:
            return
    if control.value != value:
        control.value = value
    answer_anywhere(control)
