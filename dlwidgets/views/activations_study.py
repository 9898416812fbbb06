"""The study below the maps: touch channels, what excites one, where the model looked, how it came to be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import traitlets

from ..core.activations.channel_axes import channel_axis
from ..core.models.borrowed import untouched_rng
from ..core.training.governor import Governor
from .activations_touch import Touch

if TYPE_CHECKING:
    from ..session import Session

#: The share of the training's time that a study may take, and the shortest time between two pieces of it [s].
_SHARE, _LEAST = 0.01, 1 / 3

#: The page's files of the study, in the order in which they are joined, and its style sheet.
STUDY_SCRIPTS = ("activations_touching.js", "activations_study.js")
STUDY_STYLES = ("activations_study.css",)
#: The sections; one at a time is open.
_SECTIONS = ("touch",)


class Study(traitlets.HasTraits):
    """What an ActivationBrowser shows below its maps; nothing of it is computed while it is folded.

    Whoever inherits brings `_model`, `_layers`, `_home` (session or None), `session` (None once closed),
    `_samples`, `_task`, `_classes`, `_chosen`, `_seen`, `_looking` (a lock), `_wanted_layer()`,
    `_wanted_sample()`, `refresh()` and `_may_send()` of the browser; calls `_open_study()` before the view is
    made, `project_study()` within `project()`, `wish_study()` first in `wish()`, `study_moved()` when layer,
    sample, channel or step changed, and `_close_study()` when it closes.
    """

    study = traitlets.Unicode("", help="the open section, or ''").tag(sync=True)
    touching = traitlets.Dict(help="the touched channels and what the model then says").tag(sync=True)

    _model: Any
    _home: Session | None
    session: Session | None
    _samples: Any
    _task: str | None
    _classes: Sequence[str] | None
    _seen: Any
    _looking: Any
    _wanted_layer: Callable[[], str]
    _wanted_sample: Callable[[], int]
    refresh: Callable[[], None]
    _may_send: Callable[[], bool]

    def _open_study(self) -> None:
        self._section = ""
        self._touch = Touch()
        self._study_channel = 0
        self._study_governor = Governor(_SHARE, _LEAST)
        self._study_turn, self._study_asked = threading.Lock(), False
        self._study_done: Any = None
        self._study_reason = ""
        self._study_step: int | None = None

    def _close_study(self) -> None:
        self._section = ""
        self._touch.forget()

    # -- what the browser asks

    def project_study(self) -> dict[str, Any]:
        """Return the picture of the open section."""
        values: dict[str, Any] = {"study": self._section, "touching": {}}
        if self._section == "touch":
            layer, channel = self._wanted_layer(), self._channel()
            about = {
                "layer": layer,
                "channel": channel,
                "channels": self._channels(),
                "step": self._study_step,
                "reason": self._study_reason,
                "measure": "probability" if self._task in _PROBABLE else "output",
            }
            values["touching"] = {**about, **self._touch.project(layer, channel, self._names)}
        return values

    def wish_study(self, name: str, value: Any) -> bool:
        """Do what a person asked for in the study; False where it is not the study's."""
        if name == "study":
            if value not in ("", *_SECTIONS):
                raise ValueError(f"The study has the sections {', '.join(_SECTIONS)}, not {value!r}.")
            self._section, self._study_done, self._study_reason = value, None, ""
        elif name == "touch":
            layer, channel = self._wanted_layer(), self._channel()
            if isinstance(value, dict):
                layer, channel = str(value.get("layer", layer)), int(value.get("channel", channel))
                value = value.get("factor")
            self._touch.set(layer, channel, value)
        elif name == "touch_undo":
            self._touch.undo()
        elif name == "touch_reset":
            self._touch.reset()
        elif name == "study_channel":
            self._choose_channel(value)
        else:
            return False
        self.study_moved()
        self.refresh()
        return True

    def study_moved(self) -> None:
        """Compute the open section anew where layer, sample, channel, factors or step changed. Any thread."""
        if not self._section:
            return
        new, session = self._study_key() != self._study_done, self.session
        if self._home is None:
            self._study_work()
            self.refresh()
            return
        # What a person asked for is done at once; what only follows the training, as its time allows.
        governed = self._home.status == "running" and not new
        if session is None or governed and not (self._study_governor.due() and self._may_send()):
            return
        with self._study_turn:
            if self._study_asked:
                return
            self._study_asked = True
        session.at_step(self._study_work).add_done_callback(lambda _: self.refresh())

    # -- inside

    def _study_key(self) -> Any:
        return self._section, self._wanted_layer(), self._wanted_sample(), self._channel(), self._touch.key

    def _study_work(self) -> None:
        self._study_asked = False
        began, session = time.perf_counter(), self._home
        with self._looking, untouched_rng():
            self._study_done, self._study_reason = self._study_key(), ""
            try:
                self._compute()
                self._study_step = None if session is None else session.progress()["steps"]
            except Exception as error:  # noqa: BLE001 - said in the section; training and kernel go on
                self._study_reason = str(error) or type(error).__name__
        self._study_governor.spent(time.perf_counter() - began)

    def _compute(self) -> None:
        inputs = self._samples.inputs(self._wanted_sample())
        if self._section == "touch":
            layer, channel, channels = self._wanted_layer(), self._channel(), self._channels()
            self._touch.forget()
            self._touch.work(self._model, inputs, layer, channel, channels, self._scores_of())

    def _scores_of(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        if self._home is not None:
            return self._home.scores_of
        if self._task == "multiclass":
            return lambda output: output.softmax(-1)
        return torch.sigmoid if self._task in ("multilabel", "binary") else None

    def _names(self, count: int) -> list[str]:
        """Return the names of `count` outputs."""
        given = [] if self._classes is None else [str(name) for name in self._classes]
        if self._task == "binary" and count == 1 and len(given) == 2:
            return given[1:]
        if len(given) == count:
            return given
        word = _WORDS.get(self._task or "", "output")
        return [f"{word} {number}" for number in range(count)]

    # -- channels

    def _channels(self) -> int:
        """Return how many channels the layer shown has; 0 where that is not known, or it has none."""
        layer, seen = self._wanted_layer(), self._seen
        if seen is None or seen.look.layer != layer or seen.look.tensor is None or seen.look.part:
            return 0
        tensor = seen.look.tensor[None]
        return tensor.shape[channel_axis(self._layers[layer], tensor)] if tensor.ndim > 1 else 0

    def _channel(self) -> int:
        """Return the channel in question: that of the enlarged map or bar, where there is one for each."""
        picture = None if self._seen is None else self._seen.look.picture
        number = self._study_channel
        if picture is not None and picture.kind in _EACH:
            number = self._chosen * picture.group
        return min(number, max(0, self._channels() - 1))

    def _choose_channel(self, value: Any) -> None:
        channels = self._channels()
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < max(1, channels):
            raise ValueError(f"The layer has the channels 0 to {max(0, channels - 1)}, not {value!r}.")
        self._study_channel = value
        picture = None if self._seen is None else self._seen.look.picture
        if picture is not None and picture.kind in _EACH:
            self._chosen = value // picture.group


_PROBABLE = ("multiclass", "multilabel", "binary")
_WORDS = {"multiclass": "class", "multilabel": "label", "binary": "label"}
#: Pictures in which each map or bar is a channel.
_EACH = ("maps", "volume", "lines", "bars")
