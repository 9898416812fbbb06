"""Failures: a run stops with a sentence, nothing is lost, and once mended it ends as if undisturbed."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from dlwidgets.session import Session

COUNT, EPOCHS = 44, 3
X, Y = torch.randn(COUNT, 6, generator=torch.Generator().manual_seed(0)), torch.arange(COUNT) % 3


class Layer(nn.Module):
    """Draws from all random generators, keeps a buffer, and fails as armed from its `at`-th pass on."""

    def __init__(self):
        super().__init__()
        self.register_buffer("sum", torch.zeros(()))
        self.armed, self.at, self.passed = "", 0, 0

    def forward(self, x):
        if not self.training:
            return x
        self.passed += 1
        self.sum += random.random() + np.random.rand() + torch.rand(())
        if self.passed >= self.at:
            if self.armed == "model":
                raise RuntimeError("the model is broken")
            if self.armed == "nan":
                return x * float("nan")
            if self.armed == "backward":
                x.register_hook(lambda gradient: 1 / 0)
        return x


class Data(Dataset):
    def __init__(self, flag=None):
        self.flag = flag

    def __len__(self):
        return COUNT

    def __getitem__(self, i):
        # A file, so that worker processes see it mended too.
        if i == 17 and self.flag is not None and self.flag.exists():
            raise OSError("sample 17 cannot be read")
        return X[i], Y[i]


class Loss(nn.CrossEntropyLoss):
    armed, at, passed = False, 0, 0

    def forward(self, output, targets):
        if output.requires_grad:
            self.passed += 1
            if self.armed and self.passed >= self.at:
                raise ValueError("the loss is broken")
        return super().forward(output, targets)


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), Layer(), nn.Dropout(0.4), nn.ReLU(), nn.Linear(8, 3)
    )


def loader(flag=None, workers=0):
    return DataLoader(
        Data(flag), 8, shuffle=True, generator=torch.Generator().manual_seed(1), num_workers=workers
    )


def session(train=(X, Y), model=None, **options):
    options = {"valid": (X[:9], Y[:9]), "epochs": EPOCHS, "loss": Loss(), **options}
    if isinstance(train, tuple):
        options["batch_size"] = 8
    return Session(net() if model is None else model, train, options.pop("valid"), **options)


def assert_same(left, right):
    left, right = left.model.state_dict(), right.model.state_dict()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def broken(made, how, at):
    layer, loss = made.model[2], made._run.data.task.loss
    layer.armed, layer.at = how, at
    loss.armed, loss.at = how == "loss", at


def mended(made):
    broken(made, "", 0)


SENTENCES = {
    "model": "RuntimeError: the model is broken",
    "loss": "ValueError: the loss is broken",
    "backward": "ZeroDivisionError: ",
    "nan": "The loss became nan in step {}, which was not taken. ",
}


@pytest.mark.parametrize("how", SENTENCES)
@pytest.mark.parametrize("at", [1, 6, 8])
def test_a_failed_run_keeps_its_state_and_mended_ends_as_if_undisturbed(how, at, capfd):
    made = session()
    broken(made, how, at)
    made.start()
    asyncio.run(_ended(made))
    assert (made.status, made.steps, made.paused) == ("failed", at - 1, False)
    assert made.error.startswith(SENTENCES[how].format(at))
    if how == "nan":  # before any step no rate can have done it
        assert ("no learning rate is to blame" if at == 1 else "A lower learning rate") in made.error
    assert "\n" not in made.error
    assert made.traceback.startswith("Traceback (most recent call last):")
    assert made.error.removeprefix("ZeroDivisionError: ") in made.traceback

    before = session()
    before.step(at - 1) if at > 1 else None
    assert_same(made, before)
    assert len(made.record) == at - 1

    made.resume()
    asyncio.run(_ended(made))
    assert (made.status, made.steps) == ("failed", at - 1)

    mended(made)
    made.resume()
    asyncio.run(made.done())
    assert (made.status, made.error, made.traceback) == ("done", "", "")
    assert_same(made, session().fit(progress=False))
    assert capfd.readouterr() == ("", "")


async def _ended(made):
    with pytest.raises(Exception):  # noqa: B017 - any of them
        await made.done()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_that_cannot_be_read_fails_the_run_and_nothing_is_lost(workers, tmp_path, capfd):
    flag = tmp_path / "broken"
    made = session(loader(flag, workers))
    made.step(1)
    flag.touch()
    with pytest.raises(OSError, match="sample 17 cannot be read"):
        made.fit(progress=False)
    assert made.status == "failed"
    assert "sample 17 cannot be read" in made.error
    assert "\n" not in made.error
    flag.unlink()
    made.fit(progress=False)
    smooth = session(loader())
    smooth.step(1)
    assert_same(made, smooth.fit(progress=False))
    made.close()
    assert capfd.readouterr() == ("", "")


def test_a_dataset_that_draws_random_numbers_goes_on_with_the_same_ones():
    class Noisy(Data):
        bad = False

        def __getitem__(self, i):
            noise = torch.rand(6) + np.random.rand() + random.random()
            if self.bad and i == 17:
                raise OSError("sample 17 cannot be read")
            return X[i] + noise, Y[i]

    results = []
    for bad in (False, True):
        data = Noisy()
        made = session(data)
        made.step(1)
        data.bad = bad
        if bad:
            for _ in range(2):
                with pytest.raises(OSError):
                    made.fit()
            data.bad = False
        results.append(made.fit())
    assert_same(*results)


@pytest.mark.parametrize("verb", ["fit", "step", "done"])
def test_who_waits_hears_the_original_exception(verb):
    made = session()
    broken(made, "model", 2)
    with pytest.raises(RuntimeError, match="the model is broken") as caught:
        if verb == "done":
            made.start()
            asyncio.run(made.done())
        else:
            made.fit() if verb == "fit" else made.step(5)
    assert any("forward" in entry.name for entry in caught.traceback)


def test_a_failure_is_forgotten_once_it_goes_again_or_was_stopped():
    made = session()
    broken(made, "model", 2)
    with pytest.raises(RuntimeError):
        made.fit()
    mended(made)
    made.step()
    assert (made.status, made.error) == ("paused", "")
    asyncio.run(made.done())
    broken(made, "model", 0)
    with pytest.raises(RuntimeError):
        made.step()
    made.stop()
    assert made.status == "stopped"
    asyncio.run(made.done())


def test_the_model_is_as_it_was_left_after_a_failure():
    made = session()
    made.model.eval()
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    broken(made, "model", 3)
    with pytest.raises(RuntimeError):
        made.fit()
    assert not made.model.training
    assert torch.equal(torch.rand(3), expected)


def test_evaluation_and_prediction_still_work_after_a_failure():
    made = session()
    broken(made, "model", 3)
    with pytest.raises(RuntimeError):
        made.fit()
    assert made.evaluate().samples == 9
    assert len(made.predict(X)) == COUNT
    assert made.status == "failed"


def test_validation_data_that_fails_stops_the_run_and_the_evaluation_is_made_up_for():
    class Valid(Data):
        bad = False

        def __getitem__(self, i):
            if self.bad:
                raise OSError("no validation data")
            return super().__getitem__(i)

    valid = Valid()
    made = session(valid=valid)
    made.step(1)
    valid.bad = True
    with pytest.raises(OSError, match="no validation data"):
        made.fit()
    assert (made.status, made.steps) == ("failed", 6)
    valid.bad = False
    made.fit()
    assert [row["step"] for row in made.record.evaluations] == [6, 12, 18]
    assert_same(made, session().fit())


def test_a_failing_evaluation_that_was_asked_for_stops_nothing():
    made = session(evaluate_every=None)
    made.step(2)
    made._run.data.valid.source = None
    with pytest.raises(TypeError):
        made.evaluate()
    made.fit()
    assert made.status == "done"


def test_a_failing_job_stops_nothing():
    made = session()
    made.start()
    with pytest.raises(ZeroDivisionError):
        made.at_step(lambda: 1 / 0).result(20)
    asyncio.run(made.done())
    assert made.status == "done"


def test_a_batch_that_cannot_be_learnt_from_may_be_skipped():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(6, 3)

        def forward(self, x):
            if self.training and bool((x == X[17]).all(1).any()):
                raise RuntimeError("I do not like this one")
            return self.net(x)

    made = session(model=Picky(), epochs=1)
    with pytest.raises(RuntimeError):
        made.fit()
    steps = made.steps
    assert made.skip() in (4, 8)
    made.fit()
    assert (made.status, made.steps) == ("done", 5)
    assert steps < 6


def test_a_batch_of_one_after_a_change_of_the_batch_size_can_be_left_out():
    made = session(epochs=1)
    made.batch_size = COUNT - 1
    with pytest.raises(ValueError, match=r"A batch holds one sample, on which BatchNorm .* session\.skip\(\)"):
        made.fit()
    assert made.skip() == 1
    made.fit()
    assert (made.status, made.steps) == ("done", 1)


class Quits(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(6, 3)

    def forward(self, x):
        if self.training:
            raise SystemExit(3)
        return self.net(x)


def test_even_an_exit_in_the_model_leaves_no_dead_thread_behind():
    made = session(model=Quits())
    with pytest.raises(SystemExit):
        made.fit()
    assert made.status == "failed"
    assert made._run.worker.idle


def test_a_model_that_cannot_be_moved_to_the_device_is_a_failed_run():
    class Heavy(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.stuck = nn.Linear(6, 3), False

        def modules(self):
            if self.stuck:
                raise RuntimeError("stuck")
            return super().modules()

        def forward(self, x):
            return self.net(x)

    made = session(model=Heavy())
    made.model.stuck = True
    with pytest.raises(RuntimeError, match="stuck"):
        made.fit()
    assert made.status == "failed"
    with pytest.raises(RuntimeError, match="stuck"):
        made.evaluate()
    made.model.stuck = False
    assert made.fit().status == "done"


def test_a_layer_probe_that_fails_is_switched_off_and_said():
    class Probe:
        def before(self, *_):
            pass

        def after(self, step):
            raise KeyError("no such layer")

    made = session()
    made._run.loop.watch._probe = Probe()
    made.fit()
    assert made.status == "done"
    assert "Layer statistics are off: KeyError: 'no such layer'." in made.notes
    assert_same(made, session().fit())


def test_a_failure_while_a_caller_changes_wishes_loses_none_of_them():
    made = session(epochs=50)
    broken(made, "model", 20)
    stop = threading.Event()

    def drag():
        value = 0
        while not stop.is_set():
            value += 1
            made.lr = 1e-3 + value * 1e-9
            time.sleep(0.0001)

    thread = threading.Thread(target=drag)
    thread.start()
    with pytest.raises(RuntimeError):
        made.fit()
    stop.set()
    thread.join()
    mended(made)
    made.step()
    assert made.applied["lr"] == made.lr
