"""ActivationBrowser: what a layer makes of a sample, and what it holds, also while the model trains."""

from __future__ import annotations

from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import nn

from ...core.activations.layer_choice import layer_paths, no_such_layer
from ...core.activations.packed_look import Names, number, pack
from ...core.data.plain_samples import Given
from ...core.layers.walk import kind_of
from ...core.pictures.map_order import SORTS
from ...session import Session
from ..study.study import STUDY_STYLES, Study
from ..view import answer_anywhere, module, style
from .looking import Looking
from .told import FIRST_LOOK, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: How long the first picture is waited for, so that it is there when the cell ends [s].
_FIRST = 3.0


class ActivationBrowser(Study, Told, Looking):
    """Shows what one layer puts out for one sample, what it is given, or its weights.

    Maps as tiles, slices, attention, lines, a matrix or bars, as the layer asks for. With a session it
    follows `selected_layer` and `selected_sample`, which other views write as well, and looks again while
    training: at most three times a second, in at most 0.2 % of the time, and only while a page draws it. With
    a bare model it looks at `X`.

    Parameters
    ----------
    source : a Session, or a torch.nn.Module together with `X`.
    X : the samples, where the session's own are not meant: a tensor, an array, a tuple or dict of these, a
        DataFrame or a Dataset.
    y : their targets.
    layer : the path of the layer to begin with; None: the first convolution's activation, else the first one.
    sample : the number of the sample to begin with.
    per : whether the colours span the largest value of the "layer" or of each "map".
    sort : what maps are sorted by: "index", "strength" (mean absolute value) or "variance".
    classes : names of the outputs of a bare model.
    task : "multiclass", "multilabel", "binary" or "regression", where the outputs of a bare model are
        probabilities (or numbers) to be compared with `y`.
    tokens : names of tokens, for a model that is given their numbers: a list, or a function of a number.
    encode : turns a text into a sample, for a text of one's own.

    Raises
    ------
    TypeError, ValueError : one sentence on what does not fit.
    """

    _esm = module("activations/view.js")
    _css = style("activations/view.css", "activations/segments.css", *STUDY_STYLES)
    _opened = False
    watches = ("pulse", "status", "selected_layer", "selected_sample", "thresholds", "scores")

    layers = traitlets.List(help="[path, class, depth, whether it only holds others] of each layer").tag(
        sync=True
    )
    selected_layer = traitlets.Unicode(None, allow_none=True, help="path of the layer shown").tag(sync=True)
    selected_sample = traitlets.Int(0, help="number of the sample shown").tag(sync=True)
    part = traitlets.Unicode("", help="which tensor of the layer, as in the keys of activations()").tag(
        sync=True
    )
    show = traitlets.Unicode("output", help="'output', 'input' or 'filters' of the layer").tag(sync=True)
    sort = traitlets.Unicode("index", help="what maps are sorted by").tag(sync=True)
    per = traitlets.Unicode("layer", help="'layer' or 'map': what the colours span").tag(sync=True)
    chosen = traitlets.Int(0, help="number of the enlarged map in the tensor").tag(sync=True)
    drawing = traitlets.Dict(help="kind, shape and words of the picture: see pack()").tag(sync=True)
    maps = traitlets.Bytes(b"", help="uint8, M x h x w; (q - 128) * scale / 127, 0: not finite").tag(
        sync=True
    )
    facts = traitlets.Bytes(b"", help="float32, 3 x M: scale, mean, share of zeros of each map").tag(
        sync=True
    )
    bars = traitlets.Bytes(b"", help="float32, the bars of a dense layer").tag(sync=True)
    near = traitlets.Bytes(b"", help="float32, drawing.near.size: the chosen map's own numbers").tag(
        sync=True
    )
    incoming = traitlets.Bytes(b"", help="uint8, drawing.incoming.size: the chosen unit's weights").tag(
        sync=True
    )
    shown = traitlets.Dict(help="kind, shape and words of the input").tag(sync=True)
    pixels = traitlets.Bytes(b"", help="uint8, H x W x 3 of an image, M x h x w of maps").tag(sync=True)
    strip = traitlets.Bytes(b"", help="float32, the bars of an input vector").tag(sync=True)
    sample = traitlets.Dict(help="number, count, name, way through the samples, verdict").tag(sync=True)
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
        sort: str = "index",
        classes: Sequence[str] | None = None,
        task: str | None = None,
        tokens: Names = None,
        encode: Callable[[str], Any] | None = None,
    ) -> None:
        session = source if isinstance(source, Session) else None
        if session is None and not isinstance(source, nn.Module):
            kind = type(source).__name__
            raise TypeError(f"ActivationBrowser wants a Session, or a torch.nn.Module and X, not {kind}.")
        if session is None and X is None:
            raise ValueError("ActivationBrowser(model, X) needs samples to show: pass X, a batch of inputs.")
        if per not in ("layer", "map"):
            raise ValueError(f"per is 'layer' or 'map', not {per!r}.")
        if sort not in SORTS:
            raise ValueError(f"sort is {', '.join(map(repr, SORTS))}, not {sort!r}.")
        model = source.model if session is not None else source
        if layer is not None and layer not in (paths := layer_paths(model)):
            raise ValueError(no_such_layer(layer, paths))
        given = None if X is None else Given(X, y, _dtype(model))
        self._open_looking(
            model,
            session,
            # Kept: of an iterable the session has to draw a batch to know its samples.
            session.samples if given is None and session is not None else given,
            layer=layer,
            sample=sample or 0,
            task=session.task if session is not None else task,
            classes=session.classes if session is not None else classes,
            shares_sample=session is not None and given is None,
            encode=encode,
        )
        self._open_study()
        self._opened = True
        self._per, self._sort, self._tokens = per, sort, tokens
        if sample is not None:
            self._samples.must_exist(sample)
        if session is not None and layer is not None:
            session.selected_layer = layer
        if session is not None and sample is not None and self._shares_sample:
            session.selected_sample = sample

        if session is None:
            self._work()
            super().__init__()
        else:
            first = session.at_batch(self._work)
            wait([first], timeout=_FIRST)
            super().__init__(session)
            if not first.done():
                first.add_done_callback(lambda _: self.refresh())

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
            "selected_sample": self._numbered_sample(),
            "per": self._per,
            "show": self._facet,
            "sort": self._sort,
            "moment": {
                "step": None if seen is None else seen.step,
                "running": running,
                "every": round(self._time_budget.interval, 1),
            },
        }
        if seen is None:
            return {**values, "drawing": {"reason": FIRST_LOOK}}
        found = seen.look
        drawn = found.picture.tiles if found.picture is not None else None
        chosen = min(self._chosen, drawn.total - 1) if drawn is not None else self._chosen
        packed = pack(found, chosen, self._classes, self._tokens)
        packed["drawing"]["sorted_at"] = self._sorted_at()
        return {
            **values,
            **packed,
            "part": found.part,
            "chosen": chosen,
            "sample": self._said(),
            **self.project_study(),
        }

    def _said(self) -> dict[str, Any]:
        """Return what is said of the sample: its place, what it is, what the model makes of it."""
        samples, seen, said = self._samples, self._seen, self._verdict()
        own = samples.own if seen is not None and seen.index is None else None
        return {
            "number": None if seen is None else seen.index,
            "count": len(samples),
            "name": samples.name,
            "own": None if own is None else {"name": own.name, "done": own.done},
            "takes": self._takes,
            "order": samples.order,
            "orders": samples.orders(),
            "place": samples.place(self._numbered_sample()),
            "words": said.words,
            "measure": said.measure,
            "ranking": [[name, number(score), true] for name, score, true in said.ranking],
        }

    def _moved(self) -> None:
        self.study_moved()

    # -- what a person wants

    def wish(self, name: str, value: Any) -> None:
        """Show another layer, sample, part, map, slice or channel, or show them otherwise."""
        if self.wish_study(name, value):
            return
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if name == "selected_layer":
            if value not in self._layers:
                raise ValueError(no_such_layer(str(value), self._layers))
            self._layer = value
            self._select("selected_layer", value)
        elif name == "selected_sample":
            self._go_to(value)
        elif name == "go":
            self._go_to(self._samples.go(str(value), self._numbered_sample()))
        elif name == "order":
            self._samples.choose(str(value))
            if value == "number" or self._samples.place(self._numbered_sample()) is None:
                self.refresh()
            else:
                self._go_to(self._samples.go("first", self._numbered_sample()))
        elif name == "own_text":
            self.look_at(str(value))
        elif name == "part":
            self._part = str(value)
            self._look()
        elif name == "show" and value in ("output", "input", "filters"):
            self._facet, self._at_slice = value, None
            self._look()
        elif name == "sort" and value in SORTS:
            # Asked for again, it is made anew.
            self._sort, self._order = value, None
            self._look()
        elif name == "slice" and whole:
            self._at_slice = value
            self._look()
        elif name == "channel" and whole:
            self._filter_channel = value
            self._look()
        elif name == "per" and value in ("layer", "map"):
            self._per = value
            self.refresh()
        elif name == "chosen" and whole:
            self._chosen = value
            self.study_moved()
            self.refresh()
        else:
            super().wish(name, value)

    def _go_to(self, index: Any) -> None:
        if index != len(self._samples):
            self._samples.must_exist(index)
        else:
            raise ValueError(f"Sample {index} does not exist: they are 0 to {len(self._samples) - 1}.")
        own, self._sample = self._samples.own, index
        self._samples.let_go()
        if own is not None and self._shares_sample and self._home.selected_sample == index:
            self._look()
        elif self._shares_sample:
            self._select("selected_sample", index)
        else:
            self._look()

    def _select(self, name: str, value: Any) -> None:
        if self.session is not None:
            setattr(self.session, name, value)
        else:
            self._look()

    def look_at(self, x: Any, name: str | None = None) -> None:
        """Look at a sample of one's own, until another is picked.

        Parameters
        ----------
        x : an array or tensor of a sample's shape, with or without its batch axis, a tuple or dict of these
            for a model of several inputs; where the model takes images, any image: an array H x W or
            H x W x 3, a PIL image, or the path of an image file, which is scaled, cut and brought to the
            samples' range, as the view then says; or a text, where the view has `encode`.
        name : what it is called; None: the file's name, or "your own".

        Raises
        ------
        TypeError, ValueError : one sentence on what does not fit.
        """
        self._bring(lambda: self._samples.bring(x, name)).result()
        self._look()

    def _hear(self, widget: Any, message: Any, buffers: Any) -> None:
        super()._hear(widget, message, buffers)
        if isinstance(message, dict) and isinstance(message.get("own"), dict):
            said, pixels = message["own"], bytes(buffers[0]) if buffers else b""
            self._bring(lambda: self._samples.bring_pixels(said, pixels)).add_done_callback(self._brought)

    def _brought(self, done: Future[Any]) -> None:
        error = done.exception()
        if error is None:
            self._look()
            return
        # The sentence goes back to the person who asked.
        self.send({"refused": "own", "because": str(error) or type(error).__name__})
        answer_anywhere(self)

    def close(self) -> None:
        """Stop following the session, let the last look go and remove the view from every page."""
        # One that refused its source has no study yet.
        if self._opened:
            self._close_study()
        super().close()
        self._seen = None


def _holds(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict))


def _dtype(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
