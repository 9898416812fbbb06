"""Multiply-accumulate operations (MACs) of single tensor operations, and which operations have none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import torch

#: (arguments, output) of an operation -> its MACs.
Formula = Callable[[Sequence[Any], Any], int]


def formula_of(name: str) -> Formula | None:
    """Return the MAC formula of an operation ("aten.mm"), or None.

    One MAC is one multiplication whose result is added to a sum, half of what is counted as FLOPs. As is
    usual, matrix products, convolutions, recurrences and attention count, biases do not; attention counts
    whole, whether or not a mask hides half of it.
    """
    return _FORMULAS.get(name)


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
    space = operation.namespace
    if space in ("prim", "prims", "profiler"):
        return False
    if space != "aten":
        return True
    if torch.Tag.pointwise in operation.tags or _is_view(operation):
        return False
    name = operation._schema.name.removeprefix("aten::").strip("_")
    return not (name in _FREE or name.startswith(_FREE_FAMILIES))


def _is_view(operation: torch._ops.OpOverload) -> bool:
    kinds = [result.alias_info for result in operation._schema.returns]
    return bool(kinds) and all(kind is not None and not kind.is_write for kind in kinds)


def _product(args: Sequence[Any], output: Any) -> int:
    return output.numel() * args[0].shape[-1]


def _added_product(args: Sequence[Any], output: Any) -> int:
    return output.numel() * args[1].shape[-1]


def _summed_batches(args: Sequence[Any], output: Any) -> int:
    return prod(args[1].shape) * args[2].shape[-1]


def _grouped_product(args: Sequence[Any], output: Any) -> int:
    # Rows sorted by group share one product; a ragged inner axis is shared out among the groups.
    a, b = args[:2]
    return a.shape[0] * prod(b.shape) if a.ndim == b.ndim == 2 else prod(a.shape) * b.shape[-1]


def _linear(args: Sequence[Any], output: Any) -> int:
    return prod(args[0].shape) * args[1].shape[0]


def _convolution(args: Sequence[Any], output: Any) -> int:
    return _convolved(args[0], args[1], output, transposed=len(args) > 6 and bool(args[6]))


def _convolved(inputs: Any, weight: Any, output: Any, transposed: bool = False) -> int:
    # Each output value is a sum over the kernel and the channels of its group; transposed, each input value
    # is spread over the kernel and the channels of its group instead.
    return (inputs if transposed else output).numel() * prod(weight.shape[1:])


def _attention(args: Sequence[Any], output: Any) -> int:
    query, key, value = args[:3]
    return prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _attention_tokens_first(args: Sequence[Any], output: Any) -> int:
    query, key, value = args[:3]
    return prod(query.shape[:-1]) * key.shape[-3] * (query.shape[-1] + value.shape[-1])


def _bilinear(args: Sequence[Any], output: Any) -> int:
    # sum over i, j of x1[i] w[i, j] x2[j]: the inner sums, then the outer.
    rows, (outputs, first, second) = prod(args[0].shape[:-1]), args[1].shape
    return rows * outputs * second * (first + 1)


def _trilinear(args: Sequence[Any], output: Any) -> int:
    # As bilinear layers call it: N x I, O x I x J and N x J.
    first, weight = args[:2]
    return first.shape[0] * weight.shape[0] * weight.shape[2] * (weight.shape[1] + 1)


_FORMULAS: dict[str, Formula] = {
    "aten.mm": _product,
    "aten.bmm": _product,
    "aten.mv": _product,
    "aten.dot": lambda args, output: args[0].numel(),
    "aten.vdot": lambda args, output: args[0].numel(),
    "aten._int_mm": _product,
    "aten._scaled_mm": _product,
    "aten._weight_int4pack_mm": _product,
    "aten._weight_int4pack_mm_for_cpu": _product,
    "aten._weight_int8pack_mm": _product,
    "aten._grouped_mm": _grouped_product,
    "aten._scaled_grouped_mm": _grouped_product,
    "aten.addmm": _added_product,
    "aten.addmm_": _added_product,
    "aten._addmm_activation": _added_product,
    "aten.addmv": _added_product,
    "aten.addmv_": _added_product,
    "aten.baddbmm": _added_product,
    "aten.baddbmm_": _added_product,
    "aten.addbmm": _summed_batches,
    "aten.addbmm_": _summed_batches,
    "aten.linear": _linear,
    "aten.mkldnn_linear": _linear,
    **{
        f"quantized.{name}": lambda args, output: prod(args[0].shape) * output.shape[-1]
        for name in ("linear", "linear_relu", "linear_dynamic", "linear_relu_dynamic", "linear_dynamic_fp16")
    },
    "aten.bilinear": _bilinear,
    "aten._trilinear": _trilinear,
    "aten.convolution": _convolution,
    "aten._convolution": _convolution,
    "aten.convolution_overrideable": _convolution,
    "aten.conv_tbc": lambda args, output: output.numel() * prod(args[1].shape[:2]),
    **{
        f"aten.{name}": lambda args, output: _convolved(args[0], args[1], output)
        for name in (
            "cudnn_convolution", "mkldnn_convolution", "miopen_convolution", "miopen_depthwise_convolution",
            "_slow_conv2d_forward", "slow_conv3d_forward", "_conv_depthwise2d", "conv_depthwise3d",
            "slow_conv_dilated2d", "slow_conv_dilated3d",
        )
    },
    **{
        f"aten.{name}": lambda args, output: _convolved(args[0], args[1], output, transposed=True)
        for name in ("cudnn_convolution_transpose", "slow_conv_transpose2d", "slow_conv_transpose3d")
    },
    "torchvision.deform_conv2d": lambda args, output: _convolved(args[0], args[1], output),
    **{
        f"aten._scaled_dot_product_{name}": _attention
        for name in (
            "flash_attention", "flash_attention_for_cpu", "efficient_attention", "cudnn_attention",
            "fused_attention_overrideable", "attention_math", "attention_math_for_mps",
        )
    },
    "aten._efficient_attention_forward": _attention_tokens_first,
    "aten.mkldnn_rnn_layer": lambda args, output: recurrent_macs(args[0], args[1:3]),
    "aten._cudnn_rnn": lambda args, output: recurrent_macs(args[0], args[1]),
    "aten.miopen_rnn": lambda args, output: recurrent_macs(args[0], args[1]),
}  # fmt: skip

#: Names in aten, without leading and trailing underscores, of operations that hold no MACs and that torch
#: does not tag as pointwise.
_FREE = frozenset(
    # made
    "arange empty empty_like empty_permuted empty_strided empty_quantized eye full full_like linspace "
    "logspace new_empty new_empty_strided new_full new_ones new_zeros ones ones_like rand rand_like "
    "randint randint_like randn randn_like randperm range scalar_tensor tril_indices triu_indices zeros "
    "zeros_like normal uniform bernoulli multinomial exponential geometric cauchy log_normal random "
    "native_dropout complex polar zero fill efficientzerotensor sobol_engine_draw nested_tensor_from_mask "
    "hann_window hamming_window kaiser_window bartlett_window blackman_window poisson standard_gamma "
    "sample_dirichlet "
    # moved
    "alias alias_copy as_strided_scatter assert_async assert_scalar assert_tensor_metadata cat "
    "channel_shuffle chunk clone col2im combinations constant_pad_nd conj_physical contiguous copy "
    "copy_from detach detach_copy diag_embed diagonal_scatter expand_copy flip im2col index index_add "
    "index_copy index_fill index_put index_put_impl index_select unsafe_index unsafe_index_put "
    "unsafe_masked_index lift lift_fresh lift_fresh_copy local_scalar_dense item masked_fill "
    "masked_scatter masked_select narrow_copy gather scatter scatter_add scatter_reduce select_scatter "
    "slice_scatter permute_copy pin_memory pixel_shuffle pixel_unshuffle reflection_pad1d "
    "reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d "
    "replication_pad3d reshape_alias reshape_copy resize resize_as resize_output roll rot90 set set_data "
    "slice_copy split_copy split_with_sizes_copy squeeze_copy stack t_copy take to_copy to_dense "
    "to_sparse transpose_copy tril triu unbind_copy unfold_copy unsafe_split unsafe_split_with_sizes "
    "unsafe_view unsqueeze_copy view_copy view_as_real_copy view_as_complex_copy embedding "
    "embedding_renorm embedding_bag embedding_bag_forward_only nonzero nonzero_static nonzero_numpy "
    "pack_padded_sequence pad_packed_sequence is_all_true is_any_true is_same_size "
    "sparse_coo_tensor_unsafe coalesce indices values dense_dim sparse_dim is_pinned sym_size sym_stride "
    "sym_numel sym_storage_offset size stride numel device dim cast_float cast_half cast_long meshgrid "
    "block_diag cartesian_prod fused_dropout masked_fill_scalar sym_constrain_range "
    "sym_constrain_range_for_size functional_sym_constrain_range record_stream make_dual unpack_dual "
    "fw_primal as_strided as_strided_copy squeeze t transpose unsqueeze diagonal_copy select_copy "
    "values_copy indices_copy copy_from_and_resize chunk_cat put index_reduce "
    "unsafe_masked_index_put_accumulate masked_scale mkldnn_reshape mkldnn_transpose to_mkldnn "
    "to_padded_tensor sparse_mask sparse_resize is_coalesced nnz dimI dimV coalesced linalg_check_errors "
    "functional_assert_async functional_assert_scalar print binomial "
    # pointwise all the same
    "abs add_relu copysign eq floor_divide ge gelu gt hardswish hardsigmoid heaviside le lt mish ne rsub "
    "threshold xlogy log_sigmoid_forward gcd lcm irshift fft_fftfreq fft_rfftfreq conj_copy neg_view_copy "
    # compared, sorted, counted
    "aminmax amax amin argmax argmin argsort sort topk kthvalue mode median nanmedian max min cummax "
    "cummin cummax_helper cummin_helper bucketize searchsorted bincount histc histogram "
    "histogramdd_bin_edges unique unique2 unique_dim unique_consecutive isin isin equal allclose all any "
    "count_nonzero "
    # reduced
    "sum nansum mean nanmean prod std std_mean var var_mean var_correction norm linalg_vector_norm dist "
    "cumsum cumprod logcumsumexp logsumexp cumulative_trapezoid trapezoid renorm trace segment_reduce "
    "softmax log_softmax safe_softmax masked_softmax sparse_softmax weight_norm_interface weight_norm "
    "native_norm "
    # normalised, pooled, interpolated
    "native_batch_norm native_batch_norm_legit native_batch_norm_legit_no_training "
    "native_batch_norm_legit_functional cudnn_batch_norm miopen_batch_norm native_group_norm "
    "native_layer_norm fused_rms_norm rms_norm local_response_norm grid_sampler_2d grid_sampler_3d "
    "grid_sampler_2d_cpu_fallback cudnn_grid_sampler prelu prelu_kernel rrelu_with_noise "
    "rrelu_with_noise_functional glu hardtanh "
    # the pointwise part of recurrent cells, whose products stand beside it
    "thnn_fused_lstm_cell thnn_fused_gru_cell thnn_differentiable_lstm_cell_backward "
    "cudnn_init_dropout_state cudnn_rnn_flatten_weight use_cudnn_rnn_flatten_weight fused_sdp_choice "
    "transform_bias_rescale_qkv "
    # losses
    "binary_cross_entropy binary_cross_entropy_with_logits cross_entropy_loss ctc_loss cudnn_ctc_loss "
    "huber_loss kl_div l1_loss mse_loss multi_margin_loss multilabel_margin_loss "
    "multilabel_margin_loss_forward nll_loss nll_loss_forward nll_loss2d_forward nll_loss_nd "
    "smooth_l1_loss soft_margin_loss poisson_nll_loss "
    # quantised numbers
    "quantize_per_tensor quantize_per_tensor_dynamic quantize_per_channel dequantize int_repr q_scale "
    "q_zero_point fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask "
    "fake_quantize_per_tensor_affine_cachemask_tensor_qparams fused_moving_avg_obs_fq_helper "
    "fused_moving_avg_obs_fq_helper_functional choose_qparams_per_tensor".split()
)
_FREE_FAMILIES = (
    "adaptive_avg_pool", "adaptive_max_pool", "avg_pool", "max_pool", "fractional_max_pool",
    "mkldnn_max_pool", "mkldnn_adaptive", "max_unpool", "upsample_", "foreach_", "nested_",
    "quantized_max_pool", "batch_norm_",
)  # fmt: skip
