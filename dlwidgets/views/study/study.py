"""The study below the maps: touch channels, what excites one, where the model looked, how it came to be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import nn

from ...core.activations.incoming import ELEMENTWISE, incoming
from ...core.activations.study.film import kept_states, output_of
from ...core.base.isolation import preserve_random_state
from ...core.base.time_budget import TimeBudget
from ...core.layers.axes import channel_axis
from .ablation import Touch
from .attribution import Where
from .over_time import OverTime
from .place import Layout, Place
from .top_samples import Excites

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ...session import Session

#: The share of the training's time that a study may take, and the shortest time between two pieces of it [s].
_SHARE, _LEAST = 0.002, 1 / 3

STUDY_STYLES = ("study/study.css",)
#: The sections; one at a time is open.
_SECTIONS = ("touch", "excites", "where", "time")
#: How long a piece of work takes at rest, between two steps of a run, and all without a session [s].
_PIECE, _LIVE_PIECE, _WHOLE = 0.15, 0.03, 2.0


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
    exciting = traitlets.Dict(help="the samples that drive the channel most").tag(sync=True)
    excited = traitlets.Bytes(b"", help="uint8, tiles x h x w x 3: those samples, small").tag(sync=True)
    where = traitlets.Dict(help="where the model looked: method, class, layer, size").tag(sync=True)
    where_map = traitlets.Bytes(b"", help="uint8, h x w; (q - 128) * peak / 127, 0: not finite").tag(
        sync=True
    )
    film = traitlets.Dict(help="layer, steps of the frames, sizes of maps and of the near map").tag(sync=True)
    film_maps = traitlets.Bytes(b"", help="uint8, for each frame M x h x w maps, then the near one").tag(
        sync=True
    )
    film_scales = traitlets.Bytes(b"", help="float32, for each frame M + 1: scales of maps, near").tag(
        sync=True
    )
    film_now = traitlets.Bytes(b"", help="of now: float32 M + 1 scales, uint8 M x h x w maps and near").tag(
        sync=True
    )
    film_change = traitlets.Bytes(b"", help="as film_now, twice: before the last step, and the change").tag(
        sync=True
    )
    spread = traitlets.Dict(help="steps, reach, mean, sd and zeros of the spread's columns").tag(sync=True)
    spread_shades = traitlets.Bytes(b"", help="uint8, columns x bins, the low end first; 0: none").tag(
        sync=True
    )

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
        self._touch, self._excites, self._where, self._time = Touch(), Excites(), Where(), OverTime()
        self._layouts: dict[tuple[str, str], Layout] = {}
        self._study_channel = 0
        self._study_budget = TimeBudget(_SHARE, _LEAST)
        self._study_turn, self._study_asked = threading.Lock(), False
        self._study_done: Any = None
        self._study_more = False
        self._study_reason = ""
        self._study_step: int | None = None
        self._noted: Any = None
        if self._home is not None:
            self._home.observe(self._study_pulsed, names=["pulse"])

    def _close_study(self) -> None:
        if self._home is not None:
            self._home.unobserve(self._study_pulsed, names=["pulse"])
        self._section = ""
        self._forget_study()

    # -- what the browser asks

    def project_study(self) -> dict[str, Any]:
        """Return the picture of the open section; of the others nothing."""
        values: dict[str, Any] = {"study": self._section, "touching": {}}
        for section in (self._excites, self._where, self._time):
            values.update(section.values())
        if self._section == "touch":
            layer, channel = self._wanted_layer(), self._channel()
            values["touching"] = {
                **self._about(),
                "measure": "probability" if self._task in _PROBABLE else "output",
                **self._touch.project(layer, channel, self._names),
            }
        elif self._section:
            name = {"excites": "exciting", "where": "where", "time": "film"}[self._section]
            values[name] = {**values[name], **({"reason": self._study_reason} if self._study_reason else {})}
            values[name].setdefault("reason", "")
            values[name]["channels"] = self._channels()
        return values

    def wish_study(self, name: str, value: Any) -> bool:
        """Do what a person asked for in the study; False where it is not the study's."""
        if name == "study":
            if value not in ("", *_SECTIONS):
                raise ValueError(f"The study has the sections {', '.join(_SECTIONS)}, not {value!r}.")
            self._section, self._study_done, self._study_reason = value, None, ""
            self._forget_study()
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
        elif name == "excites_by":
            if value not in ("max", "mean"):
                raise ValueError(f"Samples are ordered by 'max' or 'mean', not by {value!r}.")
            self._excites.by = value
        elif name in ("where_method", "where_target", "where_here"):
            self._where.choose(name, value)
        else:
            return False
        self.study_moved()
        self.refresh()
        return True

    def study_moved(self) -> None:
        """Compute the open section anew where layer, sample, channel, wish or step changed. Any thread."""
        self._note_look()
        if not self._section:
            return
        session = self.session
        if self._home is None:
            self._study_at_once()
            return
        # What a person asked for is done at once; what only follows the training, as its time allows.
        governed = self._home.status == "running" and self._study_key() == self._study_done
        if session is None or governed and not (self._study_budget.due() and self._may_send()):
            return
        with self._study_turn:
            if self._study_asked:
                return
            self._study_asked = True
        session.at_step(self._study_work).add_done_callback(self._study_worked)

    def open_study(self, section: str) -> None:
        """Open a section: "touch", "excites", "where", "time", or "" to fold all.

        Raises
        ------
        ValueError : there is no such section.
        """
        self.wish_study("study", section)

    def study_figure(self) -> Figure:
        """Return what the open section shows as a matplotlib Figure."""
        from .figure import figure_of

        image = None if self._seen is None else self._seen.look.input.image
        return figure_of(self._section, self.project_study(), image)

    def study_frame(self) -> pd.DataFrame:
        """Return what the open section shows as a table: see `activations_studied.frame_of`."""
        from .figure import frame_of

        return frame_of(self._section, self.project_study())

    # -- inside

    def _forget_study(self) -> None:
        """Let go what the folded sections computed; what a person touched stays."""
        self._touch.forget()
        self._excites.forget()
        self._where.forget()
        self._time.forget()

    def _study_pulsed(self, _change: Any) -> None:
        """Follow a run that moved at rest, as one that was taken back; while it trains, looks tell of it."""
        session = self.session
        if not self._section or session is None or session.status == "running":
            return
        if self._study_step != session.steps:
            self.study_moved()

    def _study_key(self) -> Any:
        chosen = {"touch": self._touch, "excites": self._excites, "where": self._where, "time": self._time}
        own = getattr(self._samples, "own", None)
        return (
            self._section, self._wanted_layer(), self._shown_part(), self._wanted_sample(), id(own),
            self._channel(), chosen[self._section].key if self._section else None,
        )  # fmt: skip

    def _study_at_once(self) -> None:
        until = time.perf_counter() + _WHOLE
        self._study_work()
        while self._study_more and time.perf_counter() < until:
            self._study_work()
        self.refresh()

    def _study_worked(self, _future: Any) -> None:
        self.refresh()
        # While it trains the next look asks for the rest.
        if self._study_more and self._home is not None and self._home.status != "running":
            self.study_moved()

    def _study_work(self) -> None:
        self._study_asked = False
        began, section = time.perf_counter(), self._section
        if not section:
            return
        with self._looking, preserve_random_state():
            try:
                place = self._place()
                # Once the layout is known, so is the channel.
                self._study_done = self._study_key()
                seconds = _LIVE_PIECE if place.running else _PIECE
                self._study_more = self._compute(section, place, seconds)
                self._study_step, self._study_reason = place.step, ""
            except Exception as error:  # noqa: BLE001 - said in the section; training and kernel go on
                self._study_done, self._study_more = self._study_key(), False
                self._study_reason = str(error) or type(error).__name__
        self._study_budget.spent(time.perf_counter() - began)

    def _compute(self, section: str, place: Place, seconds: float) -> bool:
        if section == "touch":
            self._touch.work(place)
            return False
        sections = {"excites": self._excites, "where": self._where, "time": self._time}
        return sections[section].work(place, seconds)

    def _place(self) -> Place:
        """Return what is to be studied; on the thread that may use the model."""
        session, layer = self._home, self._wanted_layer()
        part, sample = self._shown_part(), self._wanted_sample()
        if (layer, part) not in self._layouts:
            inputs = self._samples.inputs(sample)
            self._layouts[layer, part] = layout_of(self._model, self._layers[layer], inputs, layer, part)
        timeline = None if session is None else session.timeline
        return Place(
            self._model, self._samples, sample, id(getattr(self._samples, "own", None)), layer, part,
            self._channel(), self._layouts[layer, part], self._scores_of(), self._names,
            step=None if session is None else session.steps,
            running=session is not None and session.status == "running",
            line="" if session is None else session.line,
            states=() if timeline is None or self._section != "time" else kept_states(timeline),
        )  # fmt: skip

    def _shown_part(self) -> str:
        """Return which tensor of the layer is shown: "" for the first, and where no output is."""
        seen = self._seen
        if seen is None or seen.look.layer != self._wanted_layer() or seen.look.wanted.show != "output":
            return ""
        return str(seen.look.part)

    def _note_look(self) -> None:
        """Count the values of a look that was taken anyway, for the spread."""
        seen, session = self._seen, self._home
        if session is None or seen is None or seen is self._noted or seen.step is None:
            return
        self._noted = seen
        look = seen.look
        if look.tensor is None or look.wanted.show != "output":
            return
        sample = self._wanted_sample() if seen.index is None else seen.index
        owner = id(getattr(self._samples, "own", None))
        self._time.note((look.layer, look.part, sample, owner, session.line), seen.step, look.tensor)

    def _about(self) -> dict[str, Any]:
        return {
            "layer": self._wanted_layer(), "channel": self._channel(), "channels": self._channels(),
            "step": self._study_step, "reason": self._study_reason,
        }  # fmt: skip

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
        layout = self._layouts.get((self._wanted_layer(), self._shown_part()))
        return 0 if layout is None else layout.channels

    def _is_each(self) -> bool:
        """Whether each map or bar of the picture shown is a channel."""
        picture = None if self._seen is None else self._seen.look.picture
        if picture is None or self._seen.look.wanted.show == "input":
            return False
        return picture.kind in _EACH

    def _channel(self) -> int:
        """Return the channel in question: that of the enlarged map or bar, where there is one for each."""
        number = self._study_channel
        if self._is_each():
            number = self._chosen * self._seen.look.picture.group
        return min(number, max(0, self._channels() - 1))

    def _choose_channel(self, value: Any) -> None:
        channels = self._channels()
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < max(1, channels):
            raise ValueError(f"The layer has the channels 0 to {max(0, channels - 1)}, not {value!r}.")
        self._study_channel = value
        if self._is_each():
            self._chosen = value // self._seen.look.picture.group


def layout_of(model: nn.Module, module: nn.Module, inputs: Any, layer: str, part: str) -> Layout:
    """Return how the output of `layer` is laid out for one sample; the model runs once or twice.

    Raises
    ------
    ValueError : in a sentence: the layer gives no tensor, or the model could not run.
    """
    behind = None
    if isinstance(module, ELEMENTWISE):
        number = int(part[1:].split("[")[0]) if part.startswith("#") else 1
        found = incoming(model, inputs, layer, number)
        behind = None if found is None or found.module is module else found.module
    tensor = output_of(model, inputs, layer, part, behind)
    by = module if behind is None else behind
    axis = channel_axis(by, tensor[None])
    return Layout(tuple(tensor.shape), None if axis is None else axis - 1, behind)


_PROBABLE = ("multiclass", "multilabel", "binary")
_WORDS = {"multiclass": "class", "multilabel": "label", "binary": "label"}
#: Pictures in which each map or bar is a channel.
_EACH = ("maps", "volume", "lines", "bars", "rgb")
