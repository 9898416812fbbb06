"""Evaluation in a session: at the right steps, without a trace in the training, and in its history."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from sklearn import metrics
from torch import nn

from dlwidgets.session import Session

X, Y = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3


def session(**options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    return Session(model, (X, Y), **{"valid": (X[:20], Y[:20]), "batch_size": 8, "epochs": 3, **options})


@pytest.mark.parametrize(
    ("every", "steps"), [("epoch", [5, 10, 15]), (4, [4, 8, 12]), (1, [*range(1, 16)]), (None, [])]
)
def test_it_is_evaluated_when_it_was_asked_for(every, steps):
    made = session(evaluate_every=every).fit()
    assert [row["step"] for row in made.record.evaluations] == steps
    frame = made.history()
    if steps:
        assert frame.index[frame.valid_loss.notna()].tolist() == steps
        assert {"valid_loss", "accuracy", "macro_f1"} <= set(frame.columns)


def test_when_to_evaluate_can_change_while_it_trains():
    made = session(evaluate_every=None)
    made.step(5)
    made.evaluate_every = 2
    made.step(5)
    made.evaluate_every = "epoch"
    made.step(5)
    assert [row["step"] for row in made.record.evaluations] == [6, 8, 10, 15]


def test_a_list_of_batches_is_evaluated_with_the_last_of_them():
    made = Session(nn.Linear(6, 3), [*zip(X.split(8), Y.split(8))], (X, Y), epochs=2)
    made.step(5)
    assert [row["step"] for row in made.record.evaluations] == [5]


def test_the_metrics_of_an_evaluation_are_scikit_learns():
    made = session().fit()
    said = made.predict(X[:20])
    assert made.evaluation.metrics["accuracy"] == metrics.accuracy_score(Y[:20], said)
    assert made.evaluation.metrics["macro_f1"] == pytest.approx(
        metrics.f1_score(Y[:20], said, average="macro"), abs=1e-12
    )
    frame = made.history()
    assert frame.accuracy.iloc[-1] == made.evaluation.metrics["accuracy"]
    assert frame.valid_loss.iloc[-1] == made.evaluation.loss


def test_evaluating_now_is_told_as_any_other_evaluation():
    made, seen = session(), []
    made.observe(lambda change: seen.append(change["name"]), names=["evaluation", "scores", "pulse"])
    made.step(2)
    seen.clear()
    found = made.evaluate()
    assert made.evaluation is found
    assert made.scores is found.scores
    assert seen == ["evaluation", "scores", "pulse"]
    assert made.status == "paused"


def test_it_can_be_evaluated_before_the_first_step():
    made = session()
    made.evaluate()
    assert made.status == "ready"
    assert made.history().index.tolist() == [0]
    made.step()
    frame = made.history()
    assert frame.index.tolist() == [0, 1]
    assert frame.epoch.dtype == "int64"


def test_it_can_be_evaluated_while_it_trains():
    made = session(epochs=10**6, evaluate_every=None)
    made.start()
    found = [made.evaluate() for _ in range(5)]
    assert made.status == "running"
    made.pause()
    steps = [row["step"] for row in made.record.evaluations]
    assert steps == sorted(steps)
    assert all(one.samples == 20 for one in found)


def test_many_threads_may_evaluate_and_predict_at_once():
    made = session(epochs=10**6, evaluate_every=3)
    made.start()
    results = []
    threads = [
        threading.Thread(target=lambda: results.extend([made.evaluate().samples, len(made.predict(X))]))
        for _ in range(6)
    ]
    [thread.start() for thread in threads]
    [thread.join(30) for thread in threads]
    made.stop()
    assert sorted(results) == [20] * 6 + [40] * 6


def test_progress_knows_the_run():
    made = session()
    assert made.progress()["total"] == 15
    made.step(5)
    told = made.progress()
    assert (told["epoch"], told["epochs"], told["steps"], told["share"]) == (1, 3, 5, 5 / 15)
    made.epochs = 2
    made.fit()
    told = made.progress()
    assert (told["steps"], told["share"], told["left"], told["epoch"]) == (15, 1.0, 0.0, 3)
    assert told["rate"] > 0


def in_twos(dataset):
    return torch.utils.data.DataLoader(dataset, batch_size=2)


class Held(torch.utils.data.Dataset):
    """Validation samples; once it holds, the eleventh is given only when somebody says so."""

    def __init__(self):
        self.holds, self.reached, self.go_on = False, threading.Event(), threading.Event()

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if index == 10 and self.holds and not self.go_on.is_set():
            self.reached.set()
            assert self.go_on.wait(30)
        return X[index], Y[index]


def held_at_its_first_evaluation(**options):
    valid = Held()
    made = session(valid=in_twos(valid), **options)
    valid.holds = True
    made.start()
    assert valid.reached.wait(30)
    return made, valid.go_on


def never_held(**options):
    return session(valid=in_twos(torch.utils.data.TensorDataset(X[:20], Y[:20])), **options)


def same_weights(one, other):
    return all(map(torch.equal, one.model.state_dict().values(), other.model.state_dict().values()))


def test_whoever_looks_need_not_wait_for_the_end_of_an_evaluation():
    plain, (watched, go_on) = never_held().fit(), held_at_its_first_evaluation()
    seen = []

    def look():
        # As rude as a look may be: it draws, and leaves the model in another mode.
        torch.rand(3)
        watched.model.train()
        seen.append(len(watched.record.evaluations))

    waiting, changing = watched.at_batch(look), watched.at_step(lambda: seen.append("between steps"))
    go_on.set()
    waiting.result(30)
    assert seen[0] == 0
    changing.result(30)
    watched.wait()
    assert watched.record.evaluations == plain.record.evaluations
    assert same_weights(watched, plain)


def test_a_look_that_raises_or_is_cancelled_ends_no_evaluation():
    made, go_on = held_at_its_first_evaluation(epochs=1)
    failing, dropped, last = (made.at_batch(lambda: 1 / 0) for _ in range(3))
    assert dropped.cancel()
    go_on.set()
    for one in (failing, last):
        with pytest.raises(ZeroDivisionError):
            one.result(30)
    made.wait()
    assert made.status == "done" and len(made.record.evaluations) == 1


@pytest.mark.parametrize("how", ["pause", "stop"])
def test_a_pause_does_not_wait_for_the_end_of_an_evaluation_which_is_made_later(how):
    options = {"epochs": 2, "early_stopping": 50}
    plain, (held, go_on) = never_held(**options).fit(), held_at_its_first_evaluation(**options)
    getattr(held, how)(wait=False)
    go_on.set()
    held.wait()
    assert held.status == ("paused" if how == "pause" else "stopped")
    assert held.steps == 5 and held.record.evaluations == [] and held.evaluation is None
    assert held.model.training
    held.fit(1 if how == "stop" else None)
    assert held.record.evaluations == plain.record.evaluations
    assert same_weights(held, plain)


#: What only the next step knows of.
WISHES = {"lr": 0.02, "clip": ("norm", 0.1), "batch_size": 4, "weight_decay": 0.1, "accumulate": 2, "betas": (0.8, 0.9)}


@pytest.mark.parametrize("wishes", [*({name: value} for name, value in WISHES.items()), WISHES], ids="+".join)
def test_a_wish_for_the_next_step_is_in_force_before_an_evaluation_ends_and_does_the_same(wishes):
    made, go_on = held_at_its_first_evaluation()
    seen = []

    def told(change):
        seen.append((len(made.record.evaluations), made.model.training, torch.is_grad_enabled(), len(made.record)))
        torch.rand(3)  # as rude as who is told may be

    made.observe(told, "applied")
    for name, value in wishes.items():
        setattr(made, name, value)
    go_on.set()
    made.wait()
    assert seen[0] == (0, True, True, 5)
    twin = never_held()
    twin.step(5)
    for name, value in wishes.items():
        setattr(twin, name, value)
    twin.fit(2)
    assert same_weights(made, twin)
    assert made.record.evaluations == twin.record.evaluations and len(made.record.evaluations) == 3
    assert {entry.step for entry in made.changes} == {5}
    again = never_held()
    again.replay(made.ledger()).fit()
    assert same_weights(made, again) and made.record.evaluations == again.record.evaluations


def test_what_was_kept_in_the_midst_of_an_evaluation_leads_back_to_the_step_before_it():
    plain = never_held().fit()
    made, go_on = held_at_its_first_evaluation()
    made.lr = 0.05
    go_on.set()
    made.wait()
    assert not same_weights(made, plain)
    made.undo()
    assert made.steps == 5 and made.lr == plain.lr
    made.fit(2)
    assert same_weights(made, plain)
    assert made.record.evaluations == plain.record.evaluations


@pytest.mark.parametrize("also", [{"dropout": 0.5}, {"label_smoothing": 0.1}, {"trainable": {"*": True, "0": False}}])
def test_a_wish_that_an_evaluation_may_know_of_waits_for_its_end_and_others_with_it(also):
    made, go_on = held_at_its_first_evaluation(epochs=2)
    seen = []
    made.observe(lambda change: seen.append(len(made.record.evaluations)), "applied")
    for name, value in {"lr": 0.02, **also}.items():
        setattr(made, name, value)
    go_on.set()
    made.wait()
    assert seen[0] == 1
    assert {entry.name for entry in made.changes} == {"lr", *also}


def test_no_wish_is_put_in_force_while_the_averaged_weights_are_evaluated():
    made, go_on = held_at_its_first_evaluation(epochs=2, ema=0.9)
    seen = []
    made.observe(lambda change: seen.append(len(made.record.evaluations)), "applied")
    made.lr = 0.02
    go_on.set()
    made.wait()
    assert seen[0] == 1 and made.changes[-1].step == 5


def test_an_evaluation_that_a_person_asks_for_in_a_pause_is_made_to_its_end():
    made = session()
    made.step(2)
    assert made.status == "paused"
    assert made.evaluate().samples == 20


class Slow(torch.utils.data.Dataset):
    """Validation samples that take their time, 0.1 s in all; the first of them tells when it is asked for."""

    def __init__(self):
        self.asked = lambda: None

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if not index:
            self.asked()
        time.sleep(0.005)
        return X[index], Y[index]


def test_the_steps_before_an_evaluation_that_takes_long_are_told_before_it():
    valid, seen = Slow(), []
    made = session(valid=in_twos(valid), epochs=4)
    valid.asked = lambda: seen.append((made.steps, len(made.record)))
    made.fit()
    # How long the first takes was not known before.
    assert seen[1:] == [(10, 10), (15, 15), (20, 20)]


def test_each_of_steps_that_take_nearly_a_tenth_of_a_second_is_told():
    class Sleepy(nn.Linear):
        def forward(self, x):
            time.sleep(0.07)
            return super().forward(x)

    made, told = Session(Sleepy(6, 3), (X, Y), batch_size=8, epochs=1), []
    made.observe(lambda change: told.append(made.steps), "pulse")
    made.fit()
    assert sorted(set(told) - {0}) == [1, 2, 3, 4, 5]


class Jittered(Held):
    """Samples with noise from a generator of the dataset's own; more than one batch of an evaluation."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(1)

    def __len__(self):
        return 150

    def __getitem__(self, index):
        x, y = super().__getitem__(index % 20)
        return x + torch.randn(6, generator=self.generator), y


@pytest.mark.parametrize("wrap", [in_twos, lambda dataset: dataset], ids=["loader", "dataset"])
def test_a_sample_that_is_looked_at_in_an_evaluation_leaves_the_others_as_they_are(wrap):
    plain = session(valid=wrap(Jittered()), epochs=1, evaluate_every=None)
    plain.fit()
    wanted = plain.evaluate()
    made, looks = session(valid=wrap(Jittered()), epochs=1, evaluate_every=None), []
    made.fit()
    made._run.loop.between_batches = lambda: looks.append(made.samples.inputs(len(looks)))
    assert made.evaluate().loss == wanted.loss
    assert looks
