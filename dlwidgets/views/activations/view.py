"""ActivationBrowser: one layer on one sample, also while the model trains."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from traitlets import Bool, Bytes, Dict, Int, List, Unicode

from ...core.activations.distribution import map_frame
from ...core.activations.layer_choice import layer_paths, no_such_layer, paths_of
from ...core.activations.look import Look, Names, Wanted, number, pack, save_look
from ...core.base.time_budget import TimeBudget
from ...core.base.words import did_you_mean, name_kind
from ...core.data.samples import PlainSamples
from ...core.data.task import TASKS, read_class_names
from ...core.layers.example_input import read_rows
from ...core.layers.foreign import build_by, is_unbuilt
from ...core.layers.framework import adopt, describe_no_module, is_foreign
from ...core.layers.walk import HOLDERS, kind_of, walk
from ...core.pictures.picture import SORTS
from ...session import Session
from ..study.study import Study
from ..view import View, module, style
from .layer_look import LayerLook
from .sample_source import SampleSource

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import pandas as pd
    from matplotlib.figure import Figure

#: How long the first picture is waited for, so that it is there when the cell ends [s].
_FIRST = 3.0
#: The share of the training's time that looking may take, and the shortest time between two looks [s].
_SHARE, _LEAST = 0.002, 1 / 3
#: How long a look may hold a training before it is taken in slices [s].
_HELD = 0.035
_FIRST_LOOK = "The first look is being taken."


class ActivationBrowser(View):
    """Shows one layer for one sample: outputs, inputs, or weights.

    Maps as tiles, slices, attention, lines, a matrix or bars, as the layer asks for. With a session it
    follows `selected_layer` and `selected_sample`, which other views write as well, and looks again while
    training: at most three times a second, in at most 0.2 % of the time, and only while a page draws it. With
    a bare model it looks at `X`, which builds a Keras model that is not built yet.

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

    _esm = module("activations")
    _css = style("activations", "study", "boxes.css")
    watches = ("pulse", "status", "selected_layer", "selected_sample", "thresholds", "iou_threshold", "scores")

    layers = List(help="[path, class, depth, whether it only holds others] of each layer").tag(sync=True)
    selected_layer = Unicode(None, allow_none=True, help="path of the layer shown").tag(sync=True)
    selected_sample = Int(0, help="number of the sample shown").tag(sync=True)
    part = Unicode("", help="which tensor of the layer, as in the keys of activations()").tag(sync=True)
    show = Unicode("output", help="'output', 'input' or 'filters' of the layer").tag(sync=True)
    sort = Unicode("index", help="what maps are sorted by").tag(sync=True)
    per = Unicode("layer", help="'layer' or 'map': what the colours span").tag(sync=True)
    chosen = Int(0, help="number of the enlarged map in the tensor").tag(sync=True)
    more = Bool(False, help="whether the controls behind 'more' are shown").tag(sync=True)
    drawing = Dict(help="kind, shape and words of the picture: see pack()").tag(sync=True)
    maps = Bytes(b"", help="uint8, M x h x w; (q - 128) * scale / 127, 0: not finite").tag(sync=True)
    facts = Bytes(b"", help="float32, 3 x M: scale, mean, share of zeros of each map").tag(sync=True)
    bars = Bytes(b"", help="float32, the bars of a dense layer").tag(sync=True)
    near = Bytes(b"", help="float32, drawing.near.size: the chosen map's own numbers").tag(sync=True)
    incoming = Bytes(b"", help="uint8, drawing.incoming.size: the chosen unit's weights").tag(sync=True)
    shown = Dict(help="kind, shape and words of the input").tag(sync=True)
    pixels = Bytes(b"", help="uint8, H x W x 3 of an image, M x h x w of maps").tag(sync=True)
    boxes = Dict(help="of a detector: marks, the picture's size `of`, words; or {}").tag(sync=True)
    strip = Bytes(b"", help="float32, the bars of an input vector").tag(sync=True)
    sample = Dict(help="number, count, name, way through the samples, verdict").tag(sync=True)
    moment = Dict(help="step of the picture, whether training runs, seconds between looks").tag(sync=True)
    # Of the study below the maps.
    study = Unicode("", help="the open section, or ''").tag(sync=True)
    touching = Dict(help="the touched channels and what the model then says").tag(sync=True)
    exciting = Dict(help="the samples that drive the channel most").tag(sync=True)
    excited = Bytes(b"", help="uint8, tiles x h x w x 3: those samples, small").tag(sync=True)
    where = Dict(help="where the model looked: method, class, layer, size").tag(sync=True)
    where_map = Bytes(b"", help="uint8, h x w; (q - 128) * peak / 127, 0: not finite").tag(sync=True)
    film = Dict(help="layer, steps of the frames, sizes of maps and of the near map").tag(sync=True)
    film_maps = Bytes(b"", help="uint8, for each frame M x h x w maps, then the near one").tag(sync=True)
    film_scales = Bytes(b"", help="float32, for each frame M + 1: scales of maps, near").tag(sync=True)
    film_now = Bytes(b"", help="of now: float32 M + 1 scales, uint8 M x h x w maps and near").tag(sync=True)
    film_change = Bytes(b"", help="as film_now, twice: before the last step, and the change").tag(sync=True)
    spread = Dict(help="steps, reach, mean, sd and zeros of the spread's columns").tag(sync=True)
    spread_shades = Bytes(b"", help="uint8, columns x bins, the low end first; 0: none").tag(sync=True)

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
        model = session.module if session is not None else adopt(source)
        if not isinstance(model, nn.Module):
            given = describe_no_module(source) if isinstance(source, (str, Path)) else f"not {name_kind(source)}"
            raise TypeError(f"ActivationBrowser wants a Session, or a torch.nn.Module and X, {given}.")
        if session is None and X is None:
            raise ValueError("ActivationBrowser(model, X) needs samples to show: pass X, a batch of inputs.")
        if per not in ("layer", "map"):
            raise ValueError(f"per is 'layer' or 'map', not {per!r}.")
        if sort not in SORTS:
            raise ValueError(f"sort is {', '.join(map(repr, SORTS))}, not {sort!r}.")
        if isinstance(X, list) and is_foreign(model) and all(hasattr(one, "shape") for one in X):
            X = tuple(X)  # several inputs, as Keras has them
        if session is None and is_unbuilt(layers := walk(model)):
            build_by(layers, PlainSamples(read_rows(X), y).item(0)[0], copied=False)
        paths = layer_paths(model)
        if isinstance(layer, int):  # as a layer of a Sequential is called
            layer = str(layer)
        elif layer is not None:
            layer = next(iter(paths_of(paths, layer)), layer)
        if layer is not None and layer not in paths:
            raise ValueError(no_such_layer(str(layer), paths))
        if task not in (None, *TASKS):
            hint = did_you_mean(str(task).lower(), TASKS)
            raise ValueError(f"task={task!r} is none of {', '.join(TASKS)}.{hint}")
        named = tokens is None or callable(tokens) or hasattr(tokens, "__getitem__")
        if isinstance(tokens, str) or not named:
            raise TypeError(f"tokens={tokens!r}: a list of names, or a function of a number, is wanted.")
        shares_sample = X is None
        if shares_sample:
            # Kept: of an iterable the session has to draw a batch to know its samples.
            samples = session.samples
        else:
            floats = (one.dtype for one in model.parameters() if one.is_floating_point())
            samples = PlainSamples(read_rows(X, model), y, next(floats, torch.get_default_dtype()))
        self._samples = SampleSource(
            samples, lambda: session.scores if shares_sample and session.has_valid else None, encode
        )
        if sample is not None:
            self._samples.must_exist(sample)
            sample = int(sample)
        if session is not None:
            task, classes = session.task, session.classes
            if layer is not None:
                session.selected_layer = layer
            if sample is not None and shares_sample:
                session.selected_sample = sample
        classes = read_class_names(classes)
        self._look = LayerLook(
            model, session, self._samples, layer, sample or 0, shares_sample, sort, task, classes
        )
        self._per, self._tokens, self._more = per, tokens, False
        self._time_budget = TimeBudget(_SHARE, _LEAST)
        self._asking = threading.Lock()
        self._asked = self._again = self._long = False
        self._study = Study(self._look, self.refresh, lambda: self._may_send())
        if session is None:
            self._take_look()
            super().__init__()
            return
        first = session.at_batch(self._take_look)
        wait([first], timeout=_FIRST)
        super().__init__(session)
        first.add_done_callback(self._looked)

    # -- the picture

    def project(self) -> dict[str, Any]:
        """Return the picture of the last look."""
        look, taken = self._look, self._look.taken
        at = look.numbered_sample()
        values: dict[str, Any] = {
            "layers": [
                [path, kind_of(layer), path.count(".") + 1 if path else 0, isinstance(layer, HOLDERS)]
                for path, layer in look.layers.items()
            ],
            "selected_layer": look.wanted_layer(), "selected_sample": at,
            "per": self._per, "show": look.show, "sort": look.sort, "more": self._more,
            "moment": {
                "step": None if taken is None else taken.step, "running": look.running,
                "every": round(self._time_budget.interval, 1),
            },
        }  # fmt: skip
        if taken is None:
            return {**values, "drawing": {"reason": _FIRST_LOOK}}
        drawn = taken.look.picture.tiles if taken.look.picture is not None else None
        chosen = min(look.chosen, drawn.total - 1) if drawn is not None else look.chosen
        packed = pack(taken.look, chosen, look.classes, self._tokens)
        packed["drawing"]["sorted_at"] = look.sorted_at()
        samples, verdict = self._samples, look.verdict()
        own = samples.own if taken.index is None else None
        sample = {
            "number": taken.index, "count": len(samples), "name": samples.name,
            "own": None if own is None else {"name": own.name, "done": own.done},
            "takes": dict(samples.takes),
            "order": samples.order, "orders": samples.orders(), "place": samples.place(at),
            "words": verdict.words, "measure": verdict.measure,
            "ranking": [[name, number(score), true] for name, score, true in verdict.ranking],
        }  # fmt: skip
        return {
            **values, **packed, "boxes": look.boxes(), "part": taken.look.part, "chosen": chosen, "sample": sample,
            **self._study.values(),
        }  # fmt: skip

    def title(self) -> str:
        """Describe what is shown: "relu5 · sample 412, missed · 64 maps"."""
        return self._look.title()

    def figure(self) -> Figure:
        """Return the picture of the last look as a matplotlib Figure."""
        from ...core.figures.activations import activation_figure

        taken = self._look.taken
        found = Look(Wanted(""), reason=_FIRST_LOOK) if taken is None else taken.look
        return activation_figure(
            found.picture, self.title(), per=self._per, shown=found.input, reason=found.reason
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each map or unit shown: see `map_frame`."""
        return map_frame(None if self._look.taken is None else self._look.taken.look.picture)

    def save(self, path: str | os.PathLike[str]) -> str:
        """Write what is looked at as NPZ, and return where.

        The file holds `values` (the tensor that is shown, without batch axis, or the weights), `input` (or
        `input_0`, ...), `scores` where there are any, and `layer`, `part`, `show`, `sample` (-1: one's own)
        and `step` (-1: none). A ValueError says why there is nothing to save.
        """
        taken = self._look.taken
        if taken is None:
            raise ValueError("There is nothing to save yet: the first look is being taken.")
        if taken.index is None and self._samples.own is None:
            raise ValueError("The sample of your own was let go: look at it again, then save.")
        inputs = self._samples.inputs(len(self._samples) if taken.index is None else taken.index)
        return save_look(path, taken.look, inputs, taken.index, taken.step)

    # -- the study below the maps

    def open_study(self, section: str) -> None:
        """Open a section: "touch", "excites", "where", "time", or "" to fold all."""
        self.wish("study", section)

    def study_figure(self) -> Figure:
        """Return what the open section shows as a matplotlib Figure."""
        return self._study.figure()

    def study_frame(self) -> pd.DataFrame:
        """Return what the open section shows as a table: see `Study.frame`."""
        return self._study.frame()

    # -- what a person wants

    def wish(self, name: str, value: Any) -> None:
        """Show another layer, sample, part, map or slice, or otherwise."""
        look, samples = self._look, self._samples
        if self._study.wish(name, value):
            return
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if name == "selected_layer":
            if value not in look.layers:
                raise ValueError(no_such_layer(str(value), look.layers))
            look.layer = value
            if self.session is not None:
                self.session.selected_layer = value
            else:
                self._look_again()
        elif name == "selected_sample":
            self._go_to(value)
        elif name == "go":
            self._go_to(samples.go(str(value), look.numbered_sample()))
        elif name == "order":
            samples.choose_order(str(value))
            if value == "number":
                self.refresh()
            else:
                self._go_to(samples.go("first", look.numbered_sample()))
        elif name == "own_text":
            self.look_at(str(value))
        elif name == "part":
            look.part = str(value)
            self._look_again()
        elif name == "show" and value in ("output", "input", "filters"):
            look.show, look.slice = value, None
            self._look_again()
        elif name == "sort" and value in SORTS:
            look.sort_anew(value)
            self._look_again()
        elif name in ("slice", "channel") and whole:
            setattr(look, name, value)
            self._look_again()
        elif name == "per" and value in ("layer", "map"):
            self._per = value
            self.refresh()
        elif name == "more" and isinstance(value, bool):
            self._more = value
            self.refresh()
        elif name == "chosen" and whole:
            look.chosen = value
            self._study.follow()
            self.refresh()
        else:
            super().wish(name, value)

    def _go_to(self, index: Any) -> None:
        look, own = self._look, self._samples.own
        self._samples.must_exist(index)
        look.sample, self._samples.own = index, None
        if not look.shares_sample or own is not None and look.session.selected_sample == index:
            self._look_again()
        else:
            look.session.selected_sample = index

    def look_at(self, x: Any, name: str | None = None) -> None:
        """Look at a sample of one's own, until another is picked.

        A TypeError or ValueError says in one sentence what does not fit.

        Parameters
        ----------
        x : an array or tensor of a sample's shape, with or without its batch axis, a tuple or dict of these
            for a model of several inputs; where the model takes images, any image: an array H x W or
            H x W x 3, a PIL image, or the path of an image file, which is scaled, cut and brought to the
            samples' range, as the view then says; or a text, where the view has `encode`.
        name : what it is called; None: the file's name, or "your own".
        """
        self._bring(lambda: self._samples.bring(x, name)).result()
        self._look_again()

    def _bring(self, work: Callable[[], Any]) -> Future[Any]:
        """Have a person's sample fitted where looks are taken: it reads samples."""
        if self.session is not None:
            return self.session.at_batch(work)
        done: Future[Any] = Future()
        try:
            done.set_result(self._look.apart(work))
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for
            done.set_exception(error)
        return done

    def _brought(self, done: Future[Any]) -> None:
        error = done.exception()
        if error is None:
            self._look_again()
            return
        # The sentence goes back to the person who asked.
        self.send({"refused": "own", "because": str(error) or type(error).__name__})

    # -- when looks are taken

    def _look_again(self) -> None:
        """Look again: at once, or between two steps of a session."""
        session = self.session
        if self._look.session is None:
            self._take_look()
            self._looked()
            return
        with self._asking:
            # One look that waits for its turn is enough: it reads what is wanted when it begins.
            if self._asked or session is None:
                self._again = True
                return
            self._asked = True
        if self._long and self._look.running:
            session.in_slices(self._look_in_slices).add_done_callback(self._looked)
        else:
            session.at_batch(self._take_look).add_done_callback(self._looked)

    def _take_look(self) -> bool:
        """Look; False where it would hold the training too long."""
        self._asked, self._again, began = False, False, time.perf_counter()
        self._long = not self._look.take(_HELD if self._look.running and self._look.sliceable else math.inf)
        self._time_budget.spent(time.perf_counter() - began)
        return not self._long

    def _look_in_slices(self) -> None:
        self._again, began = False, time.thread_time()
        self._look.take_in_slices()
        self._time_budget.spent(time.thread_time() - began)

    def _looked(self, future: Future[Any] | None = None) -> None:
        self._asked = False
        self._study.follow()
        self.refresh()
        overdue = future is not None and future.exception() is None and future.result() is False
        if self._again or overdue:
            self._look_again()  # in slices, or what was asked for while that was done

    def _note(self, change: Any) -> None:
        session, name, look = self.session, change["name"], self._look
        if session is None:
            return
        if name in ("thresholds", "iou_threshold", "scores") or (name == "status" and look.running):
            self.refresh()
            return
        if name == "selected_sample" and look.shares_sample:
            self._samples.own = None
        # At rest only what takes the run elsewhere, as a rewind, is news.
        elsewhere = look.taken is not None and look.taken.step != session.steps
        news = self._time_budget.due() if look.running else elsewhere
        if name != "pulse" or (news and self._may_send()):
            self._look_again()

    def _hear(self, widget: Any, message: Any, buffers: Any) -> None:
        super()._hear(widget, message, buffers)
        if not isinstance(message, dict):
            return
        if isinstance(message.get("own"), dict):
            given, pixels = message["own"], bytes(buffers[0]) if buffers else b""
            self._bring(lambda: self._samples.bring_pixels(given, pixels)).add_done_callback(self._brought)
        if "hello" in message:
            self._catch_up()

    def _answered(self, drawn: Any) -> None:
        super()._answered(drawn)
        # At rest no later pulse looks in place of the one for which no page waited.
        if not self._look.running and self._may_send():
            self._catch_up()

    def _catch_up(self) -> None:
        """Look again where the run moved while nobody looked."""
        taken = self._look.taken
        if self.session is not None and taken is not None and taken.step != self._look.step:
            self._look_again()

    def close(self) -> None:
        """Stop following the session, and remove the view from every page."""
        # One that refused its source has no study yet.
        if hasattr(self, "_study"):
            self._study.close()
            self._look.taken = None
        super().close()
