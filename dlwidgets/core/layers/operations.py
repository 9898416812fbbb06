"""Tensor operations inside the layers, seen and their MACs counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import UnsupportedOperatorException
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map

from ..base.isolation import OUTSIDE
from ..base.slices import pause
from ..base.trees import tree_tensors

if TYPE_CHECKING:
    from .trace import Trace

_NEED_VALUES = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
#: Refused for operands of several dtypes, but not while these hold no values.
_OF_ONE_DTYPE = {"aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm", "aten.mv", "aten.addmv", "aten.dot"}
_LEAVES_TORCH = OUTSIDE | {"tolist"}
_RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu"}


@dataclass
class TensorOperation:
    """A tensor operation under way: its name ("aten.mm") and arguments."""

    name: str
    args: Sequence[Any]

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The tensors among its arguments."""
        return list(tree_tensors(self.args))


class Operations(TorchDispatchMode):
    """Sees every tensor operation, those inside torch's own functions as well."""

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else torch loads its compiler, for over a second, only to keep it off this class.
        return False

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        pause()
        if any(kind.__name__ == "NestedTensor" for kind in types):
            return NotImplemented  # it is asked again with the tensor inside
        kwargs = kwargs or {}
        overload = isinstance(func, torch._ops.OpOverload)
        name = str(func._overloadpacket if overload else func)
        formula = _FORMULAS.get(name)
        if formula is None and overload and _is_composite(func):
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        if formula is None and isinstance(func, torch._ops.HigherOrderOperator):
            if self._trace.fake:
                raise UnsupportedOperatorException(func)
            # As torch.cond: what runs inside is seen there.
            args, kwargs = tree_map(self._inside, (args, kwargs))
            return func(*args, **kwargs)
        self._trace.operation = TensorOperation(name, args)
        if self._trace.fake and name in _OF_ONE_DTYPE:
            types = list(dict.fromkeys(str(tensor.dtype) for tensor in self._trace.operation.tensors))
            if len(types) > 1:
                raise RuntimeError(f"a product wants tensors of one dtype, but was given {' and '.join(types)}")
        if name in LOOKUPS and self._trace.fake:
            _check_numbers(args)
        if name == "aten._grouped_mm" and self._trace.fake:
            output = _fake_grouped_product(*args, **kwargs)
        else:
            output = func(*args, **kwargs)
        self._trace.operation = None
        self._trace.tick(output)
        if overload and not _NEED_VALUES.isdisjoint(func.tags):
            self._trace.needs_values = True
        if self._trace.fake and overload:
            _carry_values(func, args, kwargs, output)
        if formula is not None and not any(tensor.is_nested for tensor in tree_tensors(args)):
            self._trace.count(int(formula(args, output)))
        elif formula is not None or not overload or has_macs(func):
            self._trace.leave_uncounted(name)
        return output

    def _inside(self, function: Any) -> Any:
        if not callable(function):
            return function

        def seen(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return seen


class OutOfRange(IndexError):
    """Numbers for which a table has no row."""


#: Operations that look rows up: the table, then the numbers.
LOOKUPS = ("aten.embedding", "aten._embedding_bag", "aten._embedding_bag_forward_only")


def values_of(tensor: Any) -> Any:
    """Return the known values of a tensor that holds none."""
    return getattr(tensor, "known_values", tensor)


def _check_numbers(args: Sequence[Any]) -> None:
    numbers, rows = values_of(args[1]), args[0].shape[0]
    if type(numbers) is torch.Tensor and numbers.numel():
        with _disable_current_modes():
            low, high = int(numbers.min()), int(numbers.max())
        if low < 0 or high >= rows:
            raise OutOfRange(f"{low if low < 0 else high} is among the numbers of rows 0 to {rows - 1}")


def _carry_values(func: Any, args: Sequence[Any], kwargs: dict[str, Any], output: Any) -> None:
    """Work out what is known of whole numbers, for `_check_numbers`.

    Of real numbers only what is moved, or made whole.
    """
    tensors, made = list(tree_tensors((args, kwargs))), list(tree_tensors(output))
    if not tensors and func._schema.name in _MADE and made[0].numel() <= _MOST_MADE:
        kwargs = {**kwargs, "device": "cpu"}  # as positions, which are counted up to the length of the input
    elif not any(hasattr(tensor, "known_values") for tensor in tensors):
        return
    if func._schema.is_mutable:
        for tensor in tensors:
            if hasattr(tensor, "known_values"):
                del tensor.known_values
        return
    moved = func.is_view or func.name() in _MOVES
    known = all(type(values_of(tensor)) is torch.Tensor for tensor in tensors)
    if not known or not all(moved or not tensor.is_floating_point() for tensor in made):
        return
    with _disable_current_modes(), suppress(Exception):
        found = func(*tree_map(values_of, args), **tree_map(values_of, kwargs))
        for tensor, values in zip(made, tree_tensors(found)):
            tensor.known_values = values  # type: ignore[attr-defined]


#: What makes numbers that its arguments tell, and how many of them are followed.
_MADE, _MOST_MADE = {f"aten::{name}" for name in ("arange", "zeros", "ones", "full")}, 1_000_000
#: What moves values and leaves them, beside views.
_MOVES = {f"aten::{name}" for name in ("clone", "_to_copy", "index.Tensor", "index_select", "cat", "stack")}


def _fake_grouped_product(
    a: torch.Tensor, b: torch.Tensor, offs: torch.Tensor | None = None, bias: Any = None,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return a fake grouped product; torch's own rule takes bfloat16 alone."""
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(f"Grouped products of {tuple(a.shape)} and {tuple(b.shape)} cannot be taken.")
    groups = a.shape[:1] if a.ndim == 3 and b.ndim == 3 else ()
    if a.ndim == b.ndim == 2 and offs is not None:
        groups = offs.shape[:1]
    return a.new_empty((*groups, a.shape[-2], b.shape[-1]), dtype=out_dtype or a.dtype)


@cache
def _is_composite(func: torch._ops.OpOverload) -> bool:
    # Ops that only call others come undivided where autograd does not divide them, as in inference mode.
    if func.namespace == "prim":
        return False  # they are not in the dispatcher's list
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


class Functions(TorchFunctionMode):
    """Keeps transformer layers off their fused path, which calls no inner layers.

    With `whole_recurrences`, an LSTM, GRU or RNN is taken as one operation rather than thousands: it costs
    the same to follow however long the sequence.
    """

    def __init__(self, trace: Trace, whole_recurrences: bool) -> None:
        self._trace, self._whole = trace, whole_recurrences
        super().__init__()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _LEAVES_TORCH and args and isinstance(args[0], torch.Tensor):
            if self._trace.fake:
                raise UnsupportedOperatorException("code outside torch")
            if args[0].is_floating_point() and (name != "tolist" or args[0].numel() > 1):
                self._trace.leave_uncounted("code outside torch")
        if name != "__get__":
            self._trace.use(args)
        recurrent = self._whole and name in _RECURRENT
        # A packed sequence has its lengths in the place of the weights' flag.
        if not (recurrent and len(args) == 9 and isinstance(args[3], bool)):
            return func(*args, **(kwargs or {}))
        inputs, state, weights, bidirectional = args[0], args[1], args[2], args[7]
        states = state if isinstance(state, (tuple, list)) else (state,)
        self._trace.count(recurrent_macs(inputs, weights))
        width = states[0].shape[-1] * (2 if bidirectional else 1)
        return (inputs.new_empty(*inputs.shape[:-1], width), *(torch.empty_like(one) for one in states))


# -- the MACs of each operation


def recurrent_macs(inputs: torch.Tensor, weights: Sequence[torch.Tensor]) -> int:
    """Return the MACs of a whole LSTM, GRU or RNN.

    At each step of each sample, every matrix is used once.
    """
    return prod(inputs.shape[:-1]) * sum(weight.numel() for weight in weights if weight.ndim == 2)


@cache
def has_macs(operation: torch._ops.OpOverload) -> bool:
    """Say whether an operation without a formula may hold MACs.

    What works element by element, moves, makes, compares, reduces, pools, normalises or interpolates holds
    none in the usual sense. Everything that is not known to be of that sort may.
    """
    if operation.namespace != "aten":
        # The latter send tensors to other processes.
        return operation.namespace not in ("prim", "prims", "profiler", "c10d", "_c10d_functional")
    kinds = [result.alias_info for result in operation._schema.returns]
    is_view = bool(kinds) and all(kind is not None and not kind.is_write for kind in kinds)
    if is_view or torch.Tag.pointwise in operation.tags:
        return False
    name = operation._schema.name.removeprefix("aten::")
    if forward := _BACKWARD.match(name):
        # The gradient of what holds none holds none.
        ahead = getattr(torch.ops.aten, forward[1], None)
        if ahead is not None and not all(has_macs(getattr(ahead, one)) for one in ahead.overloads()):
            return False
        name = forward[1]
    name = name.strip("_")
    return not (name in _FREE or name.startswith(_FREE_BEGINNINGS) or name.endswith(_FREE_ENDINGS))


def _product(args: Sequence[Any], output: Any) -> int:
    return output.numel() * args[0].shape[-1]


def _grouped_product(args: Sequence[Any], output: Any) -> int:
    # Rows sorted by group share one product; a ragged inner axis is shared out among the groups.
    a, b = args[:2]
    return a.shape[0] * prod(b.shape) if a.ndim == b.ndim == 2 else prod(a.shape) * b.shape[-1]


def _convolution(args: Sequence[Any], output: Any) -> int:
    # Each output value is a sum over the kernel and the channels of its group.
    return output.numel() * prod(args[1].shape[1:])


def _transposed_convolution(args: Sequence[Any], output: Any) -> int:
    # Each input value is spread over the kernel and the channels of its group.
    return args[0].numel() * prod(args[1].shape[1:])


def _any_convolution(args: Sequence[Any], output: Any) -> int:
    return (_transposed_convolution if len(args) > 6 and args[6] else _convolution)(args, output)


def _attention(args: Sequence[Any], output: Any, tokens: int = -2) -> int:
    query, key, value = args[:3]
    return prod(query.shape[:-1]) * key.shape[tokens] * (query.shape[-1] + value.shape[-1])


def _convolution_backward(args: Sequence[Any], output: Any) -> int:
    # As many as the forward for the gradient of the input, and as many for that of the weight.
    gradient, inputs, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
    return (inputs if transposed else gradient).numel() * prod(weight.shape[1:]) * sum(wanted[:2])


def _attention_backward(args: Sequence[Any], output: Any, tokens: int = -2) -> int:
    # The scores once more, then the gradients of scores, values, queries and keys.
    _, query, key, value = args[:4]
    return prod(query.shape[:-1]) * key.shape[tokens] * (3 * query.shape[-1] + 2 * value.shape[-1])


def _bilinear(args: Sequence[Any], output: Any) -> int:
    # sum over i, j of x1[i] w[i, j] x2[j]: the inner sums, then the outer.
    rows, (outputs, first, second) = prod(args[0].shape[:-1]), args[1].shape
    return rows * outputs * second * (first + 1)


#: (arguments, output) of an operation -> its MACs. One MAC is one multiplication whose result is added to a
#: sum, half of what is counted as FLOPs. As is usual, matrix products, convolutions, recurrences and
#: attention count, biases do not; attention counts whole, whether or not a mask hides half of it.
_FORMULAS: dict[str, Callable[[Sequence[Any], Any], int]] = {
    f"{space}.{name}": formula
    for space, formula, names in (
        ("aten", _product, "mm bmm mv _int_mm _scaled_mm _weight_int4pack_mm _weight_int4pack_mm_for_cpu "
            "_weight_int8pack_mm"),
        ("aten", lambda args, output: args[0].numel(), "dot vdot"),
        ("aten", _grouped_product, "_grouped_mm _scaled_grouped_mm"),
        ("aten", lambda args, output: output.numel() * args[1].shape[-1],
            "addmm addmm_ _addmm_activation addmv addmv_ baddbmm baddbmm_"),
        ("aten", lambda args, output: prod(args[1].shape) * args[2].shape[-1], "addbmm addbmm_"),
        ("aten", lambda args, output: prod(args[0].shape) * args[1].shape[0], "linear mkldnn_linear"),
        ("quantized", lambda args, output: prod(args[0].shape) * output.shape[-1],
            "linear linear_relu linear_dynamic linear_relu_dynamic linear_dynamic_fp16"),
        ("aten", _bilinear, "bilinear _trilinear"),
        ("aten", _any_convolution, "convolution _convolution convolution_overrideable"),
        ("aten", lambda args, output: output.numel() * prod(args[1].shape[:2]), "conv_tbc"),
        ("aten", _convolution, "cudnn_convolution mkldnn_convolution miopen_convolution "
            "miopen_depthwise_convolution _slow_conv2d_forward slow_conv3d_forward _conv_depthwise2d "
            "conv_depthwise3d slow_conv_dilated2d slow_conv_dilated3d"),
        ("aten", _transposed_convolution,
            "cudnn_convolution_transpose slow_conv_transpose2d slow_conv_transpose3d"),
        ("aten", _convolution_backward, "convolution_backward"),
        ("torchvision", _convolution, "deform_conv2d"),
        ("aten", _attention,
            "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu "
            "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
            "_scaled_dot_product_fused_attention_overrideable _scaled_dot_product_attention_math "
            "_scaled_dot_product_attention_math_for_mps"),
        ("aten", lambda args, output: _attention(args, output, tokens=-3), "_efficient_attention_forward"),
        ("aten", _attention_backward,
            "_scaled_dot_product_flash_attention_backward "
            "_scaled_dot_product_flash_attention_for_cpu_backward "
            "_scaled_dot_product_efficient_attention_backward _scaled_dot_product_cudnn_attention_backward "
            "_scaled_dot_product_fused_attention_overrideable_backward"),
        ("aten", lambda args, output: _attention_backward(args, output, tokens=-3),
            "_efficient_attention_backward"),
        ("aten", lambda args, output: recurrent_macs(args[0], args[1:3]), "mkldnn_rnn_layer"),
        ("aten", lambda args, output: recurrent_macs(args[0], args[1]), "_cudnn_rnn miopen_rnn"),
    )
    for name in names.split()
} | {"flex_attention": _attention}  # fmt: skip

#: The name of the operation whose gradient another computes.
_BACKWARD = re.compile(r"(.+?)(?:_dense|_sparse)?_backward(?:_data|_impl|_elemt|_reduce)?$")
#: Names in aten, without leading and trailing underscores, of operations that hold no MACs and that torch
#: neither tags as pointwise nor knows as views; the beginnings and endings of others.
_FREE_BEGINNINGS = tuple(
    "adaptive_avg_pool adaptive_max_pool as_strided avg_pool batch_norm_ cum empty fake_quantize_ foreach_ "
    "fractional_max_pool full fused_moving_avg grid_sampler histogram index_ is_ masked_ max_pool max_unpool "
    "mkldnn_adaptive mkldnn_max_pool native_batch_norm nested_ new_ nll_loss ones quantized_max_pool rand "
    "reflection_pad replication_pad resize std sym_ unique unsafe_ upsample_ var zeros".split()
)
_FREE_ENDINGS = ("_copy", "_loss", "_scatter", "_window")
_FREE = frozenset(
    # made
    "arange eye linspace logspace range scalar_tensor tril_indices triu_indices normal uniform bernoulli "
    "multinomial exponential geometric cauchy log_normal native_dropout complex polar zero fill "
    "efficientzerotensor has_same_storage_numel sobol_engine_draw poisson standard_gamma sample_dirichlet "
    # moved
    "assert_async assert_scalar assert_tensor_metadata cat channel_shuffle clone col2im combinations "
    "constant_pad_nd conj_physical contiguous copy copy_from detach diag_embed flip im2col index lift "
    "local_scalar_dense item gather scatter scatter_add scatter_reduce pin_memory pixel_shuffle "
    "pixel_unshuffle repeat repeat_interleave roll rot90 set set_data stack take to_dense to_sparse tril "
    "triu embedding embedding_renorm embedding_bag embedding_bag_forward_only nonzero nonzero_static "
    "nonzero_numpy pack_padded_sequence pad_packed_sequence sparse_coo_tensor_unsafe coalesce dense_dim "
    "sparse_dim size stride numel device dim cast_float cast_half cast_long meshgrid block_diag "
    "cartesian_prod fused_dropout functional_sym_constrain_range record_stream unpack_dual squeeze t "
    "transpose unsqueeze copy_from_and_resize chunk_cat put mkldnn_reshape mkldnn_transpose to_mkldnn "
    "to_padded_tensor sparse_mask sparse_resize nnz dimI dimV coalesced linalg_check_errors "
    "functional_assert_async functional_assert_scalar print binomial "
    # pointwise all the same
    "abs add_relu copysign eq floor_divide ge gelu gt hardswish hardsigmoid heaviside le lt mish ne rsub "
    "threshold xlogy log_sigmoid_forward gcd lcm irshift fft_fftfreq fft_rfftfreq "
    # compared, sorted, counted
    "aminmax amax amin argmax argmin argsort sort topk kthvalue mode median nanmedian max min bucketize "
    "searchsorted bincount histc isin isin equal allclose all any count_nonzero "
    # reduced
    "sum nansum mean nanmean prod norm linalg_vector_norm dist logcumsumexp logsumexp trapezoid renorm "
    "trace segment_reduce softmax log_softmax safe_softmax sparse_softmax weight_norm_interface "
    "weight_norm native_norm "
    # normalised, pooled, interpolated
    "cudnn_batch_norm miopen_batch_norm native_group_norm native_layer_norm fused_rms_norm rms_norm "
    "local_response_norm cudnn_grid_sampler prelu prelu_kernel rrelu_with_noise "
    "rrelu_with_noise_functional glu hardtanh "
    # the pointwise part of recurrent cells, whose products stand beside it
    "thnn_fused_lstm_cell thnn_fused_gru_cell thnn_differentiable_lstm_cell thnn_differentiable_gru_cell "
    "batch_norm log_sigmoid affine_grid_generator embedding_bag_per_sample_weights "
    "cudnn_init_dropout_state cudnn_rnn_flatten_weight use_cudnn_rnn_flatten_weight fused_sdp_choice "
    "transform_bias_rescale_qkv "
    # losses
    "binary_cross_entropy binary_cross_entropy_with_logits kl_div multilabel_margin_loss_forward "
    # quantised numbers
    "quantize_per_tensor quantize_per_tensor_dynamic quantize_per_channel dequantize int_repr q_scale "
    "q_zero_point choose_qparams_per_tensor".split()
)
