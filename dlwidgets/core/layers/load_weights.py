"""Weights from a file into a model, with a report of each."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..base.training_models import refuse_training
from ..base.weight_file import read_weights
from ..base.words import pluralize, quote_names
from .foreign import refuse_unbuilt
from .framework import adopt, describe_no_module, translate_weights
from .kinds import dtype_name, packed_weights, shape_words
from .split import propose_split
from .walk import kind_of, uncompiled, walk

if TYPE_CHECKING:
    import pandas as pd

#: Entries under which people keep weights beside other things; of equals the first is taken.
_ENTRIES = ("state_dict", "model_state_dict", "model_state", "model", "weights", "params", "net", "network", "ema",
            "model_ema", "ema_model", "state_dict_ema", "params_ema", "teacher", "student")  # fmt: skip
#: What stands in names that wrapping a layer puts there.
_WRAPPINGS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
#: How torch called the parts of a split weight, before and now.
_PARTS = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
#: How many rows of each kind the text has.
_SHOWN = 6
#: For how many names close ones are looked for, and among how many.
_HINTS = 50


@dataclass(frozen=True)
class WeightRow:
    """What became of one tensor.

    Attributes
    ----------
    name, shape : in the model; None where it has no such tensor.
    outcome : "loaded"; "shape" or "kind": it does not fit; "missing": not in the file; "unknown": not in the model.
    why : what does not fit, in a sentence; "" where it was loaded.
    source, source_shape : its name and shape in the file; None where it is missing there.
    """

    name: str | None
    outcome: str
    shape: tuple[int, ...] | None = None
    source: str | None = None
    source_shape: tuple[int, ...] | None = None
    why: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is a counter or a seed, which files lack."""
        ends = ("num_batches_tracked", "seed_generator_state")
        return self.outcome == "missing" and str(self.name).endswith(ends)


@dataclass(frozen=True, repr=False)
class WeightsReport:
    """What was loaded into a model, what was not, and why.

    Attributes
    ----------
    rows : one for each tensor of the model, then those that only the file has.
    notes : what was done to names and numbers on the way, in sentences.
    """

    model: str
    file: str
    rows: tuple[WeightRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def loaded(self) -> tuple[str, ...]:
        """The names of the model's tensors that were loaded."""
        return tuple(row.name for row in self.rows if row.outcome == "loaded" and row.name is not None)

    @property
    def left(self) -> tuple[str, ...]:
        """The names of the model's tensors that are as they were."""
        return tuple(row.name for row in self.rows if row.outcome != "loaded" and row.name is not None)

    @property
    def complete(self) -> bool:
        """Whether all was loaded, and all of the file used."""
        return all(row.outcome == "loaded" or row.counts for row in self.rows)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each tensor, the columns those of `WeightRow`."""
        import pandas as pd

        columns = [*WeightRow.__dataclass_fields__]
        return pd.DataFrame([vars(row) for row in self.rows], columns=columns)

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.left)
        lines = [f"{len(self.loaded):,} of {pluralize(total, 'tensor')} of the {self.model} loaded from {self.file}."]
        lines += [f"  {note}" for note in self.notes]
        titles = {
            "shape": "As they were, since the shape differs:", "kind": "As they were, since the numbers do not fit:",
            "missing": "As they were, since the file does not have them:",
            "unknown": "Not used, since the model has none of that name:",
        }  # fmt: skip
        for outcome, title in titles.items():
            rows = [row for row in self.rows if row.outcome == outcome and not row.counts]
            lines += [title] if rows else []
            lines += [f"  {row.name or row.source}" + (f": {row.why}" if row.why else "") for row in rows[:_SHOWN]]
            lines += [f"  and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []
        return "\n".join(lines)

    __repr__ = __str__


def load_weights(
    model: nn.Module,
    weights: str | Path | Mapping[str, Any] | nn.Module,
    *,
    strict: bool = False,
    entry: str | None = None,
) -> WeightsReport:
    """Load weights into a model as far as they fit; report each.

    Names are matched without what wraps them (`module.`, `_orig_mod.`, or any other beginning that all have, as
    `model.` or `backbone.`), in the file or in the model; an entry that holds them (`state_dict`, `model`, `ema`...)
    is found. Of another dtype, numbers are converted. A head for another number of classes does not fit and stays as it
    was, as does all that the report does not name as loaded; shapes are never cut or filled.

    Parameters
    ----------
    weights : a file of safetensors or `torch.save` (.pt, .pth, .bin), their folder, or the `.index.json` of several; a
        state dict; or a model. Nothing in a file is run: what is no tensor or plain value is refused.
    strict : whether to raise where not all fits, or something is missing on either side.
    entry : the entry of the file to take, or a beginning of names, where it has several, as "ema".

    Raises
    ------
    TypeError, ValueError : in a sentence: it cannot be read, nothing of it fits, or, with `strict`, not all. The model
        is as it was.
    RuntimeError : a session trains the model just now: `session.load_weights()` does it between two steps.
    """
    model = adopt(model)
    if not isinstance(model, nn.Module):
        given = describe_no_module(model)
        raise TypeError(f"A torch.nn.Module is wanted, {given}: load_weights(model, 'weights.pt').")
    refuse_unbuilt(walk(model))
    refuse_training(model, "session.load_weights(...) does it between two steps")
    return plan_weights(model, weights, strict, entry).carry_out()


class WeightsPlan:
    """Which tensor of a file goes where; nothing is changed before `carry_out`."""

    def __init__(self, report: WeightsReport, moves: Sequence[tuple[nn.Module, str, torch.Tensor]]) -> None:
        self.report, self._moves = report, moves

    @torch.no_grad()
    def carry_out(self) -> WeightsReport:
        """Write all into the model."""
        for module, key, value in self._moves:
            held = module._parameters if key in module._parameters else module._buffers
            tensor: Any = held[key]
            if is_lazy(tensor):
                tensor.materialize(value.shape)
            if tensor.is_meta:
                value = value.to(tensor.dtype, copy=True)
                held[key] = nn.Parameter(value, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else value
            else:
                tensor.copy_(value)
        return self.report


def plan_weights(model: nn.Module, weights: Any, strict: bool = False, entry: str | None = None) -> WeightsPlan:
    """Find what of some weights goes where: see `load_weights`."""
    title, whole, turned = "the state dict", uncompiled(model), list[str]()
    if (translated := translate_weights(whole, weights)) is not None:
        weights, title, turned = translated
    elif isinstance(weights, nn.Module):
        title, weights = f"the {kind_of(uncompiled(weights))}", uncompiled(weights).state_dict()
    elif isinstance(weights, (str, Path)):
        title, weights = Path(weights).name, read_weights(weights)
        if (translated := translate_weights(whole, weights)) is not None:
            weights, _, turned = translated
    if not isinstance(weights, Mapping):
        raise TypeError(f"weights is of type {type(weights).__name__}: a file, or a state dict, is wanted.")
    packed = next((path for path, module in whole.named_modules() if packed_weights(module)), None)
    if packed is not None:
        raise ValueError(f"{packed!r} holds its weights packed: load them before the model is quantised.")
    places = {name.replace(_WRAPPINGS[0], ""): place for name, place in _places(whole)}
    if not places:
        raise ValueError(f"The {kind_of(whole)} has no tensors to load.")
    chosen, notes = _choose_entry(weights, places, entry, title)
    names, said = _match_names(chosen, places)
    matched = _Matching(places, chosen, names)
    notes = [*turned, *notes, *said]
    report = WeightsReport(kind_of(whole), title, tuple(matched.rows()), (*notes, *matched.notes(whole)))
    if not report.loaded:
        raise ValueError(_nothing(report, [*chosen], [*places]))
    if strict and not report.complete:
        raise ValueError(f"strict: not all fits, and nothing was loaded. {str(report).partition(chr(10))[2]}")
    return WeightsPlan(report, matched.moves)


def _places(model: nn.Module) -> Iterator[tuple[str, tuple[nn.Module, str]]]:
    """Yield name and place of each tensor of a state dict."""
    for path, module in model.named_modules(remove_duplicate=False):
        kept = {key: one for key, one in module._buffers.items() if key not in module._non_persistent_buffers_set}
        for key, one in {**module._parameters, **kept}.items():
            if one is not None:
                yield f"{path}.{key}" if path else key, (module, key)


def _tensor_at(place: tuple[nn.Module, str]) -> torch.Tensor:
    module, key = place
    return module._parameters[key] if key in module._parameters else module._buffers[key]  # type: ignore[return-value]


def _choose_entry(
    weights: Mapping[str, Any], places: Mapping[str, Any], entry: str | None, title: str
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Return the entry's tensors that fit best, and notes."""
    found = {path: tensors for path, tensors in _entries(weights) if tensors}
    if not found:
        held = quote_names(weights, 5) if weights else "nothing"
        raise ValueError(f"{title} holds no tensors by name, but {held}: a state dict is wanted.")
    if entry is not None:
        below = {path: one for path, one in found.items() if path == entry}
        start = f"{entry.rstrip('.')}."
        for one in () if below else found.values():
            below = below or {path: some for path, some in [(start, _below(one, start))] if some}
        if not below:
            raise ValueError(f"{title} has no entry {entry!r}: there are {quote_names(filter(None, found), 6)}.")
        found = below

    def rank(path: str) -> tuple[int, int]:
        order = _ENTRIES.index(path) if path in _ENTRIES else len(_ENTRIES) + (path == "*")
        return -len(_match_names(found[path], places)[0]), order if path else -1

    best = min(found, key=rank)
    fitting = [one for one in found if one not in (best, "", "*") and rank(one)[0] == rank(best)[0] < 0]
    notes = [f"Taken was its entry {best!r}."] if best and entry is None else []
    notes += [f"{quote_names(fitting, 3)} would fit as well: entry={fitting[0]!r} takes it."] if fitting else []
    return found[best], notes


def _below(tensors: Mapping[str, torch.Tensor], start: str) -> dict[str, torch.Tensor]:
    return {name: one for name, one in tensors.items() if name.startswith(start)}


def _entries(
    weights: Mapping[Any, Any], path: str = "", depth: int = 0
) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Yield the tensors of a file, and of each of its entries."""
    own: dict[str, torch.Tensor] = {}
    nested: dict[str, Mapping[Any, Any]] = {}
    for name, value in weights.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            value = torch.from_numpy(value)
        if isinstance(value, torch.Tensor) and isinstance(name, str):
            own[name] = value
        elif isinstance(value, Mapping) and isinstance(name, str):
            nested[name] = value
    yield path, own
    if depth > 2:
        return
    for name, value in nested.items():
        yield from _entries(value, f"{path}.{name}" if path else name, depth + 1)
    # Several parts of a model, each with a state dict of its own.
    pairs = ((f"{name}.{key}", one) for name, value in nested.items() for key, one in value.items())
    parts = {name: one for name, one in pairs if isinstance(one, torch.Tensor)}
    if len(nested) > 1 and parts:
        yield f"{path}.*" if path else "*", own | parts


def _match_names(tensors: Mapping[str, torch.Tensor], places: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return name in the model -> name in the file, and notes."""
    plain = {_unwrapped(name): name for name in tensors}
    best: tuple[int, dict[str, str], str, str] | None = None
    for off, on in [("", ""), *_beginnings(plain, places)]:
        names = {}
        for name, source in plain.items():
            if name.startswith(off):
                put = on + name[len(off) :]
                put = put if put in places else _renamed(put)
                if put in places:
                    names[put] = source
        fits = sum(_fits(tensors[source], _tensor_at(places[name])) == "" for name, source in names.items())
        score = 2 * fits + len(names)
        if best is None or score > best[0]:
            best = score, names, off, on
    _, names, off, on = best  # type: ignore[misc]
    said = []
    wrapped = [sign for sign in _WRAPPINGS if any(sign in name for name in tensors)]
    if off or wrapped:
        said.append(f"{quote_names([*([off] if off else []), *wrapped])} was left out of its names.")
    if on:
        said.append(f"Its names are those below {on!r} of the model.")
    return names, said


def _unwrapped(name: str) -> str:
    for sign in _WRAPPINGS:
        name = name.replace(sign, "")
    return name


def _renamed(name: str) -> str:
    start, _, last = name.rpartition(".")
    return f"{start}.{_PARTS[last]}".lstrip(".") if last in _PARTS else name


def _beginnings(plain: Mapping[str, str], places: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return likely beginnings of names, in the file and the model."""
    index: dict[str, list[str]] = {}
    for name in places:
        for cut in _cuts(name):
            index.setdefault(name[cut:], []).append(name[:cut])
    votes: Counter[tuple[str, str]] = Counter()
    for name in plain:
        cut = next((cut for cut in _cuts(name) if name[cut:] in index), None)
        if cut is not None:
            votes.update((name[:cut], start) for start in index[name[cut:]][:50])
    # Of a beginning, half of the names are to be found: else it is chance.
    likely = []
    for (off, on), count in votes.most_common(8):
        below = sum(name.startswith(off) for name in plain)
        if (off or on) and 2 * count >= below:
            likely.append((off, on))
    return likely


def _cuts(name: str) -> Iterator[int]:
    """Yield where the rest of a dotted name begins, longest rest first."""
    yield 0
    for place, sign in enumerate(name):
        if sign == ".":
            yield place + 1


def _fits(value: torch.Tensor, tensor: torch.Tensor) -> str:
    """Return why a value does not fit: "shape", "kind", or ""."""
    if not is_lazy(tensor) and value.shape != tensor.shape and not value.numel() == tensor.numel() == 1:
        return "shape"
    fits = torch.can_cast(value.dtype, tensor.dtype) or value.is_quantized
    return "" if fits and value.layout is torch.strided else "kind"


class _Matching:
    """The rows of a report, and what is to be moved."""

    def __init__(
        self, places: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], names: Mapping[str, str]
    ) -> None:
        self.moves: list[tuple[nn.Module, str, torch.Tensor]] = []
        self._places, self._tensors, self._names = places, tensors, names
        self._converted: Counter[str] = Counter()
        self._differ: list[str] = []
        self._counters = 0

    def rows(self) -> Iterator[WeightRow]:
        loaded: dict[int, str] = {}
        waiting: list[str] = []
        found: dict[str, WeightRow] = {}
        for name, place in self._places.items():
            tensor, source = _tensor_at(place), self._names.get(name)
            if source is None:
                waiting.append(name)
                continue
            value = self._tensors[source]
            why = _fits(value, tensor)
            if not why:
                if (first := loaded.setdefault(id(tensor), source)) != source:
                    self._differ += [] if torch.equal(self._tensors[first], value) else [name]
                else:
                    self._move(place, tensor, value)
            said = _words(why, value, tensor)
            found[name] = WeightRow(name, why or "loaded", _shape(tensor), source, _shape(value), said)
        for name in waiting:
            tensor = _tensor_at(self._places[name])
            tied = id(tensor) in loaded
            found[name] = WeightRow(name, "loaded" if tied else "missing", _shape(tensor), loaded.get(id(tensor)))
            self._counters += found[name].counts and name.endswith("num_batches_tracked")
        yield from (found[name] for name in self._places)
        missing = [name for name in waiting if found[name].outcome == "missing"]
        used = {*self._names.values()}
        unknown = [source for source in self._tensors if source not in used]
        for number, source in enumerate(unknown):
            shape = _shape(self._tensors[source])
            some = missing if number < _HINTS else []
            alike = [name for name in some if _shape(_tensor_at(self._places[name])) == shape]
            near = difflib.get_close_matches(source, alike[:_HINTS], n=1)
            why = f"{near[0]!r} of the model is close to it and has that shape" if near else ""
            yield WeightRow(None, "unknown", None, source, shape, why)

    def _move(self, place: tuple[nn.Module, str], tensor: torch.Tensor, value: torch.Tensor) -> None:
        if value.is_quantized:
            value = value.dequantize()
        if value.dtype != tensor.dtype:
            self._converted[f"{dtype_name(value.dtype)} became {dtype_name(tensor.dtype)}"] += 1
        self.moves.append((*place, value if is_lazy(tensor) else value.reshape(tensor.shape)))

    def notes(self, model: nn.Module) -> Iterator[str]:
        """Say what was done to numbers, and whether the head differs."""
        for said, count in self._converted.items():
            yield f"{said} in {pluralize(count, 'tensor')}."
        if self._differ:
            yield f"{quote_names(self._differ, 3)}: tied to another in the model, whose numbers in the file were taken."
        if self._counters:
            yield f"It counts no batches of BatchNorm (num_batches_tracked): {self._counters} counters stay."
        shapes = [n for n, s in self._names.items() if _fits(self._tensors[s], _tensor_at(self._places[n])) == "shape"]
        heads = propose_split(model).head if shapes else ()
        if heads and all(any(name.startswith(f"{head}.") for head in heads) for name in shapes):
            yield f"The head {quote_names(heads, 3)} is for other classes: what differs is as it was, to be trained."


def _shape(tensor: torch.Tensor) -> tuple[int, ...] | None:
    return None if is_lazy(tensor) else tuple(tensor.shape)


def _words(why: str, value: torch.Tensor, tensor: torch.Tensor) -> str:
    if why == "shape":
        return f"{shape_words(value.shape)} in the file, {shape_words(tensor.shape)} in the model"
    return f"{dtype_name(value.dtype)} in the file, {dtype_name(tensor.dtype)} in the model" if why else ""


def _nothing(report: WeightsReport, names: Sequence[str], own: Sequence[str]) -> str:
    """Say that nothing fits, and what there is on both sides."""
    shapes = [row for row in report.rows if row.outcome == "shape"]
    if shapes:
        one = shapes[0]
        return (
            f"Nothing of {report.file} was loaded: what has the names of the {report.model} has other shapes, as "
            f"{one.name!r}: {one.why}."
        )
    return (
        f"Nothing of {report.file} was loaded: its names, as {quote_names(names, 3)}, are not those of the "
        f"{report.model}, as {quote_names(own, 3)}."
    )
