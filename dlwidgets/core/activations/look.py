"""One look into a model: an input, a layer, the scores."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ..base.trees import tree_tensors
from ..layers.walk import kind_of
from ..pictures.picture import Picture, Sort, first_sample, make_picture
from ..pictures.statistics import to_real
from ..pictures.thumbnail import Thumbnail, make_thumbnail
from ..pictures.tiles import BUDGET
from .activations import ForwardFailed, Recording
from .filters import CONVOLUTIONS, filters
from .incoming_weights import ACTIVATIONS, Incoming, find_incoming
from .layer_choice import layer_paths
from .result import save_arrays

Show = Literal["output", "input", "filters"]

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
    by : what the maps are sorted by.
    order : an earlier order of the maps, to be kept.
    at_slice : which slice of a volume; None: the middle one.
    channel : which input channel of the filters.
    budget : the bytes that the maps may take.
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
    picture : how it is drawn; None where there is nothing to draw, for the reason in `reason`.
    scores : vector of the model's scores; None where its output is no tensor of one row.
    is_output : whether the layer puts out what the model puts out, so that its units are the classes.
    behind : the layer that weighs a vector's units, where it is known.
    channels : how many input channels the filters have to choose among, 0 for none.
    channel : which of them is shown.
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

    Never raises on account of the model: what went wrong is in `.reason`, a sentence.

    Parameters
    ----------
    eager : the model, which `isolate_model` has yielded.
    scores : turns the model's output into scores, such as a softmax; None: the output is taken as it is.
    known : what earlier looks found behind a layer, by layer and part; it is read and added to, and saves a
        forward.
    """
    layer = wanted.layer
    seen = Look(wanted, input=make_thumbnail(inputs, lines=_begins_1d(eager)))
    modules = layer_paths(eager)
    module = modules.get(layer)
    try:
        recording = Recording(
            eager, modules, inputs, [layer], "inputs" if wanted.show == "input" else "outputs"
        )
        recording.run(eager)
        found = recording.result()
    except (ForwardFailed, ValueError) as error:
        return replace(seen, reason=str(error))
    seen = replace(seen, kind=type(module).__name__, scores=_scores(found.output, scores))
    keys = found.parts(layer)
    parts = tuple(key[len(layer) :] for key in keys)
    usual = "[attention]" if isinstance(module, nn.MultiheadAttention) and "[attention]" in parts else ""
    part = wanted.part if wanted.part in parts else (usual or (parts[0] if parts else ""))
    seen = replace(seen, part=part, parts=parts)
    known = {} if known is None else known

    def behind() -> Incoming | None:
        if (layer, part) not in known:
            known[layer, part] = find_incoming(eager, modules, inputs, layer, part)
        return known[layer, part]

    if wanted.show == "filters":
        if keys:
            seen = replace(seen, tensor=first_sample(found[layer + part], module))
        return _weights(seen, module, behind)
    if not keys:
        return replace(seen, reason=f"{layer or seen.kind} {found.missing[layer]}.")
    key = layer + part
    attends = part.endswith("[attention]")
    try:
        drawn = make_picture(
            found[key], None if attends else module, wanted.budget, by=wanted.by, order=wanted.order,
            at_slice=wanted.at_slice, channels=found.axes.get(key), attends=attends,
        )  # fmt: skip
    except ValueError as error:
        return replace(seen, reason=str(error))
    if key in found.sampled:
        drawn = replace(drawn, note="; ".join(filter(None, [found.sampled[key], drawn.note])))
    values = first_sample(found[key], None if attends else module)
    seen = replace(seen, values=values, picture=drawn)
    if wanted.show == "input":
        return seen
    same = isinstance(found.output, torch.Tensor) and torch.equal(found.output, found[key])
    vector = drawn.kind == "bars" and drawn.group == 1
    return replace(seen, tensor=values, is_output=same, behind=behind() if vector else None)


def _weights(seen: Look, module: nn.Module | None, behind: Callable[[], Incoming | None]) -> Look:
    """Return the look at the layer's own weights."""
    wanted = seen.wanted
    if module is None:
        return replace(seen, reason=f"The model has no layer {wanted.layer!r}.")
    image: tuple[int, ...] = ()
    parts = ("[input]", "[state]") if isinstance(module, nn.RNNBase) else ()
    part = wanted.part if wanted.part in parts else (parts[0] if parts else "")
    if isinstance(module, nn.Linear):
        source = behind()
        image = source.shape if source is not None and source.module is module else ()
    found = filters(
        module, wanted.channel, wanted.budget,
        by=wanted.by, order=wanted.order, at_slice=wanted.at_slice, image=image,
        part=parts.index(part) if parts else 0,
    )  # fmt: skip
    if found.picture is None:
        return replace(seen, parts=(), reason=f"{wanted.layer or kind_of(module)} {found.reason}.")
    return replace(
        seen, part=part, parts=parts, values=found.weight, picture=found.picture,
        channels=found.channels, channel=found.channel,
    )  # fmt: skip


def _scores(output: Any, scores: Callable[[torch.Tensor], torch.Tensor] | None) -> Any:
    one_row = isinstance(output, torch.Tensor) and output.ndim in (1, 2) and len(output) == 1
    if not one_row or not output.is_floating_point():
        return None
    return (scores(output) if scores is not None else output)[0].float().cpu()


def _begins_1d(model: nn.Module) -> bool:
    """Say whether the first layer with weights is a 1-D convolution."""
    for module in model.modules():
        if next(module.children(), None) is None and next(module.parameters(recurse=False), None) is not None:
            return isinstance(module, (nn.Conv1d, nn.ConvTranspose1d))
    return False


def default_layer(modules: Mapping[str, nn.Module]) -> str:
    """Choose the layer to look at: the first convolution's activation.

    The activation is the first one that follows the convolution before another convolution does. Without a
    convolution, it is that of the first layer with weights; without weights, the first layer.
    """
    leaves = {p: m for p, m in modules.items() if next(m.children(), None) is None}
    convolutions = any(isinstance(module, CONVOLUTIONS) for module in leaves.values())
    kinds = CONVOLUTIONS if convolutions else _WEIGHING
    chosen = ""
    for path, module in leaves.items():
        if chosen and isinstance(module, ACTIVATIONS):
            return path
        if isinstance(module, kinds):
            if chosen:
                break
            chosen = path
    return chosen or next(iter(leaves), "")


def save_look(
    path: str | os.PathLike[str], look: Look, inputs: Any, sample: int | None = None, step: int | None = None
) -> str:
    """Write `look` as NPZ, and return the file's path.

    It ends in ".npz".

    Parameters
    ----------
    inputs : what the model was given, a batch of one.
    sample : its number; None for one's own, written as -1.
    step : of the training; None, written as -1, where there is none.

    Raises
    ------
    ValueError : the look shows nothing.
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
