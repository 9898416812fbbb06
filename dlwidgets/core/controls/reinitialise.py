"""Layers drawn anew, as a control: parameters, statistics, optimizer state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..base.ledger import Entry
from ..base.numbers import read_count
from ..base.random_state import RandomStates
from ..base.words import did_you_mean, pluralize, quote_error, quote_names
from ..layers.framework import framework_of
from ..layers.structure import expression_of, has_wrapped_weight
from ..layers.walk import module_at, uncompiled
from .control import Control, Unwritable, Writer
from .patterns import WHOLE_MODEL, FreezableParts, list_few, statistics_of

#: How weights of two or more axes can be drawn, beside `reset_parameters()`: the functions of `torch.nn.init`.
INITS: dict[str, Callable[..., Any]] = {
    "kaiming": nn.init.kaiming_normal_, "xavier": nn.init.xavier_normal_, "orthogonal": nn.init.orthogonal_,
}  # fmt: skip


class Redrawn(NamedTuple):
    """Which layers were drawn anew last, and how.

    `layers` are paths, "" the whole model; `init` one of `INITS`, None for `reset_parameters()`; `times` how
    often layers were drawn anew in the run by then, so that the same layer can be asked for twice.
    """

    layers: tuple[str, ...]
    init: str | None = None
    times: int = 1


def draw_layers(layers: list[nn.Module], optimizer: torch.optim.Optimizer, init: Callable | None = None) -> None:
    """Draw parameters anew; what the optimizer kept of them is gone.

    With `init` the weights of the layers themselves are drawn by it, and biases are 0.
    """
    for layer in layers:
        if init is None and isinstance(layer, nn.MultiheadAttention):
            layer._reset_parameters()  # as its constructor does, after that of what is inside
        elif init is None:
            layer.reset_parameters()
        for name, parameter in layer.named_parameters(recurse=init is None):
            if init is not None:
                nn.init.zeros_(parameter) if "bias" in name else init(parameter)
            for group in optimizer.param_groups:
                if all(parameter is not one for one in group["params"]):
                    continue
                optimizer.state.pop(parameter, None)
                if isinstance(optimizer, torch.optim.Adagrad):  # makes its state in the beginning only
                    first = group["initial_accumulator_value"]
                    fresh = torch.optim.Adagrad([parameter], initial_accumulator_value=first)
                    optimizer.state[parameter] = fresh.state[parameter]


class Drawing(NamedTuple):
    """A layer to be drawn, by one of `INITS` or `reset_parameters()`."""

    path: str
    layer: nn.Module
    init: str | None

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is drawn."""
        return [*self.layer.parameters(recurse=self.init is None)]


def plan_drawings(model: nn.Module, wish: Redrawn) -> list[Drawing]:
    """Return what a wish draws, in order, each layer once.

    Raises ValueError: in a sentence, what cannot be drawn.
    """
    found: dict[int, Drawing] = {}
    whole = uncompiled(model)
    for path in wish.layers:
        _refuse_unready(path, module_at(whole, path))
        drawn = list(_find_drawings(whole, path, module_at(whole, path), wish.init))
        if not drawn:
            raise ValueError(f"{path!r} has no parameters to draw anew.{_others(model)}")
        found |= {id(one.layer): one for one in drawn}
    return list(found.values())


def _find_drawings(model: nn.Module, path: str, layer: nn.Module, init: str | None) -> Iterator[Drawing]:
    own = {name: one for name, one in layer._parameters.items() if one is not None}
    weights = [name for name, one in own.items() if one.ndim > 1]
    draws = framework_of(layer).can_draw(layer) or callable(getattr(layer, "reset_parameters", None))
    if init is not None and weights and not isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
        if odd := [name for name in own if name not in weights and "bias" not in name]:
            how = INITS[init].__name__
            raise ValueError(f"{_title(path, layer)} has {odd[0]!r}, which torch.nn.init.{how} cannot draw.")
        yield Drawing(path, layer, init)
    elif isinstance(layer, nn.MultiheadAttention):
        yield Drawing(f"{path}.out_proj" if path else "out_proj", layer.out_proj, None)
        yield Drawing(path, layer, None)
        return
    elif draws and (init is None or own or statistics_of(layer)):
        yield Drawing(path, layer, None)
        return
    elif own:
        method = "reset_parameters()" if framework_of(layer).train_flag == "requires_grad" else "get_config()"
        what = f"no {method} that draws its {next(iter(own))}"
        raise ValueError(f"{_title(path, layer)} has {what}.{_others(model)}")
    for name, child in layer.named_children():
        yield from _find_drawings(model, f"{path}.{name}" if path else name, child, init)


def _draw_in_order(init: Callable[..., Any], layer: nn.Module, parameter: nn.Parameter) -> None:
    """Draw a weight with its axes in torch's order."""
    name = next(name for name, one in layer._parameters.items() if one is parameter)
    init((framework_of(layer).kernels_of(layer) or {}).get(name, parameter))


def _with_reset(layer: nn.Module) -> nn.Module:
    """Return a layer as `draw_layers` takes it, with `reset_parameters()`."""
    if not framework_of(layer).can_draw(layer):
        return layer
    stands_for = nn.Module()
    stands_for.reset_parameters = lambda: framework_of(layer).draw_layer(layer)  # type: ignore[method-assign]
    stands_for._parameters |= layer._parameters
    return stands_for


def find_drawable(model: nn.Module) -> tuple[list[str], list[str]]:
    """Return layers that can be drawn anew, and parameters that cannot.

    Both are paths, of layers with all below them, as few as can be; [""] is the whole model.
    """
    whole, drawn, kept = uncompiled(model), list[str](), list[str]()

    def visit(path: str, layer: nn.Module) -> None:
        try:
            _refuse_unready(path, layer)
            drawn.extend([path] if [*_find_drawings(whole, path, layer, None)] else [])
        except ValueError:
            kept.extend(f"{path}.{name}".lstrip(".") for name, one in layer._parameters.items() if one is not None)
            for name, child in layer.named_children():
                visit(f"{path}.{name}".lstrip("."), child)

    visit("", whole)
    return drawn, kept


def _refuse_unready(path: str, layer: nn.Module) -> None:
    """Raise ValueError where something below a path cannot be drawn yet."""
    for inside, module in layer.named_modules(prefix=path):
        if any(map(is_lazy, module._parameters.values())):
            raise ValueError(f"{_title(inside, module)} gets its size in the first step, and is drawn then.")
        if has_wrapped_weight(module):
            raise ValueError(
                f"{_title(inside, module)} computes its weight from others, as by weight_norm: take that off first."
            )


def _title(path: str, layer: nn.Module) -> str:
    kind = type(layer).__name__
    return f"{path!r} ({kind})" if path else f"the {kind}"


def _others(model: nn.Module) -> str:
    """Return a sentence that names the layers that can be drawn anew."""
    named = uncompiled(model).named_modules()

    def draws(layer: nn.Module) -> bool:
        return framework_of(layer).can_draw(layer) or callable(getattr(layer, "reset_parameters", None))

    names = [path for path, one in named if path and draws(one)]
    return f" Layers that have it are {quote_names(names, 6)}." if names else ""


def _read_layers(model: nn.Module, value: Any) -> tuple[Sequence[Any], str | None]:
    """Return the layers of a wish, and what draws them."""
    init = None
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[1], str):
        places = FreezableParts(model).places
        if value[1] in INITS or value[1] not in places:
            value, init = value
            if init not in INITS:
                wanted = f"a layer of the model, or one of {quote_names(INITS)}, is wanted."
                raise ValueError(f"reinitialise has {init!r}: {wanted}{did_you_mean(init, [*INITS, *places])}")
    layers = [value] if isinstance(value, (str, nn.Module)) else value
    if not isinstance(layers, (tuple, list)) or not layers:
        raise ValueError(
            f"reinitialise={value!r}: the path of a layer, as 'features.0', several as a list, or a layer and how it "
            f"is drawn, as ('features.0', 'kaiming'), is wanted."
        )
    return layers, init


class ReinitialiseWriter(Writer):
    """Writes the layers that are drawn anew, with the run's own numbers."""

    def begin(self) -> None:
        script = self.script
        if not script.changed("reinitialise"):
            return
        if framework_of(script.model).train_flag != "requires_grad":
            raise Unwritable("layers of a Keras model were drawn anew in the run")
        if any("weight_norm" in (rule or {}).values() for rule in script.ever("normalise")):
            raise Unwritable("layers were drawn anew in a run with weights that were split by weight_norm")
        if script.loop.objective.companions.optimizers:
            raise Unwritable("layers were drawn anew that training_step= may move by an optimizer of its own")
        script.sources.imports |= {"import torch", "from torch import nn", "from collections.abc import Callable"}
        text = inspect.getsource(draw_layers).rstrip()
        if any(decay is not None for decay in script.ever("ema")):
            text += _AVERAGES
        script.definitions.append(text)

    def change(self, entry: Entry) -> list[str]:
        lines, model = [], self.script.model
        paths = {id(module): path for path, module in model.named_modules()}
        for init, several in groupby(plan_drawings(model, Redrawn(*entry.asked)), key=lambda one: one.init):
            layers = ", ".join(expression_of(model, paths[id(one.layer)]) for one in several)
            how = "" if init is None else f", nn.init.{INITS[init].__name__}"
            lines.append(f"draw_layers([{layers}], optimizer{how})")
        if entry.step:
            return lines
        self.script.first_draws += lines
        return []


#: In a script with averaged weights: those of the layers begin anew.
_AVERAGES = """
    drawn = [id(parameter) for layer in layers for parameter in layer.parameters()]
    for parameter, average in zip(model.parameters(), averaged.module.parameters() if averaged else ()):
        if id(parameter) in drawn:
            average.data.copy_(parameter.data)"""


class Reinitialise(Control):
    """Which layers were drawn anew last: (layers, init, times), or None."""

    name = "reinitialise"
    aliases = ("reinitialize", "reinit", "reset_parameters", "reset_layers", "init_weights")
    at_rest = True
    writer = ReinitialiseWriter
    last: Redrawn | None = None

    def read(self, value: Any) -> Redrawn | None:
        if value is None:
            return self.last
        model = self.loop.model
        if isinstance(value, (tuple, list)) and len(value) == 3 and read_count(value[2]) is not None:
            wish = Redrawn(tuple(value[0]), *value[1:])
        else:
            layers, init = _read_layers(model, value)
            paths = [self._path(FreezableParts(model), one) for one in layers]
            wish = Redrawn(tuple(dict.fromkeys(paths)), init, 1 + (self.last.times if self.last else 0))
        if wish.init is not None and wish.init not in INITS:
            raise ValueError(f"reinitialise has {wish.init!r}: one of {quote_names(INITS)}, or None, is wanted.")
        try:
            plan_drawings(model, wish)
        except (ValueError, AttributeError) as why:
            raise ValueError(f"reinitialise: {why}") from None
        return wish

    def _path(self, parts: FreezableParts, layer: Any) -> str:
        path = parts.pattern_for(layer)
        path = "" if path in WHOLE_MODEL else path
        if path not in parts.places:
            hint = did_you_mean(path, parts.places, _others(parts.model))
            raise ValueError(f"reinitialise: the {type(parts.model).__name__} has no layer {path!r}.{hint}")
        return path

    def now(self) -> Redrawn | None:
        return self.last

    def put(self, value: Redrawn | None) -> str | None:
        if value is None or value == self.last:
            return None
        loop, value = self.loop, Redrawn(*value)
        loop.draw_between_steps()
        plan = plan_drawings(loop.model, value)
        parameters = list({id(one): one for drawing in plan for one in drawing.parameters}.values())
        with _restored_on_error([drawing.layer for drawing in plan], loop.optimizer), torch.no_grad():
            for drawing in plan:
                init = drawing.init and partial(_draw_in_order, INITS[drawing.init], drawing.layer)
                draw_layers([_with_reset(drawing.layer)], loop.optimizer, init)
        loop.average.restart(parameters)
        layers = {id(module) for drawing in plan for module in drawing.layer.modules()}
        loop.proofs.forget(
            f"{path}.{name}" if path else name
            for path, module in uncompiled(loop.model).named_modules() if id(module) in layers
            for name in (*module._parameters, *module._buffers)
        )  # fmt: skip
        self.last = value
        said = f"drew {list_few([one.path or 'the whole model' for one in plan])} anew: "
        said += pluralize(sum(one.numel() for one in parameters), "parameter")
        return said + ("" if all(one.requires_grad for one in parameters) else "; what is frozen stays as drawn")

    def state(self) -> Any:
        return None if self.last is None else tuple(self.last)

    def install(self, state: Any) -> None:
        self.last = None if state is None else Redrawn(*state)


@contextmanager
def _restored_on_error(layers: Sequence[nn.Module], optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Restore all where drawing fails, or makes other parameters.

    Raises ValueError: why, in a clause.
    """
    modules = [module for layer in layers for module in layer.modules()]
    owned = [dict(module._parameters) for module in modules]
    tensors = [one for module in modules for one in (*module._parameters.values(), *module._buffers.values())]
    kept = [(one, one.detach().clone()) for one in tensors if one is not None]
    state, random = dict(optimizer.state), RandomStates.capture()
    try:
        yield
        for module, own in zip(modules, owned):
            if any(module._parameters.get(name) is not one for name, one in own.items()):
                raise ValueError(f"that of {type(module).__name__} makes other parameters, which nothing would move")
    except Exception as error:  # noqa: BLE001 - reset_parameters() of a person's own may raise anything
        for module, own in zip(modules, owned):
            module._parameters.update(own)
        with torch.no_grad():
            for tensor, value in kept:
                tensor.copy_(value)
        optimizer.state.update(state)
        random.install()
        raise ValueError(f"reset_parameters() failed: {quote_error(error)}") from None
