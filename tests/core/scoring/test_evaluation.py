"""Evaluation: loss, scores and metrics over all validation data, equal to scikit-learn's, without a trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dlwidgets.core.data.batches import IndexedBatches
from dlwidgets.core.data.loader import LoaderBatches
from dlwidgets.core.data.objective import Objective
from dlwidgets.core.data.source import Rows
from dlwidgets.core.data.task import Task, infer_task
from dlwidgets.core.scoring.evaluation import evaluate

CPU = torch.device("cpu")
X = torch.randn(103, 5, generator=torch.Generator().manual_seed(0))


def net(out):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, out))


def found(model, y, *, size=32, loss=None, task=None, step=None, source=None, classes=None):
    output = model.eval()(X[:4])
    task = Task("custom", None, "") if step else infer_task(y, output, loss=loss, task=task)
    model.train()
    batches = IndexedBatches(Rows(X, y), 16, seed=0, shuffle=False) if source is None else source
    return evaluate(Objective(model, task, CPU, step), batches, size, classes)


@pytest.mark.parametrize("size", [7, 32, 200])
def test_multiclass_metrics_are_scikit_learns(size):
    model, y = net(4), torch.arange(103) % 3
    result = found(model, y, size=size)
    logits = model.eval()(X).detach()
    said = logits.argmax(1)
    assert result.samples == 103
    assert result.loss == pytest.approx(nn.functional.cross_entropy(logits, y).item(), rel=1e-6)
    assert result.metrics["accuracy"] == metrics.accuracy_score(y, said)
    expected = metrics.f1_score(y, said, labels=range(4), average="macro", zero_division=0)
    assert result.metrics["macro_f1"] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(result.scores.y_score, logits.softmax(1).numpy(), rtol=1e-6)


def test_multilabel_metrics_are_scikit_learns():
    model, y = net(4), (torch.rand(103, 4, generator=torch.Generator().manual_seed(2)) > 0.6).float()
    result = found(model, y, classes=tuple("abcd"))
    probabilities = model.eval()(X).detach().sigmoid()
    said = (probabilities.double() >= 0.5).int()
    expected = metrics.f1_score(y.int(), said, average="macro", zero_division=0)
    assert result.metrics == {"macro_f1": pytest.approx(expected, abs=1e-12)}
    np.testing.assert_array_equal(
        result.scores.confusion(), metrics.multilabel_confusion_matrix(y.int(), said)
    )
    assert result.scores.classes == tuple("abcd")


@pytest.mark.parametrize("shape", ["column", "flat"])
def test_binary_metrics_are_scikit_learns(shape):
    model, y = net(1), (torch.arange(103) % 3 == 0).int()
    result = found(model, y[:, None] if shape == "column" else y)
    said = (model.eval()(X).detach().sigmoid().double() >= 0.5).int()[:, 0]
    assert result.metrics["macro_f1"] == pytest.approx(metrics.f1_score(y, said, zero_division=0), abs=1e-12)


def test_regression_has_its_mean_absolute_error():
    model, y = net(1), X.sum(1)
    result = found(model, y)
    said = model.eval()(X).detach()[:, 0]
    assert result.metrics["mean_absolute_error"] == pytest.approx(
        metrics.mean_absolute_error(y, said), rel=1e-6
    )
    assert result.loss == pytest.approx(metrics.mean_squared_error(y, said), rel=1e-6)
    assert result.scores is None


def test_one_hot_targets_are_classes():
    model, y = net(3), torch.arange(103) % 3
    hot = nn.functional.one_hot(y, 3)
    assert found(model, hot).metrics == found(model, y).metrics


def test_labels_that_the_loss_ignores_count_nowhere():
    model, y = net(3), torch.arange(103) % 3
    masked = y.clone()
    masked[50:] = -100
    result = found(model, masked, size=103)
    logits = model.eval()(X[:50]).detach()
    assert result.metrics["accuracy"] == metrics.accuracy_score(y[:50], logits.argmax(1))
    assert result.scores.positives.sum() == 50
    assert result.loss == pytest.approx(nn.functional.cross_entropy(logits, y[:50]).item(), rel=1e-6)


def test_smoothed_labels_have_a_loss_and_no_scores():
    y = torch.full((103, 2), 0.9)
    result = found(net(2), y, task="multilabel")
    assert (result.scores, result.metrics) == (None, {})
    assert np.isfinite(result.loss)


def test_a_class_for_each_pixel_has_a_loss_and_no_scores():
    model = nn.Sequential(net(12), nn.Unflatten(1, (3, 4)))
    result = found(model, (torch.arange(103 * 4) % 3).reshape(103, 4))
    assert (result.scores, result.metrics) == (None, {})


def test_a_last_batch_of_one_that_the_model_squeezes_is_one_sample():
    class Squeezed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net(1)

        def forward(self, x):
            return self.net(x).squeeze()

    y = (torch.arange(103) % 2).float()
    assert found(Squeezed(), y, size=34).samples == 103


def test_a_summed_loss_is_judged_batch_by_batch():
    model, y = net(1), X.sum(1, keepdim=True)
    result = found(model, y, loss=nn.MSELoss(reduction="sum"), size=103)
    assert result.loss == pytest.approx(
        nn.functional.mse_loss(model.eval()(X), y, reduction="sum").item(), rel=1e-5
    )


def test_a_custom_step_is_its_own_loss():
    model, y = net(1), X.sum(1, keepdim=True)
    result = found(
        model, y, step=lambda m, batch: {"a": (m(batch[0]) - batch[1]).abs().mean(), "b": torch.tensor(1.0)}
    )
    assert result.loss == pytest.approx((model.eval()(X) - y).abs().mean().item() + 1, rel=1e-5)
    assert (result.scores, result.metrics) == (None, {})


def test_a_custom_step_may_need_derivatives_of_the_output():
    def step(model, batch):
        x = batch[0].clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return slope.square().mean()

    assert found(net(1), X.sum(1), step=step).loss > 0


def test_a_custom_step_that_is_broken_raises_its_own_error():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        found(net(1), X.sum(1), step=lambda model, batch: model(batch[0][:, :2]).mean())


def test_model_random_numbers_and_gradients_stay_as_they_are():
    model = net(3)
    model[1].eval()
    flags = [module.training for module in model.modules()]
    model(X).sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random_before = torch.get_rng_state()
    task = infer_task(torch.arange(103) % 3, model(X[:4]))
    torch.set_rng_state(random_before)
    loader = LoaderBatches(DataLoader(TensorDataset(X, torch.arange(103) % 3), 10, shuffle=True))
    evaluate(Objective(model, task, CPU), loader, 10)
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(p.grad, kept) for p, kept in zip(model.parameters(), gradients))
    assert all(
        torch.equal(model.state_dict()[name], value)
        for name, value in before.items()
        if "num_batches" not in name
    )
    assert torch.equal(torch.get_rng_state(), random_before)


def test_output_that_is_not_finite_is_said_with_the_first_sample():
    model = net(2)
    bad = X.clone()
    bad[17] = float("nan")
    source = IndexedBatches(Rows(bad, torch.arange(103) % 2), 16, seed=0, shuffle=False)
    with pytest.raises(
        ValueError, match="NaN or infinite for 1 of 103 validation samples, the first is sample 17"
    ):
        found(model, torch.arange(103) % 2, source=source)


def test_data_without_samples_is_an_error():
    class Nothing(IndexedBatches):
        def sweep(self, batch_size):
            return iter(())

    with pytest.raises(ValueError, match="The validation data gave no samples"):
        found(net(2), torch.arange(103) % 2, source=Nothing(Rows(X, X), 4, seed=0))
