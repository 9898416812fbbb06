"""A model as rows, one a layer, in the order they run."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..base.trees import Takes, tree_tensors
from ..pictures.picture import time_first
from .axes import time_first_sentence
from .example_input import Example, from_input, from_shape, holds_tensors, input_hint
from .foreign import build_by, idle_arguments, say_unready
from .forward import TracedForward, clear_frames, trace_forward
from .framework import adopt, framework_of
from .kinds import dtype_name, layer_arguments, masked_weights, packed_weights, shape_words
from .trace import Failure, Record, Shapes
from .unregistered import find_unregistered
from .walk import HOLDERS, Holding, Layer, bytes_of, holdings_of, numel_of, walk

if TYPE_CHECKING:
    import pandas as pd

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One layer of a model; sums include the layers inside.

    Attributes
    ----------
    path : its name from the model down, as in `named_modules`; "" for the model.
    kind : the name of its class.
    depth : 0 for the model, 1 for what it holds, and so on.
    input_shape : shape of the first tensor that it was given; None if it was given none, or did not run.
    output_shape : shape of its output; None if that is no tensor, or it did not run.
    parameters : numbers in its parameters and those inside, each tensor once.
    trainable : "yes", "no", "partly"; "" without parameters.
    macs : multiply-accumulate operations of all its calls, those of functions called in it among them.
    activation_bytes : memory of what the layers in it put out, over all calls. What shares memory with its
        input (in place, a view) adds none; so do functions called between layers, whose results are not seen.
    calls : how often it ran.
    name : the last part of the path; for the model, its class.
    detail : the arguments that tell it from others of its class, as "3×3".
    inputs, outputs : name and shape of each tensor that it was given and put out.
    own_parameters, own_macs : without the layers inside.
    tied_parameters : how many of its own parameters a layer above it in the table has too.
    tied_to : that layer's path; None where nothing is tied.
    parameter_bytes, buffer_bytes : memory of parameters and of buffers, each tensor once.
    dtype : of its parameters, several joined by "+"; without any, of its output; None where neither is known.
    same_as : the path where the same module stands first; None for most layers.
    holder : whether it only holds others, as a ModuleList, and is never called itself.
    note : what else is to be said of it, as "not called", or how many weights are masked; "" for nothing.
    """

    path: str
    kind: str
    depth: int
    input_shape: Shape | None
    output_shape: Shape | None
    parameters: int
    trainable: str
    macs: int
    activation_bytes: int
    calls: int
    name: str
    detail: str = ""
    inputs: Shapes = ()
    outputs: Shapes = ()
    own_parameters: int = 0
    own_macs: int = 0
    tied_parameters: int = 0
    tied_to: str | None = None
    parameter_bytes: int = 0
    buffer_bytes: int = 0
    dtype: str | None = None
    same_as: str | None = None
    holder: bool = False
    note: str = ""

    @property
    def shared(self) -> bool:
        """Whether a layer above it has some of its parameters too (tied)."""
        return self.tied_parameters > 0


@dataclass(frozen=True, repr=False)
class Summary:
    """A model as a table.

    `str(summary)` is the table as text; a notebook shows it as HTML.

    Attributes
    ----------
    rows : a row for each layer, each before those inside it, in the order of the first calls; layers that
        were not called come last among their siblings.
    total_parameters, trainable_parameters : each tensor once, however often it is held. The rows' own
        parameters without their tied ones add up to the total.
    total_macs, activation_bytes : of one forward with the inputs that were given.
    parameter_bytes, buffer_bytes : memory of the parameters and of the buffers.
    complete : whether the whole forward was followed.
    error : why not, and what to do about it, a sentence; None when `complete`.
    exception : what the model raised, or None.
    failed : path of the layer where it failed, or None.
    uncounted : operations that may hold MACs but are not in `macs`, by name, with the paths of their layers.
    notes : what else is to be known about the numbers, sentences.
    batch : the size of the first axis of the inputs, where they agree on it.
    masked_parameters : how many of the parameters are pruned by a mask.
    """

    rows: tuple[Row, ...]
    total_parameters: int
    trainable_parameters: int
    total_macs: int = 0
    activation_bytes: int = 0
    parameter_bytes: int = 0
    buffer_bytes: int = 0
    complete: bool = True
    error: str | None = None
    exception: Exception | None = None
    failed: str | None = None
    uncounted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    inputs: tuple[Shape, ...] = ()
    batch: int | None = None
    masked_parameters: int = 0

    @property
    def name(self) -> str:
        """The class of the model."""
        return self.rows[0].kind

    @property
    def how(self) -> str:
        """What else is to be known about the numbers, in sentences."""
        return " ".join(self.notes)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, path: str) -> Row:
        """Return the row of the layer at `path`; else KeyError."""
        for row in self.rows:
            if row.path == path:
                return row
        raise KeyError(f"The model has no layer {path!r}.")

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a data frame, a column each attribute."""
        import pandas as pd

        # Not asdict(), which copies.
        return pd.DataFrame(map(vars, self.rows), columns=[part.name for part in dataclasses.fields(Row)])

    def __str__(self) -> str:
        from .summary_text import text

        return text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from .summary_text import html

        return html(self)


def summary(
    model: nn.Module, input: Any = None, *more: Any, input_shape: Any = None, dtype: Any = None, **other: Any
) -> Summary:
    """Return the model as a table of its layers.

    The model is left as it is: a stand-in is followed, in eval mode and with tensors that hold no values, so
    that no weight is copied and nothing computed. Its hooks are called on them, and what these keep is taken
    back. A model that needs values, or takes long to follow, as a loop over time, is run once for real, in
    the same way apart from it; the notes say so. Before torch's compiler is loaded, which following needs, a
    small model is run as a copy.

    Parameters
    ----------
    model : the model; it may be on the meta device. What it was compiled from is looked at.
    input : a batch: a tensor or array, rows as lists of numbers, a tuple of positional inputs, a dict of
        keywords, or what a DataLoader gives (a list, of which the targets are left out). Whatever else the
        forward takes as its one argument: a list, a dict, a graph, a dataclass, a text. A tuple of sizes, as
        (3, 224, 224), is read as `input_shape`. Nothing, for a forward that takes nothing.
    more : further positional inputs.
    input_shape : in place of `input`, the shape of one sample, as (1, 28, 28); a list of shapes for several
        inputs, a dict for keywords. A batch axis of 1 is put in front.
    dtype : the dtype of the inputs made from `input_shape`, or of real-valued `input`; one for all or one for
        each. None: that of the model's weights, or whole numbers where an embedding wants them.

    Returns
    -------
    Summary : complete, or up to the layer where the forward failed, or, without input, without shapes; then
        `.error` says in a sentence what to do.

    Raises
    ------
    TypeError, ValueError : what was given is no model, no input, no shape, or has another name.
    """
    if other:
        raise TypeError(f"summary takes no {_meant(next(iter(other)), model)}")
    model = adopt(model)
    layers = walk(model)
    if input is not None and input_shape is not None:
        raise ValueError("Both input and input_shape were given: one of them is wanted.")
    if input is not None or more:
        examples = from_input(model, (input, *more), dtype)
    elif input_shape is not None:
        examples = from_shape(model, input_shape, dtype)
    elif (known := framework_of(model).known_inputs(model)) is not None and not say_unready(layers, "summary"):
        examples = [Example(known)]
    elif (takes := Takes.of(layers[0].module)).needed or takes.most is None:
        return make_summary(layers, error=input_hint(layers))
    else:
        examples = [Example(())]
    layers, examples, unfit = _built(layers, examples)
    if unfit:
        return make_summary(layers, error=unfit)
    found = trace_forward(layers, examples)
    if found.error is not None and not holds_tensors(found.example):
        if input is None and not more:
            return make_summary(layers, error=input_hint(layers))
        raise TypeError(
            f"input is of type {type(input).__name__} and holds no tensor: a tensor, an array, a tuple of "
            "positional inputs, a dict of keywords or a batch of a DataLoader is wanted."
        ) from found.error
    try:
        clash = found.clash.sentence if found.clash is not None else None
        return make_summary(layers, found, error=clash)
    finally:
        if found.error is not None:
            clear_frames(found.error)
        # This frame stands in the exception's, too.
        del model, input, layers, examples, found


def outline(model: nn.Module, call: str = "dlwidgets.summary") -> Summary:
    """Return a model's table without running it, with a hint.

    One that knows the shapes of its inputs, as a Keras model does, is followed without values. `call` is how the
    hint names the function that takes an input.
    """
    if framework_of(model).known_inputs(model) is not None:
        return summary(model)
    found = make_summary(layers := walk(model))
    return dataclasses.replace(found, notes=(*found.notes, input_hint(layers, call)))


def _built(layers: Sequence[Layer], examples: Sequence[Example]) -> tuple[Sequence[Layer], Sequence[Example], str]:
    """Take a built copy of a model without shapes.

    Returns its layers, the first example that suits, and why none does, in a sentence.
    """
    said = ""
    for example in examples:
        try:
            made = build_by(layers, example.inputs)
        except ValueError as error:
            said = said or str(error)
            continue
        if made is None:
            break
        return walk(made[0]), [dataclasses.replace(example, notes=(*example.notes, made[1]))], ""
    return layers, examples, said


def with_trainable(table: Summary, model: nn.Module) -> Summary:
    """Return the table with what trains now; the same if nothing changed."""
    holdings = holdings_of(walk(model))
    now = [holdings[row.path].trainable if row.path in holdings else row.trainable for row in table.rows]
    count = holdings[""].trained
    if count == table.trainable_parameters and now == [row.trainable for row in table.rows]:
        return table
    rows = tuple(dataclasses.replace(row, trainable=word) for row, word in zip(table.rows, now))
    return dataclasses.replace(table, rows=rows, trainable_parameters=count)


def _meant(name: str, model: Any) -> str:
    """Name an unknown keyword, and the one that is meant."""
    if isinstance(model, nn.Module) and name in (Takes.of(model).names or ()):
        return f"{name}: inputs by name are given as a dict, summary(model, {{{name!r}: ...}})."
    if name in ("input_size", "input_sizes", "shape", "size", "shapes"):
        return f"{name}: input_shape, the shape of one sample, as (1, 28, 28), is meant."
    if name in ("input_data", "inputs", "x", "X", "batch", "data", "example"):
        return f"{name}: input, a batch, as summary(model, X[:1]), is meant."
    if name == "batch_size":
        return f"{name}: give a batch, or input_shape with the batch as its first axis."
    near = difflib.get_close_matches(name, ["input", "input_shape", "dtype", "model"], n=1)
    if near and name not in ("dtypes", "device", "depth", "verbose", "col_names", "mode"):
        return f"{name}: {near[0]} is close to it."
    return f"{name}; it takes model, input, input_shape and dtype."


def make_summary(
    layers: Sequence[Layer], found: TracedForward | None = None, error: str | None = None
) -> Summary:
    """Make the table of layers, with what a forward showed."""
    records = found.trace.records if found is not None else {layer.path: Record() for layer in layers}
    uncounted = found.trace.uncounted if found is not None else {}
    holdings, whole = holdings_of(layers), records[""]
    for layer in reversed(layers[1:]):
        # Layers that were not called themselves have the sums of those inside.
        above, record = records[layer.parent or ""], records[layer.path]
        if not above.calls:
            above.macs += record.macs
            above.activation_bytes += record.activation_bytes
    failure = found.trace.failure if found is not None and found.error is not None else None
    masks = {id(layer.module): masked_weights(layer.module) for layer in layers if not layer.again}
    modules = {layer.path: layer.module for layer in layers}
    # What a framework's layer is made of need not be called: an LSTM of Keras uses the weights of its cell.
    wholes = {path for path, module in modules.items() if path and framework_of(module).is_whole(module)}
    parts = {layer.path for layer in layers if layer.parent in wholes}
    rows = [
        _row(
            layer, records[layer.path], holdings[layer.path], masks.get(id(layer.module)),
            followed=found is not None and layer.path not in parts, failure=failure,
        )
        for layer in _in_order(layers, records)
    ]  # fmt: skip
    example = found.example if found is not None else Example(())
    used = found.trace.used if found is not None else ()
    notes = [*example.notes]
    for one in find_unregistered({layer.path: layer.module for layer in layers}):
        notes.append(one.sentence(one.path in used))
    if error is None:  # where there is one, it says so
        notes += idle_arguments(layers)
    if found is not None and found.real:
        # A forward that fails was run only for torch's own words.
        why = "until it failed" if found.error is not None else f"since {found.real}"
        what = "A copy of the model" + (" that shares its weights" if not found.copied else "")
        if found.itself:
            what = "The model itself, which cannot be copied and is now as it was before,"
        notes.append(f"{what} was run once for real, {why}.")
    given = [tuple(tensor.shape) for tensor in tree_tensors(example.inputs) if not tensor.is_nested]
    first = next((one for one in layers if time_first(one.module) and records[one.path].inputs), None)
    timed = first is not None and given[:1] == [records[first.path].inputs[0][1]] and len(given[0]) == 3
    if timed and first is not None:
        notes.append(time_first_sentence(first.path, first.module))
    return Summary(
        tuple(rows), rows[0].parameters, holdings[""].trained, whole.macs, whole.activation_bytes,
        rows[0].parameter_bytes, rows[0].buffer_bytes, complete=error is None, error=error,
        exception=found.error if found is not None else None,
        failed=failure.path if failure is not None else None,
        uncounted={name: tuple(paths) for name, paths in uncounted.items()}, notes=tuple(notes),
        masked_parameters=sum(mask[0] for mask in masks.values() if mask is not None and mask[2]),
        inputs=tuple(given), batch=None if timed else example.batch,
    )  # fmt: skip


def _row(
    layer: Layer, record: Record, holding: Holding, masked: tuple[int, int, bool] | None, *,
    followed: bool, failure: Failure | None,
) -> Row:  # fmt: skip
    kept = holding.parameters
    types = dict.fromkeys(dtype_name(tensor.dtype) for tensor in kept)
    lazy = any(map(is_lazy, kept)) if not isinstance(layer.module, torch.jit.ScriptModule) else False
    return Row(
        layer.path, layer.kind, layer.depth,
        input_shape=record.inputs[0][1] if record.inputs else None,
        output_shape=record.outputs[0][1] if record.whole and record.outputs else None,
        parameters=sum(map(numel_of, kept)), trainable=holding.trainable,
        macs=record.macs, activation_bytes=record.activation_bytes, calls=record.calls,
        name=layer.name, detail=layer_arguments(layer.module), inputs=record.inputs, outputs=record.outputs,
        own_parameters=holding.own, own_macs=record.own_macs,
        tied_parameters=holding.tied, tied_to=holding.tied_to,
        parameter_bytes=sum(map(bytes_of, kept)),
        buffer_bytes=sum(map(bytes_of, holding.buffers.values())),
        dtype="+".join(types) or (dtype_name(record.dtype) if record.dtype is not None else None),
        same_as=layer.first if layer.again else None, holder=isinstance(layer.module, HOLDERS),
        note=_note(layer, record, masked, lazy, followed, failure),
    )  # fmt: skip


def _note(
    layer: Layer, record: Record, masked: tuple[int, int, bool] | None, lazy: bool, followed: bool,
    failure: Failure | None,
) -> str:  # fmt: skip
    words = []
    if lazy and any(is_lazy(tensor) for tensor in layer.module._parameters.values() if tensor is not None):
        count = sum(map(prod, record.built.values()))
        gives = f": its first batch gives it {count:,} parameters" if count else ""
        words.append(f"not built yet{gives}")
    if masked:
        words.append(f"{masked[0]:,} of its {masked[1]:,} weights are {'masked' if masked[2] else '0'}")
    if (packed := packed_weights(layer.module)) is not None:
        words.append(f"its {packed[0]:,} weights are packed as {packed[1]} and are no parameters")
    if record.varied:
        words.append("its calls had different shapes")
    if layer.again:
        words.append(f"the same module as {layer.first}")
    if failure is not None and layer.path == failure.path:
        words.append("fails here" + (f", given {shape_words(record.inputs[0][1])}" if record.inputs else ""))
    elif followed and not record.calls and not isinstance(layer.module, HOLDERS):
        words.append("not called" if failure is None else "not reached")
    return "; ".join(words)


def _in_order(layers: Sequence[Layer], records: Mapping[str, Record]) -> list[Layer]:
    """Order siblings by the first call in or under them."""
    never = len(records) + sum(record.calls for record in records.values())
    began = {layer.path: never if (order := records[layer.path].order) is None else order for layer in layers}
    inside: dict[str, list[Layer]] = {layer.path: [] for layer in layers}
    for layer in reversed(layers[1:]):
        above = layer.parent or ""
        inside[above].append(layer)
        began[above] = min(began[above], began[layer.path])
    ordered, waiting = [], [layers[0]]
    while waiting:
        layer = waiting.pop()
        ordered.append(layer)
        # The last to begin at the bottom; of equals the last that is registered.
        waiting += sorted(inside[layer.path], key=lambda one: -began[one.path])
    return ordered
