"""A run from what a person hands over, and in words."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ..base import machine
from ..base.compiled import Compiled
from ..base.numbers import read_integer
from ..base.trees import describe_shapes, tree_map
from ..base.words import pluralize, quote_names
from ..controls.clipping import Clip
from ..controls.input_scaling import accept_bytes
from ..controls.lr_scale import describe_factors
from ..controls.optimizer import describe_optimizer, make_optimizer
from ..controls.parameter_groups import follow_model
from ..controls.patterns import FreezableParts, describe_trainable, read_trainable
from ..controls.steering import read_alone
from ..controls.unfreeze_at import describe_timetable
from ..data.batches import Batches
from ..data.companions import Companions
from ..data.hosted_batches import HostedBatches
from ..data.objective import Objective
from ..data.session_data import SessionData, build_by_data, choose_device, prepare_data
from ..data.task import read_loss
from ..layers import framework
from ..layers.unregistered import find_unregistered
from ..layers.walk import counted_tensors, numel_of
from ..scoring.metrics import METRICS
from .loop import Loop
from .run import Run
from .snapshots.parts import is_hosted


def assemble(
    model: nn.Module,
    train: Any,
    valid: Any,
    *,
    controls: Mapping[str, Any],
    target: Any,
    training_step: Any,
    seed: Any,
    device: Any,
    wish: Callable[[str], Any],
    tell: Callable[..., None],
    note: Callable[[str], None],
    memory: Any = None,
    **learnt: Any,
) -> tuple[Run, tuple[str, ...]]:
    """Return a run, and what was chosen by itself, in sentences.

    The parameters are those of `Session`, and `wish`, `tell` and `note` of `Run`.

    Parameters
    ----------
    controls : name -> what is wished for; None for the control's own choice.
    learnt : task, loss, classes and groups.

    Raises
    ------
    TypeError, ValueError : one sentence on what does not fit.
    """
    if not isinstance(model, nn.Module):
        if isinstance(model, (str, Path)):
            raise TypeError(f"model: a torch.nn.Module is wanted, {framework.describe_no_module(model)}.")
        made = f": make one first, as {model.__name__}(...)" if isinstance(model, type) else ""
        raise TypeError(f"model is of type {type(model).__name__}, a torch.nn.Module is wanted{made}.")
    if training_step is not None and (isinstance(training_step, type) or not callable(training_step)):
        raise TypeError(
            f"training_step={training_step!r} cannot be called: pass a function (model, batch) -> loss."
        )
    if training_step is not None and not _takes_two(training_step):
        raise TypeError(
            "training_step= is called as training_step(model, batch): have it take these two, and no more."
        )
    if (number := read_integer(seed)) is None or not -(2**63) <= number < 2**63:
        raise ValueError(
            f"seed={seed!r}: a whole number of 64 bits is wanted; the same seed gives the same weights."
        )
    if memory is not None and ((memory := read_integer(given := memory)) is None or memory < 0):
        raise ValueError(f"snapshot_memory={given!r}: bytes are wanted, as 512 * 2**20; 0 for none, or None.")
    if controls["early_stopping"] is not None and wish("evaluate_every") is None:
        raise ValueError("early_stopping waits for evaluations, and evaluate_every=None makes none.")
    own = {**controls, "loss": learnt.get("loss"), "training_step": training_step}
    given = {name for name, value in own.items() if value is not None and not (name == "accumulate" and value == 1)}
    brought = train is None and framework.framework_of(model).trains_itself
    if train is not None:
        train, built = build_by_data(model, train, target)
    else:
        built = build_by_data(model, valid, target)[1] if brought and isinstance(valid, tuple) else ""
    compiled = framework.framework_of(model).compiled_with(model, given, brought) or Compiled()
    wanted = {**controls, **compiled.options}

    def take(name: str) -> Any:
        value = wanted.pop(name)
        return None if value is None else read_alone(name, value)

    lr, batch_size, weight_decay, threads = map(take, ("lr", "batch_size", "weight_decay", "threads"))
    optimizer, schedule, trainable = (wanted.pop(name) for name in ("optimizer", "schedule", "trainable"))
    clip = Clip.read(wanted.pop("clip"))
    choice = read_trainable(FreezableParts(model), trainable)
    where = choose_device(device, model)
    loss = learnt["loss"] = read_loss(
        learnt.get("loss") if compiled.loss is None else compiled.loss, framework.is_foreign(model)
    )
    beside = Companions(model, loss, training_step)
    trained = [one for one in beside.loss_parameters() if one.requires_grad]
    optimizer = "adamw" if optimizer is None else optimizer
    made = make_optimizer(optimizer, model, lr, weight_decay, choice is not None, trained)
    adopted = _adopt_new_layers(made, model, beside)
    if brought:
        if valid is None or isinstance(valid, (int, float)):
            raise ValueError(
                "There is no data to look at: pass valid=(X, y), or train=(X, y). fit brings its own data, of which a "
                "session sees the losses alone."
            )
        train = valid
    with accept_bytes(model) if wanted["input_scaling"] is not None else contextlib.nullcontext():
        opened = prepare_data(
            model, train, valid, batch_size=batch_size, seed=number, device=where, target=target,
            training_step=training_step, **learnt,
        )  # fmt: skip
    if brought:
        opened = replace(opened, train=HostedBatches(opened.train.batch_size))
    tried = opened.example, opened.targets
    objective = Objective(model, opened.task, where, training_step, opened.target, tried)
    loop = Loop(objective, opened.train, made, clip)
    loop.goal = lambda: wish("epochs")
    loop.rate.valid = opened.valid is not None
    asked = loop.rate.read(schedule)
    try:
        loop.freezing.put(choice, made)
    except ValueError as why:
        raise ValueError(f"trainable={trainable!r}: {why}.") from None
    loop.rate.begin(asked)
    run = Run(loop, opened, seed=number, threads=threads, wish=wish, tell=tell, note=note, memory=memory)
    if brought:
        run.given = tuple(
            one.name for one in run.steering.steered if one.name in given and controls[one.name] != one.default
        )
    begun = {name: run.steering.begin(name, value) for name, value in wanted.items() if value is not None}
    _, because = machine.choose_threads(threads)
    # What was run here to look at the model must not slow the training thread.
    machine.release_thread_pool()
    said = _describe_choices(opened, loop, because, begun.get("accumulate", ""))
    asked = [f"{name}: {begun[name]}." for name in ("lr_scale", "unfreeze_at") if begun.get(name)]
    return run, (*filter(None, [built, adopted]), *said, *_describe_compiled(compiled, loop), *asked)


def _adopt_new_layers(optimizer: Optimizer, model: nn.Module, beside: Companions) -> str:
    """Give an optimizer layers that came after it; say so.

    As where `model.fc = nn.Linear(512, 10)` came later: what replaces as many tensors takes their place.

    Raises ValueError: it moves what nobody here holds.
    """
    # Among a Keras model's `parameters()` are its moving statistics until it is adopted; no step moves them.
    still = {id(one) for one in model.buffers() if not one.requires_grad}
    for group in optimizer.param_groups:
        group["params"] = [one for one in group["params"] if id(one) not in still]
    held = {id(one): one for group in optimizer.param_groups for one in group["params"]}
    own = {id(one) for one in (*model.parameters(), *beside.parameters().values())}
    gone = [one for key, one in held.items() if key not in own]
    fresh = {id(one): name for name, one in model.named_parameters() if one.requires_grad and id(one) not in held}
    if gone and len(fresh) != len(gone):
        if fresh:
            raise ValueError(
                f"The optimizer moves {pluralize(len(gone), 'tensor')} that the model does not have, and not its "
                f"{quote_names(fresh.values())}: was a layer replaced after the optimizer was made? Then make it anew, "
                "of model.parameters()."
            )
        raise ValueError(
            f"The optimizer moves {pluralize(len(gone), 'tensor')} that neither the model has, nor loss= "
            "or training_step= holds, so that no snapshot could: have the loss or the step use the module."
        )
    if not gone:
        return ""
    said = f"The optimizer was made before the model got its {quote_names(fresh.values())}"
    try:
        follow_model(optimizer, model, [*gone, *(one for one in model.parameters() if id(one) not in fresh)])
    except ValueError as why:
        raise ValueError(f"{said}: {why}.") from why
    return f"{said}, which it now moves in the place of {pluralize(len(gone), 'tensor')} that the model no longer has."


def _describe_compiled(compiled: Compiled, loop: Loop) -> Iterator[str]:
    """Yield what was taken from where the model was compiled, in sentences."""
    taken = [f"loss {loop.objective.task.loss_name}"] if compiled.loss is not None else []
    for name, value in compiled.options.items():
        shown = type(loop.optimizer).__name__ if name == "optimizer" else value
        shown = loop.rate.words if name == "schedule" else shown
        taken.append(f"{name.replace('_', ' ')} {' '.join(map(str, shown)) if isinstance(shown, tuple) else shown}")
    if taken:
        yield f"Taken from compile(): {', '.join(taken)}."
    yield from compiled.notes
    known = {name for metric in METRICS.values() for name in (metric.name, *metric.aliases)}
    there = [name for name in compiled.metrics if name in ("acc", "mae") or name.rpartition("categorical_")[2] in known]
    if there:
        yield f"Of the metrics of compile(), {quote_names(there)} are found in each evaluation and its scores."
    if left := [name for name in compiled.metrics if name not in there]:
        yield f"Of the metrics of compile(), {quote_names(left)} are not computed here."


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # it does not say what it takes
        pass
    return True


def _describe_choices(
    opened: SessionData, loop: Loop, threads_because: str, accumulated: str
) -> tuple[str, ...]:
    """Return what the session chose by itself, in sentences."""
    task, device = opened.task, loop.objective.device
    parameters = list(loop.model.parameters())
    said = ["The loss is what training_step= returns."]
    if task.loss is not None or task.own is not None or task.name != "custom":
        what = f"{task.name.capitalize()}{_classes(opened)}, since {task.because}"
        said = [f"{what}; the loss is {task.loss_name}."]
    if accumulated and task.reduction is None:
        said.append(f"Gradients are accumulated: {accumulated}.")
    if task.classes and getattr(getattr(opened.train, "source", None), "named", False):
        shown = ", ".join(f"{name} = {number}" for number, name in enumerate(task.classes[:8]))
        more = f" and {len(task.classes) - 8} more" if len(task.classes) > 8 else ""
        said.append(f"The names of the classes became numbers: {shown}{more}.")
    said += [*opened.notes, *filter(None, [opened.split])]
    said += [one.sentence() for one in find_unregistered(dict(loop.model.named_modules()))]
    if loop.objective.added is not None and loop.objective.added() and not loop.objective.given:
        said.append("What the model adds to the loss (regularizers, add_loss) is loss_regularization in the history.")
    if loop.rate.plan is not None:
        also = f"; it cycles {' and '.join(loop.rate.cycled)} as well" if loop.rate.cycled else ""
        said.append(f"The learning rate goes by the schedule {loop.rate.words}{also}.")
    held = {id(one) for group in loop.optimizer.param_groups for one in group["params"]}
    if left := sum(id(one) not in held for one in loop.objective.companions.loss_parameters()):
        said.append(f"The optimizer does not move {pluralize(left, 'parameter')} of the loss.")
    if frozen := sum(not p.requires_grad for p in parameters):
        said.append(f"{frozen} of {len(parameters)} parameter tensors are frozen and stay as they are.")
    where = f"on the CPU with {threads_because}" if device.type == "cpu" else f"on {device}"
    return (*said, f"Training {where}.")


def describe(run: Run, status: str, error: str, epochs: int, rejected: Mapping[str, str]) -> str:
    """Describe a session as text, a line for each thing."""
    loop, opened = run.loop, run.data
    task, device, rate = loop.objective.task, loop.objective.device, loop.rate
    tensors = counted_tensors(loop.model)
    count, trained = sum(map(numel_of, tensors)), sum(numel_of(p) for p in tensors if p.requires_grad)
    size = f"{count:,} parameters" + (f", {trained:,} of them trainable" if trained != count else "")
    each_epoch = opened.train.steps_in_epoch()
    each = describe_shapes(tree_map(lambda t: t[0] if t.ndim else t, opened.example))

    settings = describe_optimizer(loop.optimizer, rate.original_settings)[1]
    moving = type(loop.optimizer).__name__ + "".join(f", {key} {value}" for key, value in settings.items())
    moving += "" if rate.value is None else f", lr {rate.value:g}"
    moving += f", {rate.words}" if rate.plan is not None else ""
    if (clip := loop.clip).mode != "off":
        moving += f", gradients clipped at {clip.mode} {clip.limit:g}"

    steps = run.now("steps")
    said = f"{status}, {pluralize(steps, 'step')} taken, loss {run.now('loss'):.4g}"
    if status == "ready" and not steps:
        said = f"ready: start() trains {pluralize(epochs, 'epoch')} in the background"
        if framework.framework_of(loop.model).why_not_trained(loop.model):
            said = "ready: model.fit(..., callbacks=[session.keras_callback()]) trains"
    elif status in ("failed", "paused"):
        said += f": {error}" if status == "failed" else "; resume() goes on"

    rows = {
        "task": f"{task.name}{_classes(opened)} ({task.because})",
        "loss": task.loss_name,
        "train": f"{_size(opened.train)}, {each} each, in batches of {opened.train.batch_size}"
        + (f": {each_epoch:,} steps an epoch" if each_epoch else ""),
        "valid": "none: valid=0.2 would hold out a fifth" if opened.valid is None else _size(opened.valid),
        "optimizer": moving,
        "rates": describe_factors(loop.rate_factors.choice),
        "trainable": describe_trainable(loop.freezing.choice),
        "unfreezes": describe_timetable(run.steering["unfreeze_at"].now()),
        "rejected": "; ".join(f"{name}: {why}" for name, why in rejected.items()),
        "status": said,
    }
    if isinstance(opened.train, HostedBatches):
        rows["train"] = "what model.fit brings"
        if not is_hosted(loop.optimizer):
            rows["optimizer"] = "that of model.compile"
        if status == "ready":
            rows["status"] = "ready: model.fit(..., callbacks=[session.keras_callback()]) trains"
    threads = f" with {pluralize(run.threads, 'thread')}" if device.type == "cpu" else ""
    return "\n".join([
        f"Session of {type(loop.model).__name__}: {size}, on {device}{threads}",
        *(f"  {name:<10} {said}" for name, said in rows.items() if said),
    ])  # fmt: skip


def _classes(opened: SessionData) -> str:
    task = opened.task
    count = len(task.classes) if task.classes else task.outputs
    return f", {pluralize(count, 'class')}" if count and task.name in ("multilabel", "multiclass", "detection") else ""


def _size(batches: Batches) -> str:
    return "samples not counted" if batches.samples is None else pluralize(batches.samples, "sample")
