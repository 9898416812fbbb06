"""Looking: when a look into the model is taken, at what, and what is kept of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...core.activations.incoming import Incoming
from ...core.activations.layer_choice import layer_paths
from ...core.activations.look import Look, Show, Wanted, first_choice, look
from ...core.base.isolation import preserve_random_state
from ...core.base.time_budget import TimeBudget
from ...core.pictures.map_order import Sort
from ...core.pictures.tiles import BUDGET, LIVE_BUDGET
from ..view import View
from .sample_source import Source

#: The share of the training's time that looking may take, and the shortest time between two looks [s].
_SHARE, _LEAST = 0.002, 1 / 3


@dataclass(frozen=True)
class Seen:
    """A look, and what it was a look at: a sample by number, or one's own (None)."""

    look: Look
    index: int | None
    target: Any = None
    step: int | None = None


class Looking(View):
    """Takes looks at one layer on one sample: at once, or between two steps where there is a session.

    A view that is one calls `_open_looking` before `View.__init__`, and has a `session` or none. While it
    trains, looks are taken at most three times a second, in at most 0.2 % of the time, while a page draws them.
    """

    def _open_looking(
        self,
        model: nn.Module,
        session: Any,
        samples: Any,
        *,
        layer: str | None,
        sample: int,
        task: str | None,
        classes: Sequence[str] | None,
        shares_sample: bool,
        encode: Any = None,
    ) -> None:
        self._model, self._home, self._task, self._classes = model, session, task, classes
        self._layers = layer_paths(model)
        self._samples = Source(samples, self._scores_of_samples, encode)
        self._shares_sample = shares_sample
        self._layer, self._sample = layer, sample
        self._part: str | None = None
        self._facet: Show = "output"
        self._sort: Sort = "index"
        self._at_slice: int | None = None
        self._filter_channel, self._chosen = 0, 0
        self._default = first_choice(model)
        self._time_budget = TimeBudget(_SHARE, _LEAST)
        self._asking, self._looking = threading.Lock(), threading.Lock()
        self._asked = False
        self._seen: Seen | None = None
        self._takes: dict[str, bool] = {}
        #: What lies behind each layer, found once.
        self._behind: dict[tuple[str, str], Incoming | None] = {}
        #: The order of the maps: what it was made for, when, and itself.
        self._order: tuple[Any, int | None, Sequence[int]] | None = None

    def _scores_of_samples(self) -> Any:
        session = self._home
        shares = session is not None and self._shares_sample and session.has_valid
        return session.scores if shares else None

    # -- what is looked at

    def _wanted_layer(self) -> str:
        wanted = self._layer if self._home is None else self._home.selected_layer
        return self._default if wanted is None else wanted

    def _wanted_sample(self) -> int:
        """Return the number of the sample to look at; one's own stands behind the last."""
        return len(self._samples) if self._samples.own is not None else self._numbered_sample()

    def _numbered_sample(self) -> int:
        # The session's number counts the session's samples, not those that were handed over.
        return self._home.selected_sample if self._home is not None and self._shares_sample else self._sample

    def _wanted(self, step: int | None) -> tuple[Wanted, Any]:
        """Return what to look at, and what an order of the maps is kept for."""
        layer = self._wanted_layer()
        if self._seen is not None and self._seen.look.layer != layer:
            self._part, self._at_slice, self._filter_channel = None, None, 0
        session = self._home
        live = session is not None and session.status == "running"
        own = self._samples.own
        key = (layer, self._part, self._facet, self._wanted_sample() if own is None else id(own), self._sort)
        kept = self._order[2] if self._order is not None and self._order[0] == key else None
        wanted = Wanted(
            layer, self._part, self._facet, self._sort, kept, self._at_slice, self._filter_channel,
            LIVE_BUDGET if live else BUDGET,
        )  # fmt: skip
        return wanted, key

    # -- looking

    def _look(self) -> None:
        """Look again: at once, or between two steps where there is a session."""
        session = self.session
        if self._home is None:
            self._work()
            self._moved()
            self.refresh()
            return
        with self._asking:
            # One look that waits for its turn is enough: it reads what is wanted when it begins.
            if self._asked or session is None:
                return
            self._asked = True
        session.at_batch(self._work).add_done_callback(self._looked)

    def _bring(self, work: Callable[[], Any]) -> Future[Any]:
        """Have `work` fit a sample of one's own: where looks are taken, since it reads samples."""
        if self.session is not None:
            return self.session.at_batch(work)
        done: Future[Any] = Future()
        try:
            with preserve_random_state():
                done.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for
            done.set_exception(error)
        return done

    def _looked(self, _future: Any) -> None:
        self._asked = False
        self._moved()
        self.refresh()

    def _moved(self) -> None:
        """Do what follows a look: what is looked at, or the step, may be another."""

    def _work(self) -> None:
        self._asked = False
        session, began = self._home, time.perf_counter()
        step = None if session is None else session.steps
        scores = scores_of(self._task) if session is None else session.scores_of
        with self._looking, preserve_random_state():
            target = None
            if not self._takes:
                self._takes = self._samples.takes()
            wanted, key = self._wanted(step)
            index, own = self._wanted_sample(), self._samples.own
            try:
                self._samples.must_exist(index)
                inputs, target = self._samples.inputs(index), self._samples.target(index)
                found = look(self._model, inputs, wanted, scores, self._behind)
            except Exception as error:  # noqa: BLE001 - said in the view; training and kernel go on
                found = Look(wanted, reason=str(error) or type(error).__name__)
            drawn = found.picture
            if wanted.order is None and drawn is not None and drawn.order is not None:
                self._order = (key, step, drawn.order)
            self._seen = Seen(found, None if own is not None else index, target, step)
        self._time_budget.spent(time.perf_counter() - began)

    def _sorted_at(self) -> int | None:
        """Return the step whose maps gave the order, where later ones are shown in it."""
        seen, order = self._seen, self._order
        if seen is None or order is None or seen.look.wanted.order is None or order[1] == seen.step:
            return None
        return order[1]

    def _note(self, change: Any) -> None:
        session, name = self.session, change["name"]
        if session is None:
            return
        if name in ("thresholds", "scores") or (name == "status" and session.status == "running"):
            self.refresh()
            return
        if name == "selected_sample" and self._shares_sample:
            self._samples.let_go()
        running = session.status == "running"
        # At rest only what takes the run elsewhere, as a rewind, is news.
        news = self._time_budget.due() if running else self._seen is not None and self._seen.step != session.steps
        if name != "pulse" or (news and self._may_send()):
            self._look()

    def _hear(self, widget: Any, message: Any, buffers: Any) -> None:
        super()._hear(widget, message, buffers)
        session, seen = self.session, self._seen
        # While the page was closed nobody looked.
        if session is not None and isinstance(message, dict) and "hello" in message and seen is not None:
            if seen.step != session.steps:
                self._look()


def scores_of(task: str | None) -> Any:
    """Return what turns the outputs of a bare model into probabilities: they are taken for logits."""
    if task == "multiclass":
        return lambda output: output.softmax(-1)
    return torch.sigmoid if task in ("multilabel", "binary") else None
