"""Runs on disk: each is its own, is all there when a call returns, and comes back with all that was set."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from dlwidgets.core.controls.steering import CONTROLS
from dlwidgets.core.training.run import _end_all
from dlwidgets.core.training.snapshots.checkpoints import find_runs
from dlwidgets.session import Session

X = torch.randn(48, 8, generator=torch.Generator().manual_seed(1))
Y = torch.arange(48) % 3


def net():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 3))


def session(folder=None, **more):
    return Session(net(), (X, Y), (X, Y), **{"batch_size": 16, "epochs": 3, "checkpoint_dir": folder, **more})


def again(folder, **more):
    return Session.from_checkpoint(folder, net(), (X, Y), (X, Y), **{"batch_size": 16, "epochs": 3, **more})


def steps_in(folder):
    return {run: [int(place.name[5:13]) for place in places] for run, places in find_runs(folder).items()}


def test_a_new_run_leaves_those_of_others_and_says_whose_are_there(tmp_path):
    first = session(tmp_path)
    first.step(9).save_checkpoint().close()
    (run,) = find_runs(tmp_path)
    second = session(tmp_path)
    said = [note for note in second.notes if "holds checkpoints" in note]
    assert len(said) == 1 and f"step 9 (run={run!r}" in said[0] and "from_checkpoint(" in said[0]
    for _ in range(4):
        second.step(1).save_checkpoint()
    assert sorted(steps_in(tmp_path).values()) == [[4, 3], [9]]
    newest, older = again(tmp_path), again(tmp_path, run=run)
    assert (newest.steps, older.steps) == (4, 9)
    assert any(f"run={run!r}" in note for note in newest.notes)
    assert all(torch.equal(*pair) for pair in zip(older.model.parameters(), first.model.parameters()))
    with pytest.raises(ValueError, match=r"no run 'x' in .*: there are step 4"):
        again(tmp_path, run="x")


def test_two_runs_at_the_same_step_are_two(tmp_path):
    one, other = session(tmp_path), session(tmp_path, lr=0.1)
    for made in (one, other):
        made.step(2).save_checkpoint()
    found = [again(tmp_path, run=run).model[0].weight for run in find_runs(tmp_path)]
    wanted = [made.model[0].weight for made in (other, one)]
    assert all(map(torch.equal, found, wanted))


def test_who_goes_on_from_a_checkpoint_tidies_its_own_run_and_no_second_one_who_does(tmp_path):
    session(tmp_path).step(2).save_checkpoint().close()
    one, other = again(tmp_path), again(tmp_path)
    for _ in range(3):
        one.step(1).save_checkpoint()
    assert list(steps_in(tmp_path).values()) == [[5, 4]]
    other.step(1).save_checkpoint()
    assert sorted(steps_in(tmp_path).values()) == [[3], [5, 4]]
    assert any("Somebody else goes on with this run" in note for note in other.notes)


@pytest.mark.parametrize("end", ["fit", "stop", "close", "done", "pause"])
def test_the_last_state_is_on_disk_when_a_call_returns(end):
    with tempfile.TemporaryDirectory() as folder:
        made = session(folder, epochs=3 if end in ("fit", "done") else 100_000)
        if end == "fit":
            made.fit()
        else:
            made.start()
            while end != "done" and made.steps < 5:
                time.sleep(0.001)
            asyncio.run(made.done()) if end == "done" else getattr(made, end)()
        there = steps_in_folder(folder)
        assert made.steps in there
        again(folder, epochs=3 if end in ("fit", "done") else 100_000).close()
    made.close()


def steps_in_folder(folder):
    return [step for steps in steps_in(Path(folder)).values() for step in steps]


@pytest.mark.slow
def test_the_end_of_the_interpreter_writes_the_last_step(tmp_path):
    code = f"""
import torch, dlwidgets as dlw
made = dlw.Session(torch.nn.Linear(8, 3), (torch.randn(48, 8), torch.arange(48) % 3), checkpoint_dir={str(tmp_path)!r})
for _ in range(7):
    made.step(1)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert steps_in_folder(tmp_path)[0] == 7


def test_an_interpreter_that_starts_no_thread_any_more_writes_it_too(tmp_path, monkeypatch):
    made = session(tmp_path)
    for _ in range(3):
        made.step(1)
    made._run.autosave.checkpoints.wait()
    assert steps_in_folder(tmp_path)[0] < 3

    def ended(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", ended)
    _end_all()
    assert steps_in_folder(tmp_path)[0] == 3


def test_orders_after_the_end_are_no_error(tmp_path):
    made = session(tmp_path).fit()
    made.close()
    made.stop().pause()
    made.close()


#: What each control is set to while it trains; a control that is new here needs an entry.
SET = {
    "optimizer": ("sgd", {"momentum": 0.9, "nesterov": True}), "lr": 0.03, "schedule": ("cosine", {"warmup": 2}),
    "momentum": 0.5, "betas": (0.8, 0.9), "weight_decay": 0.2, "batch_size": 8, "clip": ("value", 0.5),
    "trainable": {"0": False}, "dropout": 0.4, "label_smoothing": 0.1, "normalise": "unit", "epochs": 7,
    "evaluate_every": 2, "evaluate_samples": 20, "accumulate": 2, "ema": 0.9, "precision": "bf16",
    "early_stopping": {"metric": "accuracy", "patience": 7, "restore": True}, "threads": 2,
    "thresholds": [0.1, 0.2, 0.3], "reinitialise": "0", "on_divergence": "rewind",
    "loss_function": "MultiMarginLoss", "head": 5, "input_scaling": "standardize",
    "lr_scale": {"0": 0.3}, "unfreeze_at": {"0": 4}, "loss_weights": {"size": 0.5}, "iou_threshold": 0.6,
}  # fmt: skip


def two_losses(model, batch):
    output = model(batch[0])
    return {"class": nn.functional.cross_entropy(output, batch[1]), "size": output.pow(2).mean()}


def made_with(name):
    options = {"momentum": {"optimizer": "sgd"}, "loss_weights": {"training_step": two_losses}}
    return options.get(name, {})


@pytest.mark.parametrize("steps", [1, 0], ids=["in force", "wished for"])
@pytest.mark.parametrize("name", [control.name for control in CONTROLS])
def test_what_was_set_live_comes_back(tmp_path, name, steps):
    made = session(tmp_path, **made_with(name))
    made.step(2)
    setattr(made, name, SET[name])
    for _ in range(steps):
        made.step(1)
    assert not made.rejected
    made.save_checkpoint()
    other = again(tmp_path, **made_with(name))
    assert not other.rejected and other._asked_for(name) == made._asked_for(name)
    assert not [note for note in other.notes if "checkpoint" in note or "Given anew" in note]
    for one in (made, other):
        one.step(3)
    assert other._run.steering.in_force() == made._run.steering.in_force()
    assert other._asked_for(name) == made._asked_for(name)
    assert all(map(torch.equal, other.model.state_dict().values(), made.model.state_dict().values()))


@pytest.mark.parametrize("name", ["momentum", "weight_decay"])
def test_the_optimizers_own_numbers_are_known_after_a_restart(tmp_path, name):
    options = {"optimizer": ("sgd", {"momentum": 0.9, "weight_decay": 0.1})}
    made = session(tmp_path, **options)
    made.step(1)
    setattr(made, name, 0.5)
    made.step(1)
    made.save_checkpoint()
    other = again(tmp_path, **options)
    setattr(other, name, None)
    other.step(1)
    assert other.applied[name] == options["optimizer"][1][name]


@pytest.mark.parametrize(("name", "value"), [("selected_layer", "0"), ("selected_sample", 3)])
def test_what_is_looked_at_comes_back(tmp_path, name, value):
    made = session(tmp_path)
    made.step(2)
    setattr(made, name, value)
    made.save_checkpoint()
    assert getattr(again(tmp_path), name) == value


def test_an_argument_that_is_another_than_then_is_wished_for(tmp_path):
    made = session(tmp_path, lr=0.1, clip=1.0)
    made.step(2)
    made.lr, made.clip = 0.2, 2.0
    made.step(1)
    made.save_checkpoint()
    other = again(tmp_path, lr=0.05, clip=1.0)
    assert (other.lr, other.clip, other.applied["lr"]) == (0.05, ("norm", 2.0), 0.2)
    assert any("Given anew, and so from here on: lr." in note for note in other.notes)
    other.step(1).save_checkpoint()
    assert other.applied["lr"] == 0.05
    # Given once more, it is what the run was gone on with.
    assert again(tmp_path, lr=0.05, clip=1.0).lr == 0.05


def test_another_optimizer_than_then_takes_over_from_the_one_of_then(tmp_path):
    session(tmp_path).step(2).save_checkpoint()
    other = again(tmp_path, optimizer=("sgd", {"momentum": 0.9}))
    other.step(1)
    assert type(other._run.loop.optimizer) is torch.optim.SGD
    assert other.ledger().name.tolist() == ["optimizer"]


def test_an_optimizer_set_live_that_no_file_can_hold_is_said(tmp_path):
    class Own(torch.optim.SGD):
        pass

    made = session(tmp_path)
    made.step(1)
    made.optimizer = Own
    made.step(1)
    made.save_checkpoint()
    with pytest.raises(ValueError, match="the optimizer was Own and is AdamW now: pass optimizer=Own"):
        again(tmp_path)
    assert type(again(tmp_path, optimizer=Own)._run.loop.optimizer) is Own


@pytest.mark.parametrize("go_on", ["resume", "start", "fit"])
def test_a_finished_run_stays_finished_and_says_how_to_train_more(tmp_path, go_on):
    made = session(tmp_path).fit()
    made.close()
    other = again(tmp_path)
    assert (other.status, other.steps) == ("done", 9)
    with pytest.warns(UserWarning, match=r"The run is done, after 9 steps.*fit\(3\)"):
        getattr(other, go_on)()
    assert (other.status, other.steps) == ("done", 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.fit(2)
    assert other.steps == 15


def test_more_epochs_than_then_are_what_is_missing(tmp_path):
    session(tmp_path).fit().close()
    other = again(tmp_path, epochs=5)
    assert other.status == "paused"
    other.fit()
    assert (other.status, other.steps) == ("done", 15)
    whole = session(epochs=5).fit()
    assert all(map(torch.equal, other.model.parameters(), whole.model.parameters()))


def test_a_run_that_was_closed_on_the_way_is_gone_on_with_to_its_end(tmp_path):
    made = session(tmp_path)
    reached = threading.Event()
    made.observe(lambda change: (made.pause(wait=False), reached.set()), names="evaluation")
    made.start()
    assert reached.wait(60)
    made.close()
    other = again(tmp_path).fit()
    assert (other.status, other.steps) == ("done", 9)
