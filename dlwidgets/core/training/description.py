"""A session in words."""

from __future__ import annotations

from collections.abc import Mapping

from ..base.trees import describe_shapes, tree_map
from ..base.words import pluralize
from ..controls.clipping import Clip
from ..controls.optimizer import describe_optimizer
from ..controls.patterns import describe_trainable
from ..data.batches import Batches
from ..data.session_data import SessionData
from ..layers.walk import numel_of
from .loop import Loop


def describe_choices(opened: SessionData, loop: Loop, threads_because: str) -> tuple[str, ...]:
    """Return what the session chose by itself, in sentences."""
    task, device = opened.task, loop.objective.device
    parameters = list(loop.model.parameters())
    frozen = sum(not p.requires_grad for p in parameters)
    said = []
    if task.loss is None:
        said.append("The loss is what training_step= returns.")
    else:
        said.append(
            f"{task.name.capitalize()}{_classes(opened)}, since {task.because}; the loss is {task.loss_name}."
        )
    if task.classes and getattr(getattr(opened.train, "source", None), "named", False):
        said.append(f"The names of the classes became numbers: {_numbered(task.classes)}.")
    said += opened.notes
    if loop.rate.plan is not None:
        also = f"; it cycles {' and '.join(loop.rate.cycled)} as well" if loop.rate.cycled else ""
        said.append(f"The learning rate goes by the schedule {loop.rate.words}{also}.")
    if frozen:
        said.append(f"{frozen} of {len(parameters)} parameter tensors are frozen and stay as they are.")
    where = f"on the CPU with {threads_because}" if device.type == "cpu" else f"on {device}"
    return (*said, f"Training {where}.")


def describe(
    opened: SessionData,
    loop: Loop,
    *,
    steps: int,
    loss: float,
    status: str,
    error: str,
    threads: int,
    epochs: int,
    rejected: Mapping[str, str],
) -> str:
    """Describe a session as text, a line for each thing."""
    model, task, device = loop.model, opened.task, loop.objective.device
    tensors = [*model.parameters()]
    count, trained = sum(map(numel_of, tensors)), sum(numel_of(p) for p in tensors if p.requires_grad)
    size = f"{count:,} parameters" + (f", {trained:,} of them trainable" if trained != count else "")
    each_epoch = opened.train.steps_in_epoch()
    each = describe_shapes(tree_map(lambda t: t[0] if t.ndim else t, opened.example))
    rows = {
        "task": f"{task.name}{_classes(opened)} ({task.because})",
        "loss": task.loss_name,
        "train": f"{_size(opened.train)}, {each} each, in batches of {opened.train.batch_size}"
        + (f": {each_epoch:,} steps an epoch" if each_epoch else ""),
        "valid": "none: valid=0.2 would hold out a fifth" if opened.valid is None else _size(opened.valid),
        "optimizer": _moving(loop) + _clip(loop.clip),
        "trainable": describe_trainable(loop.freezing.choice),
        "rejected": "; ".join(f"{name}: {why}" for name, why in rejected.items()),
        "status": _status(steps, loss, status, error, epochs),
    }
    threads_said = f" with {pluralize(threads, 'thread')}" if device.type == "cpu" else ""
    return "\n".join([
        f"Session of {type(model).__name__}: {size}, on {device}{threads_said}",
        *(f"  {name:<10} {said}" for name, said in rows.items() if said),
    ])  # fmt: skip


def _classes(opened: SessionData) -> str:
    task = opened.task
    if task.name not in ("multilabel", "multiclass"):
        return ""
    count = len(task.classes) if task.classes else task.outputs
    return f", {pluralize(count, 'class')}" if count else ""


def _moving(loop: Loop) -> str:
    rate, (_, settings) = loop.rate, describe_optimizer(loop.optimizer, loop.rate.original_settings)
    said = type(loop.optimizer).__name__ + "".join(f", {key} {value}" for key, value in settings.items())
    said += "" if rate.value is None else f", lr {rate.value:g}"
    return said + (f", {rate.words}" if rate.plan is not None else "")


def _clip(clip: Clip) -> str:
    return "" if clip.mode == "off" else f", gradients clipped at {clip.mode} {clip.limit:g}"


def _size(batches: Batches) -> str:
    return "samples not counted" if batches.samples is None else pluralize(batches.samples, "sample")


def _status(steps: int, loss: float, status: str, error: str, epochs: int) -> str:
    if status == "ready" and not steps:
        return f"ready: start() trains {pluralize(epochs, 'epoch')} in the background"
    said = f"{status}, {pluralize(steps, 'step')} taken, loss {loss:.4g}"
    if status == "failed":
        return f"{said}: {error}"
    return f"{said}; resume() goes on" if status == "paused" else said


def _numbered(classes: tuple[str, ...]) -> str:
    shown = ", ".join(f"{name} = {number}" for number, name in enumerate(classes[:8]))
    return shown + (f" and {len(classes) - 8} more" if len(classes) > 8 else "")
