"""The data of a script, and the loop over its batches."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, default_collate

from ..base.random_state import RandomStates
from ..base.state import same_state
from ..base.trees import tree_tensors
from ..data.batches import IndexedBatches, SourceState
from ..data.loader import LoaderBatches
from ..data.source import Rows
from ..data.stream import StreamBatches
from ..data.task import unpack_batch
from .draft import Draft
from .sources import Unwritable

#: Samples of a Dataset that are read one by one to be saved, at most, and their bytes.
_MANY, _LARGE = 200_000, 2 * 2**30


@dataclass(frozen=True)
class BatchLines:
    """How a script comes by its batches.

    Attributes
    ----------
    load, order : the lines that load the data, and those before the loop that decide the order.
    inputs, targets : the expressions for what the model and the loss get of a batch; `inputs` as arguments.
    batch : the expression for the whole batch.
    opening, loop : what comes first in an epoch, and the head of the loop over its batches.
    take : the first lines of a step, which cut the batch out where its size may change.
    resized : the line that changes the batch size, with {}; None where that is the variable `batch_size`.
    cut : the expressions for the order and for the number of samples, where batches are cut out of an order.
    fetch : the lines that fetch a batch that was cut out.
    """

    load: str
    order: str
    inputs: str
    targets: str
    batch: str
    opening: str = ""
    loop: str = ""
    take: str = ""
    resized: str | None = None
    cut: tuple[str, str] | None = None
    fetch: str = ""


def write_data(draft: Draft) -> BatchLines:
    """Return how a script comes by its batches, or raise Unwritable."""
    source = draft.loop.batches
    resizes = bool(draft.changed("batch_size", "skip", after=0) or draft.changed("skip"))
    if isinstance(source, IndexedBatches):
        return _write_indexed(draft, source, resizes)
    if isinstance(source, LoaderBatches):
        return _write_loader(draft, source, resizes)
    words = "an iterable of the same batches, in the same order, for each epoch"
    if isinstance(source, StreamBatches) and isinstance(source.source, list):
        words = "the batches, in order"
        batches = None
        with contextlib.suppress(TypeError):
            batches = [_to_plain(one) for one in source.source]
        if draft.data and batches is not None:
            path = draft.save_beside("data", batches, words)
            return _write_batches(draft, f"batches = torch.load({path}, weights_only=True)", "batches")
    return _write_batches(draft, _mark_place(draft, "batches", words), "batches")


def _write_indexed(draft: Draft, source: IndexedBatches, resizes: bool) -> BatchLines:
    rows, there = source.source, draft.to_device
    if isinstance(rows, Rows):
        load, names = _write_rows(draft, rows)
        get = {name: f"{name}[index]{there}" for name in names}
        inputs, targets = ", ".join(get.values()), f"y[index]{there}"
        whole = f"({inputs})" if isinstance(rows.inputs, (tuple, list)) else inputs
        if isinstance(rows.inputs, Mapping):
            inputs = ", ".join(f"{name}={text}" for name, text in get.items())
            whole = "{" + ", ".join(f'"{name}": {text}' for name, text in get.items()) + "}"
        batch, count, fetch = f"({whole}, {targets})", "len(y)", ""
    else:
        load, count = _write_dataset(draft, rows), "len(dataset)"
        draft.sources.imports.add("from torch.utils.data import default_collate")
        inputs, targets, batch = _write_parts(draft)
        fetch = _write_unpacking(draft, "default_collate([dataset[i] for i in index.tolist()])")
    order = f"torch.randperm({count}, generator=shuffle)" if source.shuffle else f"torch.arange({count})"
    opening, loop, take = "", f"for index in {order}.split(batch_size):", fetch
    if resizes:
        opening, loop = f"order = {order}\nstart = 0", f"while start < {count}:"
        take = f"index = order[start : start + batch_size]\nstart += batch_size\n{fetch}".rstrip("\n")
    return BatchLines(
        load, _write_seeds(draft, source.shuffle), inputs, targets, batch, opening, loop, take,
        cut=(order, count), fetch=fetch,
    )  # fmt: skip


def _write_seeds(draft: Draft, shuffle: bool) -> str:
    lines = ["torch.manual_seed(seed)"]
    now, seeded = RandomStates.capture(), RandomStates.from_seed(draft.seed)
    if not same_state(now.numpy, seeded.numpy):
        draft.sources.imports.add("import numpy as np")
        lines.append("np.random.seed(seed % 2**32)")
    if now.python != seeded.python:
        draft.sources.imports.add("import random")
        lines.append("random.seed(seed)")
    if shuffle:
        lines.append("shuffle = torch.Generator().manual_seed(seed)  # decides the order of the samples")
    return "\n".join(lines)


def _write_rows(draft: Draft, rows: Rows) -> tuple[str, list[str]]:
    """Return the lines that load rows, and the inputs' names."""
    inputs, whole = rows.inputs, {"X": rows.inputs}
    if isinstance(inputs, Mapping):
        whole = {str(key): value for key, value in inputs.items()}
        tensors = all(key.isidentifier() and isinstance(v, torch.Tensor) for key, v in whole.items())
        if not tensors or "y" in whole:
            raise Unwritable("the inputs are a dict of what are not names and tensors")
    elif isinstance(inputs, (tuple, list)):
        whole = {f"X{number}": value for number, value in enumerate(inputs, start=1)}
        if not all(isinstance(value, torch.Tensor) for value in whole.values()):
            raise Unwritable("the inputs are nested deeper than a tuple of tensors")
    names, task = [*whole], draft.opened.task
    whole["y"] = targets = rows.targets
    if draft.loop.objective.custom is None and task.loss is not None:
        output = draft.loop.forward(draft.opened.example)
        if isinstance(output, torch.Tensor):  # all targets as the loss gets them
            like = torch.empty((), dtype=output.dtype).expand(len(targets), *output.shape[1:])
            whole["y"] = task.prepare(targets.cpu(), like)
    shapes = {
        name: f"{name}: {' × '.join(f'{n:,}' for n in value.shape)} {str(value.dtype).removeprefix('torch.')}"
        for name, value in whole.items()
    }
    listed = ", ".join(whole)
    if draft.data:
        saved = {name: value.detach().cpu().contiguous().clone() for name, value in whole.items()}
        path = draft.save_beside("data", saved, "the training data")
        picked = ", ".join(f'data["{name}"]' for name in whole)
        about = ", ".join(shapes.values())
        return f"data = torch.load({path}, weights_only=True)\n{listed} = {picked}\n# {about}", names
    wanted = "".join(f"    {shape}\n" for shape in shapes.values())
    draft.note("Put your data into load_data(): it was left out of the script.")
    return (
        f'def load_data():\n    """Return {listed}: the training data, in the order it had.\n\n'
        f'{wanted}    """\n    raise NotImplementedError("Put your data here.")\n\n\n{listed} = load_data()'
    ), names


def _write_dataset(draft: Draft, dataset: Any) -> str:
    kind = type(dataset).__name__
    if not draft.data or (samples := _read_samples(dataset)) is None:
        return _mark_place(draft, "dataset", f"the {kind}, with its samples in the same order")
    path = draft.save_beside("data", samples, f"the samples of the {kind}")
    return f"# The samples of the {kind}, in its order.\ndataset = torch.load({path}, weights_only=True)"


def _read_samples(dataset: Any) -> list[Any] | None:
    """Return the samples of a repeatable Dataset; None for any other."""
    if len(dataset) > _MANY:
        return None
    sources = SourceState(dataset)
    before = sources.state()
    many = getattr(dataset, "__getitems__", None)
    with sources.preserve():
        try:
            indices = list(range(len(dataset)))
            samples = many(indices) if many else (dataset[i] for i in indices)
            samples = [_to_plain(one) for one in samples]
            drew = not same_state(before, sources.state())
            again = [_to_plain(dataset[i]) for i in (0, len(dataset) - 1)]
        except Exception:  # noqa: BLE001 - whatever it raises, its samples are not to be had
            return None
    if drew or not same_state(again, [samples[0], samples[-1]]):
        return None
    return samples if sum(t.nbytes for t in tree_tensors(samples)) <= _LARGE else None


def _to_plain(sample: Any) -> Any:
    """Return a sample as plain values that collate alike, or raise TypeError."""
    if isinstance(sample, Mapping):
        return {key: _to_plain(value) for key, value in sample.items()}
    if isinstance(sample, (tuple, list)) and not hasattr(sample, "_fields"):
        return type(sample)(_to_plain(value) for value in sample)
    if type(sample).__module__ == "numpy":
        return torch.as_tensor(sample)
    if not isinstance(sample, (torch.Tensor, int, float, str)):
        raise TypeError
    return sample.detach().clone() if isinstance(sample, torch.Tensor) else sample


def _write_loader(draft: Draft, source: LoaderBatches, resizes: bool) -> BatchLines:
    loader: DataLoader = source.loader
    sampler, why = loader.sampler, ""
    if not source.resizable or type(sampler) not in (RandomSampler, SequentialSampler):
        why = f"its batches are made by a {type(loader.batch_sampler or sampler).__name__} of its own"
    elif resizes and (loader.num_workers or loader.drop_last):
        why = "its batch size was changed while workers had fetched ahead, or with drop_last"
    elif getattr(sampler, "generator", None) is not loader.generator:
        why = "its sampler has a random generator of its own"
    elif isinstance(sampler, RandomSampler) and (sampler.replacement or sampler._num_samples is not None):
        why = "its RandomSampler draws in a way of its own"
    if why and resizes:
        raise Unwritable(f"the batch size of the DataLoader was changed, and {why}")
    if why:
        load = _mark_place(draft, "loader", f"the DataLoader, with the same order: {why}")
        return _write_batches(draft, load, "loader")
    load = _write_dataset(draft, loader.dataset)
    draft.sources.imports.add("from torch.utils.data import DataLoader")
    options = ["dataset", "batch_size=batch_size"]
    options += ["shuffle=True"] if isinstance(sampler, RandomSampler) else []
    options += ["drop_last=True"] if loader.drop_last else []
    if loader.generator is not None:
        # A new generator, put where the run's began.
        state, seed = draft.origin.generator, loader.generator.initial_seed()
        load += "\ngenerator = torch.Generator()"
        if state is not None and torch.equal(torch.Generator().manual_seed(seed).get_state(), state):
            load += f".manual_seed({seed})"
        else:
            path = draft.save_beside("generator", state, "where the generator of the DataLoader was")
            load += f"\ngenerator.set_state(torch.load({path}, weights_only=True))"
        options.append("generator=generator")
    options += [f"num_workers={loader.num_workers}"] if loader.num_workers else []
    if loader.collate_fn is not default_collate:
        options.append(f"collate_fn={draft.sources.use_function(loader.collate_fn)}")
    made = _write_batches(draft, f"{load}\nloader = DataLoader({', '.join(options)})", "loader")
    return replace(made, resized="loader.batch_sampler.batch_size = {}")


def _write_batches(draft: Draft, load: str, name: str) -> BatchLines:
    inputs, targets, batch = _write_parts(draft)
    head, take = f"for batch in {name}:", ""
    if draft.loop.objective.custom is not None:
        if draft.device != "cpu":
            take = "batch = [part.to(device) for part in batch]"
    elif _is_dict(draft):
        take = _write_unpacking(draft, "dict(batch)")
    else:
        head, take = f"for inputs, targets in {name}:", _prepare_targets(draft)
    return BatchLines(load, _write_seeds(draft, False), inputs, targets, batch, loop=head, take=take)


def _write_parts(draft: Draft) -> tuple[str, str, str]:
    """Return the expressions for inputs, targets and batch of a pair."""
    example, there = draft.opened.example, draft.to_device
    if draft.loop.objective.custom is not None:
        return "", "", "batch"
    if isinstance(example, torch.Tensor):
        return f"inputs{there}", f"targets{there}", ""
    if there:
        raise Unwritable("batches of several tensors are written for the CPU only")
    return ("**inputs" if isinstance(example, Mapping) else "*inputs"), "targets", ""


def _is_dict(draft: Draft) -> bool:
    return draft.loop.objective.target is not None and isinstance(draft.opened.example, Mapping)


def _write_unpacking(draft: Draft, fetch: str) -> str:
    """Return the lines that make inputs and targets of a batch."""
    if draft.loop.objective.custom is not None:
        return f"batch = {fetch}"
    if _is_dict(draft):
        return f'inputs = {fetch}\ntargets = inputs.pop("{draft.loop.objective.target}")'
    return f"inputs, targets = {fetch}\n{_prepare_targets(draft)}".rstrip("\n")


def _prepare_targets(draft: Draft) -> str:
    """Return the line that changes targets as `Task.prepare` does; "" for none."""
    inputs, targets = unpack_batch(draft.loop.batches.peek(2), draft.loop.objective.target)
    output = draft.loop.forward(inputs)
    if not isinstance(targets, torch.Tensor) or not isinstance(output, torch.Tensor):
        return ""
    there, calls = draft.opened.task.prepare(targets.to(output.device), output), ""
    if there.shape != targets.shape:
        calls = f".reshape({', '.join(map(str, (-1, *there.shape[1:])))})"
    if there.dtype != targets.dtype:
        calls += {torch.int64: ".long()", torch.float32: ".float()"}.get(there.dtype, f".to({there.dtype})")
    return f"targets = targets{calls}" if calls else ""


def _mark_place(draft: Draft, name: str, what: str) -> str:
    """Return a marked place for data that could not be written."""
    draft.note(f"Put {what}, into load_data() of the script.")
    return (
        f'def load_data():\n    """Return {what}."""\n'
        f'    raise NotImplementedError("Put your data here.")\n\n\n{name} = load_data()'
    )
