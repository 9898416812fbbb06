"""Functional operations between a model's layers, under the names of torch.fx."""

from __future__ import annotations

import inspect
import itertools
import operator
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import fx, nn

from ..base.isolation import isolate_model, run_forward, watch_model
from ..base.outputs import named_tensors
from ..base.trees import call_model, tree_map, tree_tensors
from ..base.words import quote_error
from ..layers.axes import Known, channel_axis, sample_axis
from ..layers.framework import framework_of, hear_operations
from .cap import CappedTensors
from .distribution import limits_of
from .layer_choice import matching, no_such_layer
from .result import Activations

#: Tracing patches nn.Module while it lasts; two tracers at once would leave the patches of one behind.
_ONE_AT_A_TIME = threading.Lock()
#: These put axes in another order, so that the channels move.
_MOVES = {"transpose", "permute", "t", "movedim", "moveaxis", "swapaxes", "swapdims", "mT", "T"}
#: These change the number of channels, not where they are.
_JOINS = {"cat", "concat", "concatenate"}


def _trace(model: nn.Module, inputs: Any) -> tuple[fx.Graph, dict[str, Any]]:
    """Trace a model: its graph, and the constants in it.

    torch.fx puts these into the model; they are taken out. ValueError: it cannot follow the model.
    """
    failed: Exception | None = None
    # The layers of torch as wholes, as torch.fx has it; if need be, all layers that hold no others.
    for coarse in (False, True):
        try:
            with _ONE_AT_A_TIME, isolate_model(model) as eager, watch_model(eager):
                own = set(vars(eager))
                graph = _Tracer(inputs, coarse).trace(eager)
                named = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
                return graph, {name: vars(eager)[name] for name in named & vars(eager).keys() - own}
        except Exception as error:  # noqa: BLE001 - a forward raises whatever it likes on values that are none
            failed = failed or error
    raise ValueError(
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
                    self._values[one] = self._compute(one)
                if one is node:
                    break
        finally:
            self._computing = False
        return self._values[node]

    def _compute(self, node: fx.Node) -> Any:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._values.__getitem__)
        if node.op == "call_function":
            return node.target(*args, **kwargs)  # type: ignore[operator]
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        found = operator.attrgetter(str(node.target))(self.root)
        return found(*args, **kwargs) if node.op == "call_module" else found

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return a placeholder that may be a number."""
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
        given = self._inputs
        # The names that torch.fx would give them: of the keywords, or of the forward's parameters.
        if isinstance(given, dict):
            named = list(given.items())
        else:
            try:
                parameters = list(inspect.signature(self.root.forward).parameters)
            except (TypeError, ValueError):
                parameters = []
            values = given if isinstance(given, (tuple, list)) else (given,)
            named = list(zip(itertools.chain(parameters, itertools.repeat("input")), values))
        names = iter([str(name) for name, value in named for _ in tree_tensors(value)])

        def placeholder(tensor: torch.Tensor) -> fx.Proxy:
            made = self.create_proxy("placeholder", next(names), (), {})
            self._values[made.node] = tensor.clone()
            return made

        proxies = tree_map(placeholder, given)

        def forward() -> Any:
            output = call_model(self.root.forward, proxies)
            try:
                self.create_arg(output)
            except NotImplementedError:  # an output of a class of its own
                return None
            return output

        return forward, ()


#: Is told of a functional operation: its node, the layers called before it, each as often as it was; and its
#: tensors, each with what tells it apart and the axis of its channels.
_Receive = Callable[[fx.Node, tuple[str, ...], list[tuple[str, torch.Tensor, int | None]]], None]


class _Runner(fx.Interpreter):
    """Runs a graph, and hands over what its functional operations give."""

    def __init__(
        self,
        model: nn.Module,
        graph: fx.Graph,
        constants: dict[str, Any],
        wanted: list[str],
        receive: _Receive,
    ) -> None:
        super().__init__(model, graph=graph)
        self.extra_traceback = False
        self._constants, self._wanted, self._receive = constants, set(wanted), receive
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
        module: nn.Module = nn.Identity()
        if n.op == "call_module":
            module = self.fetch_attr(n.target)
            self._after.append(str(n.target))
        elif n.op == "placeholder" or _name_of(n) in _MOVES:
            given = None
        elif given is not None and _name_of(n) in _JOINS:
            given = (*given[:2], -1)
        tensors = named_tensors(result)
        found = [(suffix, tensor, channel_axis(module, tensor, given)) for suffix, tensor in tensors]
        if found and found[0][2] is not None:
            _, first, axis = found[0]
            self._known[n.name] = axis, first.ndim, first.shape[axis]
        unpacked = n.target is operator.getitem and not isinstance(before[0], torch.Tensor)
        if n.name in self._wanted and found and not unpacked:
            self._receive(n, tuple(self._after), found)
        return result


def _name_of(node: fx.Node) -> str:
    return str(node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target))


class FunctionalOperations:
    """The functional operations that are wanted beside the layers.

    The model is traced only where some are wanted; where it does not trace, `.untraced` says why there are
    none, or it is a ValueError, if some are named. So is a name that there is none of.
    """

    def __init__(
        self, model: nn.Module, inputs: Any, modules: Mapping[str, nn.Module], names: list[str], every: bool
    ) -> None:
        self.untraced = ""
        self._model, self._modules, self._inputs = model, modules, inputs
        self._known: list[str] = []
        self._wanted: list[str] = []
        self._graph: fx.Graph | None = None
        self._found: list[tuple[str, tuple[str, ...]]] = []
        #: Those that another framework lists itself.
        self._listed: Mapping[str, Any] = {}
        if not names and not every:
            return
        try:
            if (listed := framework_of(modules[""]).operations_of(modules)) is None:
                self._graph, self._constants = _trace(model, inputs)
        except ValueError as error:
            if names:
                raise ValueError(f"{no_such_layer(names[0], modules)} {error}") from None
            self.untraced = str(error)
            return
        self._known = [*listed] if listed is not None else [
            node.name
            for node in self._graph.nodes
            # Neither attributes nor the classes of outputs.
            if node.op == "call_method"
            or (
                node.op == "call_function"
                and node.target is not getattr
                and not isinstance(node.target, type)
            )
        ]
        for name in names:
            matches = matching(self._known, name)
            if not matches:
                raise ValueError(no_such_layer(name, modules, self._known))
            self._wanted += matches
        self._wanted = self._known if every else list(dict.fromkeys(self._wanted))
        self._listed = {} if listed is None else {name: listed[name] for name in self._wanted}

    def run(self, store: CappedTensors, found: Activations) -> None:
        """Run the traced model, and store what the wanted operations give.

        The layers called are the model's own, which is left as it was.
        """
        if self._listed:
            self._run_listed(store, found)
        if self._graph is None:
            return
        given: set[str] = set()

        def receive(
            node: fx.Node, after: tuple[str, ...], tensors: list[tuple[str, torch.Tensor, int | None]]
        ) -> None:
            given.add(node.name)
            # Never under the path of a layer.
            start = f"{node.name}()" if node.name in self._modules else node.name
            for number, (suffix, tensor, axis) in enumerate(tensors):
                key = start + (suffix if number else "")
                rows = sample_axis(nn.Identity(), tensor.shape, store.samples, suffix, axis)
                store.add(key, tensor, rows, axis)
                kind = found.kinds[key] = _name_of(node)
                found.axes[key], found.limits[key] = axis, limits_of(kind)
                self._found.append((key, after))

        with isolate_model(self._model) as eager:
            runner = _Runner(eager, self._graph, self._constants, self._wanted, receive)
            output = run_forward(eager, lambda: runner.run(*map(torch.clone, tree_tensors(self._inputs))))
        pairs = zip(named_tensors(output), named_tensors(found.output))
        # An output of a class of its own has no tensors to compare.
        if not all(
            a.shape == b.shape and torch.allclose(a.double(), b.double(), 1e-3, 1e-4, equal_nan=True)
            for (_, a), (_, b) in pairs
            if not a.is_complex()
        ):
            self.untraced = (
                "The traced model gives another output than the model itself, as where its forward depends "
                "on numbers that it was not traced with: take the operations between its layers with care."
            )
        for name in self._wanted:
            # Of all that there are, those without tensors go without saying.
            if name not in given and len(self._wanted) < len(self._known):
                found.missing[name] = "gives no tensor"

    def _run_listed(self, store: CappedTensors, found: Activations) -> None:
        """Run the model, and store what its framework's operations give."""
        calls: Counter[str] = Counter()
        after: list[str] = []

        def tell(name: str, operation: Any, output: Any) -> None:
            calls[name] += 1
            start = f"{name}()" if name in self._modules else name
            start += f"#{calls[name]}" if calls[name] > 1 else ""
            for number, (suffix, tensor) in enumerate(named_tensors(output)):
                key = start + (suffix if number else "")
                axis = framework_of(self._model).channels_of(self._model, tensor.ndim) if tensor.ndim > 1 else None
                store.add(key, tensor, sample_axis(nn.Identity(), tensor.shape, store.samples, suffix, axis), axis)
                found.kinds[key], found.axes[key] = type(operation).__name__, axis
                found.limits[key] = limits_of(type(operation).__name__.lower())
                self._found.append((key, tuple(after)))

        with isolate_model(self._model) as eager, ExitStack() as stack:
            for path, module in self._modules.items():
                stack.enter_context(module.register_forward_hook(lambda *_, path=path: after.append(path)))
            stack.enter_context(hear_operations(self._listed, tell))
            run_forward(eager, lambda: call_model(eager, tree_map(torch.clone, self._inputs)))

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
