"""Borrow a model, random numbers or threads, and give them back unchanged."""

from __future__ import annotations

import copy
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from itertools import chain
from operator import is_
from typing import Any, TypeVar
from weakref import WeakSet

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from .held import ARRAYS, CACHED, CODE, GENERATORS, PLAIN, Named, find_held, parts_of, raw_entries
from .iterators import is_iterator, lend_iterators
from .random_state import TURN, RandomStates, read_generator, write_generator
from .trees import tree_map, tree_tensors

_Found = TypeVar("_Found")
#: The dicts in which a module holds its hooks.
_HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip
#: How much is copied where writes are not watched [bytes]; the largest tensors are left out.
_COPIED = 1 << 30
#: How many functions and classes are searched for data that they keep; in a library there are thousands.
_CODE = 400
#: What is copied sooner than its writes are watched [bytes].
_FEW = 1 << 22
#: The largest array of numpy that is copied; nobody sees who writes into one [bytes].
_ARRAY = 1 << 26
#: Running statistics, which these operations write though their schema does not say so: places of arguments.
_STATISTICS = {
    "native_batch_norm": (3, 4), "cudnn_batch_norm": (3, 4), "miopen_batch_norm": (3, 4),
    "batch_norm_gather_stats": (3, 4), "batch_norm_gather_stats_with_counts": (3, 4),
}  # fmt: skip
#: Calls by which a tensor's memory leaves torch; whoever has it may read and write unseen.
OUTSIDE = frozenset({"numpy", "__array__", "data_ptr", "__dlpack__"})
_REACHED = OUTSIDE | {"untyped_storage", "storage", "share_memory_"}
#: What torch says where a forward differentiates, and no gradients were followed.
_WANTS_GRADIENTS = ("require grad", "grad_fn", "Inference tensors", "requires_grad")
_GONE = object()
#: What every module has; its copies have their own.
_OWN = frozenset(vars(nn.Module()))
#: Models whose forward is known to differentiate.
_DIFFERENTIATES: WeakSet[nn.Module] = WeakSet()


@contextmanager
def preserve_random_state() -> Iterator[None]:
    """Give back all random generators as they were; what trains meanwhile waits."""
    with TURN.hold():
        before = RandomStates.capture()
        try:
            yield
        finally:
            before.install()


@contextmanager
def preserve_modes(model: nn.Module) -> Iterator[None]:
    """Give back the train/eval flag of each module as it was."""
    before = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        _set_flags(before)


def _set_flags(flags: Iterable[tuple[nn.Module, bool]]) -> None:
    """Set train/eval flags one by one: some models override train()."""
    for module, training in flags:
        module.training = training


# -- what a forward changes, and putting it back


class BorrowedModel:
    """Puts back all that the forwards of a model change in it.

    That is its parameters with gradients and flags, its buffers, the tensors and arrays in its attributes
    (also in lists, dicts and objects there), these attributes and containers themselves, its iterators
    and random generators, its hooks, and what its code keeps in classes, closures, variables of its file and
    caches of functions; but what a forward appends there to a list, as a person's notes, stays, unless
    `caught`. A backward pass that waits goes on as if nothing had been written.

    Parameters
    ----------
    copied : whether tensors are copied now, the smallest first, up to 1 GB; else each is copied when a
        forward is about to write into it. None: a copy of the model runs, and only what a copy has in common
        with it is searched: code, hooks, and what cannot be copied.
    caught : whether what its hooks have caught, as a list that they fill, is put back as well.
    """

    def __init__(self, model: nn.Module, copied: bool | None = False, caught: bool = False) -> None:
        modules = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
        hooks = [hook for one in modules for name in _HOOKS for hook in (vars(one).get(name) or {}).values()]
        left_out = [hook for hook in hooks if not caught or _is_ours(hook)]
        if copied is None:
            begin = [*hooks, *chain.from_iterable(map(_shared_with_copies, modules))]
        else:
            begin = [*model.parameters(), *model.buffers(), *modules]
        own = list(find_held(begin, code=False, left_out=left_out))
        kept = [part for one in own if isinstance(one, CODE) for part in parts_of(one)]
        beside = list(find_held(kept, left_out=[*left_out, *own], most=_CODE))
        held = own + beside
        # What the first batch gives its size keeps that: whoever trains wants it.
        lazy = [vars(module) for module in modules if any(map(is_lazy, _tensors_of(module)))]
        built = {id(one) for own in lazy for one in (own, *own.values())}
        self._dicts = [one for one in held if isinstance(one, (dict, Named)) and id(one) not in built]
        self._others = [one for one in held if isinstance(one, (list, deque, set))]
        #: What may hold iterators; most models hold none.
        moving = any(map(is_iterator, held))
        self._places = [one for one in held if isinstance(one, (dict, Named, list, deque))] if moving else []
        #: A person's own list, in which a forward writes down what it sees: what it appends stays.
        self._records = set() if caught else {id(one) for one in beside if isinstance(one, list)}
        self._hooks = {id(vars(module).get(name)) for module in modules for name in _HOOKS}
        arrays = (one for one in held if isinstance(one, ARRAYS) and memoryview(one).nbytes <= _ARRAY)
        self._arrays = [(one, copy.copy(one)) for one in arrays]
        self._remembering = [one for one in held if isinstance(one, CACHED)]
        self._generators = [(one, read_generator(one)) for one in held if isinstance(one, GENERATORS)]
        tensors = [one for one in held if isinstance(one, torch.Tensor) and _has_memory(one)]
        self._leaves = [
            (one, one.requires_grad, one.grad, one.data, one._backward_hooks and dict(one._backward_hooks))
            for one in tensors
            if one.is_leaf
        ]
        self._versions = [(one, one._version) for one in tensors if not one.is_inference()]
        #: What was changed: of each dict the entries before, of each other container all it held.
        self._entries: dict[int, tuple[MutableMapping[Any, Any], dict[Any, Any]]] = {}
        self._contents: dict[int, tuple[Any, list[Any]]] = {}
        #: Functions with a cache that has taken something in.
        self._forgetful: list[Any] = []
        #: The memories by identity, and what was in those that are, or may be, written.
        self._memories = {memory._cdata: memory for memory in (one.untyped_storage() for one in tensors)}
        self._copies: dict[int, tuple[torch.UntypedStorage, torch.Tensor]] = {}
        self._copied, left = copied, _COPIED
        if copied:
            for memory in sorted(self._memories.values(), key=lambda one: one.nbytes()):
                if (left := left - memory.nbytes()) < 0:
                    break
                self._copies[memory._cdata] = memory, _bytes_of(memory).clone()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note what is changed within, on this thread."""
        dicts = [(one, raw_entries(one)) for one in self._dicts]
        others = [(one, list(one)) for one in self._others]
        missed = [(one, one.cache_info().misses) for one in self._remembering]
        put_back = lend_iterators(self._places)
        with ExitStack() as stack:
            if self._copied is False:
                stack.enter_context(_Escapes(self))
                stack.enter_context(_Writes(self))
            try:
                yield
            finally:
                before_of = {id(one): before for one, before in chain[Any](dicts, others)}
                for place, key, iterator in put_back():
                    before_of[place][key] = iterator
                for one, before in dicts:
                    # Entry by entry, so that what another thread sets between two forwards stays.
                    now = raw_entries(one)
                    if now.keys() != before.keys() or not all(map(is_, now.values(), before.values())):
                        kept = self._entries.setdefault(id(one), (one, {}))[1]
                        for key in [*before, *(key for key in now if key not in before)]:
                            if now.get(key, _GONE) is not (was := before.get(key, _GONE)):
                                kept.setdefault(key, was)
                self._forgetful += [one for one, before in missed if one.cache_info().misses > before]
                for other, contents in others:
                    same = len(other) >= len(contents) and all(map(is_, other, contents))
                    if not same or (len(other) > len(contents) and id(other) not in self._records):
                        self._contents.setdefault(id(other), (other, contents))

    def save(self, tensor: torch.Tensor) -> None:
        """Copy what will be written, if it is the model's."""
        memory = tensor.untyped_storage() if _has_memory(tensor) else None
        if memory is not None and memory._cdata in self._memories and memory._cdata not in self._copies:
            self._copies[memory._cdata] = memory, _bytes_of(memory).clone()

    def restore(self) -> None:
        """Put everything back as it was."""
        for one, entries in self._entries.values():
            for key, was in entries.items():
                if was is _GONE:
                    one.pop(key, None)
                elif id(one) not in self._hooks or not _is_ours(was):
                    one[key] = was
        for other, contents in self._contents.values():
            other.clear()
            (other.update if isinstance(other, set) else other.extend)(contents)
        for function in self._forgetful:
            function.cache_clear()
        self._entries, self._contents, self._forgetful = {}, {}, []
        for array, numbers in self._arrays:
            if not isinstance(array, np.ndarray):
                array[:] = numbers
            elif array.flags.writeable and array.tobytes() != numbers.tobytes():
                array[...] = numbers
        for generator, state in self._generators:
            write_generator(generator, state)
        with torch.no_grad():
            for tensor, trains, gradient, data, hooks in self._leaves:
                if not tensor.is_leaf:
                    tensor.detach_()
                if tensor.data_ptr() != data.data_ptr() or tensor.shape != data.shape:
                    tensor.data = data
                if tensor.requires_grad != trains:
                    tensor.requires_grad_(trains)
                if tensor.grad is not gradient:
                    tensor.grad = gradient
                if len(tensor._backward_hooks or ()) != len(hooks or ()):
                    tensor._backward_hooks = hooks and OrderedDict(hooks)
            for memory, copy in self._copies.values():
                if memory.nbytes() != copy.numel():
                    memory.resize_(copy.numel())
                if not torch.equal(now := _bytes_of(memory), copy):
                    now.copy_(copy)
        # A backward pass that waits asks for the versions of what it has kept, which is as it was.
        same = [(t, was) for t, was in self._versions if t.untyped_storage()._cdata in self._copies]
        for arguments in [tuple(zip(*same))] if same and _puts_several() else same:
            torch._C._autograd._unsafe_set_version_counter(*arguments)  # type: ignore[attr-defined]


@cache
def _puts_several() -> bool:
    """Say whether torch puts several counters back at once; 2.6 does not."""
    # Asked once: a refusal spells out all that it was given.
    try:
        torch._C._autograd._unsafe_set_version_counter((), ())  # type: ignore[attr-defined]
    except TypeError:
        return False
    return True


class _Writes(TorchDispatchMode):
    """Has a model's memory saved before an operation writes into it."""

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else torch loads its compiler, for over a second, only to keep it off this class.
        return False

    def __init__(self, state: BorrowedModel) -> None:
        super().__init__()
        self._state = state

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(hasattr(kind, "__tensor_flatten__") for kind in types):
            return NotImplemented  # it is asked again with the tensors inside
        kwargs = kwargs or {}
        if isinstance(func, torch._ops.OpOverload):
            for place, name in _written(func):
                for tensor in tree_tensors(args[place] if place < len(args) else kwargs.get(name)):
                    self._state.save(tensor)
        return func(*args, **kwargs)


class _Escapes(TorchFunctionMode):
    """Has a model's memory saved before code outside torch gets at it."""

    def __init__(self, state: BorrowedModel) -> None:
        super().__init__()
        self._state = state

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _REACHED and args and isinstance(args[0], torch.Tensor):
            with torch._C.DisableTorchFunction():
                self._state.save(args[0])
        return func(*args, **(kwargs or {}))


@cache
def _written(func: torch._ops.OpOverload) -> list[tuple[int, str]]:
    """List place and name of each argument that an operation writes into."""
    undeclared = _STATISTICS.get(func._schema.name.removeprefix("aten::"), ())
    return [
        (place, one.name) for place, one in enumerate(func._schema.arguments)
        if (one.alias_info is not None and one.alias_info.is_write) or place in undeclared
    ]  # fmt: skip


def _shared_with_copies(module: nn.Module) -> list[Any]:
    """List what copies of a layer share with it, beside hooks."""
    own = (value for name, value in vars(module).items() if name not in _OWN)
    return [type(module), *(value for value in own if type(value) not in PLAIN)]


def _tensors_of(module: nn.Module) -> Iterator[torch.Tensor]:
    """Yield the parameters and buffers that a layer itself holds."""
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)


def _has_memory(tensor: torch.Tensor) -> bool:
    if tensor.layout != torch.strided or tensor.is_meta or is_lazy(tensor):
        return False
    if any(hasattr(tensor, name) for name in ("fake_mode", "__tensor_flatten__")):
        return False  # it has no values, or they are those of the tensors inside
    try:
        return not tensor.is_nested and tensor.data_ptr() is not None
    except (RuntimeError, NotImplementedError):  # one that wraps others
        return False


def _bytes_of(memory: torch.UntypedStorage) -> torch.Tensor:
    return torch.empty(0, dtype=torch.uint8, device=memory.device).set_(memory)


def _is_ours(hook: Any) -> bool:
    """Say whether another look hung this hook."""
    return str(getattr(getattr(hook, "func", hook), "__module__", "")).startswith(__name__.split(".")[0])


_STATES: dict[int, BorrowedModel] = {}


@contextmanager
def preserve_model(model: nn.Module, copied: bool | None = False, caught: bool = False) -> Iterator[None]:
    """Give a model back as it was before the forwards within.

    These are those that `run_forward` runs, or that stand in `watch_model`.

    See `BorrowedModel` for what that is, and for the parameters.
    """
    key = id(getattr(model, "_orig_mod", model))
    state, around = BorrowedModel(model, copied, caught), _STATES.get(key)
    _STATES[key] = state
    try:
        yield
    finally:
        if around is None:
            del _STATES[key]
        else:
            _STATES[key] = around
        state.restore()


def watch_model(model: nn.Module) -> AbstractContextManager[None]:
    """Note what forwards within change, for `preserve_model` around to put back."""
    state = _STATES.get(id(getattr(model, "_orig_mod", model)))
    return nullcontext() if state is None else state.watched()


def run_forward(model: nn.Module, work: Callable[[], _Found]) -> _Found:
    """Return what `work` returns, which runs forwards of `model`, without gradients.

    What forwards change is put back at the end of `preserve_model`. `work` is done anew where it turns out to
    need more: see `try_forward`; tensors in what it returns hold no gradients.
    """
    model = getattr(model, "_orig_mod", model)
    state = _STATES.get(id(model))

    def attempt(gradients: bool) -> _Found:
        if state is not None:
            state.restore()
        with watch_model(model):
            found = work()
        if gradients:
            _DIFFERENTIATES.add(model)
        # A forward may have followed gradients by itself.
        followed = any(tensor.requires_grad for tensor in tree_tensors(found))
        return tree_map(torch.Tensor.detach, found) if followed else found

    return try_forward(attempt, gradients=model in _DIFFERENTIATES)


def differentiates(model: nn.Module) -> bool:
    """Say whether a forward of the model has been found to differentiate."""
    return getattr(model, "_orig_mod", model) in _DIFFERENTIATES


def try_forward(
    attempt: Callable[[bool], _Found], gradients: bool = False, uncompiled: bool = False
) -> _Found:
    """Return what `attempt(gradients)` returns: if possible, without gradients.

    Where it fails since a forward differentiates, as that of a potential, it is tried with gradients; and
    where torch's compiler could not be watched, without that.
    """
    with ExitStack() as stack:
        if uncompiled:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if gradients:
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(gradients))
        try:
            return attempt(gradients)
        except Exception as error:
            wants = not gradients and (
                _failed_in(error, "torch/autograd/__init__", *_WANTS_GRADIENTS) or _asks_for_gradients(error)
            )
            compiles = not wants and not uncompiled and _failed_in(error, "torch/_dynamo/")
            if not wants and not compiles:
                raise
    return try_forward(attempt, gradients or wants, uncompiled or compiles)


def _chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _failed_in(error: BaseException, file: str, *words: str) -> bool:
    """Say whether an error came from a file, or says some words."""
    for one in _chain_of(error):
        names = (frame.f_code.co_filename for frame, _ in traceback.walk_tb(one.__traceback__))
        if any(file in name.replace("\\", "/") for name in names) or any(word in str(one) for word in words):
            return True
    return False


def _asks_for_gradients(error: BaseException) -> bool:
    """Say whether what failed looks at gradients itself."""
    frames = [frame for one in _chain_of(error) for frame, _ in traceback.walk_tb(one.__traceback__)]
    houses = [str(frame.f_globals.get("__name__")).partition(".")[0] for frame in frames]
    own = [frame for frame, house in zip(frames, houses) if house not in ("torch", __name__.partition(".")[0])]
    return any("grad" in name for frame in own for name in frame.f_code.co_names)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Use eval mode without gradients; give everything back afterwards (see `preserve_model`)."""
    # Compiled parts run as they are, which they would not if writes were watched.
    with preserve_modes(model), preserve_random_state(), preserve_model(model, copied=True), torch.no_grad():
        model.eval()
        yield


class TrainingContext:
    """A training's modes and random states, to return to while evaluating."""

    def __init__(self, model: nn.Module) -> None:
        self._model, self._random = model, RandomStates.capture()
        self._modes = [(module, module.training) for module in model.modules()]

    @contextmanager
    def reenter(self) -> Iterator[None]:
        """Restore the training's modes and random states within; the evaluation's afterwards."""
        with preserve_modes(self._model), preserve_random_state(), torch.enable_grad():
            self._random.install()
            _set_flags(self._modes)
            yield


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Compute with `count` threads, and with as many as before afterwards."""
    before = torch.get_num_threads()
    try:
        if count != before:
            torch.set_num_threads(count)
        yield
    finally:
        # Also where the count was changed meanwhile.
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def find_device(model: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer, else the CPU."""
    first = next(chain(model.parameters(), model.buffers()), torch.empty(0, device="cpu"))
    return torch.device("cpu") if is_offloaded(model) else first.device


def is_offloaded(model: nn.Module) -> bool:
    """Say whether `accelerate` brings the weights in during the forward."""
    hung = any("_hf_hook" in vars(module) for module in model.modules())
    return hung and any(tensor.is_meta for tensor in chain(model.parameters(), model.buffers()))


@contextmanager
def use_device(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Move the model to a device, and back to its own afterwards."""
    home = find_device(model)
    try:
        if home != device:
            model.to(device)
        yield
    finally:
        if home != device:
            model.to(home)


@contextmanager
def isolate_model(model: nn.Module, *, random_states: bool = True) -> Iterator[nn.Module]:
    """Yield the module to call in eval mode; leave no trace.

    To be called by `run_forward`. Given back is all that `BorrowedModel` names, the train/eval flags, and the
    random generators of torch, numpy and python. Within, the fused path of transformer layers is off, since it
    calls none of the layers inside, and a compiled model runs uncompiled.

    Parameters
    ----------
    random_states : False where whoever calls gives the random generators back, as a job between two steps.
    """
    eager = getattr(model, "_orig_mod", model)
    modules = list(eager.modules())
    in_training = [module for module in modules if module.training]
    compiled = eager is not model or any(getattr(m, "_compiled_call_impl", None) for m in modules)
    with ExitStack() as stack:
        if random_states:
            stack.enter_context(preserve_random_state())
        stack.enter_context(torch.no_grad())
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        # Last of all: what is put back for the forwards is eval mode.
        stack.callback(_set_flags, [(module, True) for module in in_training])
        # Between two steps no other thread writes; few weights are copied sooner than a loop is watched.
        few = sum(tensor.nbytes for tensor in chain(eager.parameters(), eager.buffers()) if not is_lazy(tensor))
        stack.enter_context(preserve_model(eager, copied=not random_states and few <= _FEW))
        _set_flags((module, False) for module in in_training)
        if compiled:
            # Entered only where needed: it imports the compiler, which takes seconds.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield eager
