"""Evaluation by the clock, and on a part of the validation data that is always the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
)

from dlwidgets.core.base.history import History
from dlwidgets.session import Session
from tests.core.export.script_runs import differing, run_alone

RANDOM = torch.Generator().manual_seed(0)
X = torch.randn(120, 6, generator=RANDOM)
Y = (X @ torch.randn(6, 3, generator=RANDOM)).argmax(1)


def session(valid=(X, Y), **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    return Session(model, (X, Y), valid, **{"batch_size": 20, "epochs": 3, **options})


def weights(made):
    return [parameter.detach().clone() for parameter in made.model.parameters()]


@pytest.fixture
def slow(monkeypatch):
    """Let each step take ten seconds by the history's clock."""
    plain = History.step

    def step(self, **values):
        plain(self, **{**values, "seconds": 10.0})

    monkeypatch.setattr(History, "step", step)


# -- by the clock


def evaluated(made):
    return [row["step"] for row in made.record.evaluations]


@pytest.mark.parametrize(
    ("every", "read", "steps"),
    [
        ("30 s", "30 s", [3, 6, 9, 12, 15, 18]), ("1 min", "60 s", [6, 12, 18]),
        ("5s", "5 s", [*range(1, 19)]),
        ("0.01 h", "36 s", [4, 8, 12, 16]), (" 50000 ms ", "50 s", [5, 10, 15]),
    ],
)  # fmt: skip
def test_it_is_evaluated_after_so_many_seconds_of_steps(slow, every, read, steps):
    made = session(evaluate_every=every).fit()
    assert made.evaluate_every == read
    assert evaluated(made) == steps


@pytest.mark.parametrize("every", ["30", "30 x", "0 s", "-1 s", "s", "1e3 s", "s 30", "epoch s", 30.0])
def test_a_time_without_a_unit_or_without_a_length_is_refused(every):
    with pytest.raises(ValueError, match="a time with its unit"):
        session(evaluate_every=every)


def test_an_evaluation_in_between_begins_the_time_anew(slow):
    made = session(evaluate_every="40 s")
    made.step(2)
    made.evaluate()
    made.step(5)
    assert evaluated(made) == [2, 6]


def test_after_going_back_the_time_counts_from_the_last_evaluation_of_that_line(slow):
    made = session(evaluate_every="40 s")
    made.step(9)
    made.rewind(6)
    made.step(4)
    assert evaluated(made) == [4, 8]
    assert made.line != "main"


def test_it_leaves_no_trace_in_the_training(slow):
    one, other = session(evaluate_every="30 s").fit(), session(evaluate_every=None).fit()
    assert all(map(torch.equal, weights(one), weights(other)))


def test_progress_reckons_with_the_evaluations_that_the_clock_will_bring(slow):
    made = session(evaluate_every="30 s")
    made.step(6)
    made._run.loop.evaluation_cost = 5.0
    assert made.progress()["left"] == pytest.approx(12 * 10 + 4 * 5.0)


@pytest.mark.parametrize(
    "options", [{"schedule": ("plateau", {"patience": 0})}, {"early_stopping": ("accuracy", 3)}]
)
def test_what_goes_by_the_clock_is_said(slow, options):
    made = session(evaluate_every="30 s", **options)
    made.step(3)
    assert any("the clock times" in note for note in made.notes)
    plain = session(evaluate_every=3, **options)
    plain.step(3)
    assert not any("the clock" in note for note in plain.notes)


#: What judges by evaluations, which the clock times.
JUDGES = (
    {"schedule": ("plateau", {"patience": 0, "factor": 0.5, "metric": "accuracy"})},
    {"early_stopping": ("accuracy", 2, 0.0, True)},
    {"schedule": ("plateau", {"patience": 0, "factor": 0.3}), "evaluate_samples": 40},
)


@pytest.mark.slow
def test_a_script_makes_them_at_the_steps_where_they_fell(slow, tmp_path):
    runs = [session(evaluate_every="30 s", lr=0.5, epochs=6, **options).fit() for options in JUDGES]
    paths = [made.to_script(tmp_path / f"{number}.py") for number, made in enumerate(runs)]
    assert run_alone(paths, tmp_path) == {}
    for made, path in zip(runs, paths):
        assert differing(made, path.with_suffix(".weights.pt")) == []


# -- on a part


def test_a_part_is_drawn_once_and_said():
    made = session(evaluate_samples=30).fit()
    found = made.evaluation
    assert (found.samples, found.of) == (30, 120)
    assert "30 of 120 validation samples" in found.note and found.note in made.notes
    numbers = [int(n) for n in made.scores.sample_ids]
    assert numbers == sorted(set(numbers)) and len(numbers) == 30
    assert numbers != list(range(30))
    again = session(evaluate_samples=30).fit()
    assert [int(n) for n in again.scores.sample_ids] == numbers
    assert [int(n) for n in session(evaluate_samples=30, seed=1).fit().scores.sample_ids] != numbers


def test_what_is_found_is_that_of_these_rows():
    made = session(evaluate_samples=30).fit()
    rows = [int(n) for n in made.scores.sample_ids]
    assert made.evaluation.metrics["accuracy"] == metrics.accuracy_score(Y[rows], made.predict(X[rows]))
    np.testing.assert_allclose(made.scores.y_score, made.predict_scores(X[rows]).numpy(), rtol=1e-6)
    with torch.no_grad():
        loss = nn.functional.cross_entropy(made.model.eval()(X[rows]), Y[rows]).item()
    assert made.evaluation.loss == pytest.approx(loss, rel=1e-5)
    assert made.past_scores[-1].samples == 30


def test_a_smaller_part_lies_in_a_larger_one():
    made = session(evaluate_samples=50)
    large = {int(n) for n in made.evaluate().scores.sample_ids}
    made.evaluate_samples = 20
    assert {int(n) for n in made.evaluate().scores.sample_ids} < large


@pytest.mark.parametrize("count", [None, 120, 500])
def test_all_are_evaluated_where_there_are_no_more(count):
    found = session(evaluate_samples=count).evaluate()
    assert (found.samples, found.of, found.note) == (120, 120, "")
    assert found.scores.sample_ids is None


def test_a_part_leaves_no_trace_in_the_training():
    one, other = session(evaluate_samples=7).fit(), session(valid=None).fit()
    assert all(map(torch.equal, weights(one), weights(other)))


class Numbered(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i] + 0 * torch.rand(1), Y[i]


SOURCES = {
    "a Dataset": Numbered(), "a loader": DataLoader(Numbered(), 16),
    "a shuffled loader": DataLoader(TensorDataset(X, Y), 16, shuffle=True),
    "a loader of a subset": DataLoader(
        TensorDataset(X, Y), 16, sampler=SubsetRandomSampler(range(0, 120, 2))
    ),
    "a loader with workers": DataLoader(Numbered(), 16, num_workers=1),
}


@pytest.mark.parametrize("name", SOURCES)
def test_samples_of_datasets_and_loaders_have_their_row_numbers(name):
    made = session(valid=SOURCES[name], evaluate_samples=25)
    found = made.evaluate()
    rows = [int(n) for n in found.scores.sample_ids]
    assert (found.samples, found.of, len(set(rows))) == (25, 60 if "subset" in name else 120, 25)
    assert "subset" not in name or not any(row % 2 for row in rows)
    np.testing.assert_array_equal(found.scores.y_true.argmax(1), Y[rows].numpy())
    assert made.evaluate().scores.sample_ids.tolist() == rows


def test_a_loaders_own_generator_is_left_alone():
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(TensorDataset(X, Y), 16, shuffle=True, generator=generator)
    made = session(valid=loader, evaluate_samples=25)
    before = generator.get_state()
    made.evaluate()
    assert torch.equal(generator.get_state(), before)


class Endless(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y))


@pytest.mark.parametrize(
    "valid",
    [[*zip(X.split(16), Y.split(16))], Endless(), DataLoader(Endless(), 16),
     DataLoader(TensorDataset(X, Y), 16, sampler=RandomSampler(range(120), replacement=True))],
)  # fmt: skip
def test_what_has_no_numbers_is_evaluated_on_its_first_samples(valid):
    found = session(valid=valid, evaluate_samples=25).evaluate()
    assert found.samples == 25 and found.scores.sample_ids is None
    assert "the first 25" in found.note
    if not isinstance(valid, DataLoader) or isinstance(valid.dataset, Endless):
        np.testing.assert_array_equal(found.scores.y_true.argmax(1), Y[:25].numpy())


def test_a_stream_that_is_shorter_than_that_is_evaluated_whole():
    found = session(valid=Endless(), evaluate_samples=5000).evaluate()
    assert (found.samples, found.of, found.note) == (120, 120, "")


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "all"])
def test_a_part_that_is_no_number_of_samples_is_refused(wrong):
    with pytest.raises(ValueError, match="evaluate_samples"):
        session(evaluate_samples=wrong)


def test_a_model_that_puts_out_nan_names_the_row():
    inputs = X.clone()
    made = session(valid=(inputs, Y), evaluate_samples=30)
    row = int(made.evaluate().scores.sample_ids[4])
    inputs[row] = float("nan")
    with pytest.raises(ValueError, match=rf"1 of 30 validation samples, the first is sample {row}:"):
        made.evaluate()


@pytest.mark.parametrize("targets", [Y, nn.functional.one_hot(Y, 3).float(), X[:, :3]])
def test_nothing_is_read_from_the_device_before_the_last_batch(monkeypatch, targets):
    torch.manual_seed(0)
    model, seen = nn.Linear(6, 3), []
    made = Session(model, (X, targets), [*zip(X.split(16), targets.split(16))])
    made.evaluate()
    model.register_forward_hook(lambda *_: seen.append("forward"))
    for name in ("cpu", "item", "tolist", "numpy", "__float__", "__int__", "__bool__"):
        plain = getattr(torch.Tensor, name)
        noted = lambda *g, n=name, plain=plain, **k: (seen.append(n), plain(*g, **k))[1]  # noqa: E731
        monkeypatch.setattr(torch.Tensor, name, noted)
    made.evaluate()
    places = [place for place, what in enumerate(seen) if what == "forward"]
    assert len(places) == 8 and places[-1] - places[0] == 7
    assert len(seen) > places[-1] + 1
