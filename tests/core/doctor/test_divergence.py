"""What a run does by itself when it diverges: it pauses at the last good state, goes on from there, or leaves out."""

from __future__ import annotations

import runpy

import pytest
import torch
from torch import nn

from dlwidgets import Session

X = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def session(**options):
    options = {"optimizer": "sgd", "lr": 0.1, "epochs": 10, "batch_size": 32, **options}
    return Session(options.pop("model", None) or net(), options.pop("train", (X, Y)), **options)


def plain(steps, lr=0.1):
    """Return the weights of PyTorch's own loop."""
    model = net()
    optimizer, order = torch.optim.SGD(model.parameters(), lr), torch.Generator().manual_seed(0)
    taken = 0
    while taken < steps:
        for rows in torch.randperm(256, generator=order).split(32):
            if taken < steps:
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(X[rows]), Y[rows]).backward()
                optimizer.step()
                taken += 1
    return model.state_dict()


def assert_same(one, other):
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def exploding(steps=20, **options):
    """Return a session that is healthy for some steps, and then has a rate that makes it explode."""
    made = session(**options)
    made.step(steps)
    for budget in (made.timeline._often, made.timeline._epochs, made.timeline._before):
        budget.due = lambda: False  # no others, however slow the machine
    made._run.result(lambda: made.timeline.take("time"))
    made.step(2)
    made.lr = 1e6
    return made


def test_the_run_pauses_at_the_last_good_state_and_says_so():
    made = exploding()
    with pytest.raises(ArithmeticError, match=r"which was not taken.*went back to step 20.*kept as 'main'") as caught:
        made.fit(progress=False)
    assert (made.status, made.steps, made.lr, made.error) == ("paused", 20, 0.1, str(caught.value))
    assert_same(made.model.state_dict(), plain(20))
    assert [branch.name for branch in made.branches] == ["main"] and made.branches[0].steps > 22
    assert made.ledger().iloc[-1][["name", "by"]].tolist() == ["rewind", "doctor"]


def test_what_was_found_can_still_be_read_there_and_is_over_once_it_trains_well():
    made = exploding()
    with pytest.raises(ArithmeticError):
        made.fit(progress=False)
    assert "loss_not_finite" in [one.rule for one in made.findings if one.until is None]
    made.step(60)
    assert made.error == "" and not [one for one in made.findings if one.until is None]


def test_resumed_it_trains_as_if_nothing_had_been():
    made = exploding()
    with pytest.raises(ArithmeticError):
        made.fit(progress=False)
    made.step(30)
    assert_same(made.model.state_dict(), plain(50))


def test_who_only_waits_hears_of_it_too():
    made = exploding().start()
    with pytest.raises(ArithmeticError, match="went back to step 20"):
        made.wait()
    assert made.status == "paused"


def test_rewind_goes_on_with_a_tenth_of_the_rate_that_held_before():
    made = exploding(on_divergence="rewind").fit(progress=False)
    assert (made.status, made.lr, made.error) == ("done", 0.01, "")
    assert (made.line_changes[-1].by, made.line_changes[-1].step) == ("doctor", 20)
    assert made.epoch == 12  # ten more than the two before fit()
    assert any("went back to step 20 and on with the rate 1.0e-2" in note for note in made.notes)


def test_a_rate_that_is_still_too_high_is_lowered_again_and_not_for_ever():
    made = session(on_divergence="rewind", lr=1e9)
    with pytest.raises(ArithmeticError, match="waits there"):
        made.fit(progress=False)
    rewinds = [entry for entry in made.changes if entry.name == "rewind"]
    rates = [entry.applied for entry in made.changes if entry.name == "lr"]
    assert (len(rewinds), rates, made.status) == (4, [1e8, 1e7, 1e6], "paused")


def test_the_script_of_a_run_that_went_back_by_itself_gives_the_same_weights(tmp_path):
    made = exploding(on_divergence="rewind").fit(progress=False)
    path = made.to_script(tmp_path / "run.py")
    threads = torch.get_num_threads()
    torch.set_num_threads(made._run.threads)
    runpy.run_path(str(path))
    torch.set_num_threads(threads)
    assert_same(torch.load(tmp_path / "run.weights.pt"), made.model.state_dict())


class Sometimes(nn.Module):
    """Gives NaN in passes of some numbers."""

    def __init__(self, bad):
        super().__init__()
        self.net, self.bad, self.passed = net(), set(bad), 0

    def forward(self, x):
        self.passed += 1
        return self.net(x) * (float("nan") if self.passed in self.bad else 1.0)


def test_go_on_leaves_out_what_is_not_finite():
    made = session(model=Sometimes([5, 9]), on_divergence="go on", epochs=2).fit(progress=False)
    assert (made.status, made.steps) == ("done", 14)
    left_out = [(entry.name, entry.step, entry.by) for entry in made.line_changes]
    assert left_out == [("skip", 4, "doctor"), ("skip", 7, "doctor")]


def test_go_on_fails_after_ten_in_a_row():
    made = session(model=Sometimes(range(5, 100)), on_divergence="go on", epochs=20)
    with pytest.raises(ArithmeticError, match="step 5, which was not taken"):
        made.fit(progress=False)
    assert (made.status, made.steps, len(made.line_changes)) == ("failed", 4, 10)


@pytest.mark.parametrize("answer", ["pause", "rewind"])
def test_a_loss_on_its_course_up_to_the_failing_step_fails_where_it_is(answer):
    made = session(model=Sometimes([15]), on_divergence=answer)
    with pytest.raises(ArithmeticError):
        made.fit(progress=False)
    assert (made.status, made.steps, made.branches) == ("failed", 14, ())


def test_a_batch_that_is_not_finite_itself_fails_where_it_is():
    broken = X.clone()
    broken[17, 3] = float("inf")
    made = session(train=[(broken[i : i + 32], Y[i : i + 32]) for i in range(0, 256, 32)][::-1], lr=5.0)
    with pytest.raises(ArithmeticError):
        made.fit(progress=False)
    assert made.status == "failed" and made.branches == ()


@pytest.mark.parametrize("kind", ["nothing kept", "data read once"])
def test_without_a_way_back_it_fails_where_it_is(kind):
    once = ((X[i : i + 32], Y[i : i + 32]) for i in [*range(0, 256, 32)] * 20)
    options = {"nothing kept": {"snapshot_memory": 0}, "data read once": {"train": once, "epochs": 1}}[kind]
    made = session(**options)
    made.step(20)
    made.lr = 1e6
    with pytest.raises(ArithmeticError):
        made.fit(progress=False)
    assert made.status == "failed" and made.steps > 20


def test_a_finite_loss_that_explodes_is_stopped_too():
    def square(output, targets):
        return ((output[:, 0] - targets.float()) ** 2).mean().clamp(max=1e20)

    made = session(model=nn.Sequential(nn.Linear(8, 3)), loss=square, task="regression", lr=5.0, epochs=50)
    with pytest.raises(ArithmeticError, match=r"The loss exploded: .* went back to step 0"):
        made.fit(progress=False)
    assert made.status == "paused"


def test_an_evaluation_of_spoiled_weights_takes_the_run_back_too():
    made = exploding(valid=(X, Y), evaluate_every=1)
    with pytest.raises(ValueError, match=r"model's output is NaN .* went back to step 20"):
        made.fit(progress=False)
    assert (made.status, made.steps) == ("paused", 20)


def test_trials_are_not_ended_by_it():
    made = session()
    made.step(20)
    burst, fine = made.try_each(10, {"lr": 1e6}, {"lr": 0.01})
    assert burst.note and (fine.steps, made.steps, made.line) == (30, 20, "main")


def test_a_word_that_there_is_not_is_refused_with_a_hint():
    with pytest.raises(ValueError, match=r"'pause', 'rewind', 'go on'\. Did you mean 'rewind'"):
        session(on_divergence="rewnd")
