"""A run put together from what a person hands to a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ..base import machine
from ..base.numbers import read_integer
from ..controls.batch_size import BatchSize
from ..controls.clipping import Clip
from ..controls.movement import LearningRate, WeightDecay
from ..controls.optimizer import make_optimizer
from ..controls.patterns import FreezableParts, read_trainable
from ..controls.threads import Threads
from ..data.objective import Objective
from ..data.session_data import choose_device, prepare_data
from .description import describe_choices
from .loop import Loop
from .run import Run


def assemble(
    model: nn.Module,
    train: Any,
    valid: Any,
    *,
    optimizer: Any,
    lr: Any,
    batch_size: Any,
    clip: Any,
    weight_decay: Any,
    schedule: Any = None,
    extras: Mapping[str, Any] | None = None,
    target: Any,
    training_step: Any,
    seed: Any,
    device: Any,
    threads: Any,
    trainable: Any,
    wish: Callable[[str], Any],
    tell: Callable[..., None],
    note: Callable[[str], None],
    memory: Any = None,
    **learnt: Any,
) -> tuple[Run, tuple[str, ...]]:
    """Return a run, and what was chosen by itself, in sentences.

    The parameters are those of `Session`, `extras` being those of the other controls by name, with `wish`,
    `tell` and `note` of `Run`; `learnt` is task, loss and classes.

    Raises
    ------
    TypeError, ValueError : one sentence on what does not fit.
    """
    if not isinstance(model, nn.Module):
        made = f": make one first, as {model.__name__}(...)" if isinstance(model, type) else ""
        raise TypeError(f"model is of type {type(model).__name__}, a torch.nn.Module is wanted{made}.")
    if training_step is not None and not callable(training_step):
        raise TypeError(
            f"training_step={training_step!r} cannot be called: pass a function (model, batch) -> loss."
        )
    seed = _read_seed(seed)
    lr = None if lr is None else LearningRate().read(lr)
    batch_size = None if batch_size is None else BatchSize().read(batch_size)
    weight_decay = WeightDecay().read(weight_decay)
    clip = Clip.read(clip)
    threads = Threads().read(threads)
    choice = read_trainable(FreezableParts(model), trainable)
    where = choose_device(device, model)
    made = make_optimizer(optimizer, model, lr, weight_decay, frozen=choice is not None)
    opened = prepare_data(
        model,
        train,
        valid,
        batch_size=batch_size,
        seed=seed,
        device=where,
        target=target,
        training_step=training_step,
        **learnt,
    )
    key = target if isinstance(target, str) else None
    objective = Objective(model, opened.task, where, training_step, key)
    loop = Loop(objective, opened.train, made, clip)
    loop.goal = lambda: wish("epochs")
    loop.rate.valid = opened.valid is not None
    asked = loop.rate.read(schedule)
    try:
        loop.freezing.put(choice, made)
    except ValueError as why:
        raise ValueError(f"trainable={trainable!r}: {why}.") from None
    loop.rate.begin(asked)
    run = Run(loop, opened, seed=seed, threads=threads, wish=wish, tell=tell, note=note, memory=memory)
    for name, value in (extras or {}).items():
        if value is not None:
            run.steering.begin(name, value)
    _, because = machine.choose_threads(threads)
    # What was run here to look at the model must not slow the training thread.
    machine.release_thread_pool()
    return run, describe_choices(opened, loop, because)


def _read_seed(value: Any) -> int:
    number = read_integer(value)
    if number is None:
        raise ValueError(f"seed={value!r}: a whole number is wanted; the same seed gives the same weights.")
    return number
