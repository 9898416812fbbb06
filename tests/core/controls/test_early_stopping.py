"""Early stopping: the run ends, and its best weights come back."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import copy

import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import nn
from torch.nn import functional as F

from dlwidgets.session import Session
from tests.core.controls.by_hand import session

A = torch.randn(60, 10, generator=torch.Generator().manual_seed(0))
B = (A[:, 0] + 0.8 * torch.randn(60, generator=torch.Generator().manual_seed(1)) > 0).long()
RESTORE = {"metric": "valid_loss", "patience": 1000, "restore": True}


def overfitting(valid=True, **more):
    """Return a session that is best after some evaluations, and worse from there on."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 2))
    options = {"lr": 0.03, "epochs": 12, "batch_size": 10, "early_stopping": RESTORE, **more}
    return Session(model, (A[:30], B[:30]), (A[30:], B[30:]), **options)


def loss_of(model):
    with torch.no_grad():
        return F.cross_entropy(model(A[30:]), B[30:]).item()


def goal(made):
    made.fit()


def stopped(made):
    made.step(29)
    made.stop()


def closed(made):
    made.step(29)
    made.close()


def failed_and_stopped(made):
    made.step(29)
    made.model[0].weight.data[0, 0] = float("nan")
    with pytest.raises(ArithmeticError):
        made.step()
    made.stop()


@pytest.mark.parametrize("end", [goal, stopped, closed, failed_and_stopped])
def test_the_best_weights_come_back_however_the_run_ends(end):
    made = overfitting()
    end(made)
    history = made.history()
    best, step = history.valid_loss.min(), history.valid_loss.idxmin()
    assert step < made.steps and loss_of(made.model) == pytest.approx(best, abs=1e-6)
    assert made.evaluation.loss == pytest.approx(best, abs=1e-6)
    assert (made.scores.matrix() == confusion_matrix(B[30:], made.model(A[30:]).argmax(1))).all()
    assert f"The run ended after step {made.steps}: valid_loss was best after step {step} ({best:.4g}). Its weights were put back." in made.notes
    assert history.restored.dropna().to_dict() == {made.steps: step}


def test_a_pause_keeps_the_newest_weights_and_goes_on_as_if_it_had_not_been():
    made, whole = overfitting(), overfitting(early_stopping=None).fit()
    made.step(29)
    assert made.status == "paused" and loss_of(made.model) > made.history().valid_loss.min()
    made.step(7)
    assert all(map(torch.equal, made.model.parameters(), whole.model.parameters()))


def test_undo_brings_the_last_weights_back_and_the_next_end_the_best_again():
    made = overfitting().fit()
    best = copy.deepcopy(made.model.state_dict())
    made.undo()
    assert loss_of(made.model) == pytest.approx(made.history().valid_loss.iloc[-1], abs=1e-6)
    assert made.evaluation is None or made.evaluation.loss == made.history().valid_loss.iloc[-1]
    made.stop()
    assert all(torch.equal(value, best[name]) for name, value in made.model.state_dict().items())


def test_another_run_goes_on_from_the_best_and_ends_with_the_best_of_all():
    made = overfitting().fit()
    best = loss_of(made.model)
    made.fit(6)
    now = made.history().valid_loss.min()
    assert now <= best + 1e-6 and loss_of(made.model) == pytest.approx(now, abs=1e-6)


def test_steps_taken_again_know_the_best_as_it_was_then():
    made, then = overfitting(), {}
    made.step(1)
    for step in range(2, 31):
        made.step()
        then[step] = made._run.loop.patience.state()
    for step in (25, 10, 4):
        made.rewind(step)
        now = made._run.loop.patience.state()
        # An evaluation that was due with that step is made on going on.
        kept = {key: value for key, value in then[step].items() if key != "weights"}
        assert {key: value for key, value in now.items() if key != "weights"} == kept
        assert all(torch.equal(value, then[step]["weights"][name]) for name, value in now["weights"].items())
        made.switch("main")


@pytest.mark.parametrize("normalise", [None, "weight_norm"])
def test_the_best_weights_are_saved_at_any_time_and_load_into_the_model_as_it_is_made(tmp_path, normalise):
    made = overfitting(early_stopping=("valid_loss", 1000), normalise=normalise)
    made.step(30)
    best = made.history().valid_loss.min()
    newest = copy.deepcopy(made.model.state_dict())
    for name, wanted in (("best.pt", best), ("now.pt", made.history().valid_loss.iloc[-1])):
        made.save(tmp_path / name, best=name == "best.pt")
        twin = nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 2))
        twin.load_state_dict(torch.load(tmp_path / name, weights_only=True))
        assert loss_of(twin) == pytest.approx(wanted, abs=1e-5)
    assert all(torch.equal(value, newest[name]) for name, value in made.model.state_dict().items())


def test_without_early_stopping_there_are_no_best_weights_and_it_is_said(tmp_path):
    with pytest.raises(ValueError, match="no best weights: early_stopping= says what is best"):
        overfitting(early_stopping=None).step(5).save(tmp_path / "best.pt", best=True)


def test_on_disk_a_stopped_run_goes_on_as_it_was_and_a_finished_one_has_the_best(tmp_path):
    made, whole = overfitting(checkpoint_dir=tmp_path), overfitting(early_stopping=None).fit()
    made.step(29)
    made.stop()
    model, data = copy.deepcopy(made.model), ((A[:30], B[:30]), (A[30:], B[30:]))
    options = {"lr": 0.03, "epochs": 12, "batch_size": 10, "early_stopping": RESTORE}
    other = Session.from_checkpoint(tmp_path, model, *data, **options)
    other.step(7)
    assert all(map(torch.equal, other.model.parameters(), whole.model.parameters()))
    other.stop()
    best = other.history().valid_loss.min()
    assert loss_of(other.model) == pytest.approx(best, abs=1e-6)
    assert other.evaluation.loss == pytest.approx(best, abs=1e-6)
    ended = overfitting(checkpoint_dir=tmp_path / "done").fit()
    later = Session.from_checkpoint(tmp_path / "done", copy.deepcopy(whole.model), *data, **options)
    assert all(map(torch.equal, later.model.parameters(), ended.model.parameters()))
    later.save(tmp_path / "best.pt", best=True)
    kept = torch.load(tmp_path / "best.pt", weights_only=True)
    assert all(torch.equal(value, kept[name]) for name, value in ended.model.state_dict().items())


def test_a_run_stops_once_the_metric_gets_no_better_and_its_best_weights_come_back():
    best = {}
    made = session(lr=0.0, epochs=50, early_stopping={"metric": "valid_loss", "patience": 3, "min_delta": 0.5, "restore": True})
    made.observe(lambda change: best or best.update(copy.deepcopy(made.model.state_dict())), names=["evaluation"])
    made.fit()
    assert (made.status, made.epoch) == ("done", 4)
    figure = made.history().valid_loss.dropna().iloc[0]
    said = f"Stopped early after step 28: valid_loss was best after step 7 ({figure:.4g}), 3 evaluations ago. Its weights were put back."
    assert said in made.notes and made.ledger().note.tolist() == [said]
    assert made.ledger().by.tolist() == ["early stopping"]
    assert all(torch.equal(value, best[name]) for name, value in made.model.state_dict().items())


def test_a_metric_that_grows_better_does_not_stop_the_run():
    made = session(epochs=4, early_stopping=("valid_loss", 4)).fit()
    assert made.epoch == 4


def test_early_stopping_needs_something_to_evaluate():
    made = session(valid=None)
    made.early_stopping = 3
    made.step()
    assert made.rejected["early_stopping"] == "there is no validation data to tell when to stop"


@pytest.mark.parametrize(("wish", "sentence"), [
    ("valid_los", "early_stopping has the metric 'valid_los'; evaluations have valid_loss, accuracy, macro_f1. Did you mean 'valid_loss'?"),
    (("accuracy", 0), "early_stopping has the patience 0: evaluations, 1 or more, are wanted."),
    ({"patient": 3}, "early_stopping has 'patient'; it can have metric, patience, min_delta, restore. Did you mean 'patience'?"),
    (2.5, 'early_stopping=2.5: ("valid_loss", 5), a patience, or None, is wanted.'),
])  # fmt: skip
def test_early_stopping_that_cannot_be_is_refused(wish, sentence):
    with pytest.raises(ValueError) as caught:
        session().early_stopping = wish
    assert str(caught.value) == sentence


def test_another_patience_keeps_the_best_so_far_and_another_metric_forgets_it():
    made = overfitting(early_stopping=50)
    made.step(24)
    made.early_stopping = RESTORE
    made.step(6)
    made.stop()
    assert loss_of(made.model) == pytest.approx(made.history().valid_loss.min(), abs=1e-6)
    made.early_stopping = "accuracy"
    made.step(1)
    assert made._run.loop.patience.best_step is None


def test_early_stopping_without_evaluations_is_told():
    made = overfitting(early_stopping=3)
    made.evaluate_every = None
    made.step(2)
    assert any("evaluate_every=None makes none" in note for note in made.notes)


def test_the_best_is_counted_anew_where_other_samples_are_evaluated():
    made = overfitting(early_stopping={"patience": 50, "restore": True}, evaluate_samples=5, epochs=6)
    made.fit(2, progress=False)
    made.evaluate_samples = None
    made.fit(2, progress=False)
    rows = made.history().valid_loss.dropna()
    best = made._run.loop.patience
    # By pandas: the least of those that were evaluated on all samples.
    assert best.best_step == rows.iloc[2:].idxmin() and best.best == rows.iloc[2:].min()
    assert any("are on all validation samples now and were on 5" in note for note in made.notes)
    made.close()
