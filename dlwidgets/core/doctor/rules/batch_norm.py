"""Rules on BatchNorm: tiny batches, several updates a step."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence
from ..finding import Finding
from ..rule import Rule

#: So many looks in a row must show it: the last batch of an epoch may be small.
_LOOKS = 3
#: Samples over which BatchNorm takes its means (Wu and He 2018, "Group normalization": the error of ResNet-50 grows
#: from 23.6 % with 32 to 24.8 % with 8, 27.3 % with 4, 34.7 % with 2), and values of a channel.
_SAMPLES, _TINY, _VALUES = 4, 2, 16


def _norms(evidence: Evidence) -> list[dict[str, tuple[int, int, int]]]:
    looks = [look for look in evidence.looks[-_LOOKS:] if look.signals is not None]
    return [dict(look.signals.norms) for look in looks if look.signals is not None]


def find_tiny_batches(evidence: Evidence) -> Iterator[Finding]:
    """Find BatchNorm that takes its means over very few samples."""
    looks = _norms(evidence)
    if len(looks) < _LOOKS:
        return
    paths = [
        path for path in looks[-1]
        if all(path in one and (one[path][0] <= _SAMPLES or one[path][1] < _VALUES) for one in looks)
    ]  # fmt: skip
    if not paths:
        return
    samples, values, _ = looks[-1][paths[0]]
    yield Finding(
        "batch_norm", "medium" if samples <= _TINY or values < _VALUES // 2 else "low",
        f"BatchNorm takes its means over {samples} sample{'s' * (samples != 1)}",
        f"{paths[0]}{f' and {len(paths) - 1} more' if paths[1:] else ''}: {values:,} values a channel in each batch.",
        why="BatchNorm scales by the mean and spread of the batch. Over few samples these are mostly chance, and "
        "unlike the averages that it uses afterwards, so that it says other things in evaluation. Larger batches, or "
        "GroupNorm, which needs no batch, help.",
        layer=paths[0], evidence={"samples": samples, "values": values}, remedies=("double_batch",),
    )  # fmt: skip


def find_updated_twice(evidence: Evidence) -> Iterator[Finding]:
    """Find BatchNorm that takes several averages in one step."""
    looks = _norms(evidence)
    if len(looks) < _LOOKS:
        return
    paths = [path for path in looks[-1] if all(path in one and one[path][2] > 1 for one in looks)]
    if paths and len(paths) == len(looks[-1]):
        calls = looks[-1][paths[0]][2]
        yield Finding(
            "batch_norm_twice", "low", f"BatchNorm averages {calls} times in each step",
            f"Each of {len(paths)} BatchNorm layers is called {calls} times in train mode in one step.",
            why="Each forward in train mode moves the running averages, also under no_grad(). A second one, as to "
            "count what is right, makes them forget faster: do it in eval mode, or use the output that is there "
            "already. A network that compares two inputs may mean it.",
            layer=paths[0], evidence={"calls": calls},
        )  # fmt: skip


def _needs_norms(evidence: Evidence) -> str:
    looks = _norms(evidence)
    if why := evidence.needs_looks(_LOOKS, looks):
        return why
    return "" if looks[-1] else "no BatchNorm in train mode was seen"


RULES = (
    Rule(
        "batch_norm", "BatchNorm with tiny batches", find_tiny_batches,
        f"{_SAMPLES} samples or fewer, or under {_VALUES} values a channel (Wu and He 2018, Group normalization)",
        missing=_needs_norms,
    ),
    Rule(
        "batch_norm_twice", "BatchNorm updated several times a step", find_updated_twice,
        f"every one of them, in {_LOOKS} looks in a row", missing=_needs_norms,
    ),
)  # fmt: skip
