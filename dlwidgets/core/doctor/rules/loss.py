"""Rules on the training loss: not finite, diverging, spiking, flat, oscillating."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..evidence import Evidence
from ..finding import Chart, Finding
from ..loss_curve import ANEW
from ..rule import CROSS_ENTROPIES, NOT_LEARNING, Rule

#: The loss of now over the least before and over the first, from which on it diverges (trainproof: 1.5 times the least
#: at a run's end; healthy runs were at 1.3 at most); and over that before any step.
_OVER_LEAST, _OVER_FIRST, _OVER_ORIGIN = 3.0, 1.5, 5.0
#: A spike: so many times the noise (1.4826 times the median deviation) above the losses around it and before it, which
#: are blocks of so many steps, so many times as high, and over this share of the first loss; how many are worth a word.
_SPIKE_NOISE, _AROUND, _SPIKE_HEIGHT, _SPIKE_SHARE, _SPIKES = 10.0, 10, 2.5, 0.5, 2
#: A flat loss changed by less than this share, and by less than so many standard errors, in so many steps; not of a
#: model that began below this share of the loss of a guess, as one that was trained before does.
_FLAT_SHARE, _FLAT_ERRORS, _FLAT_STEPS, _KNOWN = 0.02, 2.5, 50, 0.8
#: A step that changes the weights by less than this share of them is too short (healthy: 2e-4 or more).
TOO_SHORT = 1e-5
#: An oscillation: steps looked at; full swings in them at least; the share of the variance that one frequency has
#: (white noise: 0.1); its swing over the height of the loss.
_WINDOW, _SWINGS, _PURE, _SWING = 128, 5, 0.5, 0.05


def find_not_finite(evidence: Evidence) -> Iterator[Finding]:
    """Find a step not taken because a number is not finite."""
    if (failure := evidence.failure) is None:
        return
    made = failure.producer
    why = (
        "Once a loss or gradient is not a number, every weight that it moves would be none either: the step was not "
        "taken."
    )
    yield Finding(
        "loss_not_finite", "high", f"A number became infinite or NaN in step {failure.step:,}",
        f"{made.sentence} {failure.sentence}" if made else failure.sentence,
        why=f"{made.hint} {why}" if made and made.hint else why, layer=made.path if made else None, step=failure.step,
        evidence={"step": failure.step, **(made.evidence if made else {})}, chart=chart_losses(evidence.losses),
        remedies=("lower_rate", "clip") if failure.batch_is_finite and failure.step > 1 else (),
    )  # fmt: skip


def find_diverging(evidence: Evidence) -> Iterator[Finding]:
    """Find a loss that rose far above its least and its first."""
    if (curve := evidence.curve) is None:
        return
    now, least = curve.height(curve.now), curve.height(min(curve.least, curve.first))
    rose = now > _OVER_LEAST * least and now > _OVER_FIRST * curve.height(curve.first)
    leapt = now > _OVER_ORIGIN * curve.height(curve.origin)  # within the first five steps
    if not (rose or leapt):
        return
    before = curve.least if rose else curve.origin
    yield Finding(
        "loss_diverging", "high", f"The loss diverges: {before:.3g} → {curve.now:.3g}",
        f"Three quarters of the last 10 steps are above {curve.now:.3g}; "
        + (f"5 steps before had a median of {before:.3g}." if rose else f"before the first step it was {before:.3g}."),
        why="Each step leaps over the minimum and lands higher up: as a rule the learning rate is too high.",
        evidence={"now": curve.now, "before": before, "first": curve.first}, chart=chart_losses(evidence.losses),
        remedies=("lower_rate", "clip", "cosine", "warm_up"),
    )  # fmt: skip


def find_spiking(evidence: Evidence) -> Iterator[Finding]:
    """Find single losses far above those around them."""
    curve, since = evidence.curve, evidence.changed("batch_size", "accumulate", *ANEW)
    if curve is None:
        return
    losses = curve.recent[-max(0, evidence.step - since) :]
    blocks = losses[len(losses) % _AROUND :].reshape(-1, _AROUND)
    if len(blocks) < 2:
        return
    around = np.median(blocks, axis=1, keepdims=True)
    noise = 1.4826 * np.median(np.abs(blocks - around), axis=1, keepdims=True)
    middle = np.maximum(around, np.concatenate([blocks[:1, :1], around[:-1]]))
    over = blocks - middle
    least = np.maximum(_SPIKE_HEIGHT * (middle - curve.zero), _SPIKE_SHARE * curve.height(curve.first))
    high = (over > _SPIKE_NOISE * np.maximum(noise, np.median(noise))) & (blocks - curve.zero > least)
    spikes = blocks[high]
    if len(spikes) < _SPIKES:
        return
    worst = np.unravel_index(np.argmax(np.where(high, over, 0)), over.shape)
    top, usual = float(blocks[worst]), float(middle[worst[0], 0])
    yield Finding(
        "loss_spiking", "low", f"The loss leaps: {len(spikes)} times, up to {top:.3g} from {usual:.3g}",
        f"In the last {blocks.size} steps {len(spikes)} lie more than {_SPIKE_NOISE:g} times the noise above the steps "
        "around them.",
        why="A few batches throw the weights far off. They hold something odd, such as a wrong label or a huge value, "
        "or the rate is near the highest that works.",
        evidence={"spikes": len(spikes), "top": top, "usual": usual}, chart=chart_losses(evidence.losses),
        remedies=("clip_p90", "lower_rate", "double_batch"),
    )  # fmt: skip


def find_flat(evidence: Evidence) -> Iterator[Finding]:
    """Find a loss that never fell, where the rate is not 0."""
    curve, rates = evidence.curve, evidence.column("lr", _FLAT_STEPS)
    if curve is None or curve.steps < _FLAT_STEPS or warms_up(rates) or not rates[-1:].any():
        return
    share, errors = curve.trend()
    fell = curve.height(curve.first) - curve.height(float(np.median(curve.recent[-_FLAT_STEPS // 2 :])))
    if share < -_FLAT_SHARE or errors < -_FLAT_ERRORS or fell > _FLAT_SHARE * curve.height(curve.first):
        return
    if curve.first < _KNOWN * guess_loss(evidence) or curve.now > _OVER_FIRST * curve.first:  # trained before
        return
    if evidence.looks and evidence.looks[-1].step_length < TOO_SHORT:  # of that another rule says why
        return
    yield Finding(
        "loss_flat", "medium", f"Nothing is learnt: the loss stays at {float(np.median(curve.recent)):.3g}",
        f"It began at {curve.first:.3g}, and in {curve.steps:,} steps it changed by {abs(share):.1%}, "
        "less than its noise.",
        why="A run that learns lowers its loss soonest in its first steps. The rate may be far too low or far too "
        "high, units dead, gradients gone, or the inputs may say nothing of the targets.",
        evidence={"first": curve.first, "change": share, "errors": errors}, chart=chart_losses(evidence.losses),
        remedies=("raise_rate", "lower_rate", "reinitialise", "scale_inputs"),
    )  # fmt: skip


def guess_loss(evidence: Evidence) -> float:
    """Return the loss of all classes alike; 0 where it has none."""
    task = evidence.task
    if task is None or task.loss_alike not in CROSS_ENTROPIES:
        return 0.0
    return math.log(max(2, task.outputs or 2) if task.name == "multiclass" else 2)


def find_oscillating(evidence: Evidence) -> Iterator[Finding]:
    """Find a loss that swings at one frequency."""
    if (found := find_swing(evidence)) is None:
        return
    period, pure, swing = found
    yield Finding(
        "loss_oscillating", "medium", f"The loss swings up and down every {period:.3g} steps",
        f"{pure:.0%} of its variance is at that one frequency; noise has about 10 %. The swing is {swing:.0%} of the "
        "loss.",
        why="The steps carry the weights from one wall of a valley to the other. A lower rate, or less momentum, lets "
        "them come to rest in it.",
        evidence={"period": period, "share": pure, "swing": swing}, chart=chart_losses(evidence.losses),
        remedies=("lower_rate", "lower_momentum", "cosine"),
    )  # fmt: skip


def find_swing(evidence: Evidence) -> tuple[float, float, float] | None:
    """Return period [steps], share of the variance, and swing of an oscillation."""
    curve = evidence.curve
    if curve is None or len(curve.recent) < _WINDOW // 2:
        return None
    losses = curve.recent[-_WINDOW:]
    count, level = len(losses), float(np.median(losses))
    line = np.linspace(-1, 1, count)
    rest = losses - losses.mean() - line * (line @ losses) / (line @ line)
    power = np.abs(np.fft.rfft(rest * np.hanning(count))) ** 2
    near = power[_SWINGS - 1 :].copy()
    near[1:] += power[_SWINGS - 1 : -1]
    near[:-1] += power[_SWINGS:]
    top = int(np.argmax(near[1:])) + _SWINGS
    pure, period = float(near[1:].max() / (power.sum() or 1.0)), count / top
    swing = 2 * float(rest.std()) / (curve.height(level) or np.inf)
    each = evidence.steps_in_epoch
    # A data set that is read in the same order has the same losses each epoch.
    told = each is not None and each > 1 and abs(each / period - round(each / period)) < 0.1 * max(1.0, each / period)
    return (period, pure, swing) if pure > _PURE and swing > _SWING and not told else None


def warms_up(rates: np.ndarray) -> bool:
    """Say whether the rate rose in these steps."""
    return len(rates) > 1 and bool(rates[-1] > 1.01 * rates[0])


def chart_losses(losses: np.ndarray, limit: float | None = None, most: int = 60) -> Chart | None:
    """Return the last losses as a chart."""
    shown = losses[-most:]
    label = f"training loss, last {len(shown)} steps"
    return Chart(tuple(float(one) for one in shown), label, limit) if len(shown) > 1 else None


RULES = (
    Rule(
        "loss_not_finite", "a loss or gradient that is infinite or NaN", find_not_finite,
        "any value that is not finite", when="failure",
    ),
    Rule(
        "loss_diverging", "diverging loss", find_diverging,
        f"the lower quartile of 10 steps over {_OVER_LEAST:g} times the least median of 5 before and {_OVER_FIRST:g} "
        f"times the first, or over {_OVER_ORIGIN:g} times the loss before any step (trainproof: 1.5 times the least)",
    ),
    Rule(
        "loss_spiking", "spikes in the loss", find_spiking,
        f"{_SPIKES} steps of the last 200 that are {_SPIKE_NOISE:g} times the noise above those around and before, "
        f"{_SPIKE_HEIGHT:g} times as high, and over {_SPIKE_SHARE:.0%} of the first (measured: none in healthy runs)",
        confirm=2,
    ),
    Rule(
        "loss_flat", "a loss that never falls", find_flat,
        f"under {_FLAT_SHARE:.0%} and {_FLAT_ERRORS:g} standard errors in {_FLAT_STEPS} steps or more (trainproof: "
        "5 %)", confirm=2, symptom_of=(*NOT_LEARNING, "inputs_constant", "targets_alike"),
    ),
    Rule(
        "loss_oscillating", "an oscillating loss", find_oscillating,
        f"{_PURE:.0%} of the variance of {_WINDOW} steps at one frequency (white noise: 10 %)", confirm=2,
    ),
)  # fmt: skip
