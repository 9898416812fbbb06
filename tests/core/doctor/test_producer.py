"""What first made a number that is not finite: named by layer and operation, and no trace left of the search."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from dlwidgets import Session
from dlwidgets.core.doctor.producer import find_producer


class Apply(nn.Module):
    """A layer that is one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Net(nn.Module):
    """A layer, a block with a function in it, a function between, a head."""

    def __init__(self, within, between):
        super().__init__()
        self.stem = nn.Linear(8, 16)
        self.block = nn.Sequential(nn.BatchNorm1d(16), nn.Dropout(0.5), Apply(within), nn.Linear(16, 16))
        self.head, self.between = nn.Linear(16, 3), between

    def forward(self, x):
        return self.head(self.between(self.block(self.stem(x))))


class Pairs(Dataset):
    """Samples that nobody looks through before they are drawn."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], self.y[i]


def same(x):
    return x


def failing(within=same, between=same, X=None, change=same, **options):
    """Return a session that failed in its first step, and what was found of that."""
    torch.manual_seed(0)
    X = torch.randn(64, 8) if X is None else X
    model = change(Net(within, between))
    data = Pairs(X, torch.randint(0, 3, (64,)))
    made = Session(model, data, batch_size=64, threads=1, **options)
    with pytest.raises(ArithmeticError):
        made.step(1)
    (found,) = [one for one in made.findings if one.rule == "loss_not_finite"]
    return made, found


WITHIN = {
    "log": lambda x: (x - 1).log(), "sqrt": lambda x: torch.sqrt(x - 1), "div": lambda x: x / x.relu().floor(),
    "exp": lambda x: (x * 1000).exp(), "log_": lambda x: x.clone().log_(),
    "softmax": lambda x: x.masked_fill(x < 1e9, -torch.inf).softmax(1),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHIN)
def test_a_layer_in_a_block_is_named_with_what_it_did(name):
    _, found = failing(WITHIN[name])
    assert found.layer == "block.2" and f"{name.strip('_')}()" in found.sentence
    assert found.sentence.startswith("In block.2 ") and "64 x 16" in found.sentence and found.why


@pytest.mark.parametrize("name", WITHIN)
def test_an_operation_between_two_layers_is_said_to_be_there(name):
    _, found = failing(between=WITHIN[name])
    assert found.sentence.startswith("Between block and head ") and f"{name.strip('_')}()" in found.sentence


BACKWARD = {"sqrt": lambda x: (x * 0).sqrt(), "pow": lambda x: (x * 0).pow(2).sum(1, keepdim=True) ** 0.5 + x}


@pytest.mark.parametrize("name", BACKWARD)
def test_what_is_not_finite_only_in_the_backward_is_named_too(name):
    _, found = failing(BACKWARD[name])
    assert found.layer == "block.2" and f"the gradient of {name}()" in found.sentence
    _, found = failing(between=BACKWARD[name])
    assert found.sentence.startswith("Going backward between block and head ")


def test_the_loss_itself_is_named():
    _, found = failing(training_step=lambda model, batch: (model(batch[0]).mean() - 100).log())
    assert found.layer is None or found.layer == "head"
    assert found.sentence.startswith("In the loss ") and "log()" in found.sentence


def test_a_mask_of_minus_infinity_is_not_blamed_for_what_comes_later():
    mask = lambda x: x.masked_fill(torch.eye(len(x), 16).bool(), -torch.inf).softmax(1)  # noqa: E731
    _, found = failing(mask, between=lambda x: (x - 100).log())
    assert found.sentence.startswith("Between block and head ") and "log()" in found.sentence


def test_a_weight_that_is_not_finite_already_is_named():
    def spoil(model):
        with torch.no_grad():
            model.block[3].weight[0, :8] = torch.nan
        return model

    _, found = failing(change=spoil)
    assert found.layer == "block.3" and "block.3.weight" in found.sentence
    assert found.evidence["share"] == pytest.approx(8 / 256)


def test_samples_that_are_not_finite_are_named_by_their_numbers():
    X = torch.randn(64, 8)
    X[[5, 40], 3] = torch.nan
    _, found = failing(X=X)
    assert "2 samples of train" in found.sentence
    assert sorted(int(one) for one in found.sentence.split("(from 0): ")[1].split(".")[0].split(", ")) == [5, 40]


def test_where_numbers_have_grown_for_long_the_layer_is_not_to_blame():
    made = Session(Net(same, same), Pairs(torch.randn(64, 8), torch.randint(0, 3, (64,))), optimizer="sgd", lr=1e30)
    with pytest.raises(ArithmeticError):
        made.step(5)
    (found,) = [one for one in made.findings if one.rule == "loss_not_finite"]
    assert "not the layer is to blame" in found.why


def test_a_layer_that_calls_none_of_those_that_it_holds_is_one():
    class Holding(Apply):
        def __init__(self):
            super().__init__(lambda x: (x - 1e9).log())
            self.unused = nn.Linear(2, 2)

    def hold(model):
        model.block[2] = Holding()
        return model

    _, found = failing(change=hold)
    assert found.layer == "block.2" and found.sentence.startswith("In block.2 ")


def test_the_search_leaves_no_trace_and_the_run_goes_on_to_the_same_weights():
    def trained(fails):
        torch.manual_seed(0)
        net, X = Net(same, same), torch.randn(64, 8)
        made = Session(net, (X, torch.randint(0, 3, (64,))), batch_size=16, seed=1, threads=1)
        made.step(3)
        if fails:
            net.between = lambda x: (x - 1e9).log()
            with pytest.raises(ArithmeticError):
                made.step(1)
            net.between = same
        made.step(5)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
        return net.state_dict()

    plain, found = trained(False), trained(True)
    assert all(torch.equal(plain[name], found[name]) for name in plain)


def test_nothing_is_said_where_all_is_finite():
    torch.manual_seed(0)
    made = Session(Net(same, same), (torch.randn(64, 8), torch.randint(0, 3, (64,))), batch_size=64)
    assert find_producer(made._run.loop, made._run.loop.accumulation.take()) is None
