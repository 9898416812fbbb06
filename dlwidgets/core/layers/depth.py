"""The blocks of a model from its input to its output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from torch import nn

from .framework import framework_of
from .walk import module_at, uncompiled

_LISTS = (nn.Sequential, nn.ModuleList)


def order_blocks(model: nn.Module) -> list[tuple[str, ...]]:
    """Return the paths of each block, as they are registered.

    A block is what a person would unfreeze at once: an entry of a Sequential or ModuleList, as a block of a
    ResNet or a layer of a transformer, or else a child of the model. What holds such a list is taken apart,
    an entry of several of one class is not. What has no weight of two or more axes (a BatchNorm) belongs to
    the block before it, and so does what the model holds itself to the first one ("cls_token").
    """
    model = uncompiled(model)
    own = [name for name, _ in model.named_parameters(recurse=False)]
    blocks: list[list[str]] = []
    seen: set[int] = set()
    for path, module in _entries(model, ""):
        fresh = {id(one): one for one in module.parameters() if id(one) not in seen}
        if not fresh:
            continue
        seen |= fresh.keys()
        if blocks and all(one.ndim < 2 for one in fresh.values()):
            blocks[-1].append(path)
        else:
            blocks.append([path])
    if own:
        blocks[:1] = [[*own, *(blocks[0] if blocks else [])]]
    return [_fewest(model, block) for block in blocks]


def _fewest(model: nn.Module, paths: list[str]) -> tuple[str, ...]:
    """Return the one layer that is all of some paths, or these."""
    while parent := paths[0].rpartition(".")[0]:
        inside = {id(one) for path in paths for one in module_at(model, path).parameters()}
        if inside != {id(one) for one in module_at(model, parent).parameters()}:
            break
        paths = [parent]
    return tuple(paths)


def _entries(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield path and module of what is not taken apart further."""
    children = [(name, child) for name, child in module.named_children() if next(child.parameters(), None) is not None]
    composite = Counter(type(child) for _, child in children if next(child.children(), None) is not None)
    is_list = _is_list(module)
    for name, child in children:
        inside = f"{path}.{name}" if path else name
        repeated = is_list and composite[type(child)] > 1 and not _is_list(child)
        if _is_list(child) or (not repeated and (len(children) == 1 or _holds_blocks(child))):
            yield from _apart(child, inside)
        else:
            yield inside, child


def _apart(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield a module's entries, or itself where it holds parameters."""
    if next(module.parameters(recurse=False), None) is not None or next(module.children(), None) is None:
        yield path, module
    else:
        yield from _entries(module, path)


def _is_list(module: nn.Module) -> bool:
    return type(module) in _LISTS or framework_of(module).runs_in_order(module)


def _holds_blocks(module: nn.Module) -> bool:
    """Say whether a list of several blocks of one class is below."""
    for one in module.modules():
        if _is_list(one):
            kinds = Counter(type(child) for child in one._modules.values() if next(child.children(), None) is not None)
            if max(kinds.values(), default=0) > 1:
                return True
    return False
