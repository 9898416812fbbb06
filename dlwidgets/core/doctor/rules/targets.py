"""Rules on the targets: classes, balance, range, scale."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...base.words import pluralize, quote_names
from ..data_facts import PartFacts, TargetFacts
from ..evidence import Evidence
from ..finding import Chart, Finding
from ..rule import Rule
from .inputs import missing_data

#: The most common class over the rarest, from which classes are unbalanced (SageMaker Debugger: 10); of labels in
#: columns, whose rare ones are usual: the samples without one over those with it.
_RATIO, _LABEL_RATIO = 10.0, 100.0
#: The size of a regression's targets from which they are far off the scale at which a model begins, about 1.
_FAR = 10.0
#: The share of known labels under which they are few (CheXpert's are 23 %).
_FEW = 0.05
#: Samples of a class that valid would have by train's share, from which none is no chance (e^-5: 1 in 150).
_EXPECTED = 5.0


def _missing_targets(evidence: Evidence) -> str:
    if why := missing_data(evidence):
        return why
    return "" if evidence.data.train.targets is not None else "the targets are no tensor"


def _missing_whole(evidence: Evidence) -> str:
    if why := _missing_targets(evidence):
        return why
    if not evidence.data.train.whole:
        return "the data does not lie in memory, and one batch is too little to count classes"
    return "" if evidence.data.train.targets.counts is not None else "the targets are no classes"


def _names(evidence: Evidence, numbers: np.ndarray) -> str:
    """Name classes by their numbers: "'cat', 'dog' and 3 more"."""
    names = evidence.task.classes if evidence.task is not None else None
    return quote_names([names[n] if names and n < len(names) else f"class {n}" for n in numbers], 3)


def _chart(evidence: Evidence, counts: np.ndarray, label: str) -> Chart:
    names = evidence.task.classes if evidence.task is not None else None
    shown = names if names and len(names) == len(counts) else tuple(map(str, range(len(counts))))
    return Chart(tuple(float(one) for one in counts[:60]), label, None, "bars", tuple(shown[:60]))


def find_all_alike(evidence: Evidence) -> Iterator[Finding]:
    """Find targets that are all the same."""
    part: PartFacts = evidence.data.train
    targets: TargetFacts = part.targets
    if targets.samples < 8 or not targets.known or evidence.task.name == "custom":
        return
    counts = targets.counts
    full = np.zeros(0, bool) if counts is None else counts == targets.samples
    columns = evidence.task.name == "multilabel" and counts is not None
    single = bool(((counts == 0) | full).all()) if columns else counts is not None and np.count_nonzero(counts) == 1
    if not single and not targets.low == targets.high:
        return
    what = f"{targets.low:g}"
    if single:
        what = _names(evidence, np.flatnonzero(counts)) or "no label at all"
    where = "all of train" if part.whole else "the first batch"
    yield Finding(
        "targets_alike", "high" if part.whole else "medium", f"All targets are the same: {what}",
        f"It is so in {where}, {pluralize(targets.samples, 'sample')}."
        + ("" if part.whole else " Is the data sorted by class? Then pass shuffle=True."),
        why="A model that always says the same is right on such data, and that is all it can learn.",
        evidence={"samples": targets.samples},
    )  # fmt: skip


def find_missing_classes(evidence: Evidence) -> Iterator[Finding]:
    """Find classes that train, or valid, has no sample of."""
    train, valid = evidence.data.train, evidence.data.valid
    counts = train.targets.counts
    if np.count_nonzero(counts) < 2 or any(find_all_alike(evidence)):
        return  # which is said already
    if len(none := np.flatnonzero(counts == 0)):
        yield Finding(
            "classes_missing", "medium", f"{_count(none, counts)} no sample in train",
            f"None of {pluralize(train.targets.samples, 'sample')} is of {_names(evidence, none)}.",
            why="What a model has never seen it cannot learn to say.", chart=_chart(evidence, counts, "in train"),
            evidence={"missing": len(none), "classes": len(counts)},
        )  # fmt: skip
        return
    if valid is None or valid.targets is None or valid.targets.counts is None:
        return
    theirs = valid.targets.counts
    if len(theirs) != len(counts):
        return
    expected = counts / train.targets.samples * valid.targets.samples
    if len(none := np.flatnonzero((theirs == 0) & (expected >= _EXPECTED))):
        yield Finding(
            "classes_missing", "low", f"{_count(none, counts)} no sample in valid",
            f"None of {pluralize(valid.targets.samples, 'sample')} is of {_names(evidence, none)}: how well these are "
            "learnt cannot be seen.",
            why="Validation data that was drawn class by class (stratified) has some of each.",
            chart=_chart(evidence, theirs, "in valid"), evidence={"missing": len(none), "classes": len(counts)},
        )  # fmt: skip


def _count(some: np.ndarray, every: np.ndarray) -> str:
    return f"{len(some)} of {len(every)} classes {'has' if len(some) == 1 else 'have'}"


def find_imbalance(evidence: Evidence) -> Iterator[Finding]:
    """Find classes that are far rarer than others."""
    targets: TargetFacts = evidence.data.train.targets
    counts = targets.counts
    there = np.flatnonzero(counts)
    if len(there) < 2 or targets.samples < 100:
        return
    if evidence.task.name == "multilabel":
        rarest, limit = int(there[counts[there].argmin()]), _LABEL_RATIO
        without = int(targets.samples - counts[rarest])
        ratio, beside = without / counts[rarest], f"{without:,} do not have it"
    else:
        rarest, common, limit = int(there[counts[there].argmin()]), int(counts.argmax()), _RATIO
        ratio = counts[common] / counts[rarest]
        beside = f"{counts[common]:,} are of {_names(evidence, [common])}"  # type: ignore[arg-type]
    if ratio <= limit:
        return
    name = _names(evidence, [rarest])  # type: ignore[arg-type]
    yield Finding(
        "classes_unbalanced", "low", f"The classes are unbalanced: 1 to {ratio:,.0f}",
        f"{counts[rarest]:,} of train are of {name}, {beside}. Judge it by F1 or recall of each class, not by "
        "accuracy.",
        why="A model that never says the rare class is hardly ever wrong: the loss rewards it for that, unless rare "
        "classes weigh more (pos_weight=, weight=) or are drawn more often.",
        chart=_chart(evidence, counts, "samples of each class in train"), evidence={"ratio": float(ratio)},
    )  # fmt: skip


def find_one_hot(evidence: Evidence) -> Iterator[Finding]:
    """Find exclusive classes that are learnt as separate labels."""
    targets: TargetFacts = evidence.data.train.targets
    if evidence.task.name != "multilabel" or not targets.one_each or targets.samples < 100 or len(targets.counts) < 3:
        return
    yield Finding(
        "targets_one_hot", "low", "Each sample has exactly one label, but each label is learnt by itself",
        f"All {targets.samples:,} samples of train have exactly one 1 in {len(targets.counts)} columns, and the loss "
        f"is {evidence.task.loss_name}. With CrossEntropyLoss and y.argmax(1) the labels exclude one another.",
        why="Where classes exclude one another, a softmax over them says so to the model; separate yes-or-no answers "
        "have to learn it.", evidence={"classes": len(targets.counts)}, remedies=("swap_loss",),
    )  # fmt: skip


def find_far_off(evidence: Evidence) -> Iterator[Finding]:
    """Find targets of a regression far off the scale of outputs."""
    targets: TargetFacts = evidence.data.train.targets
    if evidence.task.name != "regression" or targets.low == targets.high:
        return
    size = float(np.hypot(targets.mean, targets.deviation))
    if size <= _FAR and targets.deviation >= 1 / _FAR**3:
        return
    yield Finding(
        "targets_far_off", "medium", f"The targets are not scaled: {targets.low:.4g} to {targets.high:.4g}",
        f"They have mean {targets.mean:.3g} and deviation {targets.deviation:.3g}, and a new model puts out numbers "
        "around 0 of size 1. Learn (y - mean) / deviation; boxes and points as shares of the image.",
        why="Most of the training goes into reaching the mean of the targets, and a squared error of large numbers "
        "gives large gradients.", evidence={"mean": targets.mean, "deviation": targets.deviation},
    )  # fmt: skip


def find_strange_labels(evidence: Evidence) -> Iterator[Finding]:
    """Find labels that are not 0 or 1, or hardly known."""
    targets: TargetFacts = evidence.data.train.targets
    task = evidence.task
    if task.name in ("multilabel", "binary") and targets.high > 1:
        yield Finding(
            "targets_out_of_range", "high", f"The labels go up to {targets.high:g}",
            f"They go from {targets.low:g} to {targets.high:g}, where 0 is no and 1 is yes.",
            why="A mask that was saved as a picture has 255 for yes: divide it by 255.",
            evidence={"low": targets.low, "high": targets.high},
        )  # fmt: skip
    elif task.name in ("multilabel", "binary", "multiclass") and targets.known < _FEW and evidence.data.train.whole:
        yield Finding(
            "targets_out_of_range", "low", f"Only {targets.known:.1%} of the labels are known",
            "All others are -1, NaN or the number that the loss leaves out (ignore_index, -100 by default).",
            why="What is left out teaches nothing. Is it meant to be so much?", evidence={"known": targets.known},
        )  # fmt: skip


RULES = (
    Rule("targets_alike", "targets that are all the same", find_all_alike, "one value or class", _missing_targets,
         "start"),
    Rule(
        "classes_missing", "classes without samples", find_missing_classes,
        f"none at all in train; or none in valid, where {_EXPECTED:g} are to be expected",
        _missing_whole, "start",
    ),
    Rule(
        "classes_unbalanced", "unbalanced classes", find_imbalance,
        f"the most common class over {_RATIO:g} times the rarest (SageMaker Debugger); of labels in columns over "
        f"{_LABEL_RATIO:g} without it for one with it", _missing_whole, "start",
    ),
    Rule("targets_one_hot", "exclusive classes under a loss of labels", find_one_hot, "exactly one 1 in each row",
         _missing_whole, "start"),
    Rule(
        "targets_far_off", "targets of a regression far off scale", find_far_off,
        f"a root mean square over {_FAR:g}, since outputs begin at about 1; or a deviation under {1 / _FAR**3:g}",
        _missing_targets, "start",
    ),
    Rule(
        "targets_out_of_range", "labels out of range, or left out", find_strange_labels,
        f"over 1 where 1 is yes; under {_FEW:.0%} known (CheXpert: 23 %)", _missing_targets, "start",
    ),
)  # fmt: skip
