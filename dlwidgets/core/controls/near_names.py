"""Hints for a name that a session does not have."""

from __future__ import annotations

from collections.abc import Iterable

from ..base.words import did_you_mean
from .steering import CONTROLS

#: What people type for the session's other arguments.
_MEANT = {
    "class_names": "classes", "labels": "classes",
    "criterion": "loss", "loss_fn": "loss", "loss_function": "loss",
    "validation": "valid", "validation_data": "valid", "val": "valid", "val_data": "valid", "test": "valid",
    "validation_split": "valid", "random_state": "seed", "random_seed": "seed",
    "step": "training_step", "step_fn": "training_step", "label": "target",
}  # fmt: skip

#: What people type for the opposite of `trainable`.
_FROZEN = ("freeze", "frozen", "freeze_layers", "frozen_layers", "freeze_backbone", "fixed", "freeze_at")

#: What people ask for that has its place elsewhere.
_ELSEWHERE = {
    **dict.fromkeys(
        ("head", "num_classes", "n_classes", "num_labels"), "model = dlw.with_head(model, 10) has a last layer for 10."
    ),
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
    "threshold": "Set session.thresholds = 0.5.",
    "thresholds": "Set session.thresholds = 0.5.",
    "metrics": "session.scores.metrics() has them all.",
    "verbose": "A session prints nothing: dlwidgets.Dashboard(session) shows it.",
}  # fmt: skip


def name_hint(name: str, options: Iterable[str]) -> str:
    """Return a hint as " Did you mean 'lr'?", or ""."""
    options = list(options)
    key = name.lower()
    meant = {alias: control.name for control in CONTROLS for alias in control.aliases}
    for names in (_MEANT, meant):
        if names.get(key) in options:
            return f" Did you mean {names[key]!r}?"
    if key in _FROZEN and "trainable" in options:
        return " Did you mean trainable={'features': False}?"
    if key in _ELSEWHERE and "train" in options:
        return f" {_ELSEWHERE[key]}"
    return did_you_mean(key, options)
