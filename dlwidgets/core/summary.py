"""A model as rows: every layer with its shapes, parameters, MACs and bytes; the model is left as it was."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.parameter import is_lazy

from .borrowed import device_of, looking
from .macs import CountMacs, fast_path_off
from .misfits import explain, find_clash, wants
from .trees import call, tensors, tree_map
from .walk import Place, parent, walk

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """One layer. Shapes have the batch axis first; None where the layer was not called or puts out no tensor."""

    path: str
    name: str
    kind: str
    detail: str
    depth: int
    leaf: bool
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
    #: Of the layer and all inside it; a tensor that several layers share is counted at the first.
    parameters: int
    own_parameters: int
    #: "yes", "no", "partly", or "" where there are no parameters.
    trainable: str
    #: Multiply-accumulates of one forward pass, of the layer and all inside it.
    macs: int
    #: Bytes of the outputs of the layer, or of the innermost layers inside it.
    activation_bytes: int
    parameter_bytes: int
    dtype: str
    calls: int
    #: Whether some of its parameters belong to an earlier layer too (tied weights).
    shared: bool = False
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """The table of a model's layers, outer before inner, in the order in which they are called.

    `complete` says whether the whole forward pass was seen; if not, `error` says in a sentence why, and
    `exception` holds what was raised. `uncounted` names operations whose MACs are missing from the counts.
    """

    name: str
    rows: list[Row]
    total_parameters: int
    trainable_parameters: int
    total_macs: int
    activation_bytes: int
    parameter_bytes: int
    complete: bool
    error: str | None
    uncounted: dict[str, int] = field(default_factory=dict)
    #: How the shapes were found, in a sentence.
    how: str = ""
    exception: BaseException | None = field(default=None, repr=False, compare=False)

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame indexed by path, with a column for each field of a row."""
        import pandas as pd

        columns = [name for name in Row.__dataclass_fields__ if name != "path"]
        data = [[getattr(row, name) for name in columns] for row in self.rows]
        return pd.DataFrame(data, index=pd.Index([row.path for row in self.rows], name="path"), columns=columns)

    def __str__(self) -> str:
        from .summary_text import as_text

        return as_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from .summary_text import as_html

        return as_html(self)


def summary(
    model: nn.Module,
    input: Any = None,  # noqa: A002 - the name people know from other tools
    *,
    input_shape: Sequence[Any] | None = None,
    dtype: torch.dtype | None = None,
) -> Summary:
    """Describe a model layer by layer, without running it: shapes come from fake tensors, which hold no numbers.

    Parameters
    ----------
    model : the module. Parameters, buffers, hooks, modes, gradients and random numbers stay as they are.
    input : a tensor, a tuple of positional inputs, a dict of keywords, or a batch `[inputs, targets]` as a
        DataLoader gives it. Only shapes and dtypes matter.
    input_shape : instead of `input`: the shape of one sample, as (1, 28, 28), or a list of several such shapes.
    dtype : of the input made from `input_shape`; None: that of the model's weights.

    Returns
    -------
    Summary, incomplete where the forward pass fails: its rows then go up to the layer that failed.

    Raises
    ------
    TypeError : `model` is no module.
    """
    if not isinstance(model, nn.Module):
        hint = " (a class: call it first)" if isinstance(model, type) else ""
        raise TypeError(f"summary wants a torch.nn.Module, not {getattr(model, '__name__', type(model).__name__)}{hint}.")
    lazy = [place for place in walk(model) if any(is_lazy(p) for p in place.module.parameters(recurse=False))]
    if lazy:
        names = ", ".join(f"{place.path or 'the model'} ({type(place.module).__name__})" for place in lazy[:4])
        return _table(model, None, f"Not yet built: {names}. A first forward pass with real data builds it.", None)
    given = _inputs(model, input, input_shape, dtype)
    if not given:
        return _table(model, None, _what_is_wanted(model), None)
    trace = _trace_fake(model, given[0])
    for inputs in given[1:] if trace.failure is not None else []:
        other = _trace_fake(model, inputs)
        if other.failure is None:
            trace = other
            break
    failure = trace.failure
    how = "Shapes from fake tensors: nothing was computed."
    if failure is not None and not _is_misfit(trace) and _can_run(model, given[0]):
        real = _trace_real(model, given[0])
        trace, failure = real, real.failure
        how = "Shapes from one real forward pass, since the model cannot be traced without numbers."
    error = None if failure is None else _explain(trace, failure)
    return _table(model, trace, error, failure, how)


# ---------------------------------------------------------------------- the forward pass that is watched


class _Trace:
    """What the layers did in one forward pass: shapes, calls, MACs, and the stack of those being run."""

    def __init__(self, model: nn.Module) -> None:
        self.paths = {id(place.module): place.path for place in walk(model)}
        self.places = {place.path: place for place in walk(model)}
        self.order: list[str] = []
        self.inputs: dict[str, tuple[int, ...] | None] = {}
        self.outputs: dict[str, tuple[int, ...] | None] = {}
        self.bytes: dict[str, int] = defaultdict(int)
        self.calls: dict[str, int] = defaultdict(int)
        self.macs: dict[str, int] = defaultdict(int)
        self.stack: list[str] = []
        self.uncounted: dict[str, int] = {}
        self.failure: BaseException | None = None

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        path = self.paths[id(module)]
        self.stack.append(path)
        if path not in self.inputs:
            self.order.append(path)
            first = next(tensors((args, kwargs)), None)
            self.inputs[path] = None if first is None else tuple(first.shape)

    def leave(self, module: nn.Module, _args: Any, _kwargs: Any, output: Any) -> None:
        path = self.stack.pop()
        self.calls[path] += 1
        found = list(_outputs(output))
        self.outputs.setdefault(path, tuple(found[0].shape) if found else None)
        self.bytes[path] += sum(t.numel() * t.element_size() for t in found)

    def credit(self, macs: int) -> None:
        # Each layer on the stack contains those above it: the innermost is credited, sums go up later.
        self.macs[self.stack[-1] if self.stack else ""] += macs

    def watch(self, model: nn.Module) -> ExitStack:
        """Return a context in which each call of a layer is noted; all hooks go with it."""
        stack = ExitStack()
        for place in walk(model):
            for handle in (
                place.module.register_forward_pre_hook(self.enter, with_kwargs=True),
                place.module.register_forward_hook(self.leave, with_kwargs=True),
            ):
                stack.callback(handle.remove)
        return stack


def _outputs(output: Any) -> Any:
    """Yield the tensors of an output: of a tensor, a tuple, a dict, or an object with tensors as attributes."""
    found = list(tensors(output))
    if found or output is None or isinstance(output, (str, int, float, bool)):
        yield from found
    elif hasattr(output, "__dict__"):
        yield from tensors({name: value for name, value in vars(output).items() if not name.startswith("__")})


def _trace_fake(model: nn.Module, inputs: Any) -> _Trace:
    trace = _Trace(model)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    counter = CountMacs(trace.credit)
    try:
        fakes: dict[int, Any] = {}

        def fake(tensor: torch.Tensor) -> Any:
            # Tied weights stay tied: one fake for each tensor.
            if id(tensor) not in fakes:
                fakes[id(tensor)] = mode.from_tensor(tensor)
            return fakes[id(tensor)]

        state = {name: fake(t) for name, t in (*model.named_parameters(), *model.named_buffers())}
        seen = tree_map(fake, inputs)
        with looking(model), fast_path_off(), _quiet(), trace.watch(model), mode, counter:
            positional = () if isinstance(seen, Mapping) else seen if isinstance(seen, tuple) else (seen,)
            named = seen if isinstance(seen, Mapping) else {}
            torch.func.functional_call(model, state, positional, dict(named))
    except Exception as error:  # noqa: BLE001 - a model's forward may raise anything
        trace.failure = error
    trace.uncounted = dict(counter.uncounted)
    return trace


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from logging a misfit, which is said in a sentence."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was


def _trace_real(model: nn.Module, inputs: Any) -> _Trace:
    trace = _Trace(model)
    counter = CountMacs(trace.credit)
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with looking(model), fast_path_off(), trace.watch(model), counter:
            call(model, tree_map(_numbers, inputs))
    except Exception as error:  # noqa: BLE001 - a model's forward may raise anything
        trace.failure = error
    finally:
        with torch.no_grad():
            for buffer, copy in kept:
                buffer.copy_(copy)
    trace.uncounted = dict(counter.uncounted)
    return trace


def _numbers(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.device.type == "meta" else tensor


def _can_run(model: nn.Module, inputs: Any) -> bool:
    return all(t.device.type != "meta" for t in (*model.parameters(), *model.buffers()))


def _is_misfit(trace: _Trace) -> bool:
    """Say whether the failure is a layer's refusal of a shape, which a real forward pass would only repeat."""
    path = trace.stack[-1] if trace.stack else None
    return path is not None and find_clash(trace.places[path].module, trace.inputs.get(path)) is not None


def _explain(trace: _Trace, failure: BaseException) -> str:
    path = trace.stack[-1] if trace.stack else ""
    return explain(path, trace.places[path].module, trace.inputs.get(path), failure)


# ---------------------------------------------------------------------- inputs


def _inputs(model: nn.Module, given: Any, shape: Any, dtype: torch.dtype | None) -> list[Any]:
    """Return the inputs to try, the likeliest first: a tensor, a tuple or a dict, real or on the meta device."""
    if given is not None and shape is not None:
        raise ValueError("Give input or input_shape, not both.")
    if given is not None:
        # A list is what a DataLoader collates: inputs first, then targets.
        inputs = given[0] if isinstance(given, list) and given else given
        if not any(True for _ in tensors(inputs)):
            raise TypeError(f"input is of type {type(given).__name__}: a tensor, a tuple or a dict of tensors is wanted.")
        return [inputs]
    if shape is None:
        return []
    shapes = [tuple(shape)] if all(isinstance(size, int) for size in shape) else [tuple(one) for one in shape]
    if not all(isinstance(size, int) and size > 0 for one in shapes for size in one):
        raise ValueError(f"input_shape={shape!r}: whole numbers above 0 are wanted, as (1, 28, 28).")
    floats = [p.dtype for p in model.parameters() if p.is_floating_point()]
    usual = floats[0] if floats else torch.float32
    device = device_of(model)
    # As documented, without the batch axis; many people give it all the same.
    tries = [[(1, *one) for one in shapes], shapes]
    # A model that begins with an embedding takes whole numbers.
    kinds = [dtype] if dtype is not None else [usual, torch.long]
    made = []
    for kind in kinds:
        for sizes in tries:
            # Only its shape is looked at: untouched memory costs nothing.
            inputs = tuple(torch.empty(size, dtype=kind, device=device) for size in sizes)
            made.append(inputs[0] if len(inputs) == 1 else inputs)
    return made


def _what_is_wanted(model: nn.Module) -> str:
    for place in walk(model):
        found = wants(place.module) if place.leaf else None
        if found is not None:
            words, example = found
            return (
                f"No input shape is known. {place.path or 'The model'} ({type(place.module).__name__}) takes {words}: "
                f"try dlwidgets.summary(model, input_shape={example})."
            )
    return "No input shape is known: pass a batch, as dlwidgets.summary(model, X[:1]), or input_shape=."


# ---------------------------------------------------------------------- rows


def _table(
    model: nn.Module, trace: _Trace | None, error: str | None, failure: BaseException | None, how: str = ""
) -> Summary:
    places = {place.path: place for place in walk(model)}
    paths = _in_call_order(places, trace)
    own, shared, sizes = _parameters(places)
    inner: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        inner[path].append(path)
        above = parent(path)
        while above is not None:
            inner[above].append(path)
            above = parent(above)

    # An output is counted where it is made: a container's is that of a layer inside, unless none was called.
    innermost = {p for p in paths if trace and not any(trace.calls[name] for name in inner[p] if name != p)}

    rows = []
    for path in paths:
        place, within = places[path], inner[path]
        tensors_within = [p for name in within for p in own[name]]
        flags = {p.requires_grad for p in place.module.parameters() if not is_lazy(p)}
        dtypes = sorted({str(p.dtype).removeprefix("torch.") for p in place.module.parameters()})
        rows.append(Row(
            path=path, name=path.rpartition(".")[2] or type(model).__name__, kind=type(place.module).__name__,
            detail=detail(place.module), depth=place.depth, leaf=place.leaf,
            input_shape=trace.inputs.get(path) if trace else None,
            output_shape=trace.outputs.get(path) if trace else None,
            parameters=sum(sizes[id(p)] for p in tensors_within),
            own_parameters=sum(sizes[id(p)] for p in own[path]),
            trainable="" if not flags else "partly" if len(flags) == 2 else "yes" if True in flags else "no",
            macs=sum(trace.macs[name] for name in within) if trace else 0,
            activation_bytes=sum(trace.bytes[name] for name in within if name in innermost) if trace else 0,
            parameter_bytes=sum(sizes[id(p)] * p.element_size() for p in tensors_within if not is_lazy(p)),
            dtype=", ".join(dtypes), calls=trace.calls[path] if trace else 0,
            shared=shared[path], note=_note(place, path, trace, failure),
        ))  # fmt: skip
    top = rows[0]
    trainable = {id(p): sizes[id(p)] for p in model.parameters() if p.requires_grad}
    return Summary(
        name=type(model).__name__, rows=rows, total_parameters=top.parameters,
        trainable_parameters=sum(trainable.values()), total_macs=top.macs, activation_bytes=top.activation_bytes,
        parameter_bytes=top.parameter_bytes, complete=error is None, error=error,
        uncounted=trace.uncounted if trace else {}, how=how, exception=failure,
    )


def _parameters(places: Mapping[str, Place]) -> tuple[dict[str, list[Any]], dict[str, bool], dict[int, int]]:
    """Return each layer's own parameters (a tied one at its first owner only), whether it ties, and the sizes."""
    seen: set[int] = set()
    own: dict[str, list[Any]] = {}
    shared: dict[str, bool] = {}
    sizes: dict[int, int] = {}
    for path, place in places.items():
        mine = list(place.module.parameters(recurse=False))
        own[path] = [p for p in mine if id(p) not in seen]
        shared[path] = len(own[path]) < len(mine)
        for p in mine:
            seen.add(id(p))
            sizes[id(p)] = 0 if is_lazy(p) else _size(p)
    return own, shared, sizes


def _size(parameter: torch.Tensor) -> int:
    return math.prod(parameter.shape)


def _in_call_order(places: Mapping[str, Place], trace: _Trace | None) -> list[str]:
    """Return all paths as a tree, siblings in the order of their first call, those never called last."""
    first = {path: i for i, path in enumerate(trace.order)} if trace else {}
    children: dict[str, list[str]] = defaultdict(list)
    for path in places:
        above = parent(path)
        if above is not None:
            children[above].append(path)
    # A container that is never called itself (a ModuleList) stands where its first inner layer is called.
    earliest: dict[str, float] = {}
    for path in reversed(list(places)):
        inner = [earliest[child] for child in children[path]]
        earliest[path] = min([first.get(path, math.inf), *inner])
    ordered: list[str] = []
    waiting = [""]
    while waiting:
        path = waiting.pop()
        ordered.append(path)
        waiting.extend(reversed(sorted(children[path], key=lambda child: earliest[child])))
    return ordered


def _note(place: Place, path: str, trace: _Trace | None, failure: BaseException | None) -> str:
    if any(is_lazy(p) for p in place.module.parameters(recurse=False)):
        return "not yet built"
    if trace is None:
        return ""
    if failure is not None and trace.stack and path == trace.stack[-1]:
        return "failed here"
    if place.leaf and not trace.calls[path]:
        return "not reached" if failure is not None else "not called"
    return f"called {trace.calls[path]} times" if trace.calls[path] > 1 else ""


def detail(module: nn.Module) -> str:
    """Return what tells a layer from others of its kind, briefly: "3×3, /2", "784 → 64", "p 0.2"."""
    if isinstance(module, nn.modules.conv._ConvNd):
        words = ["×".join(map(str, module.kernel_size))]
        if any(stride != 1 for stride in module.stride):
            words.append(f"/{module.stride[0]}")
        if module.groups > 1:
            words.append("depthwise" if module.groups == module.in_channels else f"{module.groups} groups")
        if any(dilation != 1 for dilation in module.dilation):
            words.append(f"dilated {module.dilation[0]}")
        return ", ".join(words)
    if isinstance(module, nn.Linear):
        return f"{module.in_features} → {module.out_features}"
    if isinstance(module, nn.Embedding):
        return f"{module.num_embeddings} × {module.embedding_dim}"
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return f"p {module.p:g}"
    if isinstance(module, (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd)):
        size = module.kernel_size
        return "×".join(map(str, size)) if isinstance(size, tuple) else str(size)
    if isinstance(module, nn.RNNBase):
        layers = f", {module.num_layers} layers" if module.num_layers > 1 else ""
        return f"{module.input_size} → {module.hidden_size}{layers}{', both ways' if module.bidirectional else ''}"
    if isinstance(module, nn.MultiheadAttention):
        return f"{module.num_heads} heads"
    return ""
