"""TrainingPanel: start, pause and steer a run, and see its state."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from ...core.base.words import name_kind
from ...core.controls.clipping import CLIP_MODES, Clip
from ...session import Session
from ..buttons import begin, toggle
from ..limits import Restrictions
from ..view import Arranged, answer_anywhere, close_widgets
from .elements import build_elements
from .presets import PRESETS, Preset, check_presets
from .sections import Sections
from .status import ControlFacts, StatusLine

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Self

#: The rates that the slider spans; a rate outside, set from code, widens it.
_RATES = (1e-6, 1.0)
_LIMITS = (1e-3, 1e2)
#: What a way to clip is called where its name is too long for a button.
_CLIP_WORDS = {"adaptive": "AGC"}
_CLIP_TIPS = {
    "off": "Leave gradients as they are",
    "norm": "Scale all gradients so that their total L2 norm stays below",
    "value": "Cut each gradient element at",
    "adaptive": "Adaptive (AGC): hold each unit's gradient norm, over its weights' norm, below",
    "each": "Scale the gradient of each tensor so that its own L2 norm stays below",
}
#: Clipping by these has a limit on a scale of its own, and keeps it apart from that of the others.
_APART = ("adaptive",)
#: What an arrow key moves a logarithmic slider by, in powers of ten: about 5 %, five of the slider's steps.
_NOTCH = 0.02
#: The slider's own step. The page shows values rounded to it, and two digits must survive that.
_STEP = _NOTCH / 5

#: The least and the greatest value that a panel allows.
Range = tuple[float, float]


def _clip_choices(now: str) -> dict[str, Any]:
    """Return the ways to clip: a rare one where in force."""
    modes = [mode for mode in CLIP_MODES if mode != "each" or now == mode]
    words = [(_CLIP_WORDS.get(mode, mode), mode) for mode in modes]
    return {"options": words, "tooltips": [_CLIP_TIPS[mode] for mode in modes]}


class TrainingPanel(Arranged):
    """Buttons and controls that steer a run while it trains.

    Each control is a wish of the session; beside it stands what is in force. A value that cannot be is
    rejected there, and the run goes on. Changes made from code move the controls too. Optimizer, schedule,
    regularisation, the run's own settings, presets and the way back fold away below.

    With the focus in the panel, Space starts, pauses and resumes, and "." takes a step, unless the focused
    control needs the key itself.

    Parameters
    ----------
    session : the session that is steered.
    limits : control -> (least, greatest) that the panel lets a person have: see `limits()`.
    locked : names of controls that are locked: see `lock()`.
    presets : name -> wishes, as {"Gentle": {"lr": 1e-4}}, or a function that returns them for a session;
        None: those of `presets.PRESETS`.
    """

    def __init__(
        self,
        session: Session,
        *,
        limits: Mapping[str, Any] | None = None,
        locked: Iterable[str] = (),
        presets: Mapping[str, Preset] | None = None,
    ) -> None:
        if not isinstance(session, Session):
            given = name_kind(session)
            raise TypeError(f"TrainingPanel wants a Session, not {given}: dlwidgets.TrainingPanel(session).")
        restrictions = Restrictions(limits, locked)
        if presets is not None:
            check_presets(presets, session)
        self.session = session
        #: Its ranges and locks, which another panel beside it may share.
        self.restrictions = restrictions
        self._head, self._facts = StatusLine(session, restrictions), ControlFacts(session, restrictions)
        self._sections = Sections(session, restrictions, PRESETS if presets is None else presets)
        for part in (self._head, self._facts, self._sections):
            part.press = self._press
        self._sections.report = self._head.say
        #: What a control of ours has just wished for: it stands where the person left it.
        self._wished: tuple[str, Any] | None = None
        #: The thread on which controls are being set here, if any.
        self._showing: int | None = None
        new = self._button
        buttons = [
            new("Start", "play", "Train in the background (Space)", begin),
            new("Resume", "play", "Go on where the run paused (Space)", begin),
            new("Pause", "pause", "Pause after the step being taken (Space)",
                lambda run: run.pause(wait=False)),
            new("Step", "step-forward", "Take one step, then pause (.)", lambda run: self._sections.step()),
            new("Stop", "stop", "End the run", lambda run: run.stop(wait=False)),
            new("End trial", "stop", "End the trying: the run stands where it stood (Space)",
                lambda run: run.pause(wait=False)),
            new("Undo", "undo", "Take the last change back", lambda run: self._sections.undo()),
        ]  # fmt: skip
        self.bar = ipywidgets.HBox([self._head, ipywidgets.HBox(buttons).add_class("dlw-buttons")])
        self.bar.add_class("dlw-bar").add_class("dlw-vars")

        self.lr = log_slider("Learning rate", _RATES, session.lr, ".1e")
        self.batch_size = ipywidgets.SelectionSlider(
            options=batch_sizes(session.batch_size), value=session.batch_size, description="Batch size",
            continuous_update=False,
        )  # fmt: skip
        clip = Clip.read(session.clip)
        self.clip = ipywidgets.ToggleButtons(description="Clip gradients", **_clip_choices(clip.mode), value=clip.mode)
        self.limit = log_slider("Clip at", _LIMITS, clip.limit, ".2g")
        #: The limits of the ways to clip that have their own, and, as "", of the others.
        self._kept_limits = {mode: Clip.read(mode).limit for mode in _APART} | {"": Clip().limit}
        self._mode = clip.mode
        controls = [self.lr, self.batch_size, self.clip, self.limit]
        for control in controls:
            control.observe(self._on_control, names="value")
        self.controls = ipywidgets.VBox([*controls, self._facts, self._sections])
        self.controls.add_class("dlw-controls").add_class("dlw-vars")
        self._apply_restrictions()
        restrictions.followers.append(self._apply_restrictions)
        session.observe(self._on_wish, names=["lr", "batch_size", "clip"])
        session.observe(self._on_host, names=["host"])
        super().__init__([self.bar, self.controls])
        self.add_class("dlw-panel")
        for widget in (*controls, *buttons):
            answer_anywhere(widget)

    # -- what a teacher sets

    def limits(self, **ranges: Any) -> Self:
        """Limit the panel's controls, as `limits(lr=(1e-4, 1e-1), batch_size=(1, 128))`.

        Both ends are allowed; None takes a limit away. What code sets is not bound by it. A ValueError says
        which name is no number of the panel, or what is no range.
        """
        self.restrictions.limit(ranges)
        return self

    def lock(self, *names: str) -> Self:
        """Lock controls, so that they only show.

        Names are those of the wishes, or "presets", "undo", "rewind"; a ValueError says which is not there.
        """
        self.restrictions.lock(names)
        return self

    def unlock(self, *names: str) -> Self:
        """Unlock controls; without a name, all of them."""
        self.restrictions.unlock(names)
        return self

    def _apply_restrictions(self) -> None:
        session, ranges, locked = self.session, self.restrictions.ranges, self.restrictions.locked
        if session is None:
            return
        with self._setting():
            span_on_log(self.lr, ranges.get("lr", _RATES), session.lr)
            span_on_log(self.limit, ranges.get("clip", _LIMITS), self.limit.value)
            self._show_size(session.batch_size, anew=True)
            for name in ("lr", "batch_size", "clip", "limit"):
                wish = "clip" if name == "limit" else name
                getattr(self, name).disabled = wish in locked or bool(session.why_not(wish))
        for part in (self._head, self._facts, self._sections):
            part.refresh()

    @contextlib.contextmanager
    def _setting(self) -> Iterator[None]:
        """Set controls: what they tell meanwhile is nobody's wish."""
        before, self._showing = self._showing, threading.get_ident()
        try:
            yield
        finally:
            self._showing = before

    def _in_marimo(self) -> list[Any]:
        import marimo

        more = marimo.accordion({"more: schedule, optimizer, regularisation, run ...": self._sections})
        return [*self.elements(("lr", "batch_size", "clip")), more]

    def elements(self, names: Sequence[str]) -> list[Any]:
        """Return the status line, buttons and named controls for marimo."""
        return build_elements(self, names)

    # -- buttons and keys

    def _button(self, text: str, icon: str, tip: str, do: Callable[[Session], Any]) -> ipywidgets.Button:
        button = ipywidgets.Button(description=text, icon=icon, tooltip=tip)
        button.on_click(lambda _button: self._do(do))
        return button.add_class("dlw-button").add_class(f"dlw-{text.split()[0].lower()}")

    def _do(self, work: Callable[[Session], Any]) -> None:
        """Do what a button stands for, or say why not."""
        try:
            said = None if self.session is None else work(self.session)
            if isinstance(said, str) and said:
                self._head.say(said)
        except (ValueError, RuntimeError) as error:
            self._head.say(str(error))

    def _press(self, key: str) -> None:
        """Do what a key stands for."""
        self._do(lambda session: self._toggle(key, session))

    def _toggle(self, key: str, session: Session) -> str | None:
        return self._sections.step() if key == "step" else toggle(session)

    # -- controls and wishes

    def _on_control(self, change: Any) -> None:
        """Wish for what a person set a control to."""
        session, control = self.session, change["owner"]
        # Set here, a control tells us too; a page that moves one meanwhile does so on another thread.
        if session is None or self._showing == threading.get_ident():
            return
        ranges = self.restrictions.ranges
        if control is self.lr:
            name, wanted = "lr", rounded_value(self.lr, ranges.get("lr"))
        elif control is self.batch_size:
            name, wanted = "batch_size", self.batch_size.value
        else:
            if control is self.clip:
                self._change_mode(self.clip.value)
            limit = rounded_value(self.limit, ranges.get("clip"))
            name, wanted = "clip", None if self.clip.value == "off" else (self.clip.value, limit)
        self._wished = name, wanted
        try:
            self._facts.refused.pop(name, None)
            self.restrictions.ask(session, {name: wanted})
        except ValueError as error:
            self._facts.refused[name] = str(error)
        finally:
            self._wished = None
        self._facts.refresh()

    def _change_mode(self, mode: str) -> None:
        """Give another way to clip the limit that is its own."""
        if mode == "off":
            return  # the limit stays whose it was
        before, self._mode = self._mode, mode
        one, other = (way if way in _APART else "" for way in (before, mode))
        if one == other:
            return
        self._kept_limits[one] = rounded_value(self.limit)
        with self._setting():
            show_on_log(self.limit, self._kept_limits[other])

    def _on_wish(self, change: Any) -> None:
        """A wish was written, here or in code: the control shows it."""
        name, value = change["name"], change["new"]
        if self._wished == (name, value):
            return
        if self._facts.refused.pop(name, None):
            self._facts.refresh()
        with self._setting():
            if name == "lr":
                show_on_log(self.lr, value)
            elif name == "batch_size":
                self._show_size(value)
            else:
                clip = Clip.read(value)
                if clip.mode not in [mode for _, mode in self.clip.options]:
                    for trait, value in _clip_choices(clip.mode).items():
                        setattr(self.clip, trait, value)
                self.clip.value = clip.mode
                if clip.mode != "off":
                    self._mode = clip.mode
                    show_on_log(self.limit, clip.limit)

    def _on_host(self, _: Any) -> None:
        """Grey what another loop, which takes the steps, refuses."""
        self._apply_restrictions()

    def _show_size(self, size: int, anew: bool = False) -> None:
        control = self.batch_size
        if anew or size not in control.options:
            options = tuple(batch_sizes(size, self.restrictions.ranges.get("batch_size")))
            if options != tuple(control.options):
                control.options = options
        control.value = size

    # -- as a picture, and the end

    def figure(self) -> Figure:
        """Return the run's state and its controls as a table."""
        from ...core.figures.panel import panel_figure

        head, facts = self._head, self._facts
        kept = {"run": head.run, "error": head.error, "asked": facts.asked, "applied": facts.applied}
        # Asked anew: the traits hold what a page was last sent.
        now = {**kept, **head.project(), **facts.project()}
        return panel_figure(*(now[name] for name in kept), self._sections.in_force())

    def close(self) -> None:
        """Remove the panel and let the session go; a run goes on."""
        if self.comm is None:  # closed before, or refused: Python closes what it collects
            return
        if self.session is not None:
            self.session.unobserve(self._on_wish, names=["lr", "batch_size", "clip"])
            self.session.unobserve(self._on_host, names=["host"])
            self.session = None
            bar, controls = self.bar, self.controls
            parts = [*bar.children[1].children, *bar.children, bar, *controls.children, controls]
            close_widgets(*parts, self.layout)
        super().close()


def batch_sizes(size: int, allowed: Range | None = None) -> list[int]:
    """Return the powers of two that are allowed, and `size`."""
    most = max(10, math.ceil(math.log2(size)))
    found = {2**power for power in range(most + 1)}
    if allowed is not None:
        low, high = math.ceil(allowed[0]), math.floor(allowed[1])
        found = {one for one in {*found, low, high} if allowed[0] <= one <= allowed[1]}
    return sorted(found | {size})


def rounded_value(slider: ipywidgets.FloatLogSlider, allowed: Range | None = None) -> float:
    """Return a logarithmic slider's value, rounded: 3e-3 for 3.0199e-3.

    What was typed into the readout, or set from code, is between two steps and meant to the digit.
    """
    value = slider.value
    steps = (math.log10(value) - slider.min) / slider.step
    if abs(steps - round(steps)) > 1e-6:
        return value
    short = float(f"{value:.1e}")
    short = short if abs(math.log10(short / value)) <= 0.51 * _NOTCH else float(f"{value:.2e}")
    # The ends of a range are not to be rounded out of it.
    if allowed is not None and allowed[0] * (1 - 1e-9) <= value <= allowed[1] * (1 + 1e-9):
        return min(max(short, allowed[0]), allowed[1])
    return short


def log_slider(text: str, span: Range, value: float, digits: str) -> ipywidgets.FloatLogSlider:
    """Return a logarithmic slider that shows a value."""
    low, high = (math.log10(end) for end in span)
    # Not at every move of a drag, but where it ends: each would be a change of the run. And with continuous
    # updates the page reports every value that is set from code once more, rounded to the slider's step.
    slider = ipywidgets.FloatLogSlider(
        value=span[0], min=low, max=high, step=_STEP, readout_format=digits, description=text,
        continuous_update=False,
    ).add_class("dlw-log")  # fmt: skip
    show_on_log(slider, value)
    return slider


def show_on_log(slider: ipywidgets.FloatLogSlider, value: float) -> None:
    """Show a value on a logarithmic slider, widening its range if needed."""
    if value <= 0:
        return  # no place on such a scale; the line under the control says it
    power = math.log10(value)
    if power < slider.min:
        slider.min = math.floor(power)
    if power > slider.max:
        slider.max = math.ceil(power)
    slider.value = value


def span_on_log(slider: ipywidgets.FloatLogSlider, span: Range, value: float) -> None:
    """Set the range of a logarithmic slider, and show a value."""
    low, high = (math.log10(end) for end in span)
    # Its least must stay below its greatest at any moment.
    if low > slider.max:
        slider.max, slider.min = high, low
    else:
        slider.min, slider.max = low, high
    show_on_log(slider, value)
