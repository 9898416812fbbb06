"""What a model computes between its layers, as `F.relu` or `x + y`, under the names of torch.fx."""

from __future__ import annotations

import inspect
import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from ..models.inspecting import inspecting
from ..trees import call, tensors, tree_map
from ..wording import first_line
from .axes import Known, axis_of_channels
from .outputs import parts

#: Tracing patches nn.Module while it lasts; two tracers at once would leave the patches of one behind.
_ONE_AT_A_TIME = threading.Lock()
#: These put axes in another order, so that the channels move.
_MOVES = {"transpose", "permute", "t", "movedim", "moveaxis", "swapaxes", "swapdims", "mT", "T"}


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
    """The graph of a model, traced by torch.fx on as many inputs as are given.

    Attributes
    ----------
    names : of the functional operations, in the order in which they run.

    Raises
    ------
    DoesNotTrace : torch.fx cannot follow the model.
    """

    def __init__(self, model: nn.Module, inputs: Any) -> None:
        self._model = model
        self._graph = _graph(model, inputs)
        self.names = [node.name for node in self._graph.nodes if _is_functional(node)]

    def run(self, inputs: Any, wanted: Sequence[str], receive: Callable[[Operation], None]) -> Any:
        """Run the graph on `inputs`, call `receive` with each wanted operation, return the model's output.

        The layers called are the model's own. It is left as it was, as by `activations`.
        """
        with inspecting(self._model) as eager:
            return _Runner(eager, self._graph, set(wanted), receive).run(*tensors(inputs))


def _graph(model: nn.Module, inputs: Any) -> fx.Graph:
    failed: Exception | None = None
    # The layers of torch as wholes, as torch.fx has it; if need be, all layers that hold no others.
    for coarse in (False, True):
        try:
            with _ONE_AT_A_TIME, inspecting(model) as eager:
                return _Tracer(inputs, coarse).trace(eager)
        except Exception as error:  # noqa: BLE001 - a forward raises whatever it likes on values that are none
            failed = failed or error
    raise DoesNotTrace(
        "The model does not trace, so that the operations between its layers have no names; torch.fx says: "
        f"{first_line(failed)}"
    )


class _Tracer(fx.Tracer):
    """Follows a model on placeholders in the place of the tensors of its inputs."""

    def __init__(self, inputs: Any, coarse: bool) -> None:
        super().__init__()
        self._inputs, self._coarse = inputs, coarse
        self._thread = threading.get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Say whether a layer is taken as a whole."""
        if isinstance(m, torch.jit.ScriptModule) or (self._coarse and next(m.children(), None) is None):
            return True
        return super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Note a call of a layer, unless another thread made it: a training that goes on meanwhile."""
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Return a parameter as a node, unless another thread asks for it."""
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        """Return the forward with placeholders for the tensors that there are, and for them alone."""
        names = _names(self.root.forward, self._inputs)
        proxies = tree_map(
            lambda _: self.create_proxy("placeholder", next(names, "input"), (), {}), self._inputs
        )
        return lambda: self._output(call(self.root.forward, proxies)), ()

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
            yield from (str(name) for _ in tensors(value))
        return
    try:
        parameters = list(inspect.signature(forward).parameters)
    except (TypeError, ValueError):
        parameters = []
    for number, value in enumerate(inputs if isinstance(inputs, (tuple, list)) else (inputs,)):
        name = parameters[number] if number < len(parameters) else "input"
        yield from (name for _ in tensors(value))


def _is_functional(node: fx.Node) -> bool:
    if node.op == "call_method":
        return True
    # Neither attributes nor the classes of outputs.
    return node.op == "call_function" and node.target is not getattr and not isinstance(node.target, type)


class _Runner(fx.Interpreter):
    """Runs a graph, and hands over what its functional operations give."""

    def __init__(
        self, model: nn.Module, graph: fx.Graph, wanted: set[str], receive: Callable[[Operation], None]
    ) -> None:
        super().__init__(model, graph=graph)
        self.extra_traceback = False
        self._wanted, self._receive = wanted, receive
        self._after: list[str] = []
        self._known: dict[str, Known] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node, and note it."""
        given = next((self._known[arg.name] for arg in n.all_input_nodes if arg.name in self._known), None)
        before = self.map_nodes_to_values(n.args, n)
        first = next(tensors(before), None)
        shape = first.shape if first is not None else None
        result = super().run_node(n)
        found = tuple(parts(result))
        module: nn.Module = nn.Identity()
        if n.op == "call_module":
            module = self.fetch_attr(n.target)
            self._after.append(str(n.target))
        elif n.op == "placeholder" or _name_of(n) in _MOVES or (found and found[0][1].shape != shape):
            given = None
        axes = tuple(axis_of_channels(module, tensor, given) for _, tensor in found)
        if found and axes[0] is not None:
            self._known[n.name] = axes[0], found[0][1].ndim
        unpacked = n.target is operator.getitem and not isinstance(before[0], torch.Tensor)
        if n.name in self._wanted and found and not unpacked:
            self._receive(Operation(n.name, _name_of(n), tuple(self._after), found, axes))
        return result


def _name_of(node: fx.Node) -> str:
    return str(node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target))
