"""One look into a model: an input, a layer, the scores."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ..base.trees import tree_tensors
from ..data.detection import holds_detections, on_cpu
from ..data.samples import only_image
from ..layers.framework import acts_as, framework_of
from ..layers.walk import kind_of
from ..pictures.picture import CHANNELS_LAST, Picture, Sort, first_sample, make_picture, with_batch_axis
from ..pictures.statistics import to_real
from ..pictures.thumbnail import Thumbnail, make_thumbnail
from ..pictures.tiles import BUDGET, make_tiles
from .activations import ForwardFailed, Recording
from .filters import ACTIVATIONS, CONVOLUTIONS, Incoming, filters, find_incoming, weight_of, weight_parts, whole
from .forward_pass import must_be_built
from .layer_choice import layer_paths, leaves
from .result import save_arrays

Show = Literal["output", "input", "filters"]
#: How tokens are named: by a list, or by a function of a token's number.
Names = Sequence[str] | Callable[[int], str] | None

#: The bytes that a dense unit's incoming weights may take, and the letters of a token's name that are sent.
_INCOMING, _LETTERS = 16_384, 24
#: The longest side of a picture with boxes.
_PICTURE = 320
#: Layers whose steps are drawn as rows, also behind a 1-D convolution.
_ALONG_TIME = (nn.RNNBase, nn.MultiheadAttention, nn.Linear)
_WEIGHING = (nn.Linear, nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.MultiheadAttention)


@dataclass(frozen=True)
class Wanted:
    """What is to be looked at.

    Attributes
    ----------
    layer : the path of the layer.
    part : which tensor of the layer, as the rest of its key in `activations` ("", "[1][0]", "#2"); None, and
        one that there is not: the first, and of nn.MultiheadAttention its weights.
    show : what it puts out, what it is given, or its own weights.
    by, order, at_slice, budget : as for `make_picture`.
    channel : which input channel of the filters.
    """

    layer: str
    part: str | None = None
    show: Show = "output"
    by: Sort = "index"
    order: Sequence[int] | None = None
    at_slice: int | None = None
    channel: int = 0
    budget: int = BUDGET


@dataclass(frozen=True)
class Look:
    """What was seen of one layer on one sample.

    Attributes
    ----------
    wanted : what was asked for.
    kind : the class name of the layer.
    part : which of `parts` is shown: the first tensor, a further one ("[1]"), a further call ("#2").
    tensor : the sample's output, without batch axis; None where there is none, or its input was looked at.
    values : what is shown: the output, the input, or a copy of the weights.
    picture : how it is drawn; None where there is nothing to draw, for `reason`.
    scores : vector of the model's scores; None where its output is no tensor of one row.
    boxes : what a detector found in its one image, a dict of boxes, labels and scores; None of any other model.
    is_output : whether the layer puts out what the model puts out, so that its units are the classes.
    behind : the layer that weighs a vector's units, where it is known.
    channels, channel : as for `Filters`.
    """

    wanted: Wanted
    kind: str = ""
    part: str = ""
    parts: tuple[str, ...] = ()
    tensor: torch.Tensor | None = None
    values: torch.Tensor | None = None
    picture: Picture | None = None
    reason: str = ""
    input: Thumbnail = field(default=Thumbnail("none"))
    scores: Any = None
    boxes: Any = None
    is_output: bool = False
    behind: Incoming | None = None
    channels: int = 0
    channel: int = 0

    @property
    def layer(self) -> str:
        """The path that was asked for."""
        return self.wanted.layer


def look(
    eager: nn.Module,
    inputs: Any,
    wanted: Wanted,
    scores: Callable[[torch.Tensor], torch.Tensor] | None = None,
    known: dict[tuple[str, str], Incoming | None] | None = None,
) -> Look:
    """Look at a layer on `inputs`, a batch of one.

    Never raises on account of the model: `.reason` says what went wrong.

    Parameters
    ----------
    eager : the model, which `isolate_model` has yielded.
    scores : turns the model's output into scores, such as a softmax; None: the output is taken as it is.
    known : what earlier looks found behind a layer, by layer and part; read and added to: it saves a forward.
    """
    layer = wanted.layer
    weighing = (
        module for module in eager.modules()
        if next(module.children(), None) is None and next(module.parameters(recurse=False), None) is not None
    )  # fmt: skip
    modules = layer_paths(eager)
    try:
        must_be_built(modules)
    except ValueError as error:
        return Look(wanted, reason=str(error))
    convolves_1d = acts_as(next(weighing, None), (nn.Conv1d, nn.ConvTranspose1d))
    said = framework_of(eager).channels_of(eager, max(2, *(tensor.ndim for tensor in tree_tensors(inputs)), 0))
    seen = Look(wanted, input=make_thumbnail(inputs, convolves_1d, channels_last=None if said is None else said > 1))
    module = modules.get(layer)
    of: Literal["inputs", "outputs"] = "inputs" if wanted.show == "input" else "outputs"
    try:
        recording = Recording(eager, modules, inputs, [layer], of)
        recording.run(eager)
        found = recording.result()
    except (ForwardFailed, ValueError) as error:
        return replace(seen, reason=str(error))
    seen = replace(seen, kind=kind_of(module))
    output = found.output
    if holds_detections(output) and len(output) == 1:
        # Boxes are looked at in a larger picture than an image by itself.
        image = make_thumbnail(only_image(inputs), side=_PICTURE) if only_image(inputs) is not None else seen.input
        seen = replace(seen, boxes=on_cpu(output)[0], input=image)
    tensor = isinstance(output, torch.Tensor) and output.ndim in (1, 2) and len(output) == 1
    if tensor and output.is_floating_point():
        seen = replace(seen, scores=(output if scores is None else scores(output))[0].float().cpu())
    keys = found.parts(layer)
    parts = tuple(key[len(layer) :] for key in keys)
    part = wanted.part or ""
    if wanted.part not in parts:
        weights = acts_as(module, nn.MultiheadAttention) and "[attention]" in parts
        part = "[attention]" if weights else next(iter(parts), "")
    seen = replace(seen, part=part, parts=parts)
    known = {} if known is None else known

    def behind() -> Incoming | None:
        if (layer, part) not in known:
            known[layer, part] = find_incoming(eager, modules, inputs, layer, part)
        return known[layer, part]

    if wanted.show == "filters":
        if keys:
            seen = replace(seen, tensor=first_sample(with_batch_axis(found[layer + part], module)[0], module))
        return _look_at_weights(seen, module, behind)
    if not keys:
        return replace(seen, reason=f"{layer or seen.kind} {found.missing[layer]}.")
    key = layer + part
    attends = part.endswith("[attention]")
    behaves = None if attends else module
    tensor, channels, note = with_batch_axis(found[key], behaves, found.axes.get(key))
    try:
        drawn = make_picture(
            tensor, behaves, wanted.budget, by=wanted.by, order=wanted.order,
            at_slice=wanted.at_slice, channels=channels, attends=attends,
            lines=said is not None and convolves_1d and not acts_as(module, _ALONG_TIME),
        )  # fmt: skip
    except ValueError as error:
        return replace(seen, reason=str(error))
    notes = [found.sampled.get(key), note, *drawn.note.split("; ")]
    drawn = replace(drawn, note="; ".join(one for one in notes if one and (said is None or one != CHANNELS_LAST)))
    values = first_sample(tensor, behaves)
    seen = replace(seen, values=values, picture=drawn)
    if wanted.show == "input":
        return seen
    same = isinstance(output, torch.Tensor) and torch.equal(output, found[key])
    vector = drawn.kind == "bars" and drawn.group == 1
    return replace(seen, tensor=values, is_output=same, behind=behind() if vector else None)


def _look_at_weights(seen: Look, module: nn.Module | None, behind: Callable[[], Incoming | None]) -> Look:
    wanted = seen.wanted
    if module is None:
        return replace(seen, reason=f"The model has no layer {wanted.layer!r}.")
    parts = weight_parts(module)
    part = wanted.part if wanted.part in parts else next(iter(parts), "")
    source = behind() if acts_as(module, nn.Linear) else None
    known = source is not None and source.path == wanted.layer
    found = filters(
        module, wanted.channel, wanted.budget,
        by=wanted.by, order=wanted.order, at_slice=wanted.at_slice,
        image=source.shape if known else (), channels_last=known and source.channels_last,
        part=parts.index(part) if parts else 0,
    )  # fmt: skip
    if found.picture is None:
        return replace(seen, parts=(), reason=f"{wanted.layer or kind_of(module)} {found.reason}.")
    return replace(
        seen, part=part, parts=parts, values=found.weight, picture=found.picture,
        channels=found.channels, channel=found.channel,
    )  # fmt: skip


def default_layer(modules: Mapping[str, nn.Module]) -> str:
    """Choose the layer to look at: the first convolution's activation.

    The activation is the first one that follows the convolution before another convolution does. Without a
    convolution, it is that of the first layer with weights; without weights, the first layer.
    """
    held = {path: modules[path] for path in leaves(modules)}
    convolutions = any(acts_as(module, CONVOLUTIONS) for module in held.values())
    kinds = CONVOLUTIONS if convolutions else _WEIGHING
    chosen = ""
    for path, module in held.items():
        if acts_as(module, kinds):
            if chosen:
                break
            chosen = path
        # An activation after the convolution, or its own.
        own = path == chosen and framework_of(module).activation_of(module)[0]
        if chosen and (acts_as(module, ACTIVATIONS) or own):
            return path
    return chosen or next(iter(held), "")


def save_look(
    path: str | os.PathLike[str], look: Look, inputs: Any, sample: int | None = None, step: int | None = None
) -> str:
    """Write `look` as NPZ; return the path, which ends in ".npz".

    Parameters
    ----------
    look : one that shows something, else ValueError.
    inputs : what the model was given, a batch of one.
    sample, step : numbers; None, written as -1, for one's own sample and where there is no training.
    """
    shown = look.values
    if shown is None and look.picture is not None:
        shown = look.picture.maps
    if shown is None and (look.picture is None or look.picture.bars is None):
        raise ValueError(f"There is nothing to save: {look.reason or 'the layer shows nothing.'}")
    values = to_real(shown.detach()).cpu().numpy() if shown is not None else look.picture.bars  # type: ignore
    given = [to_real(tensor.detach())[0].cpu().numpy() for tensor in tree_tensors(inputs)]
    names = ["input"] if len(given) == 1 else [f"input_{at}" for at in range(len(given))]
    arrays: dict[str, Any] = dict(zip(names, given, strict=True))
    if look.scores is not None:
        arrays["scores"] = np.asarray(look.scores)
    about = {
        "layer": look.layer, "part": look.part, "show": look.wanted.show,
        "sample": -1 if sample is None else sample, "step": -1 if step is None else step,
    }  # fmt: skip
    return str(save_arrays(path, {"values": values, **about, **arrays}.items()))


def pack(
    look: Look, chosen: int = 0, classes: Sequence[str] | None = None, tokens: Names = None
) -> dict[str, Any]:
    """Pack a look as words and bytes, for a page to draw.

    Words are JSON, without nan; bytes are in C order, little-endian as the machine's.

    Parameters
    ----------
    chosen : the number of the map (in the tensor) or of the bar that is enlarged; beyond the last, the last.
    classes : the names of the model's outputs, which a layer that puts them out gets.
    tokens : the names of tokens, for a model that is given their numbers.

    Returns
    -------
    drawing : what is drawn and what is said of it.
    maps, facts : uint8, M x h x w; float32, 3 x M: scale, mean and share of zeros of each map.
    bars : float32, for vectors.
    near : float32, h x w: the chosen map's own numbers, or means of blocks where they are very many; its size
        and block are in ``drawing["near"]``.
    incoming : uint8, C x h x w or 1 x 1 x n: the chosen unit's weights; ``drawing["incoming"]`` says of what.
    shown, pixels, strip : the input: words, uint8 (H x W x 3 of an image, M x h x w of maps), float32 bars.
    """
    picture, shown = look.picture, look.input
    names: list[str] = []
    if shown.kind == "tokens" and tokens is None:
        names = [str(token) for token in shown.tokens]
    elif shown.kind == "tokens":
        name = tokens if callable(tokens) else lambda n: tokens[n] if 0 <= n < len(tokens) else f"#{n}"
        names = [str(name(token))[:_LETTERS] for token in shown.tokens]
    words: dict[str, Any] = {
        "layer": look.layer, "kind": look.kind, "part": look.part, "parts": list(look.parts),
        "reason": look.reason, "show": look.wanted.show, "channels": look.channels, "channel": look.channel,
        "tokens": None,
    }  # fmt: skip
    packed = {
        "drawing": words, **dict.fromkeys(("maps", "facts", "bars", "near", "incoming"), b""),
        **_pack_input(shown, names),
    }  # fmt: skip
    if picture is not None:
        words |= _words_of(picture)
    if look.is_output and classes is not None:
        words["names"] = [str(name) for name in classes]
    if picture is not None and picture.tiles is not None:
        drawn = picture.tiles
        packed["maps"] = drawn.maps.tobytes()
        packed["facts"] = drawn.scale.tobytes() + drawn.mean.tobytes() + drawn.zeros.tobytes()
        # Of a picture whose rows are tokens.
        rows = picture.kind in ("attention", "sequence") and look.wanted.show != "filters"
        words["tokens"] = names if names and rows and drawn.shape[0] == len(names) else None
        at = min(max(0, chosen), drawn.total - 1)
        if (near := picture.close_up(at)) is not None:
            packed["near"] = near[0].tobytes()
            words["near"] = {"map": at, "size": list(near[0].shape), "block": list(near[1])}
    elif picture is not None and picture.bars is not None:
        packed["bars"] = picture.bars.tobytes()
        weights = _pack_incoming(look, len(picture.bars), min(max(0, chosen), len(picture.bars) - 1))
        if weights is not None:
            packed["incoming"], words["incoming"] = weights
    return packed


def number(value: float) -> float | None:
    """Return `value`, or None where JSON has no such number."""
    return value if math.isfinite(value) else None


def _words_of(picture: Picture) -> dict[str, Any]:
    found, drawn = picture.statistics, picture.tiles
    words: dict[str, Any] = {
        "form": picture.kind, "shape": list(picture.shape), "axes": list(picture.axes),
        "words": picture.size, "note": picture.note, "peak": picture.peak, "group": picture.group,
        "by": picture.by, "slices": list(picture.slices) if picture.slices is not None else None,
        "names": list(picture.names) or None, "mean": number(found.mean), "std": number(found.std),
        "zeros": found.zeros, "nonfinite": found.nonfinite,
    }  # fmt: skip
    if drawn is None:
        return words
    depth = 3 if picture.kind == "rgb" else 1
    count, height, width = drawn.maps.shape
    plain = bool((drawn.numbers == np.arange(count)).all())
    return {
        **words, "count": count, "total": drawn.total, "size": [height, width // depth],
        "whole": [drawn.shape[0], drawn.shape[1] // depth], "block": list(drawn.block),
        "numbers": None if plain else drawn.numbers.tolist(),
    }  # fmt: skip


def _pack_incoming(look: Look, units: int, unit: int) -> tuple[bytes, dict[str, Any]] | None:
    behind, picture = look.behind, look.picture
    if behind is None or picture is None or picture.group != 1:
        return None
    weights = behind.weights(unit)
    if weights is None or weights.numel() == 0 or len(weight_of(behind.module)) != units:
        return None
    maps = weights if weights.ndim == 3 else weights.reshape(1, 1, -1)
    drawn = make_tiles(maps, per="layer", budget=_INCOMING)
    bias = framework_of(behind.module).bias_of(behind.module)
    return drawn.maps.tobytes(), {
        "unit": unit, "layer": behind.path, "shape": list(weights.shape), "size": list(drawn.maps.shape),
        "scale": float(drawn.scale[0]), "block": list(drawn.block),
        "bias": number(float(to_real(whole(bias))[unit])) if bias is not None else None,
    }  # fmt: skip


def _pack_input(thumb: Thumbnail, names: list[str]) -> dict[str, Any]:
    size, pixels, strip, form, count = [0, 0], b"", b"", "", 1
    picture = thumb.picture
    drawn = picture.tiles if picture is not None else None
    if thumb.image is not None:
        size, pixels = list(thumb.image.shape[:2]), thumb.image.tobytes()
    elif picture is not None and drawn is not None:
        form, count = picture.kind, len(drawn.maps)
        size, pixels = list(drawn.maps.shape[1:]), drawn.maps.tobytes()
    elif picture is not None and picture.bars is not None:
        strip = picture.bars.tobytes()
    more = " …" if thumb.shape and thumb.shape[0] > len(names) else ""
    shown = {
        "kind": thumb.kind, "shape": list(thumb.shape), "low": thumb.low, "high": thumb.high,
        "words": " ".join(names) + more if names else thumb.words, "size": size, "form": form,
        "count": count, "scales": drawn.scale[:16].tolist() if drawn is not None else [],
    }  # fmt: skip
    return {"shown": shown, "pixels": pixels, "strip": strip}
