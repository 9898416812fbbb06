"""The study below the maps: ablation, top samples, attribution, and time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ...core.activations.filters import ELEMENTWISE, find_incoming
from ...core.activations.layer_choice import layer_paths
from ...core.activations.study.film import kept_states, output_of
from ...core.base.isolation import isolate_model
from ...core.base.time_budget import TimeBudget
from ...core.layers.axes import channel_axis
from ...core.layers.framework import acts_as
from .ablation import AblationSection
from .attribution import AttributionSection
from .over_time import OverTimeSection
from .section import OutputLayout, Section, StudySubject
from .top_samples import TopSamplesSection

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..activations.layer_look import LayerLook

#: The share of the training's time that a study may take, and the shortest time between two pieces of it [s].
_SHARE, _LEAST = 0.002, 1 / 3
#: How long a piece of work takes at rest, between two steps of a run, and all without a session [s].
_PIECE, _LIVE_PIECE, _WHOLE = 0.15, 0.03, 2.0
#: Pictures in which each map or bar is a channel.
_EACH = ("maps", "volume", "lines", "bars", "rgb")
_FOLDED = "The study is folded: open_study() opens 'touch', 'excites', 'where' or 'time'."


class Study:
    """What an activation browser shows below its maps; folded, it computes nothing.

    `refresh` notes that the picture is out of date, `page_waits` says whether a page waits for one.
    `section` is the open one: "touch", "excites", "where", "time", or "" where all are folded.
    """

    def __init__(
        self, look: LayerLook, refresh: Callable[[], None], page_waits: Callable[[], bool]
    ) -> None:
        self._look, self._refresh, self._page_waits = look, refresh, page_waits
        self.section = ""
        self._touch, self._excites = AblationSection(), TopSamplesSection()
        self._where, self._time = AttributionSection(), OverTimeSection()
        self._sections: dict[str, Section] = {
            "touch": self._touch, "excites": self._excites, "where": self._where, "time": self._time
        }  # fmt: skip
        self._layouts: dict[tuple[str, str], OutputLayout] = {}
        #: The channel in question, where no map or bar stands for one.
        self._number = 0
        self._time_budget = TimeBudget(_SHARE, _LEAST)
        self._asking, self._asked, self._closed = threading.Lock(), False, False
        #: What the open section was computed for, whether more is to be done, why it could not be, and when.
        self._done: Any = None
        self._more, self._reason = False, ""
        self._step: int | None = None
        #: The last look whose values were counted.
        self._counted: Any = None
        if look.session is not None:
            look.session.observe(self._pulsed, names=["pulse"])

    def close(self) -> None:
        """Stop following the session, and let go what was computed."""
        if self._look.session is not None and not self._closed:
            self._look.session.unobserve(self._pulsed, names=["pulse"])
        self._closed = True
        self._open("")

    def _open(self, section: str) -> None:
        self.section, self._done, self._reason = section, None, ""
        for one in self._sections.values():
            one.forget()

    # -- what the browser asks

    def values(self) -> dict[str, Any]:
        """Return the traits of the open section; those of the others empty."""
        values: dict[str, Any] = {"study": self.section}
        for name, section in self._sections.items():
            values.update(section.values() if name == self.section else section.empty)
        if self.section:
            trait = self._sections[self.section].trait
            words = values[trait] = {"reason": "", **values[trait], "channels": self._channels()}
            words["reason"] = self._reason or words["reason"]
            if self.section == "touch":
                layer, channel = self._look.wanted_layer(), self._channel()
                measure = "probability" if self._look.has_probabilities else "output"
                words |= {"layer": layer, "channel": channel, "step": self._step, "measure": measure}
                words["factor"] = self._touch.factor(layer, channel)
        return values

    def figure(self) -> Figure:
        """Return what the open section shows as a matplotlib Figure."""
        from ...core.figures.study import sentence_figure

        if not self.section:
            return sentence_figure(_FOLDED)
        section, values, taken = self._sections[self.section], self.values(), self._look.taken
        drawn = section.figure(values, None if taken is None else taken.look.input.image)
        reason = values[section.trait]["reason"] or "Nothing was computed yet."
        return sentence_figure(reason, self.section) if drawn is None else drawn

    def frame(self) -> pd.DataFrame:
        """Return what the open section shows as a table.

        touch : a row a class, with `before` and `after`. excites : a row a sample, with `value` and where the
        largest one lies, as shares of the input's axes. where : the map, as large as it is. time : a row a
        look, with `mean`, `std` and `zeros` of the layer's values.
        """
        if not self.section:
            raise ValueError(_FOLDED)
        return self._sections[self.section].frame(self.values())

    def wish(self, name: str, value: Any) -> bool:
        """Do what a person asked for; False if not the study's."""
        if name == "study":
            if value not in ("", *self._sections):
                raise ValueError(f"The study has the sections {', '.join(self._sections)}, not {value!r}.")
            self._open(value)
        elif name == "touch":
            layer, channel = self._look.wanted_layer(), self._channel()
            if isinstance(value, dict):
                layer, channel = str(value.get("layer", layer)), int(value.get("channel", channel))
                value = value.get("factor")
            self._touch.set(layer, channel, value)
        elif name == "touch_undo":
            self._touch.undo()
        elif name == "touch_reset":
            self._touch.reset()
        elif name == "study_channel":
            channels = self._channels()
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < max(1, channels):
                raise ValueError(f"The layer has the channels 0 to {max(0, channels - 1)}, not {value!r}.")
            self._number, group = value, self._group()
            if group is not None:
                self._look.chosen = value // group
        elif name == "excites_by":
            self._excites.sort(value)
        elif name in ("where_method", "where_target", "where_here"):
            self._where.choose(name, value)
        else:
            return False
        self.follow()
        self._refresh()
        return True

    # -- when it works

    def follow(self) -> None:
        """Compute the open section where out of date. Any thread."""
        self._count_look()
        session = self._look.session
        if not self.section or self._closed:
            return
        if session is None:
            until = time.perf_counter() + _WHOLE
            self._work()
            while self._more and time.perf_counter() < until:
                self._work()
            self._refresh()
            return
        # What a person asked for is done at once; what only follows the training, as its time allows.
        governed = self._look.running and self._key() == self._done
        if governed and not (self._time_budget.due() and self._page_waits()):
            return
        with self._asking:
            if self._asked:
                return
            self._asked = True
        session.at_step(self._work).add_done_callback(self._worked)

    def _count_look(self) -> None:
        """Count the values of a look taken anyway, for the spread."""
        taken = self._look.taken
        if taken is None or taken is self._counted or taken.step is None:
            return
        self._counted, look = taken, taken.look
        if look.tensor is not None and look.wanted.show == "output":
            sample = self._look.wanted_sample() if taken.index is None else taken.index
            self._time.count(self._of(look.layer, look.part, sample), taken.step, look.tensor)

    def _of(self, layer: str, part: str, sample: int) -> tuple[Any, ...]:
        session = self._look.session
        return layer, part, sample, id(self._look.samples.own), "" if session is None else session.line

    def _pulsed(self, _change: Any) -> None:
        """Follow a run that moved at rest, as by a rewind."""
        # While it trains, looks tell of it.
        if self.section and not self._closed and not self._look.running and self._step != self._look.step:
            self.follow()

    def _key(self) -> Any:
        look, chosen = self._look, self._sections[self.section].key if self.section else None
        of = self._of(look.wanted_layer(), look.shown_part(), look.wanted_sample())
        return self.section, of, self._channel(), chosen

    def _worked(self, _future: Any) -> None:
        self._refresh()
        # While it trains the next look asks for the rest.
        if self._more and not self._look.running:
            self.follow()

    def _work(self) -> None:
        self._asked = False
        began = time.perf_counter()
        if self.section:
            self._look.apart(self._compute)
            self._time_budget.spent(time.perf_counter() - began)

    def _compute(self) -> None:
        section = self.section
        try:
            subject = self._subject()
            # Once the layout is known, so is the channel.
            self._done = self._key()
            seconds = _LIVE_PIECE if subject.running else _PIECE
            self._more = self._sections[section].work(subject, seconds)
            self._step, self._reason = subject.step, ""
        except Exception as error:  # noqa: BLE001 - said in the section; training and kernel go on
            self._done, self._more = self._key(), False
            self._reason = str(error) or type(error).__name__

    def _subject(self) -> StudySubject:
        """Return what is studied, on the thread that uses the model."""
        look, session = self._look, self._look.session
        layer, part, sample = look.wanted_layer(), look.shown_part(), look.wanted_sample()
        inputs = cache(lambda: look.samples.inputs(sample))
        if (layer, part) not in self._layouts:
            module, behind = look.layers[layer], None
            if acts_as(module, ELEMENTWISE):
                with isolate_model(look.model) as eager:
                    found = find_incoming(eager, layer_paths(eager), inputs(), layer, part)
                behind = None if found is None or found.module is module else found.module
            tensor = output_of(look.model, inputs(), layer, part, behind)
            axis = channel_axis(module if behind is None else behind, tensor[None])
            axis = None if axis is None else axis - 1
            self._layouts[layer, part] = OutputLayout(tuple(tensor.shape), axis, behind)
        timeline = None if session is None else session.timeline
        return StudySubject(
            look.model, look.samples, inputs, layer, part, self._of(layer, part, sample),
            self._channel(), self._layouts[layer, part], look.scores_of, look.names,
            step=look.step, running=look.running,
            states=() if timeline is None or self.section != "time" else kept_states(timeline),
        )  # fmt: skip

    # -- channels

    def _channels(self) -> int:
        """Return how many channels the layer has; 0 where unknown."""
        layout = self._layouts.get((self._look.wanted_layer(), self._look.shown_part()))
        return 0 if layout is None else layout.channels

    def _group(self) -> int | None:
        """Return how many channels a map or bar stands for."""
        taken = self._look.taken
        picture = None if taken is None else taken.look.picture
        if picture is None or taken.look.wanted.show == "input" or picture.kind not in _EACH:
            return None
        return picture.group

    def _channel(self) -> int:
        """Return the channel in question: that of the enlarged map."""
        group = self._group()
        number = self._number if group is None else self._look.chosen * group
        return min(number, max(0, self._channels() - 1))
