"""Samples to look at: by loss, by class, or one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from ..base.trees import tree_map, tree_tensors

if TYPE_CHECKING:
    from ..scoring.scores import Scores

#: Probabilities nearer to 0 and 1 than this count as this near, so that no loss is infinite.
_EPS = 1e-12
#: How many of the samples are read to learn in which range their values lie.
_RANGE_OF = 64


def sample_losses(scores: Scores) -> np.ndarray:
    """Compute the loss of each sample from its scores, float64 N.

    Multiclass: cross-entropy, minus the logarithm of what the true class was given. Multilabel and binary:
    binary cross-entropy, the mean over the labels that are known. nan where no label is known. Scores are
    taken for probabilities; what lies outside 0 ... 1 counts as 0 or 1.
    """
    true = scores.y_true
    scored = np.clip(scores.y_score.astype(np.float64), _EPS, 1 - _EPS).reshape(len(true), -1)
    if scores.task == "multiclass":
        losses = -np.log(scored[np.arange(len(true)), true.argmax(1)])
        return np.where((true == 1).any(1), losses, np.nan)
    known = true >= 0
    each = np.where(true == 1, -np.log(scored), -np.log1p(-scored))
    count = known.sum(1)
    return np.where(count > 0, np.where(known, each, 0.0).sum(1) / np.maximum(count, 1), np.nan)


def in_order(scores: Scores, order: str) -> np.ndarray:
    """Return the rows of `scores` in an order: int64, at most N.

    Orders are "worst" (largest loss first), "best" (smallest first), and "class:NAME": the samples of that
    class as they stand; any other is a ValueError. Samples whose labels are not known have no loss, and are
    left out.
    """
    if order in ("worst", "best"):
        losses = sample_losses(scores)
        rows = np.argsort(-losses if order == "worst" else losses, kind="stable")
        return rows[np.isfinite(losses[rows])]
    kind, _, name = order.partition(":")
    names = list(scores.classes)
    if kind != "class" or name not in names:
        raise ValueError(f"Samples are ordered by 'worst', 'best' or 'class:NAME', not by {order!r}.")
    return np.flatnonzero(scores.y_true[:, names.index(name)] == 1)


@dataclass(frozen=True)
class OwnSample:
    """A batch of one that a person brought.

    `done` says in words what was done to it.
    """

    inputs: Any
    name: str
    done: str = ""


def fit_sample(
    x: Any,
    like: Any,
    name: str | None = None,
    *,
    span: Callable[[], tuple[float, float]] | None = None,
    encode: Callable[[str], Any] | None = None,
) -> OwnSample:
    """Fit `x` to a model that takes `like`, a batch of one.

    An array, a tensor, or a tuple or dict of these, whose shape is that of `like` (with or without its batch
    axis) is taken as it is, in the dtype of `like`. Where `like` is an image, C x H x W, any other image is
    fitted: channels made grey or repeated, the shorter side scaled, the middle cut out, and its values, 0 ...
    255 or 0 ... 1, brought to the range of the samples. Text goes through `encode`.

    Parameters
    ----------
    x : an array, a tensor, a PIL image, the path of an image file, a text; a tuple or dict for a model of
        several inputs.
    like : a batch of one that the model takes.
    name : what it is called; None: the file's name, or "your own".
    span : returns the smallest and the largest value of the samples; asked only for images that are fitted.
    encode : turns a text into a sample, without or with a batch axis.

    Raises
    ------
    ValueError, TypeError : one sentence on what does not fit.
    """
    if isinstance(x, (str, os.PathLike)):
        path = os.fspath(x)
        if encode is not None and not (isinstance(path, str) and os.path.isfile(path)):
            text = str(path)
            short = text if len(text) <= 40 else f"{text[:39]}…"
            return OwnSample(_match(encode(text), like), name or short, "encoded")
        x, name = _open_image(path), name or os.path.basename(str(path))
    name = name or "your own"
    if isinstance(like, (tuple, list, Mapping)) and len(list(tree_tensors(like))) > 1:
        return OwnSample(_match(x, like), name)
    image = next(tree_tensors(like), None)
    given = _tensor(x)
    if image is None:
        raise TypeError("This model takes no tensors, so a sample of your own cannot be fitted to it.")
    if given.shape in (image.shape, image.shape[1:]):
        fitted, done = given.reshape(image.shape), ""
    elif image.ndim != 4 or not image.is_floating_point() or given.ndim not in (2, 3, 4):
        raise ValueError(f"{_unlike(given, image)}: it has to be of the same shape.")
    else:
        fitted, done = _fit_image(given, image, span)
    return OwnSample(tree_map(lambda old: fitted.to(old.device, old.dtype), like), name, done)


def _open_image(path: str) -> Any:
    if not os.path.isfile(path):
        raise ValueError(
            f"There is no file {path!r}. For a text, give the view encode=, from a text to a sample."
        )
    try:
        from PIL import Image
    except ImportError:
        raise ValueError(
            "Image files are read by Pillow, which is not installed: give the image as an array."
        ) from None
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy()
    except OSError as error:
        raise ValueError(f"{path!r} is no image that Pillow reads: {error}") from None


def _tensor(x: Any) -> torch.Tensor:
    if isinstance(x, torch.Tensor):
        return x.detach()
    if hasattr(x, "convert") and hasattr(x, "mode"):  # a PIL image
        if x.mode not in ("L", "RGB", "F", "I", "I;16"):
            x = x.convert("RGB")
        x = np.asarray(x)
    if hasattr(x, "to_numpy"):
        x = x.to_numpy()
    try:
        return torch.as_tensor(np.array(x))
    except (TypeError, ValueError):
        raise TypeError(
            "A sample of your own is an array, a tensor, an image or a text, not one of type "
            f"{type(x).__name__}."
        ) from None


def _match(x: Any, like: Any) -> Any:
    """Return inputs shaped as `like`, as a batch of one."""
    if isinstance(like, torch.Tensor):
        given = _tensor(x)
        if like.ndim == 2 and not like.is_floating_point() and given.ndim in (1, 2):  # tokens: any length
            return given.reshape(1, -1).to(like.device, like.dtype)
        if given.shape not in (like.shape, like.shape[1:]):
            raise ValueError(f"{_unlike(given, like)}.")
        return given.reshape(like.shape).to(like.device, like.dtype)
    if isinstance(like, Mapping):
        if not isinstance(x, Mapping) or set(x) != set(like):
            raise ValueError(f"A sample of this model is a dict of {', '.join(map(repr, like))}.")
        return {key: _match(x[key], part) for key, part in like.items()}
    if isinstance(like, (tuple, list)):
        if len(like) == 1 and not isinstance(x, (tuple, list)):
            x = (x,)
        if not isinstance(x, (tuple, list)) or len(x) != len(like):
            raise ValueError(f"A sample of this model is a tuple of {len(like)} inputs.")
        return tuple(_match(one, part) for one, part in zip(x, like, strict=True))
    return x


def _fit_image(
    given: torch.Tensor, image: torch.Tensor, span: Callable[[], tuple[float, float]] | None
) -> tuple[torch.Tensor, str]:
    _, channels, height, width = image.shape
    last = channels not in (1, 3) and width in (1, 3)  # a model that takes H x W x C
    if last:
        channels, height, width = width, channels, height
    whole = not given.is_floating_point()
    values = given.float().reshape(given.shape[-3:] if given.ndim == 4 else given.shape)
    values = values[None] if values.ndim == 2 else values
    if values.shape[0] not in (1, 3, 4) and values.shape[-1] in (1, 3, 4):
        values = values.movedim(-1, 0)
    if values.shape[0] not in (1, 3, 4, channels):
        raise ValueError(f"{_shape_words(given.shape)} is no image of {channels} channels.")
    done = []
    values = values[:3] if values.shape[0] == 4 and channels != 4 else values
    if values.shape[0] == 3 and channels == 1:
        # The luma of ITU-R BT.601, as image libraries make grey.
        values = (values * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True)
        done.append("made grey")
    elif values.shape[0] == 1 and channels > 1:
        values = values.expand(channels, -1, -1)
        done.append(f"grey repeated in {channels} channels")
    elif values.shape[0] != channels:
        raise ValueError(f"The model takes images of {channels} channels; this one has {values.shape[0]}.")
    values, scaled = _scale_and_crop(values, height, width)
    done += scaled
    top = float(values.max())
    if whole or top > 1:
        values = values / (255 if top <= 255 else top)
    low, high = span() if span is not None else (0.0, 1.0)
    if (low, high) != (0.0, 1.0):
        values = values * (high - low) + low
        done.append(f"values brought to {low:.3g} … {high:.3g}, as in the samples")
    values = values.movedim(0, -1) if last else values
    return values[None], ", ".join(done)


def _scale_and_crop(values: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, list[str]]:
    """Scale an image, and cut out its middle, height x width."""
    h, w = values.shape[-2:]
    if (h, w) == (height, width):
        return values, []
    done = []
    # The part that keeps the form: cut first, so that it is cut at the image's own pixels.
    scale = max(height / h, width / w)
    inner_h, inner_w = min(h, round(height / scale)), min(w, round(width / scale))
    if (inner_h, inner_w) != (h, w):
        top, left = (h - inner_h) // 2, (w - inner_w) // 2
        values = values[..., top : top + inner_h, left : left + inner_w]
        done.append("the middle cut out")
    if (inner_h, inner_w) != (height, width):
        values = F.interpolate(
            values[None].contiguous(), (height, width), mode="bilinear", antialias=True, align_corners=False
        )[0]
        done.insert(0, f"{h} × {w} scaled to {height} × {width}")
    return values, done


def value_range(samples: Any) -> tuple[float, float]:
    """Return the range of the first samples, (0, 1) where they fit."""
    low, high = float("inf"), float("-inf")
    for index in range(min(len(samples), _RANGE_OF)):
        for tensor in tree_tensors(samples.inputs(index)):
            finite = tensor[tensor.isfinite()].float()
            if finite.numel():
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high or (low >= 0 and high <= 1):
        return 0.0, 1.0
    return (0.0, 255.0) if low >= 0 and 1.5 < high <= 255 else (low, high)


def _shape_words(shape: Any) -> str:
    return " × ".join(map(str, shape)) or "one number"


def _unlike(given: torch.Tensor, like: torch.Tensor) -> str:
    wanted = _shape_words(like.shape[1:])
    return f"A sample of this model has the shape {wanted}, and what you gave {_shape_words(given.shape)}"
