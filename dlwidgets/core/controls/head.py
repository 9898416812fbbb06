"""A head for other classes, as a control: layers exchanged."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn

from ..base.ledger import Entry
from ..base.numbers import read_count, read_integer
from ..base.state import Reference, dereference, read_attributes, write_attributes
from ..base.words import pluralize, quote_error, quote_names
from ..data.losses import change_loss
from ..data.task import TASKS, Task
from ..layers.foreign import follow_parameters
from ..layers.framework import framework_of
from ..layers.head import (
    NewOutput,
    ask_model,
    drawn_from,
    own_method,
    plan_outputs,
    read_new_classes,
    replace_outputs,
)
from ..layers.structure import Structure, expression_of
from ..layers.walk import uncompiled
from .control import Control, Unwritable, Writer
from .parameter_groups import find_group, groups_by_id, prepare_join, remove_parameter
from .patterns import FreezableParts


class NewHead(NamedTuple):
    """The head that was put in last.

    Attributes
    ----------
    classes, names : how many classes it has, and their names where given.
    layers : (path, outputs) of each layer made anew; empty: the model's own method made them.
    seed : of the new weights.
    times : how often a head was put into the run by then.
    """

    classes: int
    names: tuple[str, ...] | None
    layers: tuple[tuple[str, int], ...]
    seed: int
    times: int = 1


def exchange_parameters(before: dict, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Have the optimizer move what replaced parameters of before."""
    for name, parameter in model.named_parameters():
        old = before.get(name)
        if parameter is old:
            continue
        for group in optimizer.param_groups:
            if any(one is old for one in group["params"]):
                group["params"] = [one for one in group["params"] if one is not old] + [parameter]
                optimizer.state.pop(old, None)
                if isinstance(optimizer, torch.optim.Adagrad):  # makes its state in the beginning only
                    first = group["initial_accumulator_value"]
                    fresh = torch.optim.Adagrad([parameter], initial_accumulator_value=first)
                    optimizer.state[parameter] = fresh.state[parameter]


class HeadWriter(Writer):
    """Writes the layers that are exchanged, and has the optimizer follow."""

    def begin(self) -> None:
        script = self.script
        if not script.changed("head"):
            return
        if script.loop.objective.companions.optimizers:
            raise Unwritable("a head was exchanged that training_step= may move by an optimizer of its own")
        if framework_of(script.model).train_flag != "requires_grad":
            raise Unwritable("the head of a Keras model was exchanged in the run, and not before it")
        control: Any = next(one for one in script.controls if one.name == "head")
        if control.by_hand:
            raise Unwritable("a head was exchanged that had been frozen by hand, of which the ledger knows nothing")
        script.sources.imports |= {"import torch", "from torch import nn"}
        script.definitions.append(inspect.getsource(exchange_parameters).rstrip())

    def change(self, entry: Entry) -> list[str]:
        script, model, wish = self.script, uncompiled(self.script.model), _as_head(entry.asked)
        control: Any = next(one for one in script.controls if one.name == "head")
        whole = "model" if model is script.model else "model._orig_mod"
        if wish.layers:
            made = [
                _assign(model, path, whole, script.expression(module)) for path, module in control.made_for(wish)
            ]
            for path, name, value in control.noted.get(wish, ()):
                made.append(f"{expression_of(script.model, path)}.{name} = {value!r}")
        else:
            made = [f"{whole}.{own_method(model)}({wish.classes})"]
        lines = [
            f"# {entry.note}" if len(entry.note) < 90 else f"# a head for {pluralize(wish.classes, 'class')}",
            "before = dict(model.named_parameters())",
            "with torch.random.fork_rng(devices=[]):",
            f"    torch.manual_seed({wish.seed})",
            *(f"    {line}" for line in made),
            *([f"model{script.to_device}"] if script.to_device else []),
            "exchange_parameters(before, model, optimizer)",
        ]
        lines += self._follow(wish, model)
        lines += script.writers["normalise"].anew(self._at("normalise", entry))
        if self._at("ema", entry) is not None:
            several = [path for path, _ in wish.layers]
            if not several:
                raise Unwritable("the model made a head itself while its weights were averaged")
            script.sources.imports.add("import copy")
            for path in several:
                there = expression_of(model, path, "averaged.module")
                here = expression_of(model, path, whole)
                lines += ["if averaged is not None:", f"    {there} = copy.deepcopy({here})"]
        return ["\n".join(lines)]  # as one: it is made at once, before the next batch

    def _at(self, name: str, entry: Entry) -> Any:
        """Return what another control had in force when a change was made."""
        before = self.script.changes[: self.script.changes.index(entry)]
        return [self.script.origin.settings.get(name), *(one.applied for one in before if one.name == name)][-1]

    def _follow(self, wish: NewHead, model: nn.Module) -> list[str]:
        """Have the shadow of the optimizer follow; return what freezes."""
        optimizer, names = self.script.movement.optimizer, dict(self.script.model.named_parameters())
        paths = [path for path, _ in wish.layers]
        new = [name for name in names if not paths or any(f".{name}".rpartition(f".{p}.")[1] for p in paths)]
        held = groups_by_id(optimizer)
        for name in new:
            if (group := held.get(id(names[name]))) is not None:
                members = optimizer.param_groups[group]["params"]
                members[:] = [*(one for one in members if one is not names[name]), names[name]]
        frozen = self.script.writers["trainable"].frozen_names()
        return [f"{expression_of(self.script.model, name)}.requires_grad_(False)" for name in new if name in frozen]


def _assign(model: nn.Module, path: str, whole: str, made: str) -> str:
    """Write that a layer is put at a path."""
    text = expression_of(model, path, whole)
    if not text.startswith("getattr("):
        return f"{text} = {made}"
    above, _, name = path.rpartition(".")
    return f"setattr({expression_of(model, above, whole)}, {name!r}, {made})"


def _as_head(value: Any) -> NewHead:
    classes, names, layers, seed, times = value
    names = None if names is None else tuple(names)
    return NewHead(int(classes), names, tuple((str(path), int(n)) for path, n in layers), int(seed), int(times))


class Head(Control):
    """The last new head: (classes, names, layers, seed, times), or None."""

    name = "head"
    aliases = ("new_head", "replace_head", "reset_classifier", "num_classes", "n_classes", "num_labels")
    at_rest = True
    shapes_model = True
    touches = ("trainable", "lr", "lr_scale", "label_smoothing", "normalise")
    writer = HeadWriter
    last: NewHead | None = None
    #: Whether a layer was exchanged that had been frozen by hand.
    by_hand = False

    def __init__(self, steering: Any = None) -> None:
        #: The places of the model where another module or parameter was put.
        self._places: dict[tuple[int, str, str], _Place] = {}
        #: Wish -> (path, attribute, value) of what the model noted of its classes.
        self.noted: dict[NewHead, list[tuple[str, str, Any]]] = {}
        super().__init__(steering)

    def read(self, value: Any) -> NewHead | None:
        if value is None:
            return self.last
        if isinstance(value, (tuple, list)) and len(value) == 5 and read_count(value[4]) is not None:
            wish = _as_head(value)
            self._plan(wish)
            return wish
        seed, layer = None, None
        if isinstance(value, Mapping) and "classes" in value:
            seed, layer, value = value.get("seed"), value.get("layer"), value["classes"]
        count, names = read_new_classes(value)
        if seed is not None and read_integer(seed) is None:
            raise ValueError(f"seed={seed!r}: a whole number is wanted, or None.")
        times = 1 + (self.last.times if self.last else 0)
        seed = self.steering.seed + times if seed is None else read_integer(seed)
        model = uncompiled(self.loop.model)
        plan = [] if layer is None and own_method(model) else plan_outputs(model, count, layer)
        if odd := [one.path for one in plan if not framework_of(one.layer).keeps_activation(one.layer, one.outputs)]:
            raise ValueError(
                f"{odd[0]!r} would need another activation for {pluralize(count, 'class')}: make the model first, by "
                f"dlw.with_head(model, {count}), and a session of that."
            )
        if any(one.layer is model for one in plan):
            raise ValueError("The model is the one layer itself: make another, as nn.Linear(16, 3).")
        return NewHead(count, names, tuple((one.path, one.outputs) for one in plan), seed, times)  # type: ignore[arg-type]

    def _plan(self, wish: NewHead) -> list[NewOutput]:
        """Return the layers that a wish makes anew, where they stand now."""
        model, task = uncompiled(self.loop.model), self.loop.objective.task
        found = []
        for path, outputs in wish.layers:
            one = plan_outputs(model, wish.classes, path)[0]
            before = task.outputs if one.before != task.outputs and len({n for _, n in wish.layers}) > 1 else one.before
            found.append(replace(one, outputs=outputs, before=before))
        return found

    def now(self) -> NewHead | None:
        return self.last

    def put(self, value: NewHead | None) -> str | None:
        if value is None or value == self.last:
            return None
        loop, value = self.loop, _as_head(value)
        before = dict(loop.model.named_parameters())
        frozen = [not loop.freezing.trains_by_default(one) for one in before.values()]
        held = _held_by(loop.model)
        numbers = {path: read_attributes(module) for path, (module, *_) in held.items()}
        with _restored_on_error(loop.model):
            self._make(value)
            task = self._try_task(value)
            joins = self._joins(before)
        exchanged = self._note_exchanged(held)
        self.noted[value] = [
            (path, name, number) for path, (module, *_) in held.items()
            for name, number in read_attributes(module).items() if numbers[path].get(name) != number
        ]  # fmt: skip
        gone = [name for name, one in before.items() if not self._is_there(one)]
        self.by_hand = self.by_hand or any(no for no, name in zip(frozen, before) if name in gone)
        for join in joins:
            join()
        for name in gone:
            remove_parameter(loop.optimizer, before[name])
        self.last = value
        self._go_on(task)
        if loop.patience.rule is not None:
            loop.patience.forget(loop.patience.rule.metric)
        self._tell_thresholds(value.classes)
        exchanged = [path for path, _ in value.layers] or exchanged
        size = sum(one.numel() for name, one in loop.model.named_parameters() if name not in before or name in gone)
        what = f"{quote_names(exchanged, 3)} for {pluralize(value.classes, 'class')}"
        return f"{what}: {pluralize(size, 'new parameter')}"

    def _make(self, wish: NewHead) -> None:
        model = uncompiled(self.loop.model)
        with drawn_from(wish.seed):
            if not wish.layers:
                if ask_model(model, wish.classes) is not model:
                    raise ValueError(f"{own_method(model)}() returns another model: make a session with that")
            else:
                replace_outputs(model, self._plan(wish), wish.names)

    def _try_task(self, wish: NewHead) -> Task:
        """Return the task with new classes that the data fit."""
        objective, old = self.loop.objective, self.loop.objective.task
        alike = wish.names is None and wish.classes in (old.outputs, len(old.classes or ()))
        names = old.classes if alike else wish.names
        if old.name == "detection":
            _check_boxes((self.steering.valid_targets, self.steering.train_targets), wish.classes)
        if objective.given or old.name not in TASKS:
            return replace(old, classes=names, outputs=None if old.outputs is None else wish.classes)
        inputs, targets = objective.tried
        output = self.loop.forward(inputs)
        output = output.cpu() if isinstance(output, torch.Tensor) else output
        found = old
        for part in (self.steering.valid_targets, targets):
            if isinstance(part, torch.Tensor):
                found = change_loss(replace(old, classes=names), old.loss, part, output, False)
        return found

    def _joins(self, before: Mapping[str, nn.Parameter]) -> list[Any]:
        """Return what joins new parameters to the old ones' groups."""
        loop = self.loop
        names, held = dict(loop.model.named_parameters()), groups_by_id(loop.optimizer)
        parts = FreezableParts(loop.model)
        said = parts.train_flags(loop.freezing.choice)
        flags = {id(tensor): flag for tensor, flag in zip(parts.tensors, said)}
        joins = []
        for name, tensor in names.items():
            old = before.get(name)
            if tensor is old:
                continue
            group = None if old is None else held.get(id(old))
            if group is None and flags.get(id(tensor)) is False:
                continue
            group = find_group(name, tensor, names, loop.optimizer) if group is None else group
            joins.append(prepare_join(loop.optimizer, group, name, tensor))
        return joins

    def _note_exchanged(self, held: Mapping[str, tuple[nn.Module, dict, dict]]) -> list[str]:
        """Note what was put in since; return the names of that."""
        found = []
        for path, (module, *were) in held.items():
            for kind, before in zip(_KINDS, were):
                now = getattr(module, kind)
                for key in dict.fromkeys((*before, *now)):
                    if now.get(key) is not before.get(key):
                        place = _Place(module, kind, key, path, [before.get(key)])
                        place = self._places.setdefault((id(module), kind, key), place)
                        place.stood.append(now.get(key))
                        found.append(place.name)
        return found

    def _is_there(self, parameter: nn.Parameter) -> bool:
        return any(one is parameter for one in self.loop.model.parameters())

    def _go_on(self, task: Task) -> None:
        """Have the loop go on with a task and the model now."""
        loop = self.loop
        smoothing = loop.objective.smoothing.wish
        loop.objective.change_task(task)
        if smoothing is not None:
            loop.objective.smoothing.put(smoothing)
        loop.refresh()
        if loop.watch.on:
            loop.watch.switch(loop.model, True)

    def _tell_thresholds(self, count: int) -> None:
        now = self.steering.wish("thresholds")
        if isinstance(now, (list, tuple)) and len(now) != count:
            self.steering.adopted["thresholds"] = self.steering["thresholds"].read(None)

    def state(self) -> Any:
        task = self.loop.objective.task
        return {
            "head": None if self.last is None else tuple(self.last), "standing": Reference(self._standing()),
            "outputs": task.outputs, "classes": task.classes, "by_hand": self.by_hand,
            "labels": dict(_labels_of(self.loop.model)),
            "noted": [[tuple(wish), list(those)] for wish, those in self.noted.items()],
        }  # fmt: skip

    def install(self, state: Any) -> str | None:
        """Put back the layers, before weights and optimizer are restored."""
        standing = dereference(state["standing"])
        wish = None if state["head"] is None else _as_head(state["head"])
        if standing is None and wish != self.last and wish is not None:
            held = _held_by(self.loop.model)
            with _restored_on_error(self.loop.model):
                self._make(wish)
            self._note_exchanged(held)
        elif standing is not None:
            for key, place in self._places.items():
                place.put(standing.get(key, place.stood[0]))
            follow_parameters(self.loop.model)
        self.last, self.by_hand = wish, state["by_hand"]
        _write_labels(self.loop.model, state["labels"])
        self.noted |= {_as_head(wish): list(map(tuple, those)) for wish, those in state["noted"]}
        task = self.loop.objective.task
        names = state["classes"] if state["classes"] is None else tuple(state["classes"])
        if (task.outputs, task.classes) != (state["outputs"], names):
            self._go_on(replace(task, outputs=state["outputs"], classes=names))
        return None

    def _standing(self) -> dict[tuple[int, str, str], Any]:
        return {key: place.now for key, place in self._places.items()}

    @contextmanager
    def as_at(self, began: Structure) -> Iterator[None]:
        """Have the layers and numbers inside with which a run began."""
        model, now = self.loop.model, self._standing()
        shapes = {name: shape for name, shape, *_ in began.tensors}
        numbers = {path: read_attributes(module) for path, module in model.named_modules()}
        try:
            for place in self._places.values():
                place.put(next((one for one in place.stood if place.fits(one, shapes)), place.now))
            follow_parameters(model)
            modules = dict(model.named_modules()) if self._places else {}
            for path, _, attributes in began.modules:
                if path in modules:
                    write_attributes(modules[path], dict(attributes))
            yield
        finally:
            for key, place in self._places.items():
                place.put(now[key])
            follow_parameters(model)
            for path, module in model.named_modules():
                write_attributes(module, numbers.get(path, {}))

    def made_for(self, wish: NewHead) -> list[tuple[str, nn.Module]]:
        """Return path and module of each layer that a wish makes."""
        found = []
        for path, outputs in wish.layers:
            names = (path, f"_orig_mod.{path}")
            stood = [one for place in self._places.values() if place.name in names for one in place.stood]
            module = next((one for one in stood if _outputs_of(one) == outputs), None)
            if module is None:
                raise Unwritable(f"the layer {path!r} of the head is not there any more")
            found.append((path, module))
        return found


#: Where a module holds what can be exchanged.
_KINDS = ("_modules", "_parameters")


class _Place(NamedTuple):
    """A place in a module, and what stood there, in order."""

    owner: nn.Module
    kind: str
    key: str
    path: str
    stood: list[Any]

    @property
    def name(self) -> str:
        return f"{self.path}.{self.key}" if self.path else self.key

    @property
    def now(self) -> Any:
        return getattr(self.owner, self.kind).get(self.key)

    def put(self, value: Any) -> None:
        held = getattr(self.owner, self.kind)
        if value is None and self.stood[0] is None:
            held.pop(self.key, None)
        else:
            held[self.key] = value

    def fits(self, value: Any, shapes: Mapping[str, Any]) -> bool:
        """Say whether the tensors of what stood here have these shapes."""
        if isinstance(value, nn.Module):
            return all(shapes.get(f"{self.name}.{name}") == one.shape for name, one in value.named_parameters())
        return shapes.get(self.name) == getattr(value, "shape", None)


def _held_by(model: nn.Module) -> dict[str, tuple[nn.Module, dict, dict]]:
    """Return path -> module, what it holds of modules, and of parameters."""
    return {path: (one, dict(one._modules), dict(one._parameters)) for path, one in model.named_modules()}


def _check_boxes(parts: Iterable[Any], count: int) -> None:
    """Raise ValueError where a box has a label that is no class."""
    targets = [target for part in parts if isinstance(part, (list, tuple)) for target in part]
    labels = [int(one) for target in targets for one in torch.as_tensor(target["labels"]).flatten()]
    if labels and max(labels) >= count:
        raise ValueError(
            f"The targets hold the label {max(labels)}, and of {pluralize(count, 'class')} labels go from 0 to "
            f"{count - 1}: session.new_head({max(labels) + 1}) has room for it"
        )


def _outputs_of(module: nn.Module) -> int | None:
    return getattr(module, "out_features", getattr(module, "out_channels", None))


def _labels_of(model: nn.Module) -> Mapping[int, str]:
    """Return the names of classes in a transformers config."""
    return getattr(getattr(uncompiled(model), "config", None), "id2label", None) or {}


def _write_labels(model: nn.Module, labels: Mapping[int, str]) -> None:
    if labels and _labels_of(model) != labels:
        config: Any = uncompiled(model).config
        config.id2label, config.label2id = dict(labels), {name: number for number, name in labels.items()}


@contextmanager
def _restored_on_error(model: nn.Module) -> Iterator[None]:
    """Restore a model's modules and what it notes where something fails inside.

    Raises ValueError: why, in a clause.
    """
    kept, numbers = _held_by(model), [(one, read_attributes(one)) for one in model.modules()]
    labels = _labels_of(model)
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a model's own method may raise anything
        for module, *held in kept.values():
            for kind, before in zip(_KINDS, held):
                now = getattr(module, kind)
                if [*map(id, now.values())] != [*map(id, before.values())]:
                    now.clear()
                    now.update(before)
        follow_parameters(model)
        for module, own in numbers:
            write_attributes(module, own)
        _write_labels(model, labels)
        said = quote_error(error).replace("dlw.with_head(model, ", "session.new_head(")
        raise ValueError(said.rstrip(".")) from None
