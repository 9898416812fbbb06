"""A look written to a file of numpy arrays."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..base.trees import tree_tensors
from ..pictures.statistics import real
from .look import Look
from .npz import save_arrays


def save_look(
    path: str | os.PathLike[str], look: Look, inputs: Any, sample: int | None = None, step: int | None = None
) -> str:
    """Write `look` as NPZ, and return the file's path, which ends in ".npz".

    Parameters
    ----------
    inputs : what the model was given, a batch of one.
    sample : its number; None for one's own, written as -1.
    step : of the training; None, written as -1, where there is none.

    Raises
    ------
    ValueError : the look shows nothing.
    """
    shown = look.values
    if shown is None and look.picture is not None:
        shown = look.picture.maps
    if shown is None and (look.picture is None or look.picture.bars is None):
        raise ValueError(f"There is nothing to save: {look.reason or 'the layer shows nothing.'}")
    values = real(shown.detach()).cpu().numpy() if shown is not None else look.picture.bars  # type: ignore
    given = [real(tensor.detach())[0].cpu().numpy() for tensor in tree_tensors(inputs)]
    names = ["input"] if len(given) == 1 else [f"input_{at}" for at in range(len(given))]
    arrays: dict[str, Any] = dict(zip(names, given, strict=True))
    if look.scores is not None:
        arrays["scores"] = np.asarray(look.scores)
    about = {
        "layer": look.layer, "part": look.part, "show": look.wanted.show,
        "sample": -1 if sample is None else sample, "step": -1 if step is None else step,
    }  # fmt: skip
    return str(save_arrays(path, {"values": values, **about, **arrays}.items()))
