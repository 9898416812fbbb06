"""What `compile()` gave a Keras model, in torch's words.

The optimizers are those of torch that follow the same rule. Where the formulas differ:

* Adam, AdamW: Keras divides by sqrt(v) + epsilon and corrects the bias of v in the rate (the epsilon hat of Kingma and
  Ba, section 2); torch corrects v first. So Keras's epsilon counts 1 / sqrt(1 - beta_2^t) times as much: 32 times in
  the first step, as much after some thousand.
* SGD: Keras gathers gradients times the rate of their step, torch the bare gradients, which it multiplies by the rate
  of now: they are the same until the rate changes.
* RMSprop: Keras divides by sqrt(v + epsilon), torch by sqrt(v) + epsilon. Torch is given sqrt(epsilon): its steps are
  then between 0.7 and 1 of Keras's; with epsilon itself they were many times those once gradients are small. With
  momentum Keras keeps the rate of each step, as in SGD.
* Adagrad: Keras divides by sqrt(sum + epsilon); torch is given a first sum that is larger by epsilon, and none else.
* Adamax: Keras adds epsilon to the greatest gradient so far, torch to each before.
* Adadelta, Nadam: the same.

Keras decays weights apart from the gradient, as AdamW does, whatever the optimizer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import torch

from ...base.compiled import Compiled
from .losses import read_keras_loss
from .rates import translate_schedule

_DO = (
    "pass optimizer= to the session, as optimizer=\"adamw\", or train by model.fit(..., "
    "callbacks=[session.keras_callback()])"
)  # fmt: skip


def read_compiled(model: Any, given: Collection[str], by_fit: bool) -> Compiled | None:
    """Return what a Keras model was compiled with, or None.

    What is `given` to the session itself is left out, and all but loss and metrics where Keras's fit trains.

    Raises
    ------
    ValueError : something of it has no counterpart, in a sentence that says what to do.
    """
    if not getattr(model, "compiled", False):
        return None
    options, notes = dict[str, Any](), list[str]()
    if "optimizer" not in given and not by_fit and model.optimizer is not None:
        options, notes = _read_optimizer(model, given)
    if {"loss", "training_step"} & {*given}:
        return Compiled(options, None, (), tuple(notes))
    for name in ("train_step", "compute_loss"):
        if not by_fit and not getattr(type(model), name).__module__.startswith("keras."):
            raise ValueError(
                f"{type(model).__name__} has a {name}() of its own, which only Keras's fit calls: train by "
                "model.fit(..., callbacks=[session.keras_callback()]), or pass loss= or training_step= to the session."
            )
    weights = getattr(model._compile_loss, "_user_loss_weights", None)
    names = getattr(model, "output_names", None) or ()
    if isinstance(weights, (list, tuple)):
        weights = dict(zip(names, map(float, weights)))
    if isinstance(weights, dict) and len(names) != 1 and "loss_weights" not in given and not by_fit:
        options["loss_weights"] = weights
    return Compiled(options, _read_losses(model.loss), tuple(_metric_names(model)), tuple(notes))


def _read_losses(given: Any) -> Any:
    """Return losses as the house calls them, arranged as they were."""
    if isinstance(given, dict):
        return {name: _read_losses(one) for name, one in given.items()}
    if isinstance(given, (list, tuple)):
        return [_read_losses(one) for one in given]
    return None if given is None else read_keras_loss(given)


def _read_optimizer(model: Any, given: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the options that stand for an optimizer, and notes."""
    optimizer, name = model.optimizer, type(model.optimizer).__name__
    if name == "LossScaleOptimizer":
        raise ValueError(
            "compile() scales the loss for mixed_float16, which has no counterpart here: take mixed_bfloat16, which "
            'needs no scaling, or a float32 model with Session(..., precision="fp16").'
        )
    if name not in _RULES or not type(optimizer).__module__.startswith("keras."):
        raise ValueError(f"compile() has the optimizer {name}, which torch has not: {_DO}.")
    rule, options = _RULES[name](optimizer)
    rate, schedule = translate_schedule(optimizer._learning_rate)
    decay = optimizer.weight_decay or 0.0
    if decay and rule not in ("AdamW", "NAdam") and not (rule == "SGD" and not options.get("momentum")):
        raise ValueError(
            f"compile() has {name} with weight_decay={decay:g} apart from the gradient, which torch's {rule} has not: "
            f"{_DO}."
        )
    found: dict[str, Any] = {"optimizer": (rule, options), "lr": rate, "schedule": schedule, **_beside(optimizer)}
    if decay or rule == "AdamW":
        found["weight_decay"] = decay
    if decay and "weight_decay" not in given and (spared := _spared(model, optimizer)):
        found |= {"optimizer": _Grouped(rule, {**options, "lr": rate}, decay, spared), "weight_decay": None}
    left = {key: one for key, one in found.items() if one is not None and key not in given}
    return left, list(_differences(optimizer, left))


def _beside(optimizer: Any) -> dict[str, Any]:
    """Return what an optimizer does beside its rule, as options."""
    clips = {"norm": optimizer.global_clipnorm, "each": optimizer.clipnorm, "value": optimizer.clipvalue}
    return {
        "clip": next(((mode, float(limit)) for mode, limit in clips.items() if limit), None),
        "accumulate": optimizer.gradient_accumulation_steps or None,
        "ema": optimizer.ema_momentum if optimizer.use_ema else None,
    }


def _differences(optimizer: Any, taken: Collection[str]) -> Iterator[str]:
    """Yield what is otherwise than in Keras, in sentences."""
    if "ema" in taken:
        yield "evaluate, predict and save have the averaged weights, which Keras's fit writes into the model."
    if int(optimizer.iterations):
        kind = type(optimizer).__name__
        yield f"The model was trained before: what its {kind} has gathered since is not taken over."


def _adam(one: Any) -> tuple[str, dict[str, Any]]:
    decoupled = one.weight_decay or type(one).__name__ == "AdamW"
    return "AdamW" if decoupled else "Adam", {**_betas(one), "eps": one.epsilon, **_set(amsgrad=one.amsgrad)}


def _sgd(one: Any) -> tuple[str, dict[str, Any]]:
    return "SGD", _set(momentum=float(one.momentum), nesterov=one.nesterov and one.momentum > 0)


def _rmsprop(one: Any) -> tuple[str, dict[str, Any]]:
    options = {"alpha": one.rho, "eps": one.epsilon**0.5, **_set(momentum=one.momentum, centered=one.centered)}
    return "RMSprop", options


def _nadam(one: Any) -> tuple[str, dict[str, Any]]:
    decoupled = _set(decoupled_weight_decay=bool(one.weight_decay))
    return "NAdam", {**_betas(one), "eps": one.epsilon, "momentum_decay": 1.0, **decoupled}


#: Keras's optimizer -> the name of torch's, and its options.
_RULES = {
    "Adam": _adam, "AdamW": _adam, "SGD": _sgd, "RMSprop": _rmsprop, "Nadam": _nadam,
    "Adagrad": lambda one: (
        "Adagrad", {"initial_accumulator_value": one.initial_accumulator_value + one.epsilon, "eps": 0.0}
    ),
    "Adadelta": lambda one: ("Adadelta", {"rho": one.rho, "eps": one.epsilon}),
    "Adamax": lambda one: ("Adamax", {**_betas(one), "eps": one.epsilon}),
}  # fmt: skip


def _betas(one: Any) -> dict[str, Any]:
    betas = (float(one.beta_1), float(one.beta_2))
    return {} if betas == (0.9, 0.999) else {"betas": betas}


def _set(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value}


def _spared(model: Any, optimizer: Any) -> list[torch.Tensor]:
    """List the weights that are left out of the decay."""
    return [one.value for one in model.trainable_variables if not optimizer._use_weight_decay(one)]


class _Grouped:
    """Makes an optimizer whose second group has no weight decay."""

    def __init__(self, rule: str, options: dict[str, Any], decay: float, spared: Iterable[torch.Tensor]) -> None:
        self._make, self._options, self._decay = getattr(torch.optim, rule), options, decay
        self._spared = {id(one) for one in spared}

    def __call__(self, parameters: Iterable[torch.Tensor]) -> torch.optim.Optimizer:
        parameters = list(parameters)
        decayed = [one for one in parameters if id(one) not in self._spared]
        rest = {"params": [one for one in parameters if id(one) in self._spared], "weight_decay": 0.0}
        return self._make([{"params": decayed}, rest], weight_decay=self._decay, **self._options)


def _metric_names(model: Any) -> Iterable[str]:
    """Yield the metrics' names, as they were given."""
    metrics = model._compile_metrics
    for given in (getattr(metrics, "_user_metrics", None), getattr(metrics, "_user_weighted_metrics", None)):
        waiting = [given]
        while waiting:
            one = waiting.pop(0)
            if isinstance(one, dict):
                one = list(one.values())
            if isinstance(one, (list, tuple)):
                waiting[:0] = one
            elif one is not None:
                name = one if isinstance(one, str) else getattr(one, "name", None) or getattr(one, "__name__", "")
                yield str(name)
