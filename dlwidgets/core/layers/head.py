"""The last layer of a model for another number of classes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy

from ..base.isolation import preserve_random_state
from ..base.numbers import read_count, read_integer
from ..base.words import did_you_mean, pluralize, quote_error
from .foreign import refuse_unbuilt
from .framework import adopt, framework_of
from .split import propose_split
from .structure import has_wrapped_weight
from .walk import kind_of, module_at, uncompiled, walk

#: Attributes in which models keep how many classes they have, and those in which detectors do.
_COUNTS = ("num_classes", "n_classes", "num_labels", "n_labels", "num_columns", "nclasses", "nb_classes", "nc")
#: Methods that a model may have to change its head itself; the second is timm's.
_OWN = ("with_classes", "reset_classifier")


@dataclass(frozen=True)
class NewOutput:
    """A layer to be made anew.

    Attributes
    ----------
    outputs : how many values it is to put out.
    classes, before : how many classes the model is to have, and had.
    """

    path: str
    layer: nn.Module
    outputs: int
    classes: int
    before: int | None


def with_head(
    model: nn.Module,
    classes: int | Sequence[str] | Mapping[str, int],
    *,
    layer: str | Sequence[str] | None = None,
    seed: int | torch.Generator | None = None,
    copied: bool = True,
    example: Any = None,
) -> nn.Module:
    """Return the model with its last layer anew, for so many classes.

    All other weights are as they were, and nothing is frozen by it. The new layer is of the same kind, dtype, device
    and mode, drawn as its own `reset_parameters()` does, and trains. Heads beside it that put out as many values, as
    an auxiliary one, get as many as well; so do a detector's layers that put out a number of values for each class.
    What the model notes of its classes (`num_classes`, the `config` of transformers) follows. A model that has a method
    `with_classes(n)`, or `reset_classifier(n)` as timm's have, does it itself.

    Parameters
    ----------
    classes : how many, or their names, in order.
    layer : the path of the layer, or several, to be made anew; None: the last one of the head, see `propose_split`.
    seed : of the new weights, leaving the global random numbers alone; a generator is drawn from; None: they are drawn
        from the global random numbers, as those of any new layer.
    copied : False: the model itself is changed and returned, which takes no memory for a second one.
    example : a batch, for models that call their layers in another order than they register them.

    Raises
    ------
    TypeError, ValueError : in a sentence, why not; the model is as it was.
    """
    model = adopt(model)
    if not isinstance(model, nn.Module):
        raise TypeError(f"A torch.nn.Module is wanted, not {type(model).__name__}.")
    refuse_unbuilt(walk(model))
    count, names = read_new_classes(classes)
    if copied:
        try:
            model = adopt(copy.deepcopy(model))
        except Exception as error:  # noqa: BLE001 - a model may hold anything
            why = f"The {kind_of(uncompiled(model))} cannot be copied: {quote_error(error)}"
            raise ValueError(f"{why} with_head(..., copied=False) changes it itself.") from None
    with drawn_from(seed):
        if layer is None and own_method(model):
            return ask_model(model, count)
        return replace_outputs(model, plan_outputs(model, count, layer, example), names)


def read_new_classes(classes: Any) -> tuple[int, tuple[str, ...] | None]:
    """Return the number of classes, and their names where given.

    Raises TypeError, ValueError: in a sentence, that they are none.
    """
    if (count := read_integer(classes)) is not None:
        if read_count(count) is None:
            raise ValueError(f"classes={classes!r}: 1 or more are wanted.")
        return count, None
    if isinstance(classes, (str, bytes)) or not isinstance(classes, (Mapping, Sequence)):
        raise TypeError(f"classes={classes!r}: a number of classes, or a list of their names, is wanted.")
    names = tuple(map(str, sorted(classes, key=classes.__getitem__) if isinstance(classes, Mapping) else classes))
    if not names or len({*names}) < len(names):
        raise ValueError(f"classes={classes!r}: names are wanted, one for each class.")
    return len(names), names


def plan_outputs(
    model: nn.Module, count: int, layer: str | Sequence[str] | None = None, example: Any = None
) -> list[NewOutput]:
    """Return the layers to be made anew for `count` classes, outputs last.

    Raises ValueError: in a sentence, why there are none.
    """
    whole = uncompiled(model)
    if any(isinstance(one, torch.jit.ScriptModule) for one in whole.modules()):
        raise ValueError("The model is TorchScript, whose layers are fixed: change the model that it was made of.")
    places = dict(whole.named_modules(remove_duplicate=False))
    if layer is not None:
        paths = [layer] if isinstance(layer, str) else [*layer]
        for path in paths:
            if path not in places:
                raise ValueError(f"The {kind_of(whole)} has no layer {path!r}.{did_you_mean(path, places)}")
        plan = [NewOutput(path, places[path], count, count, _size(places[path])) for path in paths]
    else:
        plan = _of_detector(places, count) or _of_heads(model, places, count, example)
    for one in plan:
        _check(whole, one)
    return plan


def replace_outputs(
    model: nn.Module, plan: Sequence[NewOutput], names: Sequence[str] | None = None
) -> nn.Module:
    """Put new layers in the places of those planned; return the model.

    They are drawn from torch's random numbers. A model that is the one layer itself is not changed, but another.
    """
    whole = uncompiled(model)
    rest = [one for one in plan if not framework_of(whole).renew_output(whole, one.layer, one.outputs)]
    if rest and rest[0].layer is whole:
        return _renewed(whole, rest[0].outputs)
    made = {id(one.layer): _renewed(one.layer, one.outputs) for one in rest}
    for module in whole.modules():
        for name, child in module._modules.items():
            if id(child) in made:
                module._modules[name] = made[id(child)]
    _note_classes(whole, [one.path for one in plan], plan[-1].before, plan[-1].classes, names)
    return model


def _note_classes(
    model: nn.Module, paths: Sequence[str], before: int | None, count: int, names: Sequence[str] | None
) -> None:
    """Update the numbers of classes that a model notes."""
    for place, module in model.named_modules():
        if place and not any(path.startswith(f"{place}.") for path in paths):
            continue
        for name in _COUNTS:
            if type(vars(module).get(name)) is int and vars(module)[name] == before:
                setattr(module, name, count)
        config = vars(module).get("config")
        if getattr(config, "num_labels", None) == before:
            words = names or [f"LABEL_{number}" for number in range(count)]
            config.id2label = dict(enumerate(words))
            config.label2id = {name: number for number, name in enumerate(words)}


def own_method(model: nn.Module) -> str:
    """Return a model's own method that changes its head, or ""."""
    return next((one for one in _OWN if callable(getattr(model, one, None))), "")


def ask_model(model: nn.Module, count: int) -> nn.Module:
    """Have a model change its head itself."""
    method = own_method(model)
    known = {id(one) for one in (*model.modules(), *model.parameters(), *model.buffers())}
    like = next((one for one in model.parameters() if one.is_floating_point()), torch.empty(0))
    try:
        made = getattr(model, method)(count)
    except Exception as error:  # noqa: BLE001 - it is a person's own
        raise ValueError(f"{kind_of(model)}.{method}({count}) failed: {quote_error(error)}") from None
    made = made if isinstance(made, nn.Module) else model
    for path, module in made.named_modules() if made is model else ():
        if id(module) not in known:
            module.training = module_at(made, path.rpartition(".")[0]).training
        for one in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if id(one) not in known and not is_lazy(one):
                one.data = one.data.to(like.device, like.dtype if one.is_floating_point() else None)
    return made


def _of_heads(model: nn.Module, places: Mapping[str, nn.Module], count: int, example: Any) -> list[NewOutput]:
    """Return the last layer of each head."""
    split = propose_split(model, example)
    ends = [end for head in split.head or ("",) for end in _last_layers(places, head)]
    if not ends:
        raise ValueError(f"The {kind_of(uncompiled(model))} has no layer with parameters that could be its last.")
    last = ends[-1]
    if (size := _size(places[last])) is None:
        raise ValueError(
            f"The last layer of the {kind_of(uncompiled(model))}, {_title(last, places[last])}, puts out no "
            "classes: put one behind it, as nn.Sequential(model, nn.Linear(64, 10)), or say by layer= which does."
        )
    other = [one for one in ends[:-1] if _size(places[one]) not in (size, None) and not _leads_on(places, one, ends)]
    if other:
        heads = ", ".join(f"{one!r} ({pluralize(_size(places[one]) or 0, 'value')})" for one in [*other, last])
        raise ValueError(f"The model has several heads, {heads}: say which by layer={last!r}.")
    return [NewOutput(one, places[one], count, count, size) for one in ends if _size(places[one]) == size]


def _last_layers(places: Mapping[str, nn.Module], head: str) -> Iterator[str]:
    """Yield the last layer with parameters of each head."""
    if isinstance(places[head], (nn.ModuleDict, nn.ModuleList)):
        for name in places[head]._modules:
            yield from _last_layers(places, f"{head}.{name}")
        return
    own = [path for path, one in places[head].named_modules(prefix=head) if any(True for _ in one.parameters(False))]
    yield from (path.partition(".parametrizations")[0] for path in own[-1:])


def _leads_on(places: Mapping[str, nn.Module], path: str, ends: Sequence[str]) -> bool:
    """Say whether a layer's output goes into a later one."""
    size = _size(places[path]) or 0
    behind = (places[one] for one in ends[ends.index(path) + 1 :])
    wanted = [getattr(one, "in_features", getattr(one, "in_channels", None)) for one in behind]
    return any(number == size or (number and size > 1 and number % size == 0) for number in wanted)


def _of_detector(places: Mapping[str, nn.Module], count: int) -> list[NewOutput]:
    """Return a detector's layers that put out values for each class."""
    found: list[NewOutput] = []

    def plan(path: str, layer: Any, classes: int) -> None:
        size = _size(layer)
        if size and size % classes == 0:
            found.append(NewOutput(path, layer, size // classes * count, count, classes))

    for path, module in places.items():
        scores = getattr(module, "cls_score", None)
        if scores is not None and getattr(module, "bbox_pred", None) is not None and (classes := _size(scores)):
            masks = next((one for one in places if one.endswith(".mask_fcn_logits")), None)
            if masks is not None:
                plan(masks, places[masks], classes)
            if _size(module.bbox_pred) == 4 * classes:
                plan(f"{path}.bbox_pred", module.bbox_pred, classes)
            plan(f"{path}.cls_score", scores, classes)
        elif "Classification" in kind_of(module):
            classes = getattr(module, "num_classes", getattr(module, "num_columns", None))
            logits = getattr(module, "cls_logits", getattr(module, "module_list", None))
            if isinstance(classes, int) and isinstance(logits, nn.Module):
                name = "cls_logits" if hasattr(module, "cls_logits") else "module_list"
                for end in _last_layers(places, f"{path}.{name}"):
                    plan(end, places[end], classes)
    return found


def _check(model: nn.Module, wanted: NewOutput) -> None:
    """Raise ValueError where a layer cannot be made anew, in a sentence."""
    layer, title = wanted.layer, _title(wanted.path, wanted.layer)
    if _size(layer) is None:
        raise ValueError(f"{title} is no layer that puts out classes: a Linear or a convolution is wanted.")
    if has_wrapped_weight(layer):
        raise ValueError(f"{title} computes its weight from others, as by weight_norm: take that off first.")
    own = {id(one) for one in layer.parameters()}
    inside = {id(one) for one in layer.modules()}
    shared = [
        f"{path}.{name}" for path, module in model.named_modules() if id(module) not in inside
        for name, one in module._parameters.items() if id(one) in own
    ]  # fmt: skip
    if shared:
        raise ValueError(
            f"The weight of {title} is that of {shared[0]!r} as well (tied): it cannot have another number of rows. "
            "Put a layer of its own behind the model, or give it weights of its own first."
        )
    if framework_of(layer).output_size(layer) is not None:
        return
    odd = [name for name, one in layer.named_parameters() if name not in ("weight", "bias")]
    if odd or not callable(getattr(layer, "reset_parameters", None)):
        what = f"{odd[0]!r}, whose size for other classes is not known" if odd else "no reset_parameters()"
        raise ValueError(f"{title} has {what}: put another layer in its place yourself.")
    if getattr(layer, "groups", 1) > 1 and wanted.outputs % layer.groups:
        raise ValueError(f"{title} has {layer.groups} groups, which {wanted.outputs} classes cannot be split into.")


def _title(path: str, layer: nn.Module) -> str:
    return f"{path!r} ({kind_of(layer)})" if path else f"the {kind_of(layer)} itself"


def _size(layer: nn.Module) -> int | None:
    """Return how many values an output layer puts out, else None."""
    if (size := framework_of(layer).output_size(layer)) is not None:
        return size
    if isinstance(layer, _ConvNd):
        return layer.out_channels
    return layer.out_features if isinstance(layer, (nn.Linear, nn.Bilinear)) else None


def _renewed(layer: nn.Module, outputs: int) -> nn.Module:
    """Return a layer as another one, with so many outputs, drawn anew."""
    kept, layer._parameters = layer._parameters, {}
    try:
        made = copy.deepcopy(layer)
    finally:
        layer._parameters = kept
    axis = 1 if isinstance(layer, _ConvTransposeNd) else 0
    for name, one in kept.items():
        if one is not None and not is_lazy(one):
            shape, place = [*one.shape], axis if name == "weight" else 0
            shape[place] = outputs // (layer.groups if axis and name == "weight" else 1)
            # On the CPU, whose random numbers are the same everywhere.
            one = nn.Parameter(torch.empty(shape, dtype=one.dtype, device="meta" if one.is_meta else "cpu"))
        elif one is not None:
            one = type(one)(True, one.device, one.dtype)
        made._parameters[name] = one
    setattr(made, "out_channels" if isinstance(made, _ConvNd) else "out_features", outputs)
    made.reset_parameters()  # type: ignore[operator]
    for name, one in made._parameters.items():
        if one is not None and one.device != kept[name].device:
            made._parameters[name] = nn.Parameter(one.detach().to(kept[name].device))
    return made


@contextmanager
def drawn_from(seed: Any) -> Iterator[None]:
    """Draw from a seed or a generator within."""
    if seed is None:
        yield
        return
    generator = seed
    if not isinstance(seed, torch.Generator):
        if read_integer(seed) is None:
            raise ValueError(f"seed={seed!r}: a whole number, a torch.Generator or None is wanted.")
        generator = torch.Generator().manual_seed(read_integer(seed))
    with preserve_random_state():
        torch.set_rng_state(generator.get_state())
        yield
        generator.set_state(torch.get_rng_state())
