"""The data of a script, and the loop over its batches."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
    default_convert,
)  # fmt: skip

from ..base.isolation import preserve_random_state
from ..base.random_state import RandomStates
from ..base.state import same_state
from ..base.trees import tree_tensors
from ..data.batches import Batches, IndexedBatches, SourceState
from ..data.detection import collate_detection, is_target_list
from ..data.loader import LoaderBatches
from ..data.source import Rows
from ..data.stream import StreamBatches
from ..data.task import ignored_class, unpack_batch
from ..layers.framework import framework_of, gives_batches
from .draft import Draft
from .objects import ObjectWriter
from .sources import Unwritable
from .text import format_call

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
    draws : whether fetching draws random numbers.
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
    draws: bool = False


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
    elif isinstance(source, StreamBatches) and isinstance(source.source, IterableDataset):
        load = _write_object(draft, "dataset", source.source, f"the {type(source.source).__name__}")
        if load.startswith("def "):
            return _write_batches(draft, _mark_place(draft, "batches", words), "batches")
        draft.sources.imports |= {"import itertools", "from torch.utils.data import default_collate"}
        draft.definitions.append(_DRAW_BATCHES)
        return replace(_write_batches(draft, load, "draw_batches()"), resized="batch_size = {}")
    name, load = "batches", _write_object(draft, "batches", source.source, words)
    if isinstance(source, StreamBatches) and source.converts:
        name, after = "read_batches()", gives_batches(source.source)
        draft.sources.imports.add("from torch.utils.data import default_convert")
        draft.definitions.append(_READ_BATCHES + ("\n    batches.on_epoch_end()" if after else ""))
    return _write_batches(draft, load, name)


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
        if draft.foreign and not framework_of(draft.model).stars_of(draft.model, rows.inputs):
            inputs = whole
            if isinstance(rows.inputs, (tuple, list)):
                packed = framework_of(draft.model).pack_parts(draft.model, [*get.values()])
                items = [f'"{k}": {v}' for k, v in packed.items()] if isinstance(packed, Mapping) else packed
                inputs = f"{{{', '.join(items)}}}" if isinstance(packed, Mapping) else f"[{', '.join(items)}]"
        batch, count, fetch = f"({whole}, {targets})", "len(y)", ""
    else:
        load, count = _write_dataset(draft, rows), "len(dataset)"
        inputs, targets, batch = _write_parts(draft)
        name = _use_collate(draft, source)
        fetch = _write_unpacking(draft, f"{name}([dataset[i] for i in index.tolist()])")
    order = f"torch.randperm({count}, generator=shuffle)" if source.shuffle else f"torch.arange({count})"
    opening, loop, take = "", f"for index in {order}.split(batch_size):", fetch
    if resizes:
        opening, loop = f"order = {order}\nstart = 0", f"while start < {count}:"
        take = f"index = order[start : start + batch_size]\nstart += batch_size\n{fetch}".rstrip("\n")
    return BatchLines(
        load, _write_seeds(draft, source.shuffle), inputs, targets, batch, opening, loop, take,
        cut=(order, count), fetch=fetch,
        draws=bool(fetch) and not re.search(r"dataset = (torch\.load|load_data)\(", load),
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
    names, task = [*whole], draft.tasks[0]
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
    if draft.opened.split:
        wanted = f"    {draft.opened.split}\n{wanted}"
    draft.note("Put your data into load_data(): it was left out of the script.")
    return (
        f'def load_data():\n    """Return {listed}: the training data, in the order it had.\n\n'
        f'{wanted}    """\n    raise NotImplementedError("Put your data here.")\n\n\n{listed} = load_data()'
    ), names


def _write_dataset(draft: Draft, dataset: Any) -> str:
    kind = type(dataset).__name__
    samples = _read_samples(dataset) if draft.data and hasattr(dataset, "__len__") else None
    if samples is None:
        place = f"the {kind}, with its samples in the same order"
        place += f" ({draft.opened.split.rstrip('.')})" if draft.opened.split else ""
        return _write_object(draft, "dataset", dataset, place)
    path = draft.save_beside("data", samples, f"the samples of the {kind}")
    return f"# The samples of the {kind}, in its order.\ndataset = torch.load({path}, weights_only=True)"


def _write_object(draft: Draft, name: str, value: Any, place: str) -> str:
    """Return the lines that make data anew, or a marked place."""
    objects = ObjectWriter(draft, {})
    try:
        if not draft.data:
            raise Unwritable("it is left out")
        text = objects.write(value, name)
    except Unwritable:
        return _mark_place(draft, name, place)
    return f"{objects.loading()}{name} = {text}"


def _read_samples(dataset: Any) -> list[Any] | None:
    """Return the samples of a repeatable Dataset; None for any other."""
    if isinstance(dataset, IterableDataset) or len(dataset) > _MANY:
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
    if type(loader).__iter__ is not DataLoader.__iter__:
        load = _mark_place(
            draft, "loader", f"the {type(loader).__name__}, which iterates in a way of its own"
        )
        return _write_batches(draft, load, "loader")
    lines = [_write_dataset(draft, loader.dataset), *_write_generator(draft, source)]
    objects = ObjectWriter(draft, {"dataset": loader.dataset, "generator": source.generator})
    try:
        options = ["dataset", *_write_sampling(draft, source, objects, resizes)]
    except Unwritable as why:
        if resizes:
            raise Unwritable(f"the batch size of the DataLoader was changed, and {why}") from None
        load = _mark_place(draft, "loader", f"the DataLoader, with the same order: {why}")
        return _write_batches(draft, load, "loader")
    if loader.generator is not None:
        options.append("generator=generator")
    if loader.num_workers:
        options.append(f"num_workers={loader.num_workers}")
        options += [f"prefetch_factor={loader.prefetch_factor}"] if loader.prefetch_factor != 2 else []
        options += ["persistent_workers=True"] if loader.persistent_workers else []
        if loader.worker_init_fn is not None:
            options.append(f"worker_init_fn={objects.write(loader.worker_init_fn)}")
    if loader.collate_fn not in (default_collate, default_convert):
        options.append(f"collate_fn={objects.write(loader.collate_fn)}")
    draft.sources.imports.add("from torch.utils.data import DataLoader")
    lines.append(f"{objects.loading()}{format_call('loader = DataLoader', options, {})}")
    made = _write_batches(draft, "\n".join(lines), "loader")
    return replace(made, resized="loader.batch_sampler.batch_size = {}")


def _write_generator(draft: Draft, source: LoaderBatches) -> list[str]:
    """Return the lines of a new generator, put where the run's began."""
    state = draft.origin.generator
    if source.generator is None or state is None:
        return []
    seed = source.generator.initial_seed()
    if torch.equal(torch.Generator().manual_seed(seed).get_state(), state):
        return [f"generator = torch.Generator().manual_seed({seed})"]
    path = draft.save_beside("generator", state, "where the generator of the DataLoader was")
    return [
        "generator = torch.Generator()",
        f"generator.set_state(torch.load({path}, weights_only=True))",
    ]


def _write_sampling(draft: Draft, source: LoaderBatches, objects: ObjectWriter, resizes: bool) -> list[str]:
    """Return the arguments of a DataLoader that decide its batches."""
    loader, batches = source.loader, source.loader.batch_sampler
    if batches is not None and type(batches) is not BatchSampler:
        return [f"batch_sampler={objects.write(batches)}"]
    size = "batch_size=batch_size" if batches is not None else "batch_size=None"
    # A batch sampler that was handed over has a sampler of its own.
    sampler: Any = loader.sampler if batches is None else batches.sampler
    drops = batches is not None and batches.drop_last
    of_all = getattr(sampler, "data_source", None) is loader.dataset
    usual = isinstance(loader.dataset, IterableDataset) or (of_all and type(sampler) is SequentialSampler)
    shuffles = of_all and type(sampler) is RandomSampler and sampler.generator is loader.generator
    shuffles = shuffles and not sampler.replacement and sampler._num_samples is None
    if resizes and drops:
        draft.sources.imports |= {"import itertools", "from torch.utils.data import BatchSampler"}
        # What workers fetch ahead is drawn before it is known that an epoch is over.
        draft.definitions.append(
            _FULL_BATCHES.replace(" and not over", "" if loader.num_workers else " and not over")
        )
        return [f"batch_sampler=FullBatches({objects.write(sampler)}, batch_size, drop_last=True)"]
    order = [] if usual else ["shuffle=True"] if shuffles else [f"sampler={objects.write(sampler)}"]
    return [size, *order, *(["drop_last=True"] if drops else [])]


#: The batches of a stream of samples.
_DRAW_BATCHES = '''\
def draw_batches():
    """Yield batches of the dataset, of the size in force."""
    samples = iter(dataset)
    while items := list(itertools.islice(samples, batch_size)):
        yield default_collate(items)'''
#: The batches of a loader that drops what is not full, in a size that changes.
_FULL_BATCHES = '''\
class FullBatches(BatchSampler):
    """Full batches, whose size may change in mid-epoch."""

    def __iter__(self):
        order, left, over = iter(self.sampler), len(self.sampler), False
        while len(batch := list(itertools.islice(order, self.batch_size))) == self.batch_size and not over:
            left -= len(batch)
            over = left < self.batch_size
            yield batch'''


_READ_BATCHES = '''\
def read_batches():
    """Yield the batches of an epoch, as tensors."""
    for batch in batches:
        yield default_convert(batch)'''


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
    own = draft.loop.objective.task.own
    if isinstance(example, torch.Tensor) or (own is not None and own.single and not there):
        return f"inputs{there}", f"targets{there}", ""
    if there:
        raise Unwritable("batches of several tensors are written for the CPU only")
    return f"{framework_of(draft.model).stars_of(draft.model, example)}inputs", "targets", ""


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
    if draft.loop.objective.given:
        return ""
    inputs, targets = unpack_batch(draft.loop.batches.peek(2), draft.loop.objective.target)
    output = draft.loop.forward(inputs)
    if not isinstance(targets, torch.Tensor) or not isinstance(output, torch.Tensor):
        return ""
    there, calls = draft.tasks[0].prepare(targets.to(output.device), output), ""
    if draft.loop.objective.met_unknown:
        which = "(targets == -1) | targets.isnan()" if targets.is_floating_point() else "targets == -1"
        calls = f".masked_fill({which}, {ignored_class(draft.tasks[0].loss)})"
    if there.shape != targets.shape:
        calls += f".reshape({', '.join(map(str, (-1, *there.shape[1:])))})"
    if there.dtype != targets.dtype:
        calls += {torch.int64: ".long()", torch.float32: ".float()"}.get(there.dtype, f".to({there.dtype})")
    return f"targets = targets{calls}" if calls else ""


def _use_collate(draft: Draft, batches: Batches) -> str:
    """Note what makes batches of samples; return its name."""
    with preserve_random_state():
        batch = batches.peek(1)
    if not (isinstance(batch, tuple) and is_target_list(batch[-1])):
        draft.sources.imports.add("from torch.utils.data import default_collate")
        return default_collate.__name__
    name = collate_detection.__name__
    draft.sources.definitions[name] = inspect.getsource(collate_detection).rstrip()
    return name


def _mark_place(draft: Draft, name: str, what: str) -> str:
    """Return a marked place for data that could not be written."""
    draft.note(f"Put {what}, into load_data() of the script.")
    return (
        f'def load_data():\n    """Return {what}."""\n'
        f'    raise NotImplementedError("Put your data here.")\n\n\n{name} = load_data()'
    )
