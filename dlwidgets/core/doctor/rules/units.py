"""Rules on the units of a layer: dead, saturated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ...layers.probes import LayerStats
from ..evidence import Evidence
from ..finding import Chart, Finding
from ..rule import Rule

#: So many looks in a row must show it, since some units are zero in a batch by chance; so many units a layer has.
_LOOKS, _UNITS = 3, 8
#: The share of a layer's units that are dead (SageMaker Debugger: over half of a layer; trainproof: 90 %; measured in
#: healthy runs: up to 31 %), and from which on nearly nothing passes. Of batches smaller than this one that.
_DEAD, _ALL_DEAD, _BATCH = 0.5, 0.9, 16
#: The share of an activation's outputs, or of a softmax's rows, that are saturated (SageMaker Debugger: over half, at
#: the ends of float32).
_SATURATED, _ALL_SATURATED = 0.75, 0.95
#: How many layers are named one by one.
_NAMED = 3


def find_dead(evidence: Evidence) -> Iterator[Finding]:
    """Find activations most of whose units are zero for all samples."""
    looks = [look for look in evidence.looks if look.dead is not None]
    batches = evidence.column("batch_size", 1)
    limit = _DEAD if len(batches) and batches[-1] >= _BATCH else _ALL_DEAD
    for path, shares, share, more in _lasting(looks, _shares_dead, limit):
        units = _units(looks[-1], path)
        since = _since(looks, _shares_dead, path, limit)
        yield Finding(
            "dead_relu", "high" if share >= _ALL_DEAD else "medium",
            f"{path or 'The model'}: {share:.0%} of its units are dead",
            f"{round(share * units):,} of {units:,} units put out 0 for every sample of the batch, in each look since "
            f"step {since:,}{more}.",
            why="A ReLU that gets negative numbers for every sample puts out 0 and passes no gradient back, so that "
            "its unit stays as it is. Often a rate that is too high, or a large negative bias, has pushed it there. "
            "Some dead units are usual in healthy networks.",
            layer=path, evidence={"share": share, "units": units},
            chart=Chart(tuple(shares[-60:]), f"share of dead units, last {len(shares[-60:])} looks", limit),
            remedies=("reinitialise", "lower_rate", "warm_up"),
        )  # fmt: skip


def find_saturated(evidence: Evidence) -> Iterator[Finding]:
    """Find activations within the model that lie at their ends."""
    looks = [look for look in evidence.looks if look.signals is not None]
    for path, shares, share, more in _lasting(looks, _shares_saturated, _SATURATED):
        yield Finding(
            "saturated", "high" if share >= _ALL_SATURATED else "medium",
            f"{path or 'The model'} is saturated: {share:.0%} of its outputs lie at their ends",
            f"Its slope there is under a hundredth of its greatest, in each of the last {_LOOKS} looks{more}.",
            why="Where a sigmoid or tanh is flat, the gradient that passes is nearly 0: the layers before it hardly "
            "learn. What it is given is too large: smaller weights or normalised inputs put it where it has a slope.",
            layer=path, evidence={"share": share},
            chart=Chart(tuple(shares[-60:]), f"share of saturated outputs, last {len(shares[-60:])} looks", _SATURATED),
            remedies=("reinitialise", "scale_inputs", "lower_rate"),
        )  # fmt: skip


def _shares_dead(look: LayerStats) -> Mapping[str, float]:
    """Return the shares of activations, or of layers before functions."""
    dead = look.dead
    if dead is None:
        return {}
    rows = [row for row in zip(dead.paths, dead.dead, dead.units, dead.own) if row[2] >= _UNITS]
    own = {path: float(zero / units) for path, zero, units, its in rows if its}
    if own:
        return own
    fed = {path: float(zero / units) for path, zero, units, _ in rows}
    return fed


def _units(look: LayerStats, path: str) -> int:
    dead = look.dead
    return int(dead.units[dead.paths.index(path)]) if dead is not None and path in dead.paths else 0


def _shares_saturated(look: LayerStats) -> Mapping[str, float]:
    return look.signals.saturated if look.signals is not None else {}


def _lasting(
    looks: Sequence[LayerStats], shares: Callable[[LayerStats], Mapping[str, float]], limit: float
) -> Iterator[tuple[str, list[float], float, str]]:
    """Yield path, shares, least share and others of layers over a limit."""
    if len(looks) < _LOOKS:
        return
    late = [shares(look) for look in looks[-_LOOKS:]]
    found = [path for path in late[-1] if all(one.get(path, 0.0) >= limit for one in late)]
    more = f"; so are {len(found) - _NAMED} layers more" if len(found) > _NAMED else ""
    for path in found[:_NAMED]:
        yield path, [shares(look).get(path, 0.0) for look in looks], min(one[path] for one in late), more


def _since(
    looks: Sequence[LayerStats], shares: Callable[[LayerStats], Mapping[str, float]], path: str, limit: float
) -> int:
    """Return the first step of the last looks over a limit."""
    since = looks[-1].step
    for look in reversed(looks):
        if shares(look).get(path, 0.0) < limit:
            break
        since = look.step
    return since


def _needs_activations(evidence: Evidence) -> str:
    looks = [look for look in evidence.looks if look.dead is not None]
    if why := evidence.needs_looks(_LOOKS, looks):
        return why
    return "" if any(len(look.dead.paths) for look in looks[-_LOOKS:]) else "no ReLU, GELU or the like was seen"


def _needs_saturating(evidence: Evidence) -> str:
    looks = [look for look in evidence.looks if look.signals is not None]
    if why := evidence.needs_looks(_LOOKS, looks):
        return why
    return "" if looks[-1].signals.saturated else "no sigmoid, tanh or softmax was seen within the model"


RULES = (
    Rule(
        "dead_relu", "dead ReLU units", find_dead,
        f"{_DEAD:.0%} of a layer's units in {_LOOKS} looks in a row (SageMaker Debugger: half; trainproof: 90 %), of "
        f"batches under {_BATCH} samples {_ALL_DEAD:.0%}", missing=_needs_activations,
        symptom_of=("initialisation",),
    ),
    Rule(
        "saturated", "saturated sigmoid, tanh or softmax", find_saturated,
        f"{_SATURATED:.0%} of the outputs where the slope is under 1 % of its greatest, in {_LOOKS} looks in a row "
        "(SageMaker Debugger: half, further out)", missing=_needs_saturating,
    ),
)  # fmt: skip
