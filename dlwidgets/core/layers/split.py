"""Backbone and head of a model: a proposal, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd

from ..base.words import quote_names
from .framework import acts_as, adopt
from .summary import Summary, summary
from .walk import HOLDERS, kind_of, module_at, uncompiled

#: What people call heads, what is a part of the head where a backbone is named beside it, and backbones.
_HEAD = re.compile(
    r"^(?!conv)(\w*_)?(heads?|classifiers?|predictors?|regressors?|scores?|outputs?|out|readout|(to_)?logits)_?\d*$"
    r"|logits$|^aux_?\w*$|^(fc|fcs|linear|lin|dense)_?\d*$|^(last|final)_\w+$|^(cls|class|bbox|box)_(score|pred|embed)$"
)
_HEAD_BESIDE = re.compile(r"^(neck|rpn|fpn|decoder)$")
_BACKBONE = re.compile(
    r"(^|_)(backbone|features?|extractor|encoder|body|trunk|convs|conv_layers|cnn)$|^(base|base_model|pretrained)$"
)
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_DENSE = (nn.Linear, nn.Bilinear)
_ENDS = (nn.Flatten, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)
_Found = tuple[Sequence[str], str]


@dataclass(frozen=True)
class Split:
    """A model as backbone and head; false where none could be proposed.

    Attributes
    ----------
    backbone, head : paths of modules, each a pattern for `Session.freeze`, that together have all parameters of
        the model. A parameter that stands beside them, as a class token, is named itself.
    because : why, and what else could be chosen, in sentences.
    """

    backbone: tuple[str, ...]
    head: tuple[str, ...]
    because: str

    def __bool__(self) -> bool:
        return bool(self.head)


def propose_split(model: nn.Module, example: Any = None) -> Split:
    """Propose which layers of a model are its head.

    It goes by what libraries note in their models, or else by the names that people give, or else by the layers
    themselves: the head is what follows the global pooling, the last dense layers, or the last layer.

    Parameters
    ----------
    example : a batch, the `Summary` of the model, or a function that returns that, called where it is needed: layers
        count in the order of their calls. None: in the order in which they were registered.
    """
    return _Search(adopt(model), example).propose()


class _Search:
    """Looks for the head where a model first branches."""

    def __init__(self, model: nn.Module, example: Any) -> None:
        self._model, self._root, self._example = model, uncompiled(model), example
        self._places: dict[str, int] | None = None

    def propose(self) -> Split:
        kind, core, path = kind_of(self._root), self._root, ""
        if not any(True for _ in core.parameters()):
            return Split((), (), f"The {kind} has no parameters: there is nothing to split.")
        around = [core]
        while len(parts := self._parts(core, path)) == 1 and not [*core.parameters(recurse=False)]:
            path = parts[0]
            around.append(core := module_at(self._root, path))
        for rule in (self._noted, self._named, self._layered):
            for heads, why in rule(core, path, around):
                if heads and (backbone := tuple(self._rest("", heads))):
                    return Split(backbone, tuple(heads), why + self._also(backbone, heads))
        one = f"all its parameters are in {path!r}, one {kind_of(core)}" if path else "it is one layer"
        return Split((), (), f"The {kind} has no head beside a backbone: {one}.")

    def _parts(self, module: nn.Module, path: str) -> list[str]:
        """Return the paths of those children that have parameters."""
        return [_join(path, name) for name, child in module._modules.items() if child is not None and _held(child)]

    def _in_order(self, paths: Iterable[str]) -> list[str]:
        """Return paths in the order of their calls, where known."""
        if self._places is None:
            table = self._example() if callable(self._example) else self._example
            if table is not None and not isinstance(table, Summary):
                table = summary(self._model, table)
            followed = table is not None and table.complete and bool(table.inputs)
            self._places = {row.path: n for n, row in enumerate(table.rows)} if followed else {}
        places = self._places
        return sorted(paths, key=lambda one: places.get(one, len(places)))

    def _rest(self, path: str, heads: Sequence[str]) -> Iterator[str]:
        """Yield the fewest paths that have all other parameters."""
        module = module_at(self._root, path)
        if path in heads:
            return
        if path and not any(head.startswith(f"{path}.") for head in heads):
            yield path
            return
        yield from (_join(path, name) for name, one in module._parameters.items() if one is not None)
        for part in self._parts(module, path):
            yield from self._rest(part, heads)

    def _noted(self, core: nn.Module, path: str, around: Sequence[nn.Module]) -> Iterator[_Found]:
        """Go by what timm, transformers and YOLO's models note in themselves."""
        for module in (core, around[0]):
            notes = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None) or {}
            names = notes.get("classifier") if isinstance(notes, dict) else None
            names = [names] if isinstance(names, str) else list(names or ())
            paths = dict(module.named_modules())
            if names and all(name in paths and _held(paths[name]) for name in names):
                yield [_join(path, name) for name in names], f"timm notes {quote_names(names)} as its classifier."
        base = getattr(core, str(getattr(core, "base_model_prefix", "") or "-"), None)
        if isinstance(base, nn.Module) and base is not core:
            name = core.base_model_prefix
            heads = [one for one in self._parts(core, path) if module_at(self._root, one) is not base]
            yield heads, f"{name!r} is the model without its head, as its class says."
        for module in around:
            plan, parts = getattr(module, "yaml", None), [_join(path, str(n)) for n in range(len(core._modules))]
            if isinstance(plan, dict) and isinstance(plan.get("backbone"), list) and "head" in plan:
                first = len(plan["backbone"])
                heads = [one for one in parts[first:] if one in self._parts(core, path)]
                yield heads, f"Its yaml says that the first {first} modules are the backbone."

    def _named(self, core: nn.Module, path: str, around: Sequence[nn.Module]) -> Iterator[_Found]:
        """Go by the names that heads and backbones have as a rule."""
        names = {one: _snake(one.rpartition(".")[2]) for one in self._parts(core, path)}
        backbones = [one for one, name in names.items() if _BACKBONE.search(name)]
        heads = [
            one for one, name in names.items()
            if one not in backbones and (_HEAD.search(name) or (backbones and _HEAD_BESIDE.search(name)))
        ]  # fmt: skip
        if heads:
            beside = f", and {quote_names(backbones, 3)} as backbones are" if backbones else ""
            yield heads, f"{quote_names(heads, 4)} {_are(heads)} named as heads are{beside}."
        if backbones:
            order = self._in_order(names)
            after = order[max(map(order.index, backbones)) + 1 :]
            heads = [one for one in after if not acts_as(module_at(self._root, one), _NORMS)]
            yield heads, f"{quote_names(backbones, 3)} {_are(backbones)} named as backbones are."

    def _layered(self, core: nn.Module, path: str, around: Sequence[nn.Module]) -> Iterator[_Found]:
        """Go by layers: what follows pooling, is dense, or last."""
        units = list(self._units(core, path))
        modules = [module_at(self._root, one) for one in units]
        ends = [number for number, one in enumerate(modules) if acts_as(one, _ENDS)]
        for end in ends[-1:]:
            after = [one for one, module in zip(units[end + 1 :], modules[end + 1 :]) if _held(module)]
            if any(map(_held, modules[:end])):
                verb = "follows" if len(after) == 1 else "follow"
                yield after, f"{quote_names(after, 4)} {verb} {units[end]!r} ({kind_of(modules[end])})."
        kept = [(one, module) for one, module in zip(units, modules) if _held(module)]
        dense = len(kept)
        while dense and _is_dense(kept[dense - 1][1], norms=True):
            dense -= 1
        tail = kept[dense:]
        while tail and not _is_dense(tail[0][1]):
            tail = tail[1:]
        if dense:
            heads = [one for one, _ in tail]
            yield heads, f"{quote_names(heads, 4)} {_are(heads)} dense, after {kept[dense - 1][0]!r}."
        for last, _ in kept[-1:]:
            yield [last], f"{last!r} is the last layer with parameters."

    def _units(self, module: nn.Module, path: str) -> Iterator[str]:
        """Yield the paths of a model's parts in order, long sequences opened."""
        names = [name for name, child in module._modules.items() if child is not None]
        for one in self._in_order(_join(path, name) for name in names):
            part = module_at(self._root, one)
            ends = any(acts_as(inner, (*_ENDS, *_DENSE)) for inner in part.modules())
            if type(part) in (nn.Sequential, *HOLDERS) and ends and not _is_dense(part, norms=True):
                yield from self._units(part, one)
            else:
                yield one

    def _also(self, backbone: Sequence[str], heads: Sequence[str]) -> str:
        """Say what else could be chosen, and what the two share."""
        root = self._root
        every = [*root.named_parameters(remove_duplicate=False)]
        names = {id(tensor): name for name, tensor in every if _below(name, backbone)}
        tied = [(name, names[id(one)]) for name, one in every if _below(name, heads) and id(one) in names]
        if tied:
            return f" But {tied[0][0]!r} is one tensor with {tied[0][1]!r}: what freezes one freezes both."
        inside = [
            path for head in heads for path, module in module_at(root, head).named_modules(prefix=head)
            if [*module.parameters(recurse=False)]
        ]  # fmt: skip
        if len(inside) > 1 and isinstance(module_at(root, heads[0]), nn.Sequential) and len(heads) == 1:
            return f" Its last layer alone, {inside[-1]!r}, could be chosen as well."
        paths = dict(root.named_modules())
        if len(backbone) == 1 and backbone[0] in paths:
            backbone = self._parts(paths[backbone[0]], backbone[0]) or backbone
        last = next((one for one in backbone[::-1] if not acts_as(paths.get(one), _NORMS)), backbone[-1])
        return f" {last!r} could train along with {'it' if len(heads) == 1 else 'them'}."


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _held(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _below(name: str, paths: Sequence[str]) -> bool:
    return any(name == path or name.startswith(f"{path}.") for path in paths)


def _snake(name: str) -> str:
    """Return a name in lower case: "AuxLogits" is "aux_logits"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")


def _is_dense(module: nn.Module, norms: bool = False) -> bool:
    """Say whether all layers with parameters are dense; with `norms`, or norms."""
    own = [one for one in module.modules() if any(True for _ in one.parameters(recurse=False))]
    kinds = (*_DENSE, *_NORMS)
    return all(acts_as(one, kinds) for one in own) and (norms or any(acts_as(one, _DENSE) for one in own))
