"""The learning-rate finder: its suggestions by their definition, and that it leaves no trace at all."""

from __future__ import annotations

from _thread import interrupt_main

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from dlwidgets import Session
from dlwidgets.core.base.state import same_state
from dlwidgets.core.doctor.rate_finder import RateSearch, find_fall, smooth, suggest_rates

X = torch.randn(200, 8, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()


class Noisy(Dataset):
    """Draws random numbers for each sample, as an augmentation does."""

    def __len__(self):
        return len(X)

    def __getitem__(self, number):
        return X[number] + 0.1 * torch.rand(8) + np.random.rand(), Y[number]


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))


def session(**options):
    options = {"batch_size": 32, "epochs": 3, "valid": (X[:50], Y[:50]), **options}
    return Session(options.pop("model", None) or net(), options.pop("train", (X, Y)), options.pop("valid"), **options)


def states(made):
    """Return the state of all parts, but for what a stream tells the last batch by, in case it is read again."""

    def read():
        return made.timeline._copier({name: part.state() for name, part in made._run.parts.items()})

    found = made._run.result(read)
    found["data"] = {name: one for name, one in found["data"].items() if name not in ("last", "batch")}
    return found


def told(made):
    # The norm is measured as time allows.
    names = ("status", "steps", "epoch", "loss", "line", "lr", "branches", "error", "trials", "notes")
    history = made.history().drop(columns=["seconds", "grad_norm"]).to_csv()
    return history, {name: getattr(made, name) for name in names}, len(made.ledger()), [o.key for o in made.findings]


KINDS = {
    "plain": {},
    "momentum": {"optimizer": ("sgd", {"momentum": 0.9})},
    "one-cycle": {"optimizer": "adamw", "schedule": "one-cycle"},
    "plateau": {"optimizer": "sgd", "schedule": ("plateau", {"metric": "loss", "patience": 1})},
    "average": {"ema": 0.9, "early_stopping": ("valid_loss", 2)},
    "accumulated": {"accumulate": 3, "clip": 0.5},
    "half": {"precision": "bf16"},
    "normalised": {"normalise": "weight_norm"},
    "frozen": {"trainable": {"0": False}},
    "drawn": {"train": Noisy()},
    "batches": {"train": [(X[i : i + 32], Y[i : i + 32]) for i in range(0, 200, 32)]},
}


@pytest.mark.parametrize(("kind", "steps"), [("plain", 0), ("plain", 7), ("one-cycle", 0), *((k, 4) for k in KINDS)])
def test_nothing_is_changed_by_it_bit_for_bit(kind, steps):
    """Seven steps are an epoch, and the search goes on over several."""
    made, twin = session(**KINDS[kind]), session(**KINDS[kind])
    for one in (made, twin):
        one.step(steps) if steps else None
    found = made.find_lr(steps=20)
    assert len(found.rates) > 5
    assert same_state(states(made), states(twin))
    for one in (made, twin):
        one.fit(progress=False)
    assert same_state(states(made), states(twin))
    assert told(made) == told(twin)


def test_a_loader_goes_on_where_it_was():
    def loader():
        return DataLoader(Noisy(), 32, shuffle=True, generator=torch.Generator().manual_seed(3))

    made, twin = session(train=loader()), session(train=loader())
    made.step(3), twin.step(3)
    made.find_lr(steps=15)
    assert same_state(states(made.fit(progress=False)), states(twin.fit(progress=False)))


def test_a_step_that_failed_is_left_out_with_the_same_random_numbers():
    results = []
    for search in (False, True):
        made = session(train=Noisy())
        made.model.register_forward_pre_hook(broken := Broken())
        broken.on = False
        made.step(3)
        broken.on = True
        with pytest.raises(RuntimeError, match="broken"):
            made.step(1)
        broken.on = False
        if search:
            made.find_lr(steps=10)
        made.skip()
        results.append(states(made.fit(progress=False)))
    assert same_state(*results)


def test_an_interrupt_ends_it_and_all_is_as_before():
    made, twin = session(), session()
    made.step(3), twin.step(3)
    made.observe(lambda change: change["new"] and change["new"][0].taken > 2 and interrupt_main(), "trials")
    with pytest.raises(KeyboardInterrupt):
        made.find_lr(steps=100_000)
    assert same_state(states(made), states(twin)) and made.status == "paused"


@pytest.mark.parametrize("end", ["done", "failed", "stopped"])
def test_an_ended_run_is_still_ended(end):
    made = session(epochs=1)
    made.fit(progress=False) if end == "done" else made.step(2)
    if end == "stopped":
        made.stop()
    if end == "failed":
        made.model.register_forward_pre_hook(broken := Broken())  # as a machine that has no memory left
        with pytest.raises(RuntimeError, match="broken"):
            made.step(1)
        broken.on = False
    error = made.error
    made.find_lr(steps=10)
    assert (made.status, made.error) == (end, error)


class Broken:
    on = True

    def __call__(self, module, inputs):
        if self.on:
            raise RuntimeError("broken")


def test_a_run_that_goes_goes_on_after_it():
    made, twin = session(epochs=15), session(epochs=15)
    made.start()
    while made.steps < 5:
        pass
    found = made.find_lr(steps=20)
    made.wait()
    assert made.status == "done" and made.steps == 15 * 7 and 5 <= found.step <= 105
    assert same_state(states(made), states(twin.fit(progress=False)))


def test_the_steps_are_those_of_a_plain_loop_with_that_rate():
    made = session(optimizer="sgd", model=nn.Sequential(nn.Linear(8, 3)), lr=0.1)
    model = nn.Sequential(nn.Linear(8, 3))
    model.load_state_dict(made.model.state_dict())
    found = made.find_lr(1e-3, 1.0, steps=7)
    losses, optimizer = [], torch.optim.SGD(model.parameters(), 0.1)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0)).split(32)
    for rate, rows in zip(np.geomspace(1e-3, 1.0, 7), order):
        optimizer.param_groups[0]["lr"] = float(rate)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X[rows]), Y[rows])
        loss.backward(), optimizer.step()
        losses.append(loss.item())
    assert found.losses.tolist() == losses


def test_groups_keep_their_ratios():
    model, rates = net(), []
    groups = [{"params": [*model[0].parameters()], "lr": 0.1}, {"params": [*model[4].parameters()], "lr": 0.01}]
    made = session(model=model, optimizer=torch.optim.SGD(groups, 0.1))
    model.register_forward_pre_hook(lambda *_: rates.append([g["lr"] for g in made.optimizer.param_groups]))
    made.find_lr(1e-3, 1.0, steps=7)
    assert np.allclose([first / second for first, second in rates], 10)


def test_it_stops_where_the_loss_explodes_and_takes_no_step_after_a_number_that_is_not_finite():
    made = session(optimizer="sgd", model=nn.Sequential(nn.Linear(8, 64), nn.Linear(64, 64), nn.Linear(64, 3)))
    found = made.find_lr(1e-3, 1e8, steps=60)
    assert len(found.rates) < 60 and np.isfinite(found.losses).all()
    assert "times its least" in found.note or "no longer finite" in found.note


def test_a_pause_ends_it_and_all_is_as_before():
    made, twin = session(), session()
    made.step(3), twin.step(3)
    made.observe(lambda change: change["new"] and change["new"][0].taken > 2 and made.pause(wait=False), "trials")
    found = made.find_lr(steps=100_000)
    assert len(found.rates) < 100_000 and "An order ended it" in found.note
    assert same_state(states(made), states(twin)) and (made.status, made.trials) == ("paused", ())


def test_while_it_goes_the_session_is_trying_and_stays_where_it_was(monkeypatch):
    monkeypatch.setattr("dlwidgets.core.training.run.PULSE", 0.0)
    made, seen = session(), []
    made.step(3)
    made.observe(lambda change: seen.append((made.status, made.steps, len(made.record))), "trials")
    made.find_lr(steps=10)
    assert seen[0] == ("paused", 3, 3) and ("trying", 3, 3) in seen[1:]


def test_what_it_found_is_a_fact_and_a_suggestion_can_be_taken():
    made = session(lr=1e-5)
    found = made.find_lr(steps=60)
    assert made.rate_search is found and list(found.suggestions) == ["valley", "steepest", "minimum_tenth"]
    assert found.take("valley") == made.lr == found.suggestions["valley"]
    made.step(1)
    assert (made.line_changes[-1].name, made.line_changes[-1].by) == ("lr", "doctor")
    assert found.take(0.02) == made.lr == 0.02
    with pytest.raises(ValueError, match="Did you mean 'valley'"):
        found.take("vally")


def test_it_can_be_read_as_a_frame_and_seen_as_a_figure():
    found = session().find_lr(steps=60)
    assert found.frame().columns.tolist() == ["rate", "loss", "smoothed"] and len(found.frame()) == len(found.rates)
    assert len(found.figure().axes[0].lines) == 5


def test_data_that_can_be_read_once_only_is_refused_and_nothing_is_lost():
    made = session(train=((X[i : i + 32], Y[i : i + 32]) for i in range(0, 192, 32)), epochs=1)
    made.step(1)
    with pytest.raises(ValueError, match="There is no way back .* read once only"):
        made.find_lr(steps=3)
    assert made.fit(progress=False).steps == 6


@pytest.mark.parametrize("arguments", [(0, 1), (1, 1e-3), ("x", 1), (1e-3, float("inf")), (1e-3, 1, 1), (1e-3, 1, 2.5)])
def test_what_is_no_range_is_refused_in_a_sentence(arguments):
    with pytest.raises(ValueError, match="find_lr"):
        session().find_lr(*arguments)


def longest_fall(losses):
    """Return the length of the longest falling subsequence, and where the first of them ends: by its definition."""
    lengths = []
    for place, loss in enumerate(losses):
        lengths.append(1 + max((lengths[i] for i in range(place) if losses[i] > loss), default=0))
    return max(lengths), int(np.argmax(lengths))


@pytest.mark.parametrize("seed", range(8))
def test_the_fall_is_the_longest_falling_subsequence(seed):
    losses = np.random.default_rng(seed).normal(size=60).cumsum().round(1)
    length, end = longest_fall(losses)
    assert find_fall(losses) == (max(0, end - length), end)


def test_the_suggestions_of_a_curve_that_is_known():
    rates = np.geomspace(1e-6, 1, 105)
    losses = np.abs(np.log10(rates) + 2) + 1  # falls to its least at 1e-2
    found = suggest_rates(rates, losses)
    assert found["minimum_tenth"] == pytest.approx(1e-3, rel=0.1)
    assert 1e-5 < found["valley"] < 1e-3  # half-way down, on a logarithmic scale
    losses[60] -= 0.5  # a cliff
    assert suggest_rates(rates, losses)["steepest"] == pytest.approx(rates[59])


def test_the_smoothed_loss_is_the_corrected_exponential_average():
    losses, average, expected = np.random.default_rng(0).normal(size=50), 0.0, []
    for number, loss in enumerate(losses, start=1):
        average = 0.98 * average + 0.02 * loss
        expected.append(average / (1 - 0.98**number))
    assert np.allclose(smooth(losses), expected)


def test_where_nothing_falls_nothing_is_suggested():
    found = RateSearch.of(np.geomspace(1e-6, 1, 50), np.linspace(1, 2, 50), note="All.")
    assert found.suggestions == {} and "No rate lowered the loss" in found.note
    with pytest.raises(ValueError, match="there are none"):
        found.take()
