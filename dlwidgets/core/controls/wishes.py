"""What a person may wish for: each wish read into one form, or refused in one sentence."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..base.numbers import read_count, read_duration, read_fraction, read_integer, read_number, read_optional
from ..base.words import did_you_mean
from .clipping import Clip
from .mixed_precision import PRECISIONS
from .patience import EarlyStopping

#: What people type for what is called otherwise here.
_MEANT = {
    "learning_rate": "lr", "rate": "lr", "batchsize": "batch_size", "bs": "batch_size", "grad_clip": "clip",
    "gradient_clip": "clip", "clip_norm": "clip", "max_norm": "clip", "clipnorm": "clip",
    "num_epochs": "epochs", "n_epochs": "epochs", "max_epochs": "epochs", "class_names": "classes",
    "labels": "classes",
    "criterion": "loss", "loss_fn": "loss", "loss_function": "loss", "optim": "optimizer", "opt": "optimizer",
    "validation": "valid", "validation_data": "valid", "val": "valid", "val_data": "valid", "test": "valid",
    "validation_split": "valid", "random_state": "seed", "random_seed": "seed", "wd": "weight_decay",
    "accumulation": "accumulate", "grad_accum": "accumulate", "accumulation_steps": "accumulate",
    "gradient_accumulation": "accumulate", "gradient_accumulation_steps": "accumulate",
    "accumulate_grad_batches": "accumulate", "normalize": "normalise", "weight_norm": "normalise",
    "weight_normalisation": "normalise", "weight_normalization": "normalise",
    "max_norm_constraint": "normalise",
    "dropout_rate": "dropout", "smoothing": "label_smoothing", "ema_decay": "ema", "average": "ema",
    "amp": "precision", "mixed_precision": "precision", "stop_early": "early_stopping",
    "earlystopping": "early_stopping", "early_stop": "early_stopping",
    "threshold": "thresholds", "training_step": "step", "num_threads": "threads", "label": "target",
    "eval_samples": "evaluate_samples", "valid_samples": "evaluate_samples",
    "eval_every": "evaluate_every", "log_every": "evaluate_every", "requires_grad": "trainable",
    "scheduler": "schedule", "lr_scheduler": "schedule", "lr_schedule": "schedule", "lr_decay": "schedule",
    "learning_rate_schedule": "schedule", "learning_rate_scheduler": "schedule", "sched": "schedule",
    "decay": "schedule", "annealing": "schedule", "beta": "betas", "mu": "momentum",
    "l2": "weight_decay", "unfreeze": "trainable", "unfrozen": "trainable", "train_only": "trainable",
    "trainable_layers": "trainable", "trainable_parameters": "trainable",
}  # fmt: skip

#: What people call a precision.
_PRECISIONS = {
    "float32": "full", "fp32": "full", "32": "full", "none": "full", "off": "full", "bfloat16": "bf16",
    "bf16-mixed": "bf16", "float16": "fp16", "half": "fp16", "16": "fp16", "16-mixed": "fp16",
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
    "momentum": "Pass optimizer=('sgd', {'momentum': 0.9}); in mid-run set session.momentum.",
    "nesterov": "Pass optimizer=('sgd', {'momentum': 0.9, 'nesterov': True}).",
    "betas": "Pass optimizer=('adamw', {'betas': (0.9, 0.99)}); in mid-run set session.betas.",
    "eps": "Pass optimizer=('adamw', {'eps': 1e-6}).",
    "amsgrad": "Pass optimizer=('adam', {'amsgrad': True}).",
    "warmup": "Pass schedule=('cosine', {'warmup': 100}).",
    "warmup_steps": "Pass schedule=('cosine', {'warmup': 100}).",
    "warmup_epochs": "Pass schedule=('cosine', {'warmup': 100}), in steps, or a share of the run as 0.05.",
    "max_lr": "Pass schedule=('one-cycle', {'max_lr': 0.1}).",
    "t_max": "Pass schedule=('cosine', {'T_max': 1000}).",
    "gamma": "Pass schedule=('exponential', {'gamma': 0.999}).",
    "step_size": "Pass schedule=('step', {'step_size': 1000}).",
    "patience": "Pass early_stopping=('valid_loss', 5), or schedule=('plateau', {'patience': 3}).",
    "restore_best_weights": "Pass early_stopping={'patience': 5, 'restore': True}.",
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
    return did_you_mean(key, options)


def read_lr(value: Any) -> float:
    """Return a learning rate: a finite number, 0 or more."""
    number = read_number(value)
    if number is None or not math.isfinite(number) or number < 0:
        raise ValueError(f"lr={value!r}: a learning rate is a number, 0 or more, such as 1e-3.")
    return number


def read_batch_size(value: Any) -> int:
    """Return a batch size: a whole number of samples, 1 or more."""
    number = read_count(value)
    if number is None:
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
    number = read_number(value)
    if number is None or not math.isfinite(number) or number < 0:
        raise ValueError(
            f"weight_decay={value!r}: a number, 0 or more, is wanted, or None for the optimizer's own."
        )
    return number


def read_momentum(value: Any) -> float | None:
    """Return a momentum: a number, 0 or more and below 1; None is the optimizer's own."""
    return read_optional(
        value, read_fraction, f"momentum={value!r}: a number from 0 to below 1 is wanted, as 0.9, or None."
    )


def read_betas(value: Any) -> tuple[float, ...] | None:
    """Return betas: two or more numbers, each 0 or more and below 1; None is the optimizer's own."""
    if value is None:
        return None
    try:
        numbers = [read_fraction(one) for one in value]
    except TypeError:
        numbers = []
    if len(numbers) < 2 or None in numbers:
        raise ValueError(
            f"betas={value!r}: two numbers from 0 to below 1 are wanted, as (0.9, 0.999), or None."
        )
    return tuple(numbers)  # type: ignore[arg-type]


def read_accumulate(value: Any) -> int:
    """Return how many batches a step accumulates: a whole number, 1 or more; None is 1."""
    number = 1 if value is None else read_count(value)
    if number is None:
        raise ValueError(
            f"accumulate={value!r}: a whole number of batches, 1 or more, is wanted; 1 accumulates nothing."
        )
    return number


def read_label_smoothing(value: Any) -> float | None:
    """Return a label smoothing: 0 or more and below 1; None is the loss's own."""
    return read_optional(
        value, read_fraction, f"label_smoothing={value!r}: a number from 0 to below 1 is wanted, as 0.1, or None."
    )


def read_ema(value: Any) -> float | None:
    """Return the decay of an average of the weights: between 0 and 1; None and False are none."""
    number = None if value is None or value is False else read_number(value)
    if value is not None and value is not False and (number is None or not 0 < number < 1):
        raise ValueError(f"ema={value!r}: a decay between 0 and 1 is wanted, such as 0.999, or None.")
    return number


def read_precision(value: Any) -> str:
    """Return a precision: "full", "bf16" or "fp16", also by torch's names; None is "full"."""
    key = "full" if value is None else str(value).lower().removeprefix("torch.")
    mode = _PRECISIONS.get(key, key)
    if mode not in PRECISIONS:
        hint = did_you_mean(key, [*PRECISIONS, *_PRECISIONS])
        raise ValueError(f"precision={value!r} is none of {', '.join(PRECISIONS)}.{hint}")
    return mode


def read_early_stopping(value: Any) -> EarlyStopping | None:
    """Return when to stop early: a metric, a patience, (metric, patience[, min_delta[, restore]]), or a dict.

    None and False are never.
    """
    if value is None or value is False:
        return None
    if isinstance(value, Mapping):
        for key in value:
            if key not in EarlyStopping._fields:
                hint = did_you_mean(str(key), EarlyStopping._fields)
                raise ValueError(
                    f"early_stopping has {key!r}; it can have {', '.join(EarlyStopping._fields)}.{hint}"
                )
        rule = EarlyStopping(**value)
    elif isinstance(value, str):
        rule = EarlyStopping(value)
    elif read_integer(value) is not None:
        rule = EarlyStopping(patience=value)
    elif isinstance(value, (tuple, list)) and 1 <= len(value) <= 4:
        rule = EarlyStopping(*value)
    else:
        raise ValueError(f'early_stopping={value!r}: ("valid_loss", 5), a patience, or None, is wanted.')
    patience, delta = read_count(rule.patience), read_number(rule.min_delta)
    if not isinstance(rule.metric, str):
        raise ValueError(f"early_stopping has the metric {rule.metric!r}: a name as 'valid_loss' is wanted.")
    if patience is None:
        raise ValueError(
            f"early_stopping has the patience {rule.patience!r}: evaluations, 1 or more, are wanted."
        )
    if delta is None or not math.isfinite(delta) or delta < 0:
        raise ValueError(
            f"early_stopping has the min_delta {rule.min_delta!r}: a number, 0 or more, is wanted."
        )
    return EarlyStopping(rule.metric, patience, delta, bool(rule.restore))


def read_threads(value: Any) -> int | None:
    """Return a number of threads for torch: a whole number, 1 or more; None is the session's own choice."""
    number = None if value is None else read_count(value)
    # More, and the system may refuse the threads: GNU OpenMP then ends the process.
    most = max(64, os.cpu_count() or 1)
    if value is not None and (number is None or number > most):
        raise ValueError(f"threads={value!r}: a whole number of threads, 1 to {most}, is wanted, or None.")
    return number


def read_epochs(value: Any) -> int:
    """Return a number of epochs: a whole number, 1 or more."""
    number = read_count(value)
    if number is None:
        raise ValueError(f"epochs={value!r}: a whole number, 1 or more, is wanted.")
    return number


def read_evaluate_every(value: Any) -> str | int | None:
    """Return how often to evaluate: "epoch", a number of steps, a time as "30 s", or None for never.

    Times come in seconds: "120 s" for "2 min".
    """
    if value is None or (isinstance(value, str) and value == "epoch"):
        return value
    found = read_duration(value) if isinstance(value, str) else read_count(value)
    if found is None:
        raise ValueError(
            f'evaluate_every={value!r}: "epoch", a number of steps, or None for never, is wanted; '
            'or a time with its unit, as "30 s" or "2 min".'
        )
    return found


def read_evaluate_samples(value: Any) -> int | None:
    """Return how many samples to evaluate: a whole number, 1 or more, or None for all."""
    return read_optional(
        value, read_count, f"evaluate_samples={value!r}: a whole number of samples, 1 or more, or None for all, is wanted."
    )


def read_thresholds(value: Any, count: int | None = None) -> float | list[float]:
    """Return one threshold, or one for each of `count` classes."""
    number = read_number(value)
    if number is not None and not math.isnan(number):
        return number
    try:
        numbers = [read_number(one) for one in value]
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
    number = read_integer(value)
    if number is None:
        raise ValueError(f"seed={value!r}: a whole number is wanted; the same seed gives the same weights.")
    return number
