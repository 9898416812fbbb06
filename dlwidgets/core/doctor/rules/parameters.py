"""Rules on parameters: frozen, left out, hidden, never moved."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence
from ..finding import Finding
from ..rule import Rule

#: So many looks in a row must show it: parts of a model may rest in a step.
_LOOKS = 3


def find_frozen(evidence: Evidence) -> Iterator[Finding]:
    """Find a model of which nothing is to train."""
    facts = evidence.model
    if facts is not None and facts.parameters and not facts.trainable:
        yield Finding(
            "parameters_frozen", "high", f"Nothing trains: all {facts.parameters:,} parameters are frozen",
            "requires_grad is False for every parameter of the model.",
            why="A frozen parameter gets no gradient and is not moved. At least the last layer has to train.",
            layer="", evidence={"parameters": facts.parameters}, remedies=("unfreeze",),
        )  # fmt: skip


def find_left_out(evidence: Evidence) -> Iterator[Finding]:
    """Find parameters that no optimizer was given."""
    facts = evidence.model
    if facts is None or not facts.left_out:
        return
    paths, count = [path for path, _ in facts.left_out], sum(count for _, count in facts.left_out)
    yield Finding(
        "parameters_left_out", "high", f"The optimizer does not move {_listed(paths)}",
        f"{count:,} of {facts.trainable:,} parameters that are to train were not given to it.",
        why="An optimizer moves the parameters that it was made with. A layer that was put in later, as a new head, or "
        "was left out, keeps its first weights, though gradients arrive.",
        layer=paths[-1], evidence={"parameters": count}, remedies=("add_to_optimizer",),
    )  # fmt: skip


def find_hidden(evidence: Evidence) -> Iterator[Finding]:
    """Find layers where PyTorch does not look for them."""
    for path, sentence in evidence.model.hidden if evidence.model is not None else ():
        yield Finding(
            "hidden_layers", "high", f"The layers in {path} are hidden from PyTorch", sentence,
            why="model.parameters() finds what is an attribute of a module, or in nn.ModuleList or nn.ModuleDict. What "
            "stands in a plain list is computed with, but neither trained nor saved.",
            layer=path.rpartition(".")[0], evidence={},
        )  # fmt: skip


def find_still(evidence: Evidence) -> Iterator[Finding]:
    """Find layers that get no gradient, or do not move."""
    looks = evidence.looks[-_LOOKS:] if len(evidence.looks) >= _LOOKS else ()
    if not looks or looks[-1].step - looks[0].step < _LOOKS:
        return
    without = set(looks[0].without_gradient).intersection(*(look.without_gradient for look in looks))
    ordered = [path for path in looks[-1].without_gradient if path in without]
    called = looks[-1].signals.called if looks[-1].signals is not None else frozenset()
    for paths, severity, said, why in (
        ([path for path in ordered if path in called], "high", "its output does not come to the loss",
         "The layer is called, but what it puts out is cut off before the loss: by detach(), .data, torch.no_grad(), "
         "argmax() or a conversion to NumPy."),
        ([path for path in ordered if path not in called], "low", "it is never called",
         "The model holds a layer that its forward does not use. Is it meant to be used, or left over?"),
    ):  # fmt: skip
        if paths:
            yield Finding(
                "parameters_still", severity, f"No gradient comes to {_listed(paths)}",
                f"In {_LOOKS} looks up to step {looks[-1].step:,} none of its weights had a gradient: {said}.", why=why,
                layer=paths[-1], evidence={"layers": len(paths)},
            )  # fmt: skip
    yield from _find_unmoved(evidence)


def _find_unmoved(evidence: Evidence) -> Iterator[Finding]:
    looks, facts, rate = evidence.looks[-_LOOKS:], evidence.model, evidence.settings.get("lr")
    left = {path for path, _ in facts.left_out} if facts is not None else set()
    if not rate or any(look.paths != looks[0].paths for look in looks):
        return
    paths = [
        path for at, path in enumerate(looks[-1].paths)
        if path not in left and all(look.update_ratio[at] == 0 and look.grad_norm[at] > 0 for look in looks)
    ]  # fmt: skip
    if paths and len(paths) < len(looks[-1].paths):
        yield Finding(
            "parameters_still", "medium", f"{_listed(paths)} does not move, though gradients arrive",
            f"In {_LOOKS} looks up to step {looks[-1].step:,} no weight of it changed, at a rate of {rate:.3g}.",
            why="The optimizer has the layer in a group of rate 0, or something puts its weights back after each step.",
            layer=paths[0], evidence={"layers": len(paths)}, remedies=("raise_rate",),
        )  # fmt: skip


def _listed(paths: list[str]) -> str:
    return (paths[-1] or "the model's own weights") + (f" and {len(paths) - 1} more" if paths[1:] else "")


def _needs_looks(evidence: Evidence) -> str:
    return evidence.needs_looks(_LOOKS)


RULES = (
    Rule("parameters_frozen", "a model that is all frozen", find_frozen, "no parameter trains", when="model"),
    Rule(
        "parameters_left_out", "parameters that no optimizer moves", find_left_out, "one or more that is to train",
        when="model",
    ),
    Rule("hidden_layers", "layers in a plain list", find_hidden, "any weight that is no parameter", when="model"),
    Rule(
        "parameters_still", "layers without a gradient, or that do not move", find_still,
        f"no gradient, or no change at a rate over 0, in {_LOOKS} looks in a row", missing=_needs_looks,
    ),
)  # fmt: skip
