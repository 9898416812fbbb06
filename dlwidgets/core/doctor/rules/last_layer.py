"""Rules on the last layer and its loss: whether they match."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...layers.signals import LossPath, Signals
from ..evidence import Evidence
from ..finding import Finding
from ..rule import Rule


class Mismatch(NamedTuple):
    """What a last operation and a loss make of each other."""

    severity: str
    title: str
    sentence: str
    why: str
    remedies: tuple[str, ...] = ()


_TWICE = (
    "The loss takes the {0} itself. Taken twice, all outputs lie close together, the loss cannot fall below some "
    "value, and gradients are small: leave the last {0} out while training, and take it for predictions alone."
)
_SOFTMAX = Mismatch(
    "high", "Softmax is taken twice", "The model ends with a softmax, and cross-entropy takes another.",
    _TWICE.format("softmax"), ("swap_loss",),
)  # fmt: skip
_SIGMOID = Mismatch(
    "high", "Sigmoid is taken twice", "The model ends with a sigmoid, and the loss takes another.",
    _TWICE.format("sigmoid"), ("swap_loss",),
)  # fmt: skip
_BEFORE_SOFTMAX = Mismatch(
    "high", "A sigmoid stands before cross-entropy", "The model ends with a sigmoid, and cross-entropy takes a "
    "softmax.",
    "Between 0 and 1 no class can stand out: the softmax of the loss makes nearly the same of all. Leave the sigmoid "
    "out.", ("swap_loss",),
)  # fmt: skip
_LOG_SOFTMAX = Mismatch(
    "low", "log_softmax is taken twice", "The model ends with log_softmax, and cross-entropy takes another.",
    "The second changes nothing, so the run is right, only slower: take nll_loss, or leave log_softmax out.",
    ("swap_loss",),
)  # fmt: skip
_RELU = Mismatch(
    "high", "The model ends with a ReLU", "Its outputs cannot be negative, and the loss wants numbers of either sign.",
    "A negative output says no, or less likely. Cut off at 0 it can say neither, and passes no gradient back where it "
    "should rise. Leave the last ReLU out.",
)  # fmt: skip
_LOGITS = Mismatch(
    "high", "NLLLoss gets no log-probabilities", "The model puts out plain numbers, up to {0:.3g}; a log-probability "
    "is 0 or less.",
    "NLLLoss only picks out the output of the right class: without log_softmax before it, the loss falls for ever as "
    "the outputs grow. Take cross-entropy, or end with log_softmax.", ("swap_loss",),
)  # fmt: skip
_NO_LOG = Mismatch(
    "high", "NLLLoss gets probabilities, not their logarithms", "The model ends with a softmax, without a logarithm.",
    "NLLLoss wants log-probabilities: of probabilities its gradient is small where it should be large. End with "
    "log_softmax.", ("swap_loss",),
)  # fmt: skip
_NO_SIGMOID = Mismatch(
    "high", "BCELoss gets no probabilities", "Its outputs lie between {0:.3g} and {1:.3g} by chance: no sigmoid is "
    "there.",
    "BCELoss wants probabilities, and fails on the first number outside of 0 to 1. Take BCEWithLogitsLoss, or end "
    "with a sigmoid.", ("swap_loss",),
)  # fmt: skip
_OUT_OF_REACH = Mismatch(
    "high", "The last layer cannot reach the targets", "It puts out {0} to {1}; the targets lie between {2:.3g} and "
    "{3:.3g}.",
    "An activation at the end limits what the model can say. For numbers of any size the last layer has none; else "
    "scale the targets to its range.",
)  # fmt: skip

_REACH = {"Relu": (0.0, float("inf")), "Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
#: Operations that may stand between a last activation and a loss without changing what it means.
_BETWEEN = ("Mul", "Div", "Add", "Sub")


def judge_last_layer(loss: LossPath, signals: Signals) -> Mismatch | None:
    """Return what does not match between a loss and its input."""
    kind, *before = loss.operations
    if kind.startswith("NllLoss"):
        if not before or before[0] == "LogSoftmax":
            kind, before = "LogSoftmax", before[1:]
        elif before[0] == "Softmax":
            return _NO_LOG
        elif before[0] not in ("Log", *_BETWEEN) and signals.output is not None and signals.output[1] > 0:
            return _filled(_LOGITS, signals.output[1])
        else:
            return None
    last = before[0] if before else ""
    if kind == "LogSoftmax":
        found = {"Softmax": _SOFTMAX, "Sigmoid": _BEFORE_SOFTMAX, "LogSoftmax": _LOG_SOFTMAX, "Relu": _RELU}.get(last)
        return found or (_SOFTMAX if signals.sums_to_one and last not in _REACH else None)
    if kind == "BinaryCrossEntropyWithLogits":
        return {"Sigmoid": _SIGMOID, "Softmax": _SIGMOID, "Relu": _RELU}.get(last)
    if kind == "BinaryCrossEntropy" and last in ("Addmm", "Mm", "Convolution"):
        return _filled(_NO_SIGMOID, *(signals.output or (0.0, 1.0)))
    if loss.targets is not None and last in _REACH:
        (low, high), (least, greatest, _) = _REACH[last], loss.targets
        if least < low - 1e-6 or greatest > high + 1e-6:
            ends = "any number" if high == float("inf") else f"{high:g}"
            return _filled(_OUT_OF_REACH, f"{low:g}", ends, least, greatest)
    return None


def _filled(one: Mismatch, *values: object) -> Mismatch:
    return one._replace(sentence=one.sentence.format(*values))


def find_mismatch(evidence: Evidence) -> Iterator[Finding]:
    """Find a last layer whose outputs are not what the loss wants."""
    signals = next((look.signals for look in reversed(evidence.looks) if look.signals is not None), None)
    for loss in signals.losses if signals is not None else ():
        if (found := judge_last_layer(loss, signals)) is None:
            continue
        ends = signals.output or (float("nan"), float("nan"))
        yield Finding(
            "last_layer", found.severity, found.title, found.sentence, why=found.why,
            layer=signals.last or "", evidence={"least": ends[0], "greatest": ends[1]}, remedies=found.remedies,
        )  # fmt: skip
        return


def _needs_loss(evidence: Evidence) -> str:
    looks = [look.signals for look in evidence.looks if look.signals is not None]
    if not looks:
        return evidence.unmeasured or "needs a look at the layers"
    return "" if looks[-1].losses else "the loss is none of torch's: cross-entropy, NLL, binary, MSE, Huber"


RULES = (
    Rule(
        "last_layer", "a last layer and a loss that do not match", find_mismatch,
        "read from the operations before the loss, exact; UMLAUT looks for a softmax before from_logits",
        missing=_needs_loss, when="model",
    ),
)  # fmt: skip
