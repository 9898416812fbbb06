"""The optimizer, as a control: read, made, or exchanged."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..base.words import did_you_mean, quote_error, refuse_texts
from ..layers.framework import framework_of
from .control import Control, Panel, PanelRow
from .optimizer_number import MovementWriter, name_in_wish
from .parameter_groups import GroupValue, groups_by_id

#: A wish in one form: what is a name of torch.optim, a class, a factory `parameters -> Optimizer` or an
#: optimizer; options are keywords of the class.
Wish = tuple[Any, dict[str, Any]]

#: Settings that are controls of their own, or say how it is computed, not what.
_APART = ("lr", "weight_decay", "foreach", "fused", "capturable", "differentiable", "params", "param_names")
_LBFGS = (
    "LBFGS evaluates the loss several times a step, which is not supported: "
    'take another optimizer, such as "adamw".'
)
#: Optimizers by name; one that is in force and not among them is offered as well.
_OFFERED = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam")


def read_optimizer(value: Any, model: nn.Module) -> Wish:
    """Return a wish for an optimizer in one form.

    Parameters
    ----------
    value : a name of torch.optim in any case, a class, a factory `parameters -> Optimizer`, an optimizer over
        parameters of the model, or a name or class with options, as ("sgd", {"momentum": 0.9}).

    Raises
    ------
    ValueError, TypeError : one sentence on what is wrong.
    """
    what, options = value, dict[str, Any]()
    if isinstance(value, (tuple, list)):
        if len(value) != 2 or not isinstance(value[1], dict):
            raise ValueError(f'optimizer={value!r}: a pair is wanted, as ("sgd", {{"momentum": 0.9}}).')
        what, options = value[0], dict(value[1])
    kind = _find_class(what) if isinstance(what, str) else what
    if isinstance(kind, type) and issubclass(kind, Optimizer):
        if issubclass(kind, torch.optim.LBFGS):
            raise ValueError(_LBFGS)
        known = [name for name in default_settings(kind) if name != "params"]
        for name in options:
            if name not in known and not _takes_any(kind):
                hint = did_you_mean(name, known, f" There are: {', '.join(known)}.")
                raise ValueError(f"optimizer: {kind.__name__} has no option {name!r}.{hint}")
        refuse_texts(options, default_settings(kind), f"optimizer {kind.__name__}")
        torchs_own = vars(torch.optim).get(kind.__name__) is kind
        try:
            # Any optimizer takes a matrix, Muon alone nothing else.
            kind([nn.Parameter(torch.zeros(1, 1))], **options)
        except Exception as error:  # noqa: BLE001 - a class of a person's own may want anything
            if options and torchs_own:
                said = f"optimizer=({kind.__name__!r}, {options!r}): {quote_error(error)}"
                raise ValueError(said) from None
        return (kind.__name__ if torchs_own else kind), options
    if options:
        raise ValueError("Options go with the name or the class of an optimizer; a factory sets its own.")
    if isinstance(what, Optimizer) or not callable(what):
        _take(what, list(model.parameters()))
    return what, {}


def make_replacement(
    wish: Wish, model: nn.Module, now: Optimizer, weight_decay: float | None = None,
    beside: Sequence[nn.Parameter] = (),
) -> tuple[Optimizer, float | None]:
    """Return an optimizer to take the place of `now`, at its rate.

    With it comes the rate that the wish names; None: the rate of before stays. A class gets the parameter
    groups of `now`, with their rates and, beside one another, their shares of the weight decay. A factory
    makes its own groups, whose proportions stay.

    Parameters
    ----------
    weight_decay : what a person asked for; it holds for the new one as well, unless that names its own.
    """
    what, options = wish
    kind = vars(torch.optim)[what] if isinstance(what, str) else what
    rate = GroupValue(now, "lr").value
    if isinstance(kind, type) and issubclass(kind, Optimizer):
        if kind is torch.optim.SparseAdam:
            layers = [module for module in model.modules() if getattr(module, "sparse", False)]
            sparse = {id(p) for layer in layers for p in layer.parameters(recurse=False)}
            if any(p.requires_grad and id(p) not in sparse for p in model.parameters()):
                raise ValueError("SparseAdam moves sparse gradients alone, as of nn.Embedding(sparse=True)")
        options = dict(options)
        lr = options.pop("lr", None)
        if weight_decay is not None and "weight_decay" in inspect.signature(kind).parameters:
            options.setdefault("weight_decay", weight_decay)
        if (first := lr if rate is None else rate) is not None:
            options["lr"] = first
        made = kind(_groups(kind, options, now), **options)
    else:
        made = what if what is now else _take(what, [*model.parameters(), *beside])
        if made is now:
            return now, None
        lr, decay = _own_setting(made, "lr"), _own_setting(made, "weight_decay")
        if weight_decay is not None and "weight_decay" in made.defaults and decay is None:
            GroupValue(made, "weight_decay").set(weight_decay)
        own_rate = GroupValue(made, "lr")
        if rate is not None and own_rate.value is not None:
            own_rate.set(rate)
    return made, None if lr is None else float(lr)


def describe_optimizer(optimizer: Optimizer, instead: Mapping[str, Any] | None = None) -> Wish:
    """Return an optimizer's name and settings other than defaults, rate, decay.

    `instead` has settings that stand for those in the optimizer, as where a schedule cycles them.
    """
    kind, group = type(optimizer), {**optimizer.param_groups[0], **(instead or {})}
    name = kind.__name__ if vars(torch.optim).get(kind.__name__) is kind else kind
    return name, {
        key: group[key] for key, value in default_settings(kind).items()
        if key in group and key not in _APART and not _same(group[key], value)
    }  # fmt: skip


def is_as_wished(wish: Wish, optimizer: Optimizer) -> bool:
    """Say whether an optimizer is what a wish asks for."""
    kind = vars(torch.optim)[wish[0]] if isinstance(wish[0], str) else wish[0]
    if type(optimizer) is not kind:
        return False
    usual, settings = {**default_settings(kind), **describe_optimizer(optimizer)[1]}, wish[1]
    group = optimizer.param_groups[0]
    apart = {name: group[name] for name in ("lr", "weight_decay") if name in settings}
    wanted = {**default_settings(kind), **{name: one for name, one in settings.items() if name not in apart}}
    return _same(wanted, usual) and all(_same(group[name], settings[name]) for name in apart)


def make_optimizer(
    wanted: Any, model: nn.Module, lr: float | None = None, weight_decay: float | None = None,
    frozen: bool = False, beside: Sequence[nn.Parameter] = (),
) -> Optimizer:  # fmt: skip
    """Return an optimizer over the model's parameters, and those `beside`.

    Parameters
    ----------
    wanted : as for `read_optimizer`; an optimizer that was already made is used as it is.
    lr : the learning rate; None: 1e-3 for a name or a class, else what the optimizer was made with.
    weight_decay : None: what the class has by default, or the optimizer was made with.
    frozen : whether all parameters may be frozen by now, since some are to be unfrozen.

    Raises
    ------
    ValueError, TypeError : one sentence on what is wrong.
    """
    own, name = list(model.parameters()), type(model).__name__
    if not own:
        raise ValueError(f"The model {name} has no parameters: there is nothing to train.")
    if not frozen and not any(p.requires_grad for p in own):
        flag = framework_of(model).train_flag
        raise ValueError(f"All parameters of {name} are frozen ({flag} is False): there is nothing to train.")
    options: dict[str, Any] = {}
    if isinstance(wanted, (tuple, list)):
        wanted, options = read_optimizer(wanted, model)
    if isinstance(wanted, str):
        wanted = _find_class(wanted)
    if isinstance(wanted, type) and issubclass(wanted, Optimizer):
        if issubclass(wanted, torch.optim.LBFGS):
            raise ValueError(_LBFGS)
        given = {"lr": lr, "weight_decay": weight_decay}
        options = {"lr": 1e-3, **options, **{key: value for key, value in given.items() if value is not None}}
        taken = inspect.signature(wanted).parameters
        for key in given:
            if key in options and key not in taken and not _takes_any(wanted):
                known = ", ".join(list(taken)[1:])
                takes = f"{wanted.__name__} does not take {key}=; its options are {known}."
                raise TypeError(f"optimizer: {takes}")
        try:
            return wanted([*own, *beside], **options)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{wanted.__name__} cannot be had: {quote_error(error)}") from None
    made = _take(wanted, [*own, *beside])
    for key, value in (("lr", lr), ("weight_decay", weight_decay)):
        if value is not None:
            if key not in made.defaults:
                raise ValueError(f"{type(made).__name__} has no {key}: leave {key}= out.")
            GroupValue(made, key).set(value)
    return made


def _takes_any(kind: type[Optimizer]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(kind).parameters.values())


def _take(wanted: Any, own: list[nn.Parameter]) -> Optimizer:
    """Return an optimizer, made already or by a factory, once checked."""
    if not isinstance(wanted, Optimizer) and not callable(wanted):
        raise TypeError(
            f'optimizer={wanted!r}: pass a name such as "adamw", a class of torch.optim, or a factory.'
        )
    if isinstance(wanted, type):
        why = "is no optimizer: pass a class such as torch.optim.AdamW."
        raise TypeError(f"optimizer={wanted.__name__} {why}")
    try:
        made = wanted if isinstance(wanted, Optimizer) else wanted(own)
    except TypeError as error:
        said = f"optimizer= is called with the parameters, and fails: {quote_error(error)}"
        raise TypeError(said) from error
    if not isinstance(made, Optimizer):
        kind = type(made).__name__
        raise TypeError(f"The optimizer= factory returned {kind}, not a torch.optim.Optimizer.")
    if not groups_by_id(made).keys() & set(map(id, own)):
        raise ValueError(
            "The optimizer was made for other parameters: make it from this model's parameters()."
        )
    if isinstance(made, torch.optim.LBFGS):
        raise ValueError(_LBFGS)
    return made


def _find_class(name: str) -> type[Optimizer]:
    classes = {
        key.lower(): value for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
    }  # fmt: skip
    chosen = classes.get(name.lower().replace("_", ""))
    if chosen is None:
        hint = did_you_mean(name.lower(), classes, f" There are: {', '.join(sorted(classes))}.")
        raise ValueError(f"optimizer={name!r} is not in torch.optim.{hint}")
    return chosen


def default_settings(kind: type[Optimizer]) -> dict[str, Any]:
    """Return the keywords of a class of optimizers, with their defaults."""
    taken = list(inspect.signature(kind).parameters.values())[1:]
    return {p.name: p.default for p in taken if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def _same(one: Any, other: Any) -> bool:
    one = one.tolist() if isinstance(one, torch.Tensor) else one
    return bool(one == other)


def _own_setting(made: Optimizer, name: str) -> Any:
    """Return an optimizer's own setting; None for its class's default."""
    value = made.defaults.get(name)
    return None if value is None or _same(value, default_settings(type(made)).get(name)) else value


def _groups(kind: type[Optimizer], options: dict[str, Any], now: Optimizer) -> list[Any]:
    """Return parameter groups for another class of optimizer."""
    if len(now.param_groups) == 1:
        return list(now.param_groups[0]["params"])
    decays = GroupValue(now, "weight_decay")
    usual = options.get("weight_decay", default_settings(kind).get("weight_decay"))
    groups = []
    for group in now.param_groups:
        made: dict[str, Any] = {"params": list(group["params"])}
        if "lr" in group:
            made["lr"] = float(group["lr"])
        if usual is not None and decays.value:
            made["weight_decay"] = usual * (float(group["weight_decay"]) / decays.value)
        groups.append(made)
    return groups


def _choose(panel: Panel, word: Any) -> Any:
    now = panel.shown("optimizer")
    return now if now and word == name_in_wish(now) else (word, {})


class OptimizerControl(Control):
    """What moves the weights; a new one begins with empty state."""

    name = "optimizer"
    default = ("AdamW", {})
    aliases = ("optim", "opt")
    touches = ("lr", "schedule", "momentum", "betas", "weight_decay")
    writer = MovementWriter
    rows = (
        PanelRow(
            "optimizer", "Kind", "choice", name_in_wish, _choose,
            choices=lambda panel: [*dict.fromkeys((*_OFFERED, name_in_wish(panel.shown("optimizer"))))],
            hint="A new optimizer begins with empty state, at the rate in force",
        ),
    )  # fmt: skip

    def read(self, value: Any) -> Wish:
        return read_optimizer(value, self.loop.model)

    def now(self) -> Wish:
        return describe_optimizer(self.loop.optimizer, self.loop.rate.original_settings)

    def put(self, value: Wish) -> str | None:
        loop = self.loop
        loop.rate.groups.merge()  # the factors are laid over another one as well
        try:
            return self._exchange(value)
        finally:
            loop.rate_factors.settle(loop.rate.groups)

    def _exchange(self, value: Wish) -> str | None:
        loop, steering = self.loop, self.steering
        old, before = loop.optimizer, loop.rate.value
        if is_as_wished(value, old):
            return None
        try:
            asked = steering["weight_decay"].asked  # type: ignore[attr-defined]
            made, lr = make_replacement(value, loop.model, old, asked, loop.loss_parameters())
            if made is old:
                return None
            if loop.rate.plan is not None and GroupValue(made, "lr").value is None:
                kind = type(made).__name__
                raise ValueError(f"{kind} has no learning rate, and there is a schedule for one")
            loop.freezing.put(loop.freezing.choice, made)
        except Exception as error:  # noqa: BLE001 - a factory may raise anything
            raise ValueError(quote_error(error).rstrip(".")) from None
        loop.swap(made)
        steering.optimizer_changed()
        brought = made is value[0] and made.state
        said = "with the state that it came with" if brought else "its state starts anew"
        names = ["weight_decay", "momentum", "betas"]
        if lr is not None and lr != before:
            said += f"; lr {'none' if before is None else f'{before:g}'} → {lr:g}"
            said += f"; {more}" if (more := steering["lr"].put(lr)) else ""
            names.append("lr")
        elif before is not None and loop.rate.value is not None:
            said += f"; lr stays {before:g}"
        steering.adopted |= {name: steering[name].wish() for name in names}
        return said

    @classmethod
    def headline(cls, panel: Panel) -> str:
        return f"{name_in_wish(panel.shown('optimizer'))}"
