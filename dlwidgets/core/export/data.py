"""The data of a script, and the loop over its batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, default_collate

from ..base.random_state import RandomStates
from ..base.state import same_state
from ..base.trees import tree_tensors
from ..data.batches import Batches, IndexedBatches
from ..data.loader import LoaderBatches
from ..data.source import Rows
from ..data.source_state import SourceState
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
    load : the lines that load the data.
    order : the lines before the loop that decide the order.
    inputs, targets : the expressions for what the model and the loss get of a batch; `inputs` as arguments.
    batch : the expression for the whole batch.
    loop : the head of the loop over an epoch's batches; `opening` comes before it, in the epoch.
    take : the first lines of a step, which cut the batch out where its size may change.
    cut : the expressions for the order and for the number of samples, where batches are cut out of an order.
    fetch, each, inside : the lines that fetch a batch; where a step has several, the head of the loop over
        them, and what comes first in it.
    resized : the line that changes the batch size, with {}; None where that is the variable `batch_size`.
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
    each: str = ""
    inside: str = ""


def write_data(draft: Draft) -> BatchLines:
    """Return how a script comes by its batches.

    Raises
    ------
    Unwritable : it cannot say it, in a clause.
    """
    source: Batches = draft.loop.batches
    resizes = bool(draft.changed("batch_size", "skip", after=0) or draft.changed("skip"))
    if isinstance(source, IndexedBatches):
        return _write_indexed(draft, source, resizes)
    if draft.changed("skip"):
        raise Unwritable("batches were left out by skip(), which is written for rows in memory only")
    if isinstance(source, LoaderBatches):
        return _write_loader(draft, source, resizes)
    if isinstance(source, StreamBatches) and isinstance(source.source, list):
        load = _save_batches(draft, "batches", source.source, "the batches, in order")
        pair = isinstance(source.source[0], (tuple, list)) and len(source.source[0]) == 2
        return _write_batches(draft, load, "batches", pair)
    load = _mark_place(draft, "batches", "an iterable of the same batches, in the same order, for each epoch")
    return _write_batches(draft, load, "batches", True)


def _write_indexed(draft: Draft, source: IndexedBatches, resizes: bool) -> BatchLines:
    count = "len(y)"
    if isinstance(source.source, Rows):
        inputs, targets = source.source.inputs, _prepare_targets(draft, source.source.targets)
        load, names = _write_rows(draft, inputs, targets)
        get = {name: f"{name}[index]" + _device_suffix(draft) for name in names}
        parts, y = _format_arguments(inputs, get), f"y[index]{_device_suffix(draft)}"
        batch = f"({_format_tree(inputs, get)}, {y})"
    else:
        load, items = _write_dataset(draft, source.source)
        count = f"len({items})"
        fetch = "default_collate([dataset[i] for i in index.tolist()])"
        if items == "dataset":
            draft.sources.imports.add("from torch.utils.data import default_collate")
        parts, y, batch = _pair_expressions(draft, "inputs", "targets")
    order = f"torch.randperm({count}, generator=shuffle)" if source.shuffle else f"torch.arange({count})"
    cut = "" if isinstance(source.source, Rows) else _write_unpacking(draft, fetch)
    if not resizes:
        head = f"for index in {order}.split(batch_size):"
        return BatchLines(
            load, _write_seeds(draft, source.shuffle), parts, y, batch, "", head, cut, None,
            (order, count), cut,
        )  # fmt: skip
    take = "index = order[start : start + batch_size]\nstart += batch_size\n" + cut
    return BatchLines(
        load, _write_seeds(draft, source.shuffle), parts, y, batch, f"order = {order}\nstart = 0",
        f"while start < {count}:", take.rstrip("\n"), None, (order, count), cut,
    )  # fmt: skip


def _write_seeds(draft: Draft, shuffle: bool) -> str:
    lines = ["torch.manual_seed(seed)"]
    streams, seeded = RandomStates.capture(), RandomStates.from_seed(draft.seed)
    if not np.array_equal(streams.numpy[1], seeded.numpy[1]) or streams.numpy[2:] != seeded.numpy[2:]:
        draft.sources.imports.add("import numpy as np")
        lines.append("np.random.seed(seed % 2**32)")
    if streams.python != seeded.python:
        draft.sources.imports.add("import random")
        lines.append("random.seed(seed)")
    if shuffle:
        lines.append("shuffle = torch.Generator().manual_seed(seed)  # decides the order of the samples")
    return "\n".join(lines)


def _write_rows(draft: Draft, inputs: Any, targets: torch.Tensor) -> tuple[str, list[str]]:
    if isinstance(inputs, Mapping):
        named = {str(key): value for key, value in inputs.items()}
        if (
            not all(key.isidentifier() and isinstance(v, torch.Tensor) for key, v in named.items())
            or "y" in named
        ):
            raise Unwritable("the inputs are a dict of what are not names and tensors")
    elif isinstance(inputs, (tuple, list)):
        named = {f"X{number}": value for number, value in enumerate(inputs, start=1)}
        if not all(isinstance(value, torch.Tensor) for value in named.values()):
            raise Unwritable("the inputs are nested deeper than a tuple of tensors")
    else:
        named = {"X": inputs}
    whole = {**named, "y": targets}
    names = list(whole)
    about = ", ".join(f"{name}: {_format_shape(value)}" for name, value in whole.items())
    if draft.data:
        path = draft.save_beside(
            "data",
            {name: value.detach().cpu().contiguous().clone() for name, value in whole.items()},
            "the training data",
        )
        picked = ", ".join(f'data["{name}"]' for name in names)
        return (
            f"data = torch.load({path}, weights_only=True)\n{', '.join(names)} = {picked}\n# {about}",
            names[:-1],
        )
    wanted = "\n".join(f"    {name}: {_format_shape(value)}" for name, value in whole.items())
    draft.note("Put your data into load_data(): it was left out of the script.")
    return (
        f'def load_data():\n    """Return {", ".join(names)}: the training data, in the order it had.\n\n'
        f'{wanted}\n    """\n'
        '    raise NotImplementedError("Put your data here.")\n\n\n' + f"{', '.join(names)} = load_data()"
    ), names[:-1]


def _prepare_targets(draft: Draft, targets: torch.Tensor) -> torch.Tensor:
    """Return all targets as the loss gets them."""
    task = draft.opened.task
    if draft.loop.objective.custom is not None or task.loss is None:
        return targets
    output = draft.loop.forward(draft.opened.example)
    if not isinstance(output, torch.Tensor):
        return targets
    like = torch.empty((), dtype=output.dtype).expand(len(targets), *output.shape[1:])
    return task.prepare(targets.cpu(), like)


def _write_dataset(draft: Draft, dataset: Any) -> tuple[str, str]:
    kind = type(dataset).__name__
    if draft.data and (samples := _read_samples(dataset)) is not None:
        path = draft.save_beside("data", samples, f"the samples of the {kind}")
        return (
            f"# The samples of the {kind}, in its order.\ndataset = torch.load({path}, weights_only=True)",
            "dataset",
        )
    return _mark_place(draft, "dataset", f"the {kind}, with its samples in the same order"), "dataset"


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
            samples = list(many(indices)) if many else [dataset[i] for i in indices]
            drew = not same_state(before, sources.state())
            again = [dataset[i] for i in (0, len(dataset) - 1)]
        except Exception:  # noqa: BLE001 - whatever it raises, its samples are not to be had
            return None
    samples = [_to_plain(sample) for sample in samples]
    if drew or not same_state([_to_plain(one) for one in again], [samples[0], samples[-1]]):
        return None
    if sum(t.nbytes for t in tree_tensors(samples)) > _LARGE or not _is_loadable(samples[0]):
        return None
    return samples


def _to_plain(sample: Any) -> Any:
    """Return a sample as tensors and Python numbers that collate alike."""
    if isinstance(sample, Mapping):
        return {key: _to_plain(value) for key, value in sample.items()}
    if isinstance(sample, (tuple, list)) and not hasattr(sample, "_fields"):
        return type(sample)(_to_plain(value) for value in sample)
    if type(sample).__module__ == "numpy":
        return torch.as_tensor(sample)
    return sample.detach().clone() if isinstance(sample, torch.Tensor) else sample


def _is_loadable(sample: Any) -> bool:
    if isinstance(sample, Mapping):
        return all(map(_is_loadable, sample.values()))
    if isinstance(sample, (tuple, list)):
        return all(map(_is_loadable, sample))
    return isinstance(sample, (torch.Tensor, int, float, str, bool))


def _write_loader(draft: Draft, source: LoaderBatches, resizes: bool) -> BatchLines:
    loader: DataLoader = source.loader
    why = ""
    sampler = loader.sampler
    if not source.resizable or type(sampler) not in (RandomSampler, SequentialSampler):
        why = f"its batches are made by a {type(loader.batch_sampler or sampler).__name__} of its own"
    elif resizes and (loader.num_workers or loader.drop_last):
        why = "its batch size was changed while workers had fetched ahead, or with drop_last"
    elif getattr(sampler, "generator", None) is not loader.generator:
        why = "its sampler has a random generator of its own"
    elif isinstance(sampler, RandomSampler) and (sampler.replacement or sampler._num_samples is not None):
        why = "its RandomSampler draws in a way of its own"
    if why:
        load = _mark_place(draft, "loader", f"the DataLoader, with the same order: {why}")
        if resizes:
            raise Unwritable(f"the batch size of the DataLoader was changed, and {why}")
        return _write_batches(draft, load, "loader", True)
    load, _ = _write_dataset(draft, loader.dataset)
    draft.sources.imports.add("from torch.utils.data import DataLoader")
    options = ["dataset", "batch_size=batch_size"]
    options += ["shuffle=True"] if isinstance(sampler, RandomSampler) else []
    options += ["drop_last=True"] if loader.drop_last else []
    if loader.generator is not None:
        load += f"\ngenerator = torch.Generator(){_write_generator(draft, loader.generator)}"
        options.append("generator=generator")
    options += [f"num_workers={loader.num_workers}"] if loader.num_workers else []
    if loader.collate_fn is not default_collate:
        options.append(f"collate_fn={draft.sources.use(loader.collate_fn)}")
    load += f"\nloader = DataLoader({', '.join(options)})"
    made = _write_batches(draft, load, "loader", True)
    return BatchLines(**{**made.__dict__, "resized": "loader.batch_sampler.batch_size = {}"})


def _write_generator(draft: Draft, generator: torch.Generator) -> str:
    """Return the call that puts a new generator where the run's began."""
    state, number = draft.origin.generator, generator.initial_seed()
    if state is not None and torch.equal(torch.Generator().manual_seed(number).get_state(), state):
        return f".manual_seed({number})"
    path = draft.save_beside("generator", state, "where the generator of the DataLoader was")
    return f"\ngenerator.set_state(torch.load({path}, weights_only=True))"


def _write_batches(draft: Draft, load: str, name: str, pair: bool) -> BatchLines:
    parts, y, batch = _pair_expressions(draft, "inputs", "targets")
    if draft.loop.objective.custom is not None:
        head, take = f"for batch in {name}:", ""
        if draft.device != "cpu":
            take = "batch = [part.to(device) for part in batch]"
    elif _is_dict(draft):
        head, take = f"for batch in {name}:", _write_unpacking(draft, "batch")
    else:
        head, take = f"for inputs, targets in {name}:", "\n".join(_prepare_lines(draft))
    return BatchLines(load, _write_seeds(draft, False), parts, y, batch, "", head, take)


def _pair_expressions(draft: Draft, inputs: str, targets: str) -> tuple[str, str, str]:
    """Return the expressions for inputs, targets and batch of a pair."""
    example, there = draft.opened.example, _device_suffix(draft)
    if draft.loop.objective.custom is not None:
        return "", "", "batch"
    if isinstance(example, torch.Tensor):
        return inputs + there, targets + there, ""
    if there:
        raise Unwritable("batches of several tensors are written for the CPU only")
    star = "**" if isinstance(example, Mapping) else "*"
    return f"{star}{inputs}", targets, ""


def _is_dict(draft: Draft) -> bool:
    return draft.loop.objective.target is not None and isinstance(draft.opened.example, Mapping)


def _write_unpacking(draft: Draft, fetch: str) -> str:
    """Return the lines that make inputs and targets of a batch."""
    if draft.loop.objective.custom is not None:
        return f"batch = {fetch}"
    if _is_dict(draft):
        return (
            f'inputs = {fetch}\ntargets = inputs.pop("{draft.loop.objective.target}")'
            if fetch != "batch"
            else (f'inputs = dict(batch)\ntargets = inputs.pop("{draft.loop.objective.target}")')
        )
    return "\n".join([f"inputs, targets = {fetch}", *_prepare_lines(draft)])


def _prepare_lines(draft: Draft) -> list[str]:
    """Return the lines that change targets as `Task.prepare` does."""
    few = draft.loop.batches.peek(2)
    inputs, targets = unpack_batch(few, draft.loop.objective.target)
    output = draft.loop.forward(inputs)
    task = draft.opened.task
    if not isinstance(targets, torch.Tensor) or not isinstance(output, torch.Tensor):
        return []
    there = task.prepare(targets.to(output.device), output)
    line = "targets"
    if there.shape != targets.shape:
        line += (
            ".reshape(-1)" if there.ndim == 1 else f".reshape({', '.join(map(str, (-1, *there.shape[1:])))})"
        )
    if there.dtype != targets.dtype:
        line += {torch.int64: ".long()", torch.float32: ".float()"}.get(there.dtype, f".to({there.dtype})")
    return [f"targets = {line}"] if line != "targets" else []


def _save_batches(draft: Draft, name: str, things: Any, words: str) -> str:
    things = [_to_plain(one) for one in things]
    if draft.data and _is_loadable(things):
        path = draft.save_beside("data", things, words)
        return f"{name} = torch.load({path}, weights_only=True)"
    return _mark_place(draft, name, words)


def _mark_place(draft: Draft, name: str, what: str) -> str:
    """Return a marked place for data that could not be written."""
    draft.note(f"Put {what}, into load_data() of the script.")
    return (
        f'def load_data():\n    """Return {what}."""\n'
        f'    raise NotImplementedError("Put your data here.")\n\n\n{name} = load_data()'
    )


def _format_arguments(inputs: Any, get: Mapping[str, str]) -> str:
    if isinstance(inputs, Mapping):
        return ", ".join(f"{name}={text}" for name, text in get.items())
    return ", ".join(get.values())


def _format_tree(inputs: Any, get: Mapping[str, str]) -> str:
    if isinstance(inputs, Mapping):
        return "{" + ", ".join(f'"{name}": {text}' for name, text in get.items()) + "}"
    return f"({', '.join(get.values())})" if isinstance(inputs, (tuple, list)) else next(iter(get.values()))


def _device_suffix(draft: Draft) -> str:
    return "" if draft.device == "cpu" else ".to(device)"


def _format_shape(value: torch.Tensor) -> str:
    size = " × ".join(f"{length:,}" for length in value.shape)
    return f"{size} {str(value.dtype).removeprefix('torch.')}"
