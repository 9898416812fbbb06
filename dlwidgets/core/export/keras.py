"""A Keras model as a person would write it, checked by running."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import keyword
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..base.framework_loss import FrameworkLoss
from ..base.isolation import eval_mode, preserve_random_state, run_forward
from ..base.literals import Unwritable, format_literal, is_plain
from ..base.state import StateCopier, same_state
from ..base.trees import call_model
from ..base.words import quote_error
from ..layers import framework
from ..layers.framework import framework_of, is_foreign
from ..layers.keras.expressions import public_name
from ..layers.structure import expression_of
from ..layers.walk import module_at
from .module_expression import find_calls, find_makers, guess_arguments, read_texts, write_module
from .sources import Sources
from .text import format_call

if TYPE_CHECKING:
    from .draft import Draft

#: What a script says before all else: Keras reads it as it is imported.
BACKEND = 'import os\n\nos.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported'
#: What is said of a layer elsewhere in a script, or is none of its own.
_LEFT_OUT = ("name", "trainable", "dtype", "build_config", "compile_config", "build_input_shape", "quantization_config")
#: How many arguments are guessed for a class that does not say what it was made with.
_GUESSES = 12
#: Operations that are written as signs.
_SIGNS = {"Add": "+", "Subtract": "-", "Multiply": "*", "TrueDivide": "/", "Matmul": "@", "Power": "**"}


def write_first_model(draft: Draft) -> str:
    """Write the lines that make a Keras model with its first weights."""
    model, sources = draft.model, draft.sources
    sources.imports |= {"import keras", "import torch"}
    draft.flag_lines = FlagLines(model)
    head: Any = next(one for one in draft.controls if one.name == "head")
    try:
        with head.as_at(draft.origin.structure), _rates_of(draft):
            example = draft.loop.objective.to_device(draft.opened.example)
            try:
                text, built = write_keras(model, sources, example, frozenset(sources.definitions))
                if not _computes_the_same(built, model, example):
                    raise Unwritable("the model that was written computes something else")
            except Unwritable as why:
                text, built = _write_file(draft, why), model
            load = _write_first_weights(draft)
    except Unwritable as why:
        return draft.mark_model(why)
    lines = [text, *load, _list_parameters(model, built)]
    if any(variable.constraint is not None for variable in model.variables):
        lines.append("constrained = [variable for variable in model.variables if variable.constraint is not None]")
        draft.after += [
            "with torch.no_grad():", "    for variable in constrained:",
            "        if variable.value.requires_grad:",
            "            variable.assign(variable.constraint(variable))",
        ]  # fmt: skip
    return "\n".join(lines)


class FlagLines:
    """The lines that set Keras's own flags of what trains, as `layer.trainable`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._now: dict[int, bool] = {}  # of layers and of variables' tensors; in the script all train at first

    def change(self, trains: Mapping[int, bool], held: Collection[int]) -> list[str]:
        """Return the lines after which it trains as it is to.

        Parameters
        ----------
        trains : the identity of each parameter -> whether it trains.
        held : the identities of layers that hold their statistics.
        """
        wanted = dict(trains)
        for layer in self._model.modules():
            inside = [trains[id(one)] for one in layer.parameters() if id(one) in trains]
            if is_foreign(layer) and inside:
                follows = framework_of(layer).follows_statistics(layer)
                wanted[id(layer)] = id(layer) not in held if follows else any(inside)
        return list(self._settle(self._model, "", wanted))

    def _settle(self, layer: Any, path: str, wanted: Mapping[int, bool]) -> Iterator[str]:
        """Yield the lines of a layer and of those inside."""
        inside = [id(one) for one in (*layer.modules(), *layer.parameters()) if id(one) in wanted]
        if all(self._now.get(one, True) is wanted[one] for one in inside):
            return
        first = wanted.get(id(layer), True)
        alike = all(wanted[one] is first for one in inside)
        if is_foreign(layer) and (alike or self._now.get(id(layer), True) is not first):
            self._now.update(dict.fromkeys(inside, first))
            yield f"{expression_of(self._model, path)}.trainable = {first}"
        start = f"{path}." if path else ""
        for name, child in layer._modules.items():
            yield from self._settle(child, start + name, wanted)
        for name, tensor in layer._parameters.items():
            if id(tensor) in wanted and self._now.get(id(tensor), True) is not wanted[id(tensor)]:
                self._now[id(tensor)] = on = wanted[id(tensor)]
                text = expression_of(self._model, start + name)
                flag = f"{text.removesuffix('.value')}.trainable = {on}"
                yield flag if is_foreign(layer) else f"{text}.requires_grad_({on})"


@contextlib.contextmanager
def _rates_of(draft: Draft) -> Iterator[None]:
    """Give dropout layers the rates that they began with."""
    layers = [(module_at(draft.model, path), rate) for path, rate in draft.origin.dropouts.items()]
    keys = ["rate" if is_foreign(layer) else "p" for layer, _ in layers]
    before = [getattr(layer, key) for (layer, _), key in zip(layers, keys)]
    try:
        for (layer, rate), key in zip(layers, keys):
            setattr(layer, key, rate)
        yield
    finally:
        for (layer, _), key, rate in zip(layers, keys, before):
            setattr(layer, key, rate)


def _computes_the_same(built: Any, model: Any, example: Any) -> bool:
    built.load_state_dict(model.state_dict())
    with eval_mode(model), eval_mode(built):
        outputs = [run_forward(one, partial(call_model, one, example)) for one in (model, built)]
        return same_state(*map(StateCopier(), outputs))


def _write_file(draft: Draft, why: Exception) -> str:
    """Keep a model as Keras's file; return the line that reads it.

    It lies beside the script of a model whose code cannot be written.
    """
    model = draft.model
    own = next((one for one in model._flatten_layers() if not type(one).__module__.startswith("keras.")), None)
    if own is not None:  # the class is not to be had in another process
        raise why
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
        except Exception:  # noqa: BLE001 - a model may hold what Keras cannot save
            raise why from None
        name = f"{draft.path.stem}.model.keras"
        draft.files[name] = path.read_bytes(), "the model, as Keras saves it"
    return f'model = keras.models.load_model(HERE / "{name}", compile=False)'


def _write_first_weights(draft: Draft) -> list[str]:
    """Return the lines that load the weights that it began with."""
    model, first = draft.model, dict(draft.origin.weights or {})
    names = {id(tensor): name for name, tensor in model.state_dict(keep_vars=True).items()}
    own = [names.get(id(variable._value)) for variable in model.variables]
    if missing := [variable.path for variable, name in zip(model.variables, own) if name not in first]:
        raise Unwritable(f"the first numbers of its {missing[0]} were not kept")
    path = draft.save_beside("initial", [first.pop(name) for name in own], "the weights and seeds it began with")
    lines = [
        f"for variable, value in zip(model.variables, torch.load({path}, weights_only=True)):",
        "    variable.assign(value)",
    ]
    # What a torch module that Keras wraps has beside its parameters.
    inside: dict[str, dict[str, Any]] = {}
    for name in first:
        owner = next((p for p, one in model.named_modules() if name.startswith(f"{p}.") and not is_foreign(one)), None)
        if owner is not None:
            inside.setdefault(owner, {})[name.removeprefix(f"{owner}.")] = first[name]
    for owner, held in inside.items():
        path = draft.save_beside(owner.replace(".", "_"), held, f"what {owner} had beside its weights")
        there = expression_of(model, owner)
        lines.append(f"{there}.load_state_dict(torch.load({path}, weights_only=True), strict=False)")
    return lines


def _list_parameters(model: Any, built: Any) -> str:
    """Write the line that lists what trains, in the run's order."""
    numbers = {id(variable._value): number for number, variable in enumerate(model.variables)}
    order = [numbers[id(parameter)] for parameter in model.parameters()]
    places = {id(variable): number for number, variable in enumerate(built.variables)}
    trained = [places[id(variable)] for variable in built.trainable_variables]
    if order == trained:
        return "parameters = [variable.value for variable in model.trainable_variables]"
    return f"parameters = [model.variables[number].value for number in {order}]"


def write_slice(draft: Draft, names: Sequence[str]) -> str:
    """Write parameters that stand together, as `parameters[:4]`; "" where they do not."""
    every = [name for name, _ in draft.model.named_parameters()]
    if not names or names[0] not in every or len(names) <= 2:
        return ""
    first = every.index(names[0])
    last = first + len(names)
    if list(names) != every[first:last]:
        return ""
    return f"parameters[{first or ''}:{last if last < len(every) else ''}]"


def write_keras_loss(draft: Draft, loss: FrameworkLoss, targets_first: bool) -> str:
    """Write a loss of Keras: its object, or a function `(output, targets)`."""
    import keras

    own, sources = loss.loss, draft.sources  # type: ignore[attr-defined]
    sources.imports.add("import keras")
    if type(own).__name__ == "LossFunctionWrapper" and type(own).__module__.startswith("keras."):
        name = sources.use_function(own.fn)
        given = "".join(f", {key}={value!r}" for key, value in own._fn_kwargs.items())
        draft.definitions.append(
            "class LossOfFunction(keras.losses.Loss):\n"
            '    """A function of targets and output as a loss."""\n\n'
            f"    def call(self, y_true, y_pred):\n        return ({name})(y_true, y_pred{given})"
        )
        made = f"LossOfFunction({'' if own.reduction == 'sum_over_batch_size' else f'reduction={own.reduction!r}'})"
    else:
        writer = _ModelWriter(sources, False, 0, frozenset(), keras)
        made = writer.write_object(own)
    output = draft.loop.forward(draft.opened.example)
    if isinstance(output, torch.Tensor) and output.ndim > 3 and type(own).__name__.startswith("Sparse"):
        pair = ("targets", "output") if targets_first else ("output", "targets")
        return f"lambda {', '.join(pair)}: {made}(targets.reshape(-1), output.reshape(-1, output.shape[-1]))"
    return made if targets_first else f"lambda output, targets: {made}(targets, output)"


def write_keras(model: Any, sources: Sources, example: Any, taken: frozenset[str] = frozenset()) -> tuple[str, Any]:
    """Return the lines that make a Keras model, and what they make.

    It is called `model`. They are run to see that they do. Layers get the names that they have: a name is written where
    Keras would not give it by itself in a new process.

    Parameters
    ----------
    example : inputs for the model, with which one of a class of its own is built.
    taken : names that its variables must not have.

    Raises
    ------
    Unwritable : why it cannot be written, in a clause.
    """
    import keras

    why, tries = Unwritable(""), [(0, False), (0, True)]
    for number, named in tries:  # it grows by the arguments that a class of a person's own may have been made with
        writer = _ModelWriter(sources, named, number, taken, keras)
        with preserve_random_state(), _new_names():
            text = writer.write(model)
            try:
                built = _run(text, sources)
                if not all(one.built for one in built._flatten_layers()):
                    stars = framework.framework_of(model).stars_of(model, example)
                    text += f"\n{write_call(model, stars + _zeros(example), False)}  # builds its layers"
                    sources.imports.add("import torch")
                    _run(text.rpartition("\n")[2], sources, model=built)
                if (differs := _find_difference(built, model)) is None:
                    return text, framework.adopt(built)
                why = Unwritable(differs)
            except Exception as error:  # noqa: BLE001 - what was written may be wrong in any way
                why = error if isinstance(error, Unwritable) else Unwritable(quote_error(error).rstrip("."))
        if number + 1 < writer.most and (number + 1, False) not in tries:
            tries += [(number + 1, False), (number + 1, True)]
    raise why


@contextlib.contextmanager
def _new_names() -> Iterator[None]:
    """Have Keras count its names from the beginning."""
    from keras.src.backend.common import global_state

    before = global_state.get_global_attribute("object_name_uids")
    global_state.set_global_attribute("object_name_uids", defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", before)


def write_call(model: Any, inputs: str, trains: bool, name: str = "model") -> str:
    """Write the call of a Keras model in a mode."""
    return f"{name}({inputs}, training={trains})" if model._call_has_training_arg else f"{name}({inputs})"


def _run(text: str, sources: Sources, **scope: Any) -> Any:
    """Run lines that make `model`; return it."""
    for line in sources.imports:
        exec(line, scope)
    scope |= sources.objects()
    exec(text, scope)
    return scope["model"]


def _zeros(example: Any) -> str:
    """Write inputs of two samples, all zero."""
    if isinstance(example, torch.Tensor):
        kind = "" if example.dtype == torch.float32 else f", dtype={example.dtype}"
        return f"torch.zeros({(2, *example.shape[1:])}{kind})"
    if isinstance(example, Mapping):
        return "{" + ", ".join(f"{key!r}: {_zeros(value)}" for key, value in example.items()) + "}"
    return f"[{', '.join(map(_zeros, example))}]"


def _find_difference(built: Any, model: Any) -> str | None:
    """Say in what one model differs from another; None: in nothing."""
    ours, theirs = _plain_config(model), _plain_config(built)
    if ours is not None and theirs is not None and (where := _first_difference(ours, theirs)):
        return f"{where} would differ"
    ours, theirs = ([(v.name, tuple(v.shape), v.dtype) for v in one.variables] for one in (model, built))
    if len(ours) != len(theirs) or any(a[1:] != b[1:] for a, b in zip(ours, theirs)):
        return "its weights would have other shapes"
    ours, theirs = ([*framework.adopt(one).state_dict()] for one in (model, built))
    return None if ours == theirs else "its layers would have other names"


def _plain_config(model: Any) -> Any:
    """Return a model's configuration, its operations numbered; None without one."""
    try:
        return _number_operations(model.get_config())
    except Exception:  # noqa: BLE001 - one that has none; what it computes is compared
        return None


def _number_operations(config: Any, numbers: Mapping[str, str] | None = None) -> Any:
    """Rename operations by their place.

    What Keras calls them depends on how many it made before.
    """
    if isinstance(config, (list, tuple)):
        return [_number_operations(one, numbers) for one in config]
    if not isinstance(config, Mapping):
        return config
    if "inbound_nodes" not in config and isinstance(layers := config.get("layers"), list):
        found = [one["name"] for one in layers if str(one.get("module")).startswith("keras.src.ops")]
        numbers = {name: f"operation {number}" for number, name in enumerate(found)}
    made = {key: _number_operations(value, numbers) for key, value in config.items()}
    for key, value in made.items() if numbers else ():
        if key == "name":
            made[key] = numbers.get(value, value)
        elif key == "keras_history":
            made[key] = [numbers.get(value[0], value[0]), *value[1:]]
        elif key == "output_layers":
            made[key] = _rename_ends(value, numbers)
    return made


def _rename_ends(ends: Any, numbers: Mapping[str, str]) -> Any:
    if isinstance(ends, Mapping):
        return {key: _rename_ends(one, numbers) for key, one in ends.items()}
    if isinstance(ends, list):
        return [_rename_ends(one, numbers) for one in ends]
    return numbers.get(ends, ends)


def _first_difference(ours: Any, theirs: Any, where: str = "") -> str:
    """Return where two configurations differ; "" where nowhere."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        if (ours.get("class_name"), theirs.get("class_name")) == ("__lambda__",) * 2:
            return ""
        where = ours.get("name") if isinstance(ours.get("name"), str) else where
        for key in {**ours, **theirs}:
            if key in _LEFT_OUT or (key in ("module", "registered_name", "class_name") and _is_own(ours)):
                continue
            one, other = ours.get(key), theirs.get(key)
            if key == "batch_shape" and one and other:
                one, other = one[1:], other[1:]
            if found := _first_difference(one, other, f"{where}.{key}" if where else key):
                return found
        return ""
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)) and len(ours) == len(theirs):
        return next(filter(None, (_first_difference(a, b, where) for a, b in zip(ours, theirs))), "")
    return "" if ours is theirs or bool(ours == theirs) else where or "its configuration"


def _is_own(config: Mapping[str, Any]) -> bool:
    """Say whether a configuration is of a class of a person's own."""
    return not str(config.get("module")).startswith("keras")


def _config_of(one: Any) -> dict[str, Any]:
    """Return an object's configuration.

    With it goes what a loss hands to its function, of which Keras lists a part.
    """
    return {**one.get_config(), **getattr(one, "_fn_kwargs", {})}


class _Code(str):
    """Text that is written as it is."""

    __repr__ = str.__str__  # type: ignore[assignment]


class _ModelWriter:
    """Writes models, layers and what they are made with."""

    def __init__(self, sources: Sources, named: bool, number: int, taken: frozenset[str], keras: Any) -> None:
        self._sources, self._named, self._number, self._keras = sources, named, number, keras
        self._stateful = False
        #: How many arguments are known that some class may have been made with.
        self.most = 1
        self._lines: list[str] = []
        self._counts: Counter[str] = Counter()  # of the names that Keras gives by itself
        self._variables: dict[int, str] = {}  # layers that have one
        self._taken = {*taken, "model", "layers", "keras"}

    def write(self, model: Any) -> str:
        """Return the lines that make a model, as `model`."""
        # A recurrent layer that keeps its state from batch to batch is made for one size of them.
        self._stateful = any(getattr(one, "stateful", False) for one in model._flatten_layers())
        text = self._layer(model, "model")
        if text != "model":
            self._lines.append(f"model = {text}")
        return "\n".join(self._lines)

    def write_object(self, one: Any) -> str:
        """Write a loss or the like."""
        args, given = self._arguments(one)
        return format_call(self._class(type(one)), map(repr, args), given)

    def _layer(self, one: Any, variable: str = "") -> str:
        """Return the expression for a layer.

        `variable` is what a model is called that has lines of its own.
        """
        keras, kind = self._keras, type(one)
        if id(one) in self._variables:
            return self._variables[id(one)]
        if (made := self._from_application(one)) is not None:
            return made
        if kind is keras.Sequential:
            return self._sequential(one)
        if isinstance(one, keras.src.models.Functional) and self._is_functional(kind):
            return self._functional(one, variable)
        if kind.__name__ == "TorchModuleWrapper" and kind.__module__.startswith("keras."):
            inside = one.module
            return self._call(one, [_Code(write_module(inside, self._sources, None, read_texts(type(inside)))[0])])
        return self._call(one, *self._arguments(one))

    def _is_functional(self, kind: type) -> bool:
        from keras.src.models.functional import functional_like_constructor

        return functional_like_constructor(kind)

    def _call(self, one: Any, args: Sequence[Any], given: Mapping[str, Any] | None = None, opened: bool = False) -> str:
        given = dict(given or {})
        if (name := self._name(one)) is not None:
            given["name"] = name
        return format_call(self._class(type(one)), map(repr, args), given, opened)

    def _name(self, one: Any) -> str | None:
        """Return a layer's name, if Keras would not give it by itself."""
        from keras.src.utils.naming import to_snake_case

        if not hasattr(one, "name") or not isinstance(one, (nn.Module, self._keras.Operation)):
            return None
        base = to_snake_case(type(one).__name__)
        usual = f"{base}_{self._counts[base]}" if self._counts[base] else base
        if self._named or one.name.removeprefix("forward_") != usual:  # as Bidirectional calls what it was given
            takes = inspect.signature(type(one).__init__).parameters
            if "name" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values()):
                return one.name
        self._counts[base] += 1
        return None

    def _class(self, kind: type) -> str:
        """Return the name of a class or function, imported or written out."""
        public = "keras.Model" if kind is self._keras.src.models.Functional else public_name(kind)
        if public is None:
            return self._sources.use(kind)
        if public.startswith("keras.layers."):
            self._sources.imports.add("from keras import layers")
            return public.removeprefix("keras.")
        self._sources.imports.add("import keras")
        return public

    def _from_application(self, one: Any) -> str | None:
        """Return the call of a function of Keras that makes it.

        It is found in the person's cells.
        """
        keras = self._keras
        if not isinstance(one, keras.src.models.Functional) or type(one) is keras.Sequential:
            return None
        for made in find_makers(type(one), self._sources, read_texts(type(one))):
            try:
                with _new_names():
                    built = made.make()
                if isinstance(built, keras.Model) and not _first_difference(_plain_config(one), _plain_config(built)):
                    function = made.names[0]
                    public = public_name(function)
                    if public is None:
                        continue
                    self._sources.imports.add("import keras")
                    if public.count(".") > 2 and not hasattr(keras.applications, function.__name__):
                        continue
                    self._counts.update(self._auto_named(one))
                    return made.text.replace(function.__name__, f"keras.applications.{function.__name__}", 1)
            except Exception:  # noqa: BLE001 - a guess that does not fit may raise anything
                continue
        return None

    def _auto_named(self, model: Any) -> list[str]:
        """Return the bases of names that Keras counted in a model."""
        from keras.src.utils.naming import to_snake_case

        return [to_snake_case(type(one).__name__) for one in model._flatten_layers()
                if re.fullmatch(rf"{to_snake_case(type(one).__name__)}(_\d+)?", one.name)]  # fmt: skip

    def _sequential(self, model: Any) -> str:
        parts = [self._input(one) if type(one).__name__ == "InputLayer" else self._layer(one) for one in model._layers]
        text = format_call("\0", parts, {}, open_up=True)[2:-1]
        text = f"[{text}]"
        return self._call(model, [_Code(text)]) if "\n" not in text else self._close(model, text)

    def _close(self, model: Any, text: str) -> str:
        """Return the call of a model's class, the text in brackets."""
        name = self._name(model)
        return f"{self._class(type(model))}({text}{'' if name is None else f', name={name!r}'})"

    def _input(self, one: Any) -> str:
        self._sources.imports.add("import keras")
        batch, *shape = one.batch_shape
        given: dict[str, Any] = {}
        if batch is not None and self._stateful:
            given["batch_size"] = batch
        if one.dtype != self._keras.config.floatx():
            given["dtype"] = one.dtype
        given |= {key: True for key in ("sparse", "ragged", "optional") if getattr(one, key, False)}
        if (name := self._name(one)) is not None:
            given["name"] = name
        return format_call("keras.Input", [repr(tuple(shape))], given)

    # Functional models

    def _functional(self, model: Any, variable: str) -> str:
        """Add the lines of a functional model; return its variable."""
        nodes = [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
        called = Counter(id(node.operation) for node in nodes)
        for node in nodes:  # what has lines of its own stands before
            for inner in self._models_inside(node.operation):
                if id(inner) not in self._variables:
                    name = self._fresh(inner.name)
                    if (text := self._layer(inner, name)) != name:
                        self._lines.append(f"{name} = {text}")
                        self._variables[id(inner)] = name
        ends = Counter(map(id, self._keras.tree.flatten(model._outputs_struct)))
        uses: Counter[int] = Counter()
        live = []
        for node in reversed(nodes):  # masks that Keras makes by itself are not asked for
            if type(node.operation).__name__ == "InputLayer" or any(uses[id(t)] + ends[id(t)] for t in node.outputs):
                live.insert(0, node)
                uses.update(id(one) for one in self._tensors_of(self._given(node)))
        nodes = live
        texts: dict[int, str] = {}
        lines: list[str] = []
        several = len(model._inputs) > 1
        for number, node in enumerate(nodes):
            one = node.operation
            if type(one).__name__ == "InputLayer":
                call = self._input(one)
            else:
                if called[id(one)] > 1 and id(one) not in self._variables and isinstance(one, nn.Module):
                    text, name = self._layer(one), self._fresh(one.name)
                    lines.append(f"{name} = {text}")
                    self._variables[id(one)] = name
                call = self._node_call(node, texts)
            names = []
            for tensor in node.outputs:
                after = nodes[number + 1] if number + 1 < len(nodes) else None
                taken = [] if after is None else [id(used) for used in self._tensors_of(self._given(after))]
                chained = uses[id(tensor)] == 1 and id(tensor) in taken
                if type(one).__name__ == "InputLayer":
                    name = self._fresh(one.name) if several else "inputs"
                elif ends[id(tensor)] and len(ends) == 1 and not uses[id(tensor)]:
                    name = "outputs"
                elif chained and not ends[id(tensor)] and len(node.outputs) == 1:
                    name = "x"
                else:
                    name = self._fresh(one.name)
                names.append(name)
                texts[id(tensor)] = name
            lines.append(f"{self._targets(one, names)} = {call}" if len(names) > 1 else f"{names[0]} = {call}")
        lines.append(f"{variable} = {self._close(model, self._struct(model, texts))}")
        self._lines += lines
        self._variables[id(model)] = variable
        return variable

    def _struct(self, model: Any, texts: Mapping[int, str]) -> str:
        return ", ".join(self._value_of_call(part, texts) for part in (model._inputs_struct, model._outputs_struct))

    def _targets(self, one: Any, names: Sequence[str]) -> str:
        if isinstance(getattr(one, "_outputs_struct", None), Mapping):
            raise Unwritable(f"{one.name!r} gives its outputs by name inside another model")
        return ", ".join(names)

    def _models_inside(self, one: Any) -> Iterator[Any]:
        """Yield models in a layer that need lines, inner first."""
        functional = self._keras.src.models.Functional
        inside = one._flatten_layers(include_self=False) if hasattr(one, "_flatten_layers") else []
        for inner in reversed([*inside]):
            kind = type(inner)
            if isinstance(inner, functional) and kind is not self._keras.Sequential and self._is_functional(kind):
                yield inner
        if isinstance(one, self._keras.Model):
            yield one

    def _given(self, node: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return what a person called a layer with: not what Keras adds."""
        args, one = list(node.arguments.args), node.operation
        takes = inspect.signature(one.call).parameters if isinstance(one, nn.Module) else {}
        kwargs = {}
        for key, value in node.arguments.kwargs.items():
            if value is None or (key == "mask" and value is getattr(args[0] if args else None, "_keras_mask", None)):
                continue
            if isinstance(value, bool) and key in takes and takes[key].default is value:
                continue
            kwargs[key] = value
        return args, kwargs

    def _tensors_of(self, value: Any) -> list[Any]:
        return [one for one in self._keras.tree.flatten(value) if isinstance(one, self._keras.KerasTensor)]

    def _node_call(self, node: Any, texts: Mapping[int, str]) -> str:
        """Write the call of a layer or an operation on tensors."""
        one, (given, named) = node.operation, self._given(node)
        if type(one).__name__ == "GetItem":
            self._name(one)
            return f"{self._value_of_call(given[0], texts)}[{self._index(given[1])}]"
        args = [self._value_of_call(value, texts) for value in given]
        kwargs = {key: _Code(self._value_of_call(value, texts)) for key, value in named.items()}
        if isinstance(one, nn.Module):
            return f"{self._layer(one)}{format_call('', args, kwargs)}"
        kind = type(one).__name__
        self._name(one)  # it is counted
        if kind in _SIGNS and len(args) == 2 and not kwargs:
            return f"{args[0]} {_SIGNS[kind]} {args[1]}"
        from keras.src.utils.naming import to_snake_case

        name = to_snake_case(kind)
        if not hasattr(self._keras.ops, name):
            raise Unwritable(f"the operation {kind} in it is none of keras.ops")
        settings, own = one.get_config(), inspect.signature(type(one).__init__).parameters
        for key, parameter in [*own.items()][1:]:
            if key in settings and key not in ("name", "dtype") and settings[key] != parameter.default:
                kwargs.setdefault(key, _Code(self._value(settings[key], getattr(one, key, None))))
        self._sources.imports.add("import keras")
        return format_call(f"keras.ops.{name}", args, kwargs)

    def _value_of_call(self, value: Any, texts: Mapping[int, str]) -> str:
        """Write what a layer is called with."""
        if isinstance(value, self._keras.KerasTensor):
            if id(value) not in texts:
                raise Unwritable("it uses a tensor of another model")
            return texts[id(value)]
        if isinstance(value, (list, tuple)):
            inner = ", ".join(self._value_of_call(one, texts) for one in value)
            return f"[{inner}]" if isinstance(value, list) else f"({inner},)" if len(value) == 1 else f"({inner})"
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{k!r}: {self._value_of_call(v, texts)}" for k, v in value.items()) + "}"
        return self._value(value, None)

    def _index(self, index: Any) -> str:
        """Write what stands in brackets after a tensor."""
        parts = []
        for one in index if isinstance(index, tuple) else (index,):
            if isinstance(one, slice):
                ends = ["" if part is None else self._value(part, None) for part in (one.start, one.stop, one.step)]
                parts.append(":".join(ends if ends[2] else ends[:2]))
            else:
                parts.append("..." if one is Ellipsis else self._value(one, None))
        return ", ".join(parts)

    # What layers are made with

    def _arguments(self, one: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return what an object is made with, defaults left out."""
        kind, signature = type(one), inspect.signature(type(one).__init__).parameters
        try:
            config = _config_of(one)
        except NotImplementedError:
            return self._found_call(one)
        if isinstance(one, self._keras.Model) and kind.get_config is self._keras.Model.get_config:
            return self._found_call(one)  # what Keras says of its arguments by itself are the defaults
        plain = [p for p in [*signature.values()][1:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        needed = [p.name for p in plain if p.default is p.empty]
        if missing := [name for name in needed if name not in config]:
            raise Unwritable(f"{kind.__name__} does not say in get_config() what its {missing[0]} is")
        usual = self._usual(kind, config, needed, plain)
        passed: dict[str, Any] = {}
        anything = any(p.kind is p.VAR_KEYWORD for p in signature.values())
        for key, value in config.items():
            if key in ("name", "trainable", *_LEFT_OUT[3:]):
                continue
            if key == "dtype":
                if isinstance(one, nn.Module) and (said := self._dtype(value)) is not None:
                    passed[key] = said
            elif key in needed or (key in usual and not _same(value, usual[key])) or (
                key not in usual and anything and value is not None
            ):
                passed[key] = _Code(self._value(value, getattr(one, key, None)))
        first = [passed.pop(name) for name in needed if signature[name].kind is not inspect.Parameter.KEYWORD_ONLY]
        return first, passed

    def _usual(
        self, kind: Any, config: Mapping[str, Any], needed: Sequence[str], plain: Sequence[Any]
    ) -> dict[str, Any]:
        """Return the configuration of one made with what is needed."""
        defaults = {p.name: p.default for p in plain if p.default is not p.empty}
        try:
            with _new_names():
                made = kind.from_config({name: config[name] for name in needed})
                return {**defaults, **_config_of(made)}
        except Exception:  # noqa: BLE001 - a class of a person's own may want anything
            return defaults

    def _dtype(self, value: Any) -> str | None:
        name = value["config"]["name"] if isinstance(value, Mapping) else value
        return None if name in (None, self._keras.config.dtype_policy().name) else name

    def _found_call(self, one: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return arguments that one without a configuration may have been made with.

        They are those of a call in the person's cells, or its attributes of their names.
        """
        kind = type(one)
        found = [(args, {k: v for k, v in kwargs.items() if k != "name"})
                 for args, kwargs in find_calls(kind, read_texts(kind))]  # fmt: skip
        plain = [p for p in [*inspect.signature(kind.__init__).parameters.values()][1:]
                 if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "name"]  # fmt: skip
        held = {p.name: vars(one)[p.name] for p in plain if is_plain(vars(one).get(p.name, one))}
        found.append(([], {p.name: held[p.name] for p in plain if p.name in held and held[p.name] != p.default}))
        found += [([], made) for made in itertools.islice(guess_arguments(one), _GUESSES)]
        needed = {p.name for p in plain if p.default is p.empty}
        found = [(args, kwargs) for args, kwargs in found if len(args) + len(needed & {*kwargs}) >= len(needed)]
        if not found:
            raise Unwritable(f"the arguments that {kind.__name__} was made with are not known: give it a get_config()")
        self.most = max(self.most, len(found))
        args, kwargs = found[min(self._number, len(found) - 1)]
        return [*args], kwargs

    def _value(self, value: Any, there: Any) -> str:
        """Write a configuration's value; `there`: what the layer has of it."""
        if isinstance(there, nn.Module) and isinstance(value, Mapping):
            return self._layer(there)
        if isinstance(value, Mapping) and "class_name" in value and "config" in value:
            return self._object(value, there)
        if isinstance(value, (list, tuple)):
            held = there if isinstance(there, (list, tuple)) and len(there) == len(value) else [None] * len(value)
            inner = ", ".join(map(self._value, value, held))
            return f"[{inner}]" if isinstance(value, list) else f"({inner},)" if len(value) == 1 else f"({inner})"
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{key!r}: {self._value(one, None)}" for key, one in value.items()) + "}"
        if isinstance(value, float) and value == 1 / 255:
            return "1 / 255"
        if inspect.isfunction(value):
            return self._sources.use_function(value)
        if (text := format_literal(value)) is None:
            raise Unwritable(f"a value of type {type(value).__name__} in it cannot be written")
        return text

    def _object(self, config: Mapping[str, Any], there: Any) -> str:
        """Write an object that Keras has put in a configuration."""
        if config["class_name"] == "DTypePolicy":
            return repr(config["config"]["name"])
        if inspect.isfunction(there):
            return self._sources.use_function(there)
        if config["class_name"] in ("__lambda__", "function"):
            raise Unwritable("a function in it has no source that can be written out")
        if there is None or inspect.isclass(there):
            there = self._keras.saving.deserialize_keras_object(dict(config))
        if isinstance(there, nn.Module):
            return self._layer(there)
        if isinstance(there, (dict, str, int, float)):
            raise Unwritable(f"a {config['class_name']} in it cannot be written")
        # A name that Keras reads as this one, as "he_normal".
        for space in ("initializers", "regularizers", "constraints"):
            with contextlib.suppress(Exception):
                from keras.src.utils.naming import to_snake_case

                short = to_snake_case(type(there).__name__)
                other = getattr(self._keras, space).get(short)
                if type(other) is type(there) and other.get_config() == there.get_config():
                    return repr(short)
        return self._call(there, *self._arguments(there))

    def _fresh(self, name: str) -> str:
        """Return a variable's name that is not taken."""
        name = re.sub(r"\W", "_", name) if not name[:1].isdigit() else f"layer_{re.sub(r'[^0-9a-zA-Z_]', '_', name)}"
        name = name.lstrip("_") or "layer"
        if keyword.iskeyword(name):
            name += "_"
        base, number = name, 0
        while name in self._taken or name in ("x", "inputs", "outputs"):
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping) and "class_name" in one:
        return not _first_difference(one, other)
    try:
        return bool(one == other) or one in ([other], {}) and (other is None) is (one == {})
    except (TypeError, ValueError):
        return False
