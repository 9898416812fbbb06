"""What an activation browser looks at, and its last look."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import BaseTorchFunctionMode

from ...core.activations.filters import Incoming
from ...core.activations.layer_choice import layer_paths
from ...core.activations.look import Look, Show, Wanted, default_layer, look
from ...core.base.isolation import isolate_model, preserve_model, preserve_random_state
from ...core.base.slices import Overdue, at_most, unpaused
from ...core.data.samples import PlainSamples
from ...core.layers.framework import framework_of
from ...core.layers.stand_in import is_small, try_copy
from ...core.pictures.picture import Sort
from ...core.pictures.tiles import BUDGET, LIVE_BUDGET
from ...core.scoring.detections import Detections
from ...core.scoring.verdict import Verdict, verdict
from .sample_source import SampleSource

if TYPE_CHECKING:
    from ...session import Session

#: What an output is called in the tasks whose scores are probabilities.
_WORDS = {"multiclass": "class", "multilabel": "label", "binary": "label"}


@dataclass(frozen=True)
class TakenLook:
    """A look, and the number of its sample; None: a person's own."""

    look: Look
    index: int | None
    target: Any = None
    step: int | None = None


@dataclass(eq=False)
class LayerLook:
    """One layer looked at on one sample: wish and last look.

    What is wanted is written on any thread. `take` runs on the thread that may use the model: between two
    steps where there is a session, whose `selected_layer` and `selected_sample` are then followed.

    Attributes
    ----------
    session : None for a bare model.
    shares_sample : whether the session's selection counts these samples.
    layer, sample : what is looked at where no session says.
    task, classes : what the model's outputs are.
    layers : path -> layer, as they were at the beginning.
    part, show, sort, slice, channel : what is wanted, as in `Wanted`.
    chosen : the number of the map or bar that is enlarged.
    taken : the last look; None before the first.
    lock : held while the model is used.
    """

    model: nn.Module
    session: Session | None
    samples: SampleSource
    layer: str | None
    sample: int
    shares_sample: bool
    sort: Sort
    task: str | None
    classes: Sequence[str] | None
    part: str | None = None
    show: Show = "output"
    slice: int | None = None
    channel: int = 0
    chosen: int = 0
    taken: TakenLook | None = None

    def __post_init__(self) -> None:
        self.layers = layer_paths(self.model)
        self.lock = threading.Lock()
        self._default = default_layer(self.layers)
        #: Whether a look at a copy costs little more.
        self.sliceable = self.session is not None and is_small(self.model)
        #: What lies behind each layer, found once.
        self._behind: dict[tuple[str, str], Incoming | None] = {}
        #: The order of the maps: what it was made for, when, and itself.
        self._order: tuple[Any, int | None, Sequence[int]] | None = None

    # -- what is looked at

    @property
    def running(self) -> bool:
        """Whether the session trains."""
        return self.session is not None and self.session.status == "running"

    @property
    def step(self) -> int | None:
        """The steps that the session has taken; None without one."""
        return None if self.session is None else self.session.steps

    @property
    def scores_of(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """What turns outputs into probabilities; without a session, from logits."""
        if self.session is not None:
            return self.session.scores_of
        if framework_of(self.model).ends_with(self.model) in ("softmax", "sigmoid"):  # they are probabilities already
            return None
        if self.task == "multiclass":
            return lambda output: output.softmax(-1)
        return torch.sigmoid if self.has_probabilities else None

    @property
    def has_probabilities(self) -> bool:
        """Whether the model's scores are probabilities."""
        return self.task in _WORDS

    def wanted_layer(self) -> str:
        """Return the path of the layer to look at."""
        wanted = self.layer if self.session is None else self.session.selected_layer
        return self._default if wanted is None else wanted

    def wanted_sample(self) -> int:
        """Return the number of the sample; one's own stands behind the last."""
        return len(self.samples) if self.samples.own is not None else self.numbered_sample()

    def numbered_sample(self) -> int:
        """Return the number of the sample, behind one's own if any."""
        # The session's number counts the session's samples, not those that were handed over.
        return self.session.selected_sample if self.session and self.shares_sample else self.sample

    def sort_anew(self, by: Sort) -> None:
        """Sort the maps by something; asked for again, they are sorted anew."""
        self.sort, self._order = by, None

    def names(self, count: int) -> list[str]:
        """Return the names of `count` outputs."""
        given = [] if self.classes is None else [str(name) for name in self.classes]
        if self.task == "binary" and count == 1 and len(given) == 2:
            return given[1:]
        if len(given) == count:
            return given
        word = _WORDS.get(self.task or "", "output")
        return [f"{word} {number}" for number in range(count)]

    # -- looking

    def take(self, most: float = math.inf) -> bool:
        """Look: the sample is read once, and random states are saved once.

        Returns False where it would take longer than `most` seconds; `take_in_slices` does it then.
        """
        # A session's job between two steps gives the random generators back itself.
        def isolated() -> AbstractContextManager[nn.Module]:
            return isolate_model(self.model, random_states=self.session is None)

        try:
            with self.lock, at_most(most):
                self._take(isolated)
        except Overdue:
            return False
        return True

    def take_in_slices(self) -> None:
        """Look at a copy of the model; pause at each layer."""
        with self.lock, unpaused():
            twin = try_copy(self.model)
        if twin is None:
            with unpaused():
                self.take()
            return

        @contextmanager
        def apart() -> Iterator[nn.Module]:
            # With any such mode transformer layers call what is inside, as in `isolate_model`.
            with torch.no_grad(), preserve_model(twin, None), BaseTorchFunctionMode():
                yield twin

        self._take(apart)

    def _take(self, model: Callable[[], AbstractContextManager[nn.Module]]) -> None:
        samples, step, target = self.samples, self.step, None
        layer, index, own = self.wanted_layer(), self.wanted_sample(), samples.own
        if self.taken is not None and self.taken.look.layer != layer:
            self.part, self.slice, self.channel = None, None, 0
        key = (layer, self.part, self.show, index if own is None else id(own), self.sort)
        kept = self._order[2] if self._order is not None and self._order[0] == key else None
        budget = LIVE_BUDGET if self.running else BUDGET
        wanted = Wanted(layer, self.part, self.show, self.sort, kept, self.slice, self.channel, budget)
        try:
            if own is None:
                samples.must_exist(index)
            with model() as eager:
                inputs, target = samples.item(index)
                found = look(eager, inputs, wanted, self.scores_of, self._behind)
                if own is None and self.taken is None and not found.kind:
                    found = self._look_at_all(eager, wanted) or found
        except Exception as error:  # noqa: BLE001 - said in the view; training and kernel go on
            found = Look(wanted, reason=str(error) or type(error).__name__)
        # What lies behind is the model's own layer, whose weights move on.
        own_layers = {at: one and replace(one, module=self.layers[one.path]) for at, one in self._behind.items()}
        self._behind.update(own_layers)
        if found.behind is not None:
            found = replace(found, behind=replace(found.behind, module=self.layers[found.behind.path]))
        drawn = found.picture
        if wanted.order is None and drawn is not None and drawn.order is not None:
            self._order = (key, step, drawn.order)
        self.taken = TakenLook(found, None if own is not None else index, target, step)

    def _look_at_all(self, eager: nn.Module, wanted: Wanted) -> Look | None:
        """Look at all rows as one sample, if the model runs then."""
        whole = self.samples.samples.as_one() if isinstance(self.samples.samples, PlainSamples) else None
        found = None if whole is None else look(eager, whole.inputs(0), wanted, self.scores_of, self._behind)
        if whole is None or found is None or not found.kind:
            return None
        self.samples.samples = whole
        return found

    def apart(self, work: Callable[[], Any]) -> Any:
        """Do work, and leave the random generators as they were."""
        with self.lock, preserve_random_state() if self.session is None else nullcontext():
            return work()

    # -- the last look

    def shown_part(self) -> str:
        """Return the part of the layer shown; "" without an output."""
        look = None if self.taken is None else self.taken.look
        shown = look is not None and look.layer == self.wanted_layer() and look.wanted.show == "output"
        return look.part if shown else ""

    def sorted_at(self) -> int | None:
        """Return the step of an order that later maps are in."""
        taken, order = self.taken, self._order
        if taken is None or order is None or taken.look.wanted.order is None or order[1] == taken.step:
            return None
        return order[1]

    def verdict(self) -> Verdict:
        """Compare the scores of the last look with what is true."""
        taken = self.taken
        if taken is None or taken.look.scores is None:
            return Verdict()
        limits = 0.5 if self.session is None else self.session.thresholds
        return verdict(taken.look.scores, taken.target, self.task, self.classes, limits)

    def boxes(self) -> dict[str, Any]:
        """Return the boxes of the last look, to be drawn.

        They are "marks", the size of the picture "of", and "words" of what went wrong; nothing of a model that finds
        none. Where nothing is known to be true, those that were said are neither right nor wrong.
        """
        taken = self.taken
        if taken is None or taken.look.boxes is None or len(taken.look.input.shape) != 3:
            return {}
        session = self.session
        limits, iou = (0.5, 0.5) if session is None else (session.thresholds, session.iou_threshold)
        target = taken.target if isinstance(taken.target, Mapping) and "labels" in taken.target else None
        try:
            marks = Detections([target], [taken.look.boxes], self.classes).marks(0, limits, iou)
        except (TypeError, ValueError) as error:
            return {"marks": [], "of": list(taken.look.input.shape[-2:]), "words": str(error)}
        if target is None:
            marks = [{**mark, "kind": "said"} for mark in marks]
        return {"marks": marks, "of": list(taken.look.input.shape[-2:]), "words": ""}

    def title(self) -> str:
        """Describe the last look: "relu5 · sample 412, missed · 64 maps"."""
        if self.taken is None:
            return self.wanted_layer()
        found, own, words = self.taken.look, self.samples.own, self.verdict().words
        which = f"sample {self.taken.index}" if self.taken.index is not None or own is None else own.name
        what = {"input": "given to ", "filters": "weights of "}.get(found.wanted.show, "")
        size, by = (found.picture.size, found.picture.by) if found.picture is not None else ("", "index")
        listed = [
            what + (found.layer or found.kind) + found.part,
            which + (f", {words}" if words else ""),
            size if by == "index" else f"{size} by {by}",
            f"step {self.taken.step:,}" if self.taken.step is not None else "",
        ]
        return " · ".join(filter(None, listed))
