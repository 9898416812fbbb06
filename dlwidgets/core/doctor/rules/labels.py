"""Rules on labels: shuffled ones, and wrong ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...base.words import pluralize
from ...scoring.scores import Scores
from ..evidence import Evidence
from ..finding import Finding
from ..row_matches import Agreement
from ..rule import Rule
from .chance import measure_areas, measure_chance
from .inputs import missing_data

#: Under so many standard deviations neighbours agree no more than shuffled labels do. Measured on 8 draws each of four
#: teaching sets: 7.9 to 59, shuffled -2.6 to 2.2. With fewer samples even good labels may not show.
_SIGMAS, _ENOUGH = 2.5, 400
#: So many standard errors above it scores are better than chance.
_BETTER = 4.0
#: A label is contradicted where the model gives it less. The share of these labels, their share of all mistakes, and
#: the right answers, from which labels are suspected; and the loss of valid over that of train up to which a model is
#: not over-fitted, and so not over-confident. Measured on digits and sentences: at most 2 % of clean labels are
#: contradicted, 6 to 9 % where one in ten is wrong, 14 to 30 % where one in three is.
_DOUBT, _SHARE, _OF_MISTAKES, _RIGHT, _FITTED = 0.1, 0.06, 0.4, 0.5, 1.3


def _missing_agreement(evidence: Evidence) -> str:
    if why := missing_data(evidence):
        return why
    agreement: Agreement | None = evidence.data.agreement
    if agreement is None:
        return "needs inputs in memory, and for each at most 64 targets"
    return "" if agreement.samples >= _ENOUGH else f"needs {_ENOUGH} samples: with fewer, neighbours agree by chance"


def find_shuffled(evidence: Evidence) -> Iterator[Finding]:
    """Find labels that have nothing to do with the inputs."""
    agreement: Agreement = evidence.data.agreement
    if agreement.sigmas >= _SIGMAS or (evidence.scores is not None and _beats_chance(evidence.scores)):
        return
    # Until scores confirm it it is a suspicion: of rare classes, weak signals and what decides subtly (the parity of
    # signs, a verb that does not agree) neighbours show nothing either, measured on four such sets.
    severity, may = ("low", "may ") if measure_chance(evidence) is None else ("medium", "")
    yield Finding(
        "labels_shuffled", severity, f"The labels {may}fit the inputs no better than shuffled ones would",
        f"Of {agreement.samples:,} samples the {agreement.nearest} with the nearest inputs have labels that agree "
        f"{agreement.sigmas:+.1f} standard deviations beyond chance; with labels that belong to their inputs it is "
        "mostly over 5. Was X or y sorted or shuffled without the other?",
        why="Like inputs have like labels, as a rule. A network can learn shuffled labels by heart, so that its loss "
        "falls all the same. Where only something subtle decides on the label, this check sees nothing and is wrong: "
        "scores on validation data better than chance refute it.",
        evidence={"sigmas": agreement.sigmas, "found": agreement.found, "samples": agreement.samples},
        remedies=("show_labels",),
    )  # fmt: skip


def _beats_chance(scores: Scores) -> bool:
    """Say whether scores are higher where the label is yes."""
    areas, errors = measure_areas(scores)
    known = np.isfinite(areas)
    weights = errors[known] ** -2
    return bool(known.any()) and float((areas[known] - 0.5) @ weights / np.sqrt(weights.sum())) > _BETTER


def _missing_scores(evidence: Evidence) -> str:
    if evidence.scores is None:
        return "nothing was evaluated yet"
    if evidence.scores.task != "multiclass":
        return "of labels in columns, wrong ones cannot be told from hard ones by their scores (measured)"
    return "" if evidence.scores.n_samples >= 100 else "needs 100 validation samples"


def find_contradicted_labels(evidence: Evidence) -> Iterator[Finding]:
    """Find validation labels that a good model contradicts."""
    scores: Scores = evidence.scores
    steps, losses = evidence.valid_losses
    recent = evidence.losses[-50:]
    if not len(losses) or not len(recent) or not losses[-1] <= _FITTED * np.nanmean(recent):
        return
    known = scores.y_true[:, 0] >= 0
    label, score = scores.y_true[known] == 1, scores.y_score[known]
    right = float((score.argmax(1) == label.argmax(1)).mean())
    share = float(((score * label).sum(1) < _DOUBT).mean())
    if right < _RIGHT or share < _SHARE or share < _OF_MISTAKES * (1 - right):
        return
    count = round(share * len(label))
    yield Finding(
        "labels_contradicted", "low", f"{share:.0%} of the validation labels look wrong",
        f"The model is right on {right:.0%}, and gives {count:,} of {pluralize(len(label), 'given label')} a chance "
        f"under {_DOUBT:.0%}; with clean labels it is 2 % or less. scores.suspicious() lists them.",
        why="Labels made by hand are often wrong in one of twenty. Those that a model contradicts firmly are worth a "
        "second look: they spoil the training, and the measure of it.",
        evidence={"share": share, "right": right, "count": count}, remedies=("show_labels",),
    )  # fmt: skip


RULES = (
    Rule(
        "labels_shuffled", "labels that have nothing to do with the inputs", find_shuffled,
        f"labels of nearest neighbours agree under {_SIGMAS:g} standard deviations beyond shuffled ones (measured: "
        "7.9 and more on the teaching sets, 2.2 and less shuffled)", _missing_agreement, "start",
    ),
    Rule(
        "labels_contradicted", "labels that the scores contradict", find_contradicted_labels,
        f"over {_SHARE:.0%} with a score under {_DOUBT:.0%}, where the model is not over-fitted (measured: 2 % or less "
        "of clean labels)", _missing_scores, "evaluation", confirm=2,
    ),
)  # fmt: skip
