"""A loss of another framework than torch, as the house asks it."""

from __future__ import annotations

from typing import Any

from torch import nn


class FrameworkLoss(nn.Module):
    """A loss `(output, targets) -> scalar tensor` of another framework.

    Attributes
    ----------
    compares : "multiclass", "labels" (0 or 1 for each output) or "numbers"; "" where its name does not tell.
    takes_probabilities : whether it wants these, or logits; None: as the model's outputs are.
    takes_signs : whether targets of -1 are no, and not unknown.
    summed : whether it is a sum over the batch, no mean.
    by_samples : whether the loss of a set is the mean of its batches' by their samples.
    alike : torch's loss that is the same, as "CrossEntropyLoss"; "" for none.
    cure : what to type where outputs are logits and it wants probabilities, or the reverse.
    source : the expression that makes it in a script; "" where none does.
    """

    compares: str = ""
    takes_probabilities: bool | None = None
    takes_signs: bool = False
    summed: bool = False
    by_samples: bool = True
    alike: str = ""
    cure: str = ""
    source: str = ""

    #: What has a label smoothing, where it has none itself.
    smoothed = "CrossEntropyLoss has"

    def hint(self, targets: Any, output: Any) -> str:
        """Return what may help where it failed; "" for nothing."""
        return ""

    def turned(self) -> FrameworkLoss | None:
        """Return the same of logits in place of probabilities, or the reverse."""
        return None

    def leave_out_unknown(self) -> nn.Module | None:
        """Return a loss that leaves out -1; None where there is none."""
        return None
