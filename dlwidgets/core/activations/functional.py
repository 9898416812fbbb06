"""Functional operations between a model's layers, under the names of torch.fx."""

from __future__ import annotations

import fnmatch
import inspect
import operator
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from ..base.isolation import isolate_model
from ..base.outputs import named_tensors
from ..base.trees import call_model, tree_map, tree_tensors
from ..base.words import quote_error
from ..layers.axes import Known, channel_axis, sample_axis
from .cap import CappedTensors
from .layer_choice import no_such_layer
from .result import Activations
from .saturation import limits_of

#: Tracing patches nn.Module while it lasts; two tracers at once would leave the patches of one behind.
_ONE_AT_A_TIME = threading.Lock()
#: These put axes in another order, so that the channels move.
_MOVES = {"transpose", "permute", "t", "movedim", "moveaxis", "swapaxes", "swapdims", "mT", "T"}
#: These change the number of channels, not where they are.
_JOINS = {"cat", "concat", "concatenate"}
#: What torch.fx calls a tensor that a forward makes from nothing.
_CONSTANT = "_tensor_constant"


class DoesNotTrace(ValueError):
    """A model that torch.fx cannot follow; the sentence says why."""


@dataclass(frozen=True)
class Operation:
    """A functional operation of a traced model, and what it gave.

    Attributes
    ----------
    name : the name of its node in the graph, as "add_1".
    kind : the name of its function, as "add".
    after : the layers that were called before it, each as often as it was.
    found : its tensors with what tells them apart.
    channels : for each of them the axis of its channels, or None.
    """

    name: str
    kind: str
    after: tuple[str, ...]
    found: tuple[tuple[str, torch.Tensor], ...]
    channels: tuple[int | None, ...]


class Traced:
    """The graph of a model, traced by torch.fx on its inputs.

    Attributes
    ----------
    names : of the functional operations, in the order in which they run.

    Raises
    ------
    DoesNotTrace : torch.fx cannot follow the model.
    """

    def __init__(self, model: nn.Module, inputs: Any) -> None:
        self._model = model
        self._graph, self._constants = _graph(model, inputs)
        self.names = [node.name for node in self._graph.nodes if _is_functional(node)]

    def run(self, inputs: Any, wanted: Sequence[str], receive: Callable[[Operation], None]) -> Any:
        """Run the graph on `inputs`, and return the model's output.

        `receive` is called with each wanted operation. The layers called are the model's own. It is left as
        it was, as by `activations`.
        """
        with isolate_model(self._model) as eager:
            runner = _Runner(eager, self._graph, self._constants, set(wanted), receive)
            return runner.run(*tree_tensors(inputs))


def _graph(model: nn.Module, inputs: Any) -> tuple[fx.Graph, dict[str, Any]]:
    """Trace a model: its graph, and the constants in it.

    torch.fx puts these into the model; they are taken out.
    """
    failed: Exception | None = None
    # The layers of torch as wholes, as torch.fx has it; if need be, all layers that hold no others.
    for coarse in (False, True):
        try:
            with _ONE_AT_A_TIME, isolate_model(model) as eager:
                graph = _Tracer(inputs, coarse).trace(eager)
                named = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
                return graph, {name: getattr(eager, name) for name in named if name.startswith(_CONSTANT)}
        except Exception as error:  # noqa: BLE001 - a forward raises whatever it likes on values that are none
            failed = failed or error
    raise DoesNotTrace(
        "The model does not trace, so that the operations between its layers have no names; torch.fx says: "
        f"{quote_error(failed)}"
    )


class _Proxy(fx.Proxy):
    """A placeholder that is a number where the forward asks for one."""

    def __len__(self) -> int:
        return len(self.tracer.value(self.node))

    def __index__(self) -> int:
        return operator.index(self.tracer.value(self.node))

    def __int__(self) -> int:
        return int(self.tracer.value(self.node))

    def __float__(self) -> float:
        return float(self.tracer.value(self.node))


class _Tracer(fx.Tracer):
    """Follows a model on placeholders in place of its input tensors.

    Where the forward depends on what a placeholder stands for, as in an if or a loop, that much of the graph
    is computed: it is the graph for these inputs. torch.fx itself gives up there.
    """

    def __init__(self, inputs: Any, coarse: bool) -> None:
        super().__init__()
        self._inputs, self._coarse = inputs, coarse
        self._thread = threading.get_ident()
        self._values: dict[fx.Node, Any] = {}
        self._computing = False

    def value(self, node: fx.Node) -> Any:
        """Compute what a node stands for, and what was before it."""
        self._computing = True
        try:
            for one in self.graph.nodes:
                if one not in self._values:
                    self._values[one] = self._computed(one)
                if one is node:
                    break
        finally:
            self._computing = False
        return self._values[node]

    def _computed(self, node: fx.Node) -> Any:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._values.__getitem__)
        if node.op == "call_function":
            return node.target(*args, **kwargs)  # type: ignore[operator]
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        found = operator.attrgetter(str(node.target))(self.root)
        return found(*args, **kwargs) if node.op == "call_module" else found

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return the placeholder of a node."""
        return _Proxy(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Answer an if."""
        return bool(self.value(obj.node))

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Answer a loop."""
        try:
            return super().iter(obj)
        except fx.proxy.TraceError:
            return iter([obj[number] for number in range(len(self.value(obj.node)))])

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Say whether a layer is taken as a whole."""
        if isinstance(m, torch.jit.ScriptModule) or (self._coarse and next(m.children(), None) is None):
            return True
        return super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Note a call of a layer, unless a training made it meanwhile."""
        if self._computing or threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Return a parameter as a node, unless another thread asks for it."""
        if self._computing or threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        """Return the forward with placeholders for its tensors alone."""
        names = _names(self.root.forward, self._inputs)

        def placeholder(tensor: torch.Tensor) -> fx.Proxy:
            made = self.create_proxy("placeholder", next(names, "input"), (), {})
            self._values[made.node] = tensor.clone()
            return made

        proxies = tree_map(placeholder, self._inputs)
        return lambda: self._output(call_model(self.root.forward, proxies)), ()

    def _output(self, output: Any) -> Any:
        try:
            self.create_arg(output)
        except NotImplementedError:  # an output of a class of its own
            return None
        return output


def _names(forward: Callable[..., Any], inputs: Any) -> Iterator[str]:
    """Yield the names that torch.fx would give the tensors of the inputs."""
    if isinstance(inputs, dict):
        for name, value in inputs.items():
            yield from (str(name) for _ in tree_tensors(value))
        return
    try:
        parameters = list(inspect.signature(forward).parameters)
    except (TypeError, ValueError):
        parameters = []
    for number, value in enumerate(inputs if isinstance(inputs, (tuple, list)) else (inputs,)):
        name = parameters[number] if number < len(parameters) else "input"
        yield from (name for _ in tree_tensors(value))


def _is_functional(node: fx.Node) -> bool:
    if node.op == "call_method":
        return True
    # Neither attributes nor the classes of outputs.
    return node.op == "call_function" and node.target is not getattr and not isinstance(node.target, type)


class _Runner(fx.Interpreter):
    """Runs a graph, and hands over what its functional operations give."""

    def __init__(
        self,
        model: nn.Module,
        graph: fx.Graph,
        constants: dict[str, Any],
        wanted: set[str],
        receive: Callable[[Operation], None],
    ) -> None:
        super().__init__(model, graph=graph)
        self._constants = constants
        self.extra_traceback = False
        self._wanted, self._receive = wanted, receive
        self._after: list[str] = []
        self._known: dict[str, Known] = {}

    def fetch_attr(self, target: str) -> Any:
        """Return a layer, a parameter, or a constant of the graph."""
        return self._constants[target] if target in self._constants else super().fetch_attr(target)

    def run_node(self, n: fx.Node) -> Any:
        """Run one node, and note it."""
        given = next((self._known[arg.name] for arg in n.all_input_nodes if arg.name in self._known), None)
        before = self.map_nodes_to_values(n.args, n)
        result = super().run_node(n)
        found = tuple(named_tensors(result))
        module: nn.Module = nn.Identity()
        if n.op == "call_module":
            module = self.fetch_attr(n.target)
            self._after.append(str(n.target))
        elif n.op == "placeholder" or _name_of(n) in _MOVES:
            given = None
        elif given is not None and _name_of(n) in _JOINS:
            given = (*given[:2], -1)
        axes = tuple(channel_axis(module, tensor, given) for _, tensor in found)
        if found and axes[0] is not None:
            self._known[n.name] = axes[0], found[0][1].ndim, found[0][1].shape[axes[0]]
        unpacked = n.target is operator.getitem and not isinstance(before[0], torch.Tensor)
        if n.name in self._wanted and found and not unpacked:
            self._receive(Operation(n.name, _name_of(n), tuple(self._after), found, axes))
        return result


def _name_of(node: fx.Node) -> str:
    return str(node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target))


class FunctionalOperations:
    """The functional operations that are wanted beside the layers.

    The model is traced only where some are wanted.

    Attributes
    ----------
    untraced : why there are none, a sentence, though all were asked for; or "".

    Raises
    ------
    ValueError : an operation is named that there is none of, or the model does not trace.
    """

    def __init__(
        self, model: nn.Module, inputs: Any, modules: Mapping[str, nn.Module], names: list[str], every: bool
    ) -> None:
        self.untraced = ""
        self._modules, self._inputs = modules, inputs
        self._wanted: list[str] = []
        self._traced: Traced | None = None
        self._found: list[tuple[str, tuple[str, ...]]] = []
        if not names and not every:
            return
        try:
            self._traced = Traced(model, inputs)
        except DoesNotTrace as error:
            if names:
                raise ValueError(f"{no_such_layer(names[0], modules)} {error}") from None
            self.untraced = str(error)
            return
        known = self._traced.names
        for name in names:
            matches = [one for one in known if fnmatch.fnmatchcase(one, name)]
            if not matches:
                raise ValueError(no_such_layer(name, modules, known))
            self._wanted += matches
        self._wanted = known if every else list(dict.fromkeys(self._wanted))

    def run(self, store: CappedTensors, found: Activations) -> None:
        """Run the traced model, and store what the wanted operations give."""
        if self._traced is None:
            return
        given: set[str] = set()

        def receive(operation: Operation) -> None:
            given.add(operation.name)
            # Never under the path of a layer.
            start = f"{operation.name}()" if operation.name in self._modules else operation.name
            for number, ((suffix, tensor), axis) in enumerate(zip(operation.found, operation.channels)):
                key = start + (suffix if number else "")
                rows = sample_axis(nn.Identity(), tensor.shape, store.samples, suffix, axis)
                store.add(key, tensor, rows, axis)
                found.kinds[key], found.axes[key] = operation.kind, axis
                found.limits[key] = limits_of(operation.kind)
                self._found.append((key, operation.after))

        output = self._traced.run(self._inputs, self._wanted, receive)
        if not _same(output, found.output):
            self.untraced = (
                "The traced model gives another output than the model itself, as where its forward depends "
                "on numbers that it was not traced with: take the operations between its layers with care."
            )
        for name in self._wanted:
            # Of all that there are, those without tensors go without saying.
            if name not in given and len(self._wanted) < len(self._traced.names):
                found.missing[name] = "gives no tensor"

    def placed(self, keys: Sequence[str]) -> list[str]:
        """Place each operation behind the last layer before it."""
        order, known, placed = list(keys), set(keys), set()
        for key, after in self._found:
            place = 0
            for number in range(len(after) - 1, -1, -1):
                call = after[: number + 1].count(after[number])
                name = after[number] if call == 1 else f"{after[number]}#{call}"
                if name in known:
                    place = order.index(name) + 1
                    break
            # Behind operations that ran before it in the same place.
            while place < len(order) and order[place] in placed:
                place += 1
            order.insert(place, key)
            placed.add(key)
        return order


def _same(one: Any, other: Any) -> bool:
    left = [tensor for _, tensor in named_tensors(one)]
    right = [tensor for _, tensor in named_tensors(other)]
    if not left or not right:
        return True  # an output of a class of its own cannot be compared
    return all(
        a.shape == b.shape and torch.allclose(a.double(), b.double(), 1e-3, 1e-4, equal_nan=True)
        for a, b in zip(left, right)
        if not a.is_complex()
    )
