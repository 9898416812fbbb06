"""A person's own sample, fitted to a model: image, array or text."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..base.trees import tree_map, tree_tensors

#: How many of the samples are read to learn in which range their values lie.
RANGE_OF = 64


@dataclass(frozen=True)
class OwnSample:
    """A sample that a person brought.

    Attributes
    ----------
    inputs : a batch of one, as the model takes it.
    name : what it is called.
    done : what was done to it, in words, or "".
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
            return OwnSample(_match(encode(str(path)), like), name or _short(str(path)), "encoded")
        x, name = _open_image(path), name or os.path.basename(str(path))
    name = name or "your own"
    if isinstance(like, (tuple, list, Mapping)) and len(list(tree_tensors(like))) > 1:
        return OwnSample(_match(x, like), name)
    image = next(tree_tensors(like), None)
    given = _tensor(x)
    if image is None:
        raise TypeError("This model takes no tensors, so a sample of your own cannot be fitted to it.")
    if tuple(given.shape) in (tuple(image.shape), tuple(image.shape[1:])):
        return OwnSample(_put_into(given.reshape(image.shape), like), name)
    if image.ndim != 4 or not image.is_floating_point() or given.ndim not in (2, 3, 4):
        raise ValueError(
            f"A sample of this model has the shape {_shape_words(image.shape[1:])}, and what you gave "
            f"{_shape_words(given.shape)}: it has to be of the same shape."
        )
    fitted, done = _fit_image(given, image, span)
    return OwnSample(_put_into(fitted, like), name, done)


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
        kind = type(x).__name__
        wanted = "an array, a tensor, an image or a text"
        raise TypeError(f"A sample of your own is {wanted}, not one of type {kind}.") from None


def _match(x: Any, like: Any) -> Any:
    """Return inputs shaped as `like`, as a batch of one."""
    if isinstance(like, torch.Tensor):
        given = _tensor(x)
        free = len(like.shape) == 2 and not like.is_floating_point()
        if free and given.ndim in (1, 2):  # token numbers: any length
            return given.reshape(1, -1).to(like.device, like.dtype)
        if tuple(given.shape) not in (tuple(like.shape), tuple(like.shape[1:])):
            raise ValueError(
                f"A sample of this model has the shape {_shape_words(like.shape[1:])}, and what you gave "
                f"{_shape_words(given.shape)}."
            )
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


def _put_into(tensor: torch.Tensor, like: Any) -> Any:
    """Put `tensor` in the place of the only tensor of `like`."""
    return tree_map(lambda old: tensor.to(old.device, old.dtype), like)


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
    for index in range(min(len(samples), RANGE_OF)):
        for tensor in tree_tensors(samples.inputs(index)):
            finite = tensor[tensor.isfinite()] if tensor.is_floating_point() else tensor.float()
            if finite.numel():
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high or (low >= 0 and high <= 1):
        return 0.0, 1.0
    return (0.0, 255.0) if low >= 0 and 1.5 < high <= 255 else (low, high)


def _shape_words(shape: Any) -> str:
    return " × ".join(map(str, shape)) or "one number"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
