"""What a person may wish for: each wish read into one form, or refused in one sentence."""

from __future__ import annotations

import difflib
import math
import operator
import os
from collections.abc import Iterable
from numbers import Real
from typing import Any

import torch

from .clipping import Clip

#: What people type for what is called otherwise here.
_MEANT = {
    "learning_rate": "lr", "rate": "lr", "batchsize": "batch_size", "bs": "batch_size", "grad_clip": "clip",
    "gradient_clip": "clip", "clip_norm": "clip", "max_norm": "clip", "clipnorm": "clip",
    "num_epochs": "epochs", "n_epochs": "epochs", "max_epochs": "epochs", "class_names": "classes",
    "labels": "classes",
    "criterion": "loss", "loss_fn": "loss", "loss_function": "loss", "optim": "optimizer", "opt": "optimizer",
    "validation": "valid", "validation_data": "valid", "val": "valid", "val_data": "valid", "test": "valid",
    "validation_split": "valid", "random_state": "seed", "random_seed": "seed", "wd": "weight_decay",
    "threshold": "thresholds", "training_step": "step", "num_threads": "threads", "label": "target",
    "eval_every": "evaluate_every", "log_every": "evaluate_every", "requires_grad": "trainable",
    "unfreeze": "trainable", "unfrozen": "trainable", "train_only": "trainable",
    "trainable_layers": "trainable", "trainable_parameters": "trainable",
}  # fmt: skip

#: What people type for the opposite of `trainable`.
_FROZEN = ("freeze", "frozen", "freeze_layers", "frozen_layers", "freeze_backbone", "fixed", "freeze_at")

#: What people ask for that has its place elsewhere.
_ELSEWHERE = {
    "x": "Data goes in as train=(X, y).",
    "y": "Data goes in as train=(X, y).",
    "data": "Data goes in as train=(X, y).",
    "dataset": "Data goes in as train=dataset.",
    "dataloader": "Data goes in as train=loader.",
    "loader": "Data goes in as train=loader.",
    "train_loader": "Data goes in as train=loader, valid=valid_loader.",
    "momentum": 'Pass optimizer=lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9).',
    "nesterov": 'Pass optimizer=lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True).',
    "betas": "Pass optimizer=lambda p: torch.optim.AdamW(p, lr=1e-3, betas=(0.9, 0.99)).",
    "shuffle": "Rows are shuffled in each epoch; pass a DataLoader for any other order.",
    "num_workers": "Pass train=DataLoader(dataset, num_workers=2, ...).",
    "drop_last": "Pass train=DataLoader(dataset, drop_last=True, ...).",
    "metrics": "session.scores.metrics() has them all.",
    "verbose": "A session prints nothing: dlwidgets.Dashboard(session) shows it.",
}  # fmt: skip


def meant(name: str, options: Iterable[str]) -> str:
    """Return " Did you mean 'lr'?" or another hint for a name not among `options`; "" without an idea."""
    options = list(options)
    key = name.lower()
    if _MEANT.get(key) in options:
        return f" Did you mean {_MEANT[key]!r}?"
    if key in _FROZEN and "trainable" in options:
        return " Did you mean trainable={'features': False}?"
    if key in _ELSEWHERE and "train" in options:
        return f" {_ELSEWHERE[key]}"
    near = difflib.get_close_matches(key, options, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def read_lr(value: Any) -> float:
    """Return a learning rate: a finite number, 0 or more."""
    number = _number(value)
    if number is None or not math.isfinite(number) or number < 0:
        raise ValueError(f"lr={value!r}: a learning rate is a number, 0 or more, such as 1e-3.")
    return number


def read_batch_size(value: Any) -> int:
    """Return a batch size: a whole number of samples, 1 or more."""
    number = _whole(value)
    if number is None or number < 1:
        raise ValueError(f"batch_size={value!r}: a whole number of samples, 1 or more, is wanted.")
    return number


def read_clip(value: Any) -> tuple[str, float] | None:
    """Return gradient clipping as (mode, limit), or None where it is off."""
    clip = Clip.read(value)
    return None if clip.mode == "off" else (clip.mode, clip.limit)


def read_weight_decay(value: Any) -> float | None:
    """Return a weight decay: a finite number, 0 or more; None is the optimizer's own."""
    if value is None:
        return None
    number = _number(value)
    if number is None or not math.isfinite(number) or number < 0:
        raise ValueError(
            f"weight_decay={value!r}: a number, 0 or more, is wanted, or None for the optimizer's own."
        )
    return number


def read_threads(value: Any) -> int | None:
    """Return a number of threads for torch: a whole number, 1 or more; None is the session's own choice."""
    number = None if value is None else _whole(value)
    # More, and the system may refuse the threads: GNU OpenMP then ends the process.
    most = max(64, os.cpu_count() or 1)
    if value is not None and (number is None or not 1 <= number <= most):
        raise ValueError(f"threads={value!r}: a whole number of threads, 1 to {most}, is wanted, or None.")
    return number


def read_epochs(value: Any) -> int:
    """Return a number of epochs: a whole number, 1 or more."""
    number = _whole(value)
    if number is None or number < 1:
        raise ValueError(f"epochs={value!r}: a whole number, 1 or more, is wanted.")
    return number


def read_evaluate_every(value: Any) -> str | int | None:
    """Return how often to evaluate: "epoch", a number of steps, or None for never."""
    if value is None or (isinstance(value, str) and value == "epoch"):
        return value
    number = _whole(value)
    if number is None or number < 1:
        raise ValueError(
            f'evaluate_every={value!r}: "epoch", a number of steps, or None for never, is wanted.'
        )
    return number


def read_thresholds(value: Any, count: int | None = None) -> float | list[float]:
    """Return one threshold, or one for each of `count` classes."""
    number = _number(value)
    if number is not None and not math.isnan(number):
        return number
    try:
        numbers = [_number(one) for one in value]
    except TypeError:
        numbers = [None]
    if not numbers or any(one is None or math.isnan(one) for one in numbers):
        raise ValueError(f"thresholds={value!r}: one number, or one for each class, is wanted.")
    if count is not None and len(numbers) != count:
        raise ValueError(
            f"thresholds has {len(numbers)} numbers for {count} classes: one for each is wanted."
        )
    return numbers  # type: ignore[return-value]


def read_seed(value: Any) -> int:
    """Return a seed: a whole number."""
    number = _whole(value)
    if number is None:
        raise ValueError(f"seed={value!r}: a whole number is wanted; the same seed gives the same weights.")
    return number


def _number(value: Any) -> float | None:
    """Return a real number, also of numpy or torch, as float; None for anything else, as True."""
    if isinstance(value, torch.Tensor) and value.ndim == 0 and value.dtype is not torch.bool:
        value = value.item()
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0 and hasattr(value, "item"):
        value = value.item()
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
