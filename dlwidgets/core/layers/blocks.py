"""A model as a row of a few blocks over its depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from .walk import kind_of, module_at, numel_of, uncompiled

#: Fewer blocks than this are opened, and so is one that holds more than this share of all parameters, up to as many.
_FEW, _MOST_OF_IT, _MANY = 4, 0.6, 12
#: More than this are joined: a row of them can still be hit one by one.
MOST = 20


@dataclass(frozen=True)
class Block:
    """Layers that stand side by side in a model, with all inside.

    Attributes
    ----------
    paths : of its layers, or names of parameters that a model holds beside them.
    kind : the class of its one layer; of several, how many there are.
    tensors : its parameters, each in the first block alone that has it.
    in_head : whether it belongs to the head.
    label : its name in short, which no other block has: "layer4", "blocks.3", "blocks.3 – 5".
    """

    paths: tuple[str, ...]
    kind: str
    tensors: tuple[nn.Parameter, ...]
    in_head: bool = False
    label: str = ""

    @property
    def title(self) -> str:
        """Its whole name."""
        return self.paths[0] if len(self.paths) == 1 else f"{self.paths[0]} – {self.paths[-1]}"

    @property
    def parameters(self) -> int:
        """How many numbers its parameters have."""
        return sum(map(numel_of, self.tensors))

    @property
    def trainable(self) -> str:
        """Whether its parameters train: "yes", "no" or "partly"."""
        flags = {tensor.requires_grad for tensor in self.tensors}
        return "partly" if len(flags) > 1 else "yes" if True in flags else "no"


def list_blocks(model: nn.Module, head: Sequence[str] = ()) -> list[Block]:
    """Return a model's blocks that have parameters, in the order of `walk`.

    Whatever belongs to both head and backbone is opened; so are few blocks, and one that is nearly all of the model.

    Parameters
    ----------
    head : paths of the layers, or names of the parameters, that are the head.
    """
    root = uncompiled(model)
    in_head = {id(tensor) for path in head for tensor in tensors_at(root, path)}
    total = sum(map(numel_of, root.parameters()))
    blocks = [*_open(root, "", set())]
    while chosen := _to_open(root, blocks, in_head, total):
        opened = [_inside(root, one) if number in chosen else [one] for number, one in enumerate(blocks)]
        blocks = [one for several in opened for one in several]
    blocks = [replace(one, in_head=all(id(tensor) in in_head for tensor in one.tensors)) for one in blocks]
    while len(blocks) > MOST:
        blocks = _join_two(blocks)
    return [replace(one, label=_label(one.paths, blocks)) for one in blocks]


def tensors_at(model: nn.Module, path: str) -> list[nn.Parameter]:
    """Return a layer's parameters with all inside, or one by name."""
    owner, _, name = path.rpartition(".")
    try:
        return [*module_at(model, path).parameters()]
    except AttributeError:
        found = module_at(model, owner)._parameters.get(name)
        return [] if found is None else [found]


def _open(layer: nn.Module, path: str, seen: set[int]) -> Iterator[Block]:
    """Yield a layer's own parameters, and its layers, as blocks."""

    def fresh(tensors: Iterable[nn.Parameter | None]) -> tuple[nn.Parameter, ...]:
        found = [tensor for tensor in tensors if tensor is not None and id(tensor) not in seen]
        seen.update(map(id, found))
        return tuple(found)

    for name, tensor in layer._parameters.items():
        if own := fresh([tensor]):
            yield Block((f"{path}.{name}".lstrip("."),), "parameter", own)
    for name, child in layer.named_children():
        if inside := fresh(child.parameters()):
            yield Block((f"{path}.{name}".lstrip("."),), kind_of(child), inside)


def _inside(root: nn.Module, block: Block) -> list[Block]:
    """Return what a block of one layer holds, as blocks."""
    kept = {id(tensor) for tensor in block.tensors}
    inside = _open(module_at(root, block.paths[0]), block.paths[0], set())
    return [
        replace(one, tensors=own) for one in inside if (own := tuple(each for each in one.tensors if id(each) in kept))
    ]


def _to_open(root: nn.Module, blocks: Sequence[Block], in_head: set[int], total: int) -> set[int]:
    """Return the numbers of blocks to open."""
    found, large = set[int](), list[tuple[int, int]]()
    for number, block in enumerate(blocks):
        if block.kind == "parameter" or next(module_at(root, block.paths[0]).children(), None) is None:
            continue
        # Stages of plain layers are what people name: one that is large is no reason to look into it.
        deep = any(next(child.children(), None) is not None for child in module_at(root, block.paths[0]).children())
        if len({id(tensor) in in_head for tensor in block.tensors}) > 1 or len(blocks) < _FEW:
            found.add(number)
        elif deep and block.parameters > _MOST_OF_IT * total and len(blocks) < _MANY:
            large.append((block.parameters, number))
    return found or ({max(large)[1]} if large else set())


def _join_two(blocks: Sequence[Block]) -> list[Block]:
    """Join the two neighbours that have the fewest parameters."""

    def cost(at: int) -> tuple[bool, bool, int]:
        one, other = blocks[at], blocks[at + 1]
        apart = one.paths[0].rpartition(".")[0] != other.paths[0].rpartition(".")[0]
        return one.in_head != other.in_head, apart, one.parameters + other.parameters

    at = min(range(len(blocks) - 1), key=cost)
    one, other = blocks[at], blocks[at + 1]
    paths = one.paths + other.paths
    joined = Block(paths, f"{len(paths)} layers", one.tensors + other.tensors, one.in_head and other.in_head)
    return [*blocks[:at], joined, *blocks[at + 2 :]]


def _label(paths: Sequence[str], blocks: Sequence[Block]) -> str:
    """Return the end of a path that only its block has."""
    parts = paths[0].split(".")
    least = 2 if parts[-1].isdigit() else 1
    shorter = (".".join(parts[-count:]) for count in range(least, len(parts) + 1))
    others = [f".{one.paths[0]}" for one in blocks if one.paths != paths]
    label = next((one for one in shorter if not any(other.endswith(f".{one}") for other in others)), paths[0])
    return label if len(paths) == 1 else f"{label} – {paths[-1].rpartition('.')[2]}"


def trained_numbers(tensors: Iterable[torch.Tensor]) -> int:
    """Count the numbers of those tensors that train."""
    return sum(numel_of(tensor) for tensor in tensors if tensor.requires_grad)
