"""Early stopping: the run ends, and its best weights come back."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import copy

import pytest
import torch

from tests.core.controls.by_hand import session


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
