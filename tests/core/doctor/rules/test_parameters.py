"""Parameters that do not train: left out, hidden, cut off, still."""

from __future__ import annotations

import torch
from torch import nn

from tests.core.doctor.rules.broken import found, mlp, only, run


def test_what_no_optimizer_moves_is_found_and_put_in_by_its_remedy():
    model = mlp()
    made = run(model, optimizer=torch.optim.SGD([*model[0].parameters(), *model[4].parameters()], lr=0.1), lr=None)
    one = only(made, "parameters_left_out")
    assert (one.layer, one.evidence["parameters"]) == ("2", 16 * 17)
    made.trainable = {"2": True}
    made.step(40)
    assert not found(made, "parameters_left_out")


def test_layers_in_a_plain_list_are_found():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layers, self.head = [nn.Linear(8, 8)], nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.layers[0](x).relu())

    made = run(Hidden(), steps=0)
    made.diagnose()  # before any step
    one = only(made, "hidden_layers")
    assert "ModuleList" in one.sentence and "72 weights" in one.sentence


class Cut(nn.Module):
    """A layer that is cut off, one that is never called, one that learns."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cut, self.idle, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.cut(x).detach())


def test_a_layer_that_is_cut_off_is_told_from_one_that_is_never_called():
    said = {one.layer: one for one in found(run(Cut()), "parameters_still")}
    assert said["cut"].severity == "high" and "detach()" in said["cut"].why
    assert said["idle"].severity == "low" and "never called" in said["idle"].sentence


def test_a_group_of_rate_0_is_said_not_to_move():
    model = mlp()
    rest = [*model[2].parameters(), *model[4].parameters()]
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": rest}]
    one = only(run(model, optimizer=torch.optim.SGD(groups, lr=0.1), lr=None), "parameters_still")
    assert one.layer == "0" and "does not move" in one.title
