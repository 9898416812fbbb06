"""Statistics of inputs and targets, held against numpy; the look at the first batch, which leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from dlwidgets import Session
from dlwidgets.core.data.task import Task
from dlwidgets.core.doctor.data_facts import EntranceProbe, measure_array, measure_targets


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_columns_of_a_table_have_numpys_statistics(shift):
    X = numbers(500, 6) * torch.arange(1, 7) + shift
    found, table = measure_array(X), X.double().numpy()
    assert np.allclose(found.means, table.mean(0), rtol=1e-5, atol=1e-5)
    assert np.allclose(found.deviations, table.std(0), rtol=1e-3)
    assert np.allclose((found.mean, found.deviation), (table.mean(), table.std()), rtol=1e-4)
    assert (found.lows == table.min(0)).all() and (found.highs == table.max(0)).all()


def test_pictures_have_statistics_of_each_channel():
    X = numbers(40, 3, 8, 8) * torch.tensor([1.0, 2.0, 5.0])[:, None, None]
    found = measure_array(X)
    assert np.allclose(found.deviations, X.double().numpy().std((0, 2, 3)), rtol=1e-4)


def test_of_many_samples_some_are_looked_at_spread_over_all():
    X = torch.arange(100_000.0)[:, None]
    found = measure_array(X)
    assert found.samples <= 2048
    assert found.mean == pytest.approx(50_000, rel=0.01)


def test_samples_that_are_not_finite_are_counted_and_left_out_of_the_rest():
    X = numbers(100, 4)
    X[[17, 40], 2] = float("nan")
    found = measure_array(X)
    assert (found.bad, found.first_bad) == (2, 17)
    assert np.isfinite(found.means).all()


def test_constant_columns_and_whole_numbers_are_seen():
    X = torch.randint(0, 9, (50, 3)).float()
    X[:, 1] = 4
    assert measure_array(X).fixed == (1,)
    assert measure_array(X).whole
    assert not measure_array(X + 0.5).whole
    assert measure_array(X[:1].expand(50, 3)).same


def test_classes_are_counted_and_those_left_out_by_the_loss_are_not():
    y = torch.tensor([0, 1, 1, 3, -100, -1])
    found = measure_targets(y, Task("multiclass", nn.CrossEntropyLoss(), "", outputs=5))
    assert found.counts.tolist() == [1, 2, 0, 1, 0]
    assert found.known == pytest.approx(4 / 6)


def test_labels_in_columns_are_counted_and_rows_with_one_each_are_seen():
    y = torch.eye(4)[torch.tensor([0, 1, 1, 3])]
    task = Task("multilabel", nn.BCEWithLogitsLoss(), "", outputs=4)
    assert measure_targets(y, task).counts.tolist() == [1, 2, 0, 1]
    assert measure_targets(y, task).one_each
    y[0, 1] = 1
    assert not measure_targets(y, task).one_each


def test_what_enters_the_first_weights_is_measured_and_no_hook_stays():
    class Divided(nn.Sequential):
        def forward(self, x):
            return super().forward(x / 255)

    model = Divided(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    X = torch.randint(0, 256, (8, 3, 6, 6)).float()
    model(X)
    probe = EntranceProbe(model)
    probe.hang()
    model(X)
    assert (probe.found.layer, probe.found.channels) == ("0", 3)
    assert probe.found.values.mean == pytest.approx(float(X.mean()) / 255, rel=1e-4)
    assert not any(module._forward_pre_hooks for module in model.modules())


class Counted(Dataset):
    """Counts how often its samples are read."""

    def __init__(self) -> None:
        self.X, self.y, self.reads = numbers(64, 8), torch.arange(64) % 3, 0

    def __len__(self):
        return 64

    def __getitem__(self, row):
        self.reads += 1
        return self.X[row] + torch.rand(8), self.y[row]


def plain_weights(dataset: Dataset) -> torch.Tensor:
    torch.manual_seed(0)
    model, loader = nn.Linear(8, 3), DataLoader(dataset, 16, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    torch.manual_seed(0)
    for X, y in loader:
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(X), y).backward()
        optimizer.step()
    return model.weight


def test_a_persons_dataset_is_not_read_a_second_time_and_the_steps_stay_those_of_a_plain_loop():
    dataset = Counted()
    torch.manual_seed(0)
    session = Session(nn.Linear(8, 3), DataLoader(dataset, 16, shuffle=True), lr=0.1, optimizer="sgd", seed=0)
    before = dataset.reads
    session.step(4)
    assert dataset.reads - before == 64
    assert torch.equal(session.model.weight, plain_weights(Counted()))
    facts = session._run.attendant.data
    assert (facts.train.whole, facts.train.samples, facts.entrance.layer) == (False, 16, "")


def test_data_in_memory_is_looked_at_when_a_run_begins():
    session = Session(nn.Linear(8, 3), TensorDataset(numbers(64, 8), torch.arange(64) % 3), valid=0.25)
    session.step()
    facts = session._run.attendant.data
    assert facts.train.targets.counts.sum() == 48
    assert facts.valid.samples == 16
    assert facts.repeats.count == 0
