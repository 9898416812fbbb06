"""ActivationBrowser: what a layer makes of a sample, also while the model trains."""

from __future__ import annotations

import threading
import time
from concurrent.futures import wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import nn

from ..core.activations.choosing import layer_paths, no_such_layer
from ..core.activations.looks import Look, first_choice, look
from ..core.activations.packing import number, pack
from ..core.activations.tiles import BUDGET, LIVE_BUDGET
from ..core.data.given import Given
from ..core.models.borrowed import untouched_rng
from ..core.models.walk import kind_of
from ..core.scoring.verdict import Verdict, verdict
from ..core.training.governor import Governor
from ..session import Session
from .view import View, module, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

#: The share of the training's time that looking may take, and the shortest time between two looks [s].
_SHARE, _LEAST = 0.01, 1 / 3
#: How long the first picture is waited for, so that it is there when the cell ends [s].
_FIRST = 3.0
_FIRST_LOOK = "The first look is being taken."


@dataclass(frozen=True)
class _Seen:
    """A look, and what it was a look at."""

    look: Look
    index: int
    target: Any = None
    step: int | None = None


class ActivationBrowser(View):
    """Shows what one layer puts out for one sample, as tiles, a matrix or bars.

    With a session it follows `selected_layer` and `selected_sample`, which other views write as well, and
    looks again while training: at most three times a second, in at most 1 % of the time, and only while a
    page draws it. With a bare model it looks at `X`.

    Parameters
    ----------
    source : a Session, or a torch.nn.Module together with `X`.
    X : the samples, where the session's own are not meant: a tensor, an array, a tuple or dict of these, a
        DataFrame or a Dataset.
    y : their targets.
    layer : the path of the layer to begin with; None: the first convolution's activation, else the first one.
    sample : the number of the sample to begin with.
    per : whether the colours span the largest value of the "layer" or of each "map".
    classes : names of the outputs of a bare model.
    task : "multiclass", "multilabel", "binary" or "regression", where the outputs of a bare model are
        probabilities (or numbers) to be compared with `y`.

    Raises
    ------
    TypeError, ValueError : one sentence on what does not fit.
    """

    _esm = module("activations_tiles.js", "activations_words.js", "activations_canvas.js", "activations.js")
    _css = style("activations.css")
    watches = ("pulse", "status", "selected_layer", "selected_sample", "thresholds")

    layers = traitlets.List(help="[path, class, depth, whether it only holds others] of each layer").tag(
        sync=True
    )
    selected_layer = traitlets.Unicode(None, allow_none=True, help="path of the layer shown").tag(sync=True)
    selected_sample = traitlets.Int(0, help="number of the sample shown").tag(sync=True)
    part = traitlets.Unicode("", help="which tensor of the layer, as in the keys of activations()").tag(
        sync=True
    )
    per = traitlets.Unicode("layer", help="'layer' or 'map': what the colours span").tag(sync=True)
    chosen = traitlets.Int(0, help="number of the enlarged map").tag(sync=True)
    drawing = traitlets.Dict(help="kind, shape and words of the picture: core.activations.packing").tag(sync=True)
    maps = traitlets.Bytes(b"", help="uint8, M x h x w; (q - 128) * scale / 127, 0: not finite").tag(
        sync=True
    )
    facts = traitlets.Bytes(b"", help="float32, 3 x M: scale, mean, share of zeros of each map").tag(
        sync=True
    )
    bars = traitlets.Bytes(b"", help="float32, the bars of a dense layer").tag(sync=True)
    near = traitlets.Bytes(b"", help="uint8, drawing.near.size: the chosen map alone, sharper").tag(sync=True)
    shown = traitlets.Dict(help="kind, shape and words of the input").tag(sync=True)
    pixels = traitlets.Bytes(b"", help="uint8, H x W x 3 of an image, h x w of a matrix").tag(sync=True)
    strip = traitlets.Bytes(b"", help="float32, the bars of an input vector").tag(sync=True)
    sample = traitlets.Dict(help="number, count and name of the samples, and the verdict").tag(sync=True)
    moment = traitlets.Dict(help="step of the picture, whether training runs, seconds between looks").tag(
        sync=True
    )

    def __init__(
        self,
        source: Session | nn.Module,
        X: Any = None,
        y: Any = None,
        *,
        layer: str | None = None,
        sample: int | None = None,
        per: str = "layer",
        classes: Sequence[str] | None = None,
        task: str | None = None,
    ) -> None:
        session = source if isinstance(source, Session) else None
        if session is None and not isinstance(source, nn.Module):
            kind = type(source).__name__
            raise TypeError(f"ActivationBrowser wants a Session, or a torch.nn.Module and X, not {kind}.")
        if session is None and X is None:
            raise ValueError("ActivationBrowser(model, X) needs samples to show: pass X, a batch of inputs.")
        if per not in ("layer", "map"):
            raise ValueError(f"per is 'layer' or 'map', not {per!r}.")
        self._model = source.model if session is not None else source
        self._layers = layer_paths(self._model)
        if layer is not None and layer not in self._layers:
            raise ValueError(no_such_layer(layer, self._layers))
        self._home = session
        given = None if X is None else Given(X, y, _dtype(self._model))
        # Kept: of an iterable the session has to draw a batch to know its samples.
        self._samples: Any = session.samples if given is None and session is not None else given
        self._shares_sample = session is not None and given is None
        self._task = session.task if session is not None else task
        self._classes = session.classes if session is not None else classes
        self._layer, self._sample, self._part, self._per, self._chosen = layer, sample or 0, "", per, 0
        self._default = first_choice(self._model)
        self._governor = Governor(_SHARE, _LEAST)
        self._asking, self._looking = threading.Lock(), threading.Lock()
        self._asked = False
        self._seen: _Seen | None = None
        if sample is not None:
            self._must_exist(sample)
        if session is not None and layer is not None:
            session.selected_layer = layer
        if session is not None and sample is not None and self._shares_sample:
            session.selected_sample = sample

        if session is None:
            self._work()
            super().__init__()
        else:
            first = session.at_step(self._work)
            wait([first], timeout=_FIRST)
            super().__init__(session)
            if not first.done():
                first.add_done_callback(lambda _: self.refresh())

    # -- what is looked at

    def _wanted_layer(self) -> str:
        wanted = self._layer if self._home is None else self._home.selected_layer
        return self._default if wanted is None else wanted

    def _wanted_sample(self) -> int:
        # The session's number counts the session's samples, not those that were handed over.
        return self._home.selected_sample if self._home is not None and self._shares_sample else self._sample

    def _must_exist(self, index: Any) -> None:
        samples = self._samples
        if not isinstance(index, int) or not 0 <= index < len(samples):
            raise ValueError(
                f"Sample {index} does not exist: the {samples.name} samples are 0 to {len(samples) - 1}."
            )

    # -- looking

    def _look(self) -> None:
        """Look again: at once, or between two steps where there is a session."""
        session = self.session
        if self._home is None:
            self._work()
            self.refresh()
            return
        with self._asking:
            # One look that waits for its turn is enough: it reads what is wanted when it begins.
            if self._asked or session is None:
                return
            self._asked = True
        session.at_step(self._work).add_done_callback(self._looked)

    def _looked(self, _future: Any) -> None:
        self._asked = False
        self.refresh()

    def _work(self) -> None:
        self._asked = False
        session, began = self._home, time.perf_counter()
        layer, index, part, step = self._wanted_layer(), self._wanted_sample(), self._part, None
        if self._seen is not None and self._seen.look.layer != layer:
            self._part = part = ""
        budget = BUDGET
        if session is not None:
            step = session.progress()["steps"]
            budget = LIVE_BUDGET if session.status == "running" else BUDGET
        scores = _scores(self._task) if session is None else session.scores_of
        with self._looking, untouched_rng():
            target = None
            try:
                self._must_exist(index)
                inputs, target = self._samples.inputs(index), self._samples.target(index)
                found = look(self._model, inputs, layer, part, budget, scores)
            except Exception as error:  # noqa: BLE001 - said in the view; training and kernel go on
                found = Look(layer, reason=str(error) or type(error).__name__)
            self._seen = _Seen(found, index, target, step)
        self._governor.spent(time.perf_counter() - began)

    def _note(self, change: Any) -> None:
        session, name = self.session, change["name"]
        if session is None:
            return
        if name == "thresholds" or (name == "status" and session.status == "running"):
            self.refresh()
        elif name != "pulse" or (session.status == "running" and self._governor.due() and self._may_send()):
            self._look()

    def _hear(self, widget: Any, message: Any, buffers: Any) -> None:
        super()._hear(widget, message, buffers)
        session, seen = self.session, self._seen
        # While the page was closed nobody looked.
        if session is not None and isinstance(message, dict) and "hello" in message and seen is not None:
            if seen.step != session.progress()["steps"]:
                self._look()

    # -- the picture

    def project(self) -> dict[str, Any]:
        """Return the picture of the last look."""
        session, seen = self._home, self._seen
        running = session is not None and session.status == "running"
        values: dict[str, Any] = {
            "layers": [
                [path, kind_of(layer), path.count(".") + 1 if path else 0, _holds(layer)]
                for path, layer in self._layers.items()
            ],
            "selected_layer": self._wanted_layer(),
            "selected_sample": self._wanted_sample(),
            "per": self._per,
            "moment": {
                "step": None if seen is None else seen.step,
                "running": running,
                "every": round(self._governor.interval, 1),
            },
        }
        if seen is None:
            return {**values, "drawing": {"reason": _FIRST_LOOK}}
        found, samples, said = seen.look, self._samples, self._verdict()
        drawn = found.picture.tiles if found.picture is not None else None
        chosen = min(self._chosen, len(drawn.maps) - 1) if drawn is not None else self._chosen
        ranking = [[name, number(score), true] for name, score, true in said.ranking]
        return {
            **values,
            **pack(found, chosen, self._classes),
            "part": found.part,
            "chosen": chosen,
            "sample": {
                "number": seen.index,
                "count": len(samples),
                "name": samples.name,
                "words": said.words,
                "measure": said.measure,
                "ranking": ranking,
            },
        }

    def _verdict(self) -> Verdict:
        if self._seen is None or self._seen.look.scores is None:
            return Verdict()
        limits = 0.5 if self._home is None else self._home.thresholds
        return verdict(self._seen.look.scores, self._seen.target, self._task, self._classes, limits)

    # -- what a person wants

    def wish(self, name: str, value: Any) -> None:
        """Show another layer, sample, part or map, or span the colours differently."""
        if name == "selected_layer":
            if value not in self._layers:
                raise ValueError(no_such_layer(str(value), self._layers))
            self._layer = value
            if self.session is not None:
                self.session.selected_layer = value
                return
            self._look()
        elif name == "selected_sample":
            self._must_exist(value)
            self._sample = value
            if self.session is not None and self._shares_sample:
                self.session.selected_sample = value
                return
            self._look()
        elif name == "part":
            self._part = str(value)
            self._look()
        elif name == "per" and value in ("layer", "map"):
            self._per = value
            self.refresh()
        elif name == "chosen" and isinstance(value, int) and value >= 0:
            self._chosen = value
            self.refresh()
        else:
            super().wish(name, value)

    def title(self) -> str:
        """Return what is shown in words: "relu5 · sample 412, has pneumonia, missed (0.31) · 64 maps"."""
        if self._seen is None:
            return self._wanted_layer()
        found = self._seen.look
        said = self._verdict().words
        words = [
            (found.layer or found.kind) + found.part,
            f"sample {self._seen.index}" + (f", {said}" if said else ""),
            found.picture.size if found.picture is not None else "",
            f"step {self._seen.step:,}" if self._seen.step is not None else "",
        ]
        return " · ".join(filter(None, words))

    def figure(self) -> Figure:
        """Return the picture of the last look as a matplotlib Figure."""
        from ..core.figures.activations import activation_figure

        found = Look("", reason=_FIRST_LOOK) if self._seen is None else self._seen.look
        return activation_figure(
            found.picture, self.title(), per=self._per, shown=found.input, reason=found.reason
        )

    def close(self) -> None:
        """Stop following the session, let the last look go and remove the view from every page."""
        super().close()
        self._seen = None


def _holds(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict))


def _dtype(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())


def _scores(task: str | None) -> Any:
    """Return what turns the outputs of a bare model into probabilities: they are taken for logits."""
    if task == "multiclass":
        return lambda output: output.softmax(-1)
    return torch.sigmoid if task in ("multilabel", "binary") else None
