"""The attention weights that a forward computes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from .activations import Recording

#: The key of attention weights, behind the path of the layer that computes them.
ATTENTION = "[attention]"
#: Functions that hand on probabilities as they are, in eval mode or in another precision.
_HAND_ON = {"dropout", "to", "type_as", "contiguous", "type", "float", "half", "bfloat16"}
#: Functions that give zeros to what is masked, after the softmax.
_MASKS = {"where", "masked_fill", "nan_to_num"}
_PRODUCTS = {"matmul", "__matmul__", "bmm", "einsum"}
_WHOLE = {"scaled_dot_product_attention", "multi_head_attention_forward"}
_SIGNATURE = inspect.signature(F.multi_head_attention_forward)
_INTERESTING = _WHOLE | {"softmax"} | _HAND_ON | _MASKS | _PRODUCTS


@dataclass(frozen=True)
class Attended:
    """Attention weights of a `shape`, computed when asked for.

    That is samples x heads x queries x keys; each row over the keys sums to one. `weights(samples, step)`
    returns those of the first samples, and of every so many-th query; one takes `itemsize` bytes.
    """

    shape: tuple[int, ...]
    itemsize: int
    weights: Callable[[int, int], torch.Tensor]


def attention_weights(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    rows: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute softmax(QKᵀ · scale + mask), ... x queries x keys.

    What `scaled_dot_product_attention` multiplies its values by (Vaswani et al. 2017, "Attention is all you
    need", equation 1), at least in float32; without dropout, and zeros for a query that may look at nothing.

    Parameters
    ----------
    query, key : ... x queries x d and ... x keys x d.
    mask : bool, True where a query may look; or numbers to be added.
    scale : None: 1/√d.
    enable_gqa : whether several heads of queries share one of keys.
    rows : the numbers of the queries that are wanted; None: all.
    """
    length, keys = query.shape[-2], key.shape[-2]
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    numbers = torch.arange(length, device=query.device) if rows is None else rows
    if rows is not None:
        query = query.index_select(-2, rows)
        if mask is not None and mask.ndim > 1 and mask.shape[-2] == length:
            mask = mask.index_select(-2, rows)
    wide = torch.promote_types(query.dtype, torch.float32)
    scores = query.to(wide) @ key.to(wide).transpose(-2, -1)
    scores *= 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if is_causal:
        scores.masked_fill_(numbers[:, None] < torch.arange(keys, device=query.device), -torch.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    nowhere = scores.isneginf().all(-1, keepdim=True)
    return scores.softmax(-1).masked_fill(nowhere, 0.0)


class AttentionMode(TorchFunctionMode):
    """Tells a listener of each computation of attention on this thread.

    Seen while it is entered are `scaled_dot_product_attention`, `nn.MultiheadAttention` (whether it needs
    weights or not), and attention written out: a softmax over the last axis that then multiplies from the
    left. What the model computes stays what it is. The use of tensors by the identities `weights` is told as
    well; by the number of `samples`, heads that are stacked along their axis are taken apart.
    """

    def __init__(self, listener: Recording, weights: set[int], samples: int | None) -> None:
        super().__init__()
        self._listener, self._weights, self._samples = listener, weights, samples
        self._softmax: torch.Tensor | None = None
        self._handed: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func` as it is, and look at it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self._weights:
            for value in (*args, *kwargs.values()):
                if id(value) in self._weights:
                    self._listener.use(id(value))
        name = getattr(func, "__name__", "")
        if name in _INTERESTING:
            try:
                self._look(func, name, args, kwargs, result)
            except Exception as error:  # noqa: BLE001 - a look must not stop what is looked at
                self._listener.fail(error)
        return result

    def __exit__(self, *raised: Any) -> None:
        self._softmax = None
        super().__exit__(*raised)

    def _look(self, func: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> None:
        if func in (F.scaled_dot_product_attention, F.multi_head_attention_forward):
            if self._listener.watches():
                alone = func is F.scaled_dot_product_attention
                self._listener.attend((_of_products if alone else _of_module)(*args, **kwargs))
        elif name == "softmax":
            dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
            if isinstance(result, torch.Tensor) and result.ndim >= 3 and dim in (-1, result.ndim - 1):
                self._softmax, self._handed = result, {result.data_ptr()}
        elif self._softmax is None:
            return
        elif name in _HAND_ON:
            if args and isinstance(args[0], torch.Tensor) and isinstance(result, torch.Tensor):
                if args[0].data_ptr() in self._handed and result.shape == self._softmax.shape:
                    self._handed.add(result.data_ptr())
        elif name in _MASKS:
            given = [one.data_ptr() for one in args if isinstance(one, torch.Tensor)]
            if not self._handed.isdisjoint(given) and result.shape == self._softmax.shape:
                self._softmax, self._handed = result, {result.data_ptr()}
        elif name in _PRODUCTS:
            left = args[1] if name == "einsum" and len(args) > 1 else args[0] if args else None
            left = left[0] if isinstance(left, (tuple, list)) and left else left
            if isinstance(left, torch.Tensor) and left.data_ptr() in self._handed:
                if left.numel() == self._softmax.numel() and self._listener.watches():
                    self._listener.attend(_of_softmax(self._softmax, self._samples))
                self._softmax, self._handed = None, set()


def _of_products(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Attended:
    # Samples x heads x queries x d, whatever axes are missing.
    query = query.reshape(*(1,) * (4 - query.ndim), *query.shape) if query.ndim < 3 else query
    if query.ndim == 3:
        query, key = query[:, None], key[:, None] if key.ndim == 3 else key
        if attn_mask is not None and attn_mask.ndim == 3:
            attn_mask = attn_mask[:, None]

    def weights(samples: int, step: int) -> torch.Tensor:
        rows = torch.arange(0, query.shape[-2], step, device=query.device) if step > 1 else None
        mask = attn_mask
        if mask is not None and mask.ndim == query.ndim and mask.shape[0] == query.shape[0]:
            mask = mask[:samples]
        keys = key[:samples] if key.ndim == query.ndim else key
        return attention_weights(query[:samples], keys, mask, is_causal, scale, enable_gqa, rows)

    size = torch.promote_types(query.dtype, torch.float32).itemsize
    return Attended((*query.shape[:-1], key.shape[-2]), size, weights)


def _of_module(*args: Any, **kwargs: Any) -> Attended:
    """Describe the attention of `nn.MultiheadAttention`, time first, asked once more."""
    given = _SIGNATURE.bind(*args, **kwargs).arguments
    query, key, heads = given["query"], given["key"], given["num_heads"]
    alone = query.ndim == 2
    samples = 1 if alone else query.shape[1]
    static = given.get("static_k")
    keys = key.shape[0] if static is None else static.shape[1]
    keys += (given.get("bias_k") is not None) + bool(given.get("add_zero_attn"))

    def weights(count: int, step: int) -> torch.Tensor:
        asked = dict(given, need_weights=True, average_attn_weights=False, training=False)
        if not alone and count < samples:
            for name in ("query", "key", "value"):
                asked[name] = given[name][:, :count]
            stacked = {"key_padding_mask": 1, "static_k": heads, "static_v": heads, "attn_mask": heads}
            for name, rows in stacked.items():
                value = given.get(name)
                # A mask of queries x keys is the same for all samples.
                if value is not None and (name != "attn_mask" or value.ndim == 3):
                    asked[name] = value[: count * rows]
        found = F.multi_head_attention_forward(**asked)[1]
        return (found[None] if alone else found)[..., ::step, :]

    return Attended((samples, heads, query.shape[0], keys), query.element_size(), weights)


def _of_softmax(found: torch.Tensor, samples: int | None) -> Attended:
    if found.ndim == 3:
        stacked = samples and found.shape[0] % samples == 0
        found = found.unflatten(0, (samples, -1)) if stacked else found[:, None]
    return Attended(
        tuple(found.shape), found.element_size(), lambda count, step: found[:count, ..., ::step, :]
    )
