"""Rules on the learning rate and momentum: too high, too low."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..evidence import Evidence
from ..finding import Chart, Finding
from ..rule import Rule
from .loss import TOO_SHORT, chart_losses, find_swing, warms_up

#: Steps that change the weights of the middle layer by this share of them are too long where the loss then rises by
#: this factor in so many steps; or, where they are no longer among the first, by themselves (usual is 1e-3: Karpathy,
#: CS231n notes. Healthy: up to 0.46 in RMSprop's first step, after which the loss fell, and 0.09 from step 20 on).
_LONG_AT_FIRST, _NEXT, _LONG, _FIRST_STEPS = ((0.3, 2.5), (0.6, 1.2)), 3, 0.2, 20
#: For so many steps a step that was too long is held against the rate.
_MEMORY = 300
#: Steps are too short where the loss moves by less than this share and these standard errors meanwhile.
_STILL, _ERRORS = 0.02, 3.0
#: Steps at a rate of 0; steps whose rates are looked at; the share of its height from which on a rate counts.
_AT_ZERO, _RATES, _TENTH = 5, 50, 0.1
#: A momentum that adds up so many steps is too high by itself; or this one, where the loss swings or rises.
_HEAVY, _HIGH = 0.995, 0.98


def find_too_high(evidence: Evidence) -> Iterator[Finding]:
    """Find steps that change the weights by a large part of them."""
    since = max(evidence.changed("lr", "optimizer", "schedule", "clip"), evidence.step - _MEMORY)
    looks = [look for look in evidence.looks if look.step > since]
    lengths = [look.step_length for look in looks]
    long = [(length, look) for length, look in zip(lengths, looks) if _is_long(length, look.step, evidence)]
    if not long:
        return
    length, look = max(long, key=lambda one: one[0])
    losses, curve = evidence.losses, evidence.curve
    lost = curve is not None and curve.now > max(losses[look.step - 1], curve.least)
    top = losses[look.step - 1 : look.step + _NEXT].max()
    yield Finding(
        "rate_too_high", "high" if lost else "medium",
        f"The learning rate is too high: step {look.step:,} changed the weights by {length:.0%}",
        f"About 0.1 % is usual, and up to a tenth at the very beginning. The loss was {losses[look.step - 1]:.3g} "
        f"then, and {top:.3g} at most in the {_NEXT} steps after.",
        why="A step that replaces a large part of the weights forgets what was learnt, and often kills units for good: "
        "the slope at one place says nothing of a place so far away.",
        step=look.step, evidence={"ratio": length, "rate": float(evidence.column("lr", 1)[-1])},
        chart=Chart(tuple(lengths[-60:]), f"‖Δw‖ / ‖w‖, last {len(lengths[-60:])} looks", _LONG),
        remedies=("lower_rate", "warm_up", "clip", "reinitialise"),
    )  # fmt: skip


def _is_long(length: float, step: int, evidence: Evidence) -> bool:
    """Say whether a step was too long, given what followed."""
    if step - evidence.changed("optimizer") >= _FIRST_STEPS:
        return length > _LONG
    losses, zero = evidence.losses, evidence.curve.zero if evidence.curve is not None else 0.0
    after = losses[step : step + _NEXT]
    if not length > _LONG or not len(after) or losses[step - 1] <= zero:
        return False
    rises = (np.nanmax(after) - zero) / (losses[step - 1] - zero)
    return any(length > share and rises > factor for share, factor in _LONG_AT_FIRST)


def find_too_low(evidence: Evidence) -> Iterator[Finding]:
    """Find a rate of 0, or steps too short to matter."""
    rates = evidence.column("lr", _RATES)
    if not len(rates) or evidence.settings.get("lr", 0) is None:
        return
    chart, remedies = chart_losses(evidence.losses), ("raise_rate",)
    why = "A step is the gradient times the learning rate: with one far too low the weights stay where they were."
    if len(rates) >= _AT_ZERO and not rates[-_AT_ZERO:].any():
        ended = evidence.column("lr")[:: max(1, evidence.step // 64)].any()
        yield Finding(
            "rate_too_low", "medium" if ended else "high", "The learning rate is 0: nothing is learnt",
            f"It has been 0 for {_AT_ZERO} steps or more" + ("; before, it was not." if ended else ", from the first."),
            why=why, evidence={"rate": 0.0}, chart=chart, remedies=remedies,
        )  # fmt: skip
        return
    highest = evidence.column("lr")[:: max(1, evidence.step // 64)].max()
    looks, curve = evidence.looks[-3:], evidence.curve
    if len(looks) < 2 or curve is None or warms_up(rates) or rates[-1] < _TENTH * highest:
        return
    lengths = [look.step_length for look in looks]
    change, errors = curve.trend()
    if not max(lengths) < TOO_SHORT or abs(change) > _STILL or abs(errors) > _ERRORS:
        return
    yield Finding(
        "rate_too_low", "medium",
        f"The learning rate is too low: a step changes the weights by {lengths[-1]:.1g} of them",
        f"About 1e-3 is usual. In {len(curve.recent)} steps the loss changed by {abs(change):.1%}, which is noise.",
        why=why, evidence={"ratio": lengths[-1], "change": change}, chart=chart, remedies=remedies,
    )  # fmt: skip


def find_momentum(evidence: Evidence) -> Iterator[Finding]:
    """Find a momentum that adds up too many steps."""
    value, betas = evidence.settings.get("momentum"), evidence.settings.get("betas")
    value = value if value is not None else betas[0] if betas else None
    if value is None or value < _HIGH or (curve := evidence.curve) is None:
        return
    swing = find_swing(evidence)
    rises = curve.height(curve.now) > 1.2 * curve.height(curve.least)
    if value < _HEAVY and swing is None and not rises:
        return
    does = f"the loss swings every {swing[0]:.3g} steps" if swing else "the loss rises again" if rises else ""
    yield Finding(
        "momentum", "medium", f"Momentum is {value:g}: each step adds up the last {1 / (1 - value):,.0f} gradients",
        f"0.9 adds up 10. {does.capitalize()}{'.' if does else 'Such a run overshoots once it has gathered speed.'}",
        why="With so much momentum the weights run on for many steps after the slope has turned, past the minimum and "
        "up the other side. The length of a step is the rate over (1 - momentum).",
        evidence={"momentum": value, **({"period": swing[0]} if swing else {})}, chart=chart_losses(evidence.losses),
        remedies=("lower_momentum", "lower_rate"),
    )  # fmt: skip


RULES = (
    Rule(
        "rate_too_high", "steps that are too long", find_too_high,
        "a change of the middle layer's weights by "
        + " or ".join(f"{share:.0%} upon which the loss is {rise:g} times as high" for share, rise in _LONG_AT_FIRST)
        + f", or by {_LONG:.0%} after step {_FIRST_STEPS} (usual: 0.1 %, Karpathy, CS231n notes)",
    ),
    Rule(
        "rate_too_low", "steps that are too short", find_too_low,
        f"a rate of 0, or a change of the weights by under {TOO_SHORT:g} while the loss stays within its noise",
        confirm=2, symptom_of=("clipping", "adam_epsilon"),
    ),
    Rule(
        "momentum", "too much momentum", find_momentum,
        f"{_HEAVY:g}, or {_HIGH:g} where the loss swings or rises (0.9 is usual)", confirm=2,
    ),
)  # fmt: skip
