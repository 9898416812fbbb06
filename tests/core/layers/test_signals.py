"""Signals: spreads, saturated shares and norms against torch's own numbers; losses read from autograd's graph."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlwidgets.core.layers.dead_units import UnitProbe
from dlwidgets.core.layers.signals import read_losses


def signals(model, *inputs, loss=None):
    probe = UnitProbe(model)
    with probe:
        output = model(*inputs)
    if loss is not None:
        probe.see_loss(loss(output))
    probe.found()
    return probe.signals.found()


def test_a_layer_s_spread_is_how_far_samples_differ_whatever_its_bias():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU()), torch.randn(16, 4)
    with torch.no_grad():
        model[0].bias += 100
    found = signals(model, x)
    wanted = [part(x).std(0, unbiased=False).mean().item() for part in (model[:1], model[:2])]
    assert found.paths == ["0", "1"] and found.spread.tolist() == pytest.approx(wanted, rel=1e-5)
    assert found.called == {"", "0", "1"}


@pytest.mark.parametrize(
    ("module", "function"), [(nn.Sigmoid(), torch.sigmoid), (nn.Tanh(), torch.tanh), (nn.Hardtanh(), F.hardtanh)]
)
def test_an_output_is_saturated_where_a_hundredth_of_the_greatest_slope_is_left(module, function):
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 8)

        def forward(self, x):
            return function(self.fc(x))

    torch.manual_seed(0)
    model, x = Functional(), 20 * torch.randn(16, 4)
    h, zero = model.fc(x).detach().requires_grad_(), torch.zeros(1, requires_grad=True)
    slope, greatest = (torch.autograd.grad(function(one).sum(), one)[0] for one in (h, zero))
    share = (slope < 0.01 * greatest).float().mean().item()
    assert 0 < share < 1
    assert signals(model, x).saturated == {"fc": pytest.approx(share)}
    assert signals(nn.Sequential(model.fc, module), x).saturated == {"1": pytest.approx(share)}


def test_a_relu6_is_no_saturating_function():
    assert signals(nn.Sequential(nn.Linear(4, 8), nn.ReLU6()), torch.randn(16, 4)).saturated == {}


def test_a_batch_norm_says_its_samples_its_values_and_how_often_it_is_called():
    norm = nn.BatchNorm2d(3)
    assert signals(nn.Sequential(norm, norm), torch.randn(2, 3, 4, 5)).norms == {"0": (2, 40, 2)}
    assert signals(nn.Sequential(norm.eval()), torch.randn(2, 3, 4, 5)).norms == {}


@pytest.mark.parametrize(("last", "sums"), [(nn.Softmax(1), True), (nn.Sigmoid(), False), (nn.Identity(), False)])
def test_an_output_that_sums_to_one_is_seen(last, sums):
    model, x = nn.Sequential(nn.Linear(4, 3), last), torch.randn(16, 4)
    found, output = signals(model, x), model(x)
    assert found.sums_to_one is sums
    assert found.output == pytest.approx((output.min().item(), output.max().item()))


def test_the_layer_that_puts_the_output_out_is_known():
    assert signals(nn.Sequential(nn.Linear(4, 3)), torch.randn(16, 4)).last == "0"


Y, T = torch.randint(0, 3, (16,)), torch.rand(16, 3)
LOSSES = [
    (lambda out: F.cross_entropy(out, Y), "NllLoss LogSoftmax Addmm"),
    (lambda out: F.cross_entropy(out.softmax(1), Y), "NllLoss LogSoftmax Softmax"),
    (lambda out: nn.CrossEntropyLoss(label_smoothing=0.1)(out.view(-1, 3).softmax(1), Y), "NllLoss LogSoftmax Softmax"),
    (lambda out: F.nll_loss(out, Y), "NllLoss Addmm"),
    (lambda out: 2 * F.binary_cross_entropy_with_logits(out.sigmoid(), T), "BinaryCrossEntropyWithLogits Sigmoid"),
    (lambda out: F.mse_loss(out.relu()[:, None].squeeze(1), T) + 1, "MseLoss Relu"),
]


@pytest.mark.parametrize(("loss", "wanted"), LOSSES)
def test_what_a_loss_is_computed_of_is_read_from_its_graph(loss, wanted):
    made = nn.Linear(4, 3)
    first = read_losses(loss(made(torch.randn(16, 4))))[0]
    assert " ".join(first.operations).startswith(wanted)


def test_the_targets_of_a_regression_are_read_with_it():
    (found,) = read_losses(F.mse_loss(nn.Linear(4, 3)(torch.randn(16, 4)), T))
    assert found.targets == pytest.approx([one.item() for one in (T.min(), T.max(), T.square().mean())])


@pytest.mark.parametrize("loss", [
    lambda out: F.cross_entropy(out, Y), lambda out: F.cross_entropy(out[..., None].mT.mT, Y[:, None]),
    lambda out: F.nll_loss(out.log_softmax(-1), Y), lambda out: F.binary_cross_entropy_with_logits(out, T),
    lambda out: F.mse_loss(out, T),
])  # fmt: skip
def test_what_knowing_nothing_costs_is_the_loss_of_zeros(loss):
    out = nn.Linear(4, 3)(torch.randn(16, 4))
    assert read_losses(loss(out))[0].unlearnt == pytest.approx(loss(out * 0).item())


def test_what_a_weighed_loss_costs_is_not_guessed():
    out = nn.Linear(4, 3)(torch.randn(16, 4))
    assert read_losses(F.binary_cross_entropy_with_logits(out, T, pos_weight=torch.full((3,), 9.0)))[0].unlearnt is None
