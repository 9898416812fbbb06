"""Remedies as buttons: their numbers, why they do not apply, and what they make of a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dlwidgets import Session
from dlwidgets.core.doctor.finding import Finding
from dlwidgets.core.doctor.remedies import REMEDIES, Case, offer_remedies

X = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()


def session(**options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
    return Session(model, (X, Y), **{"optimizer": ("sgd", {"momentum": 0.95}), "lr": 0.1, **options})


def finding(*remedies, **options):
    return Finding(**{"rule": "toy", "severity": "low", "title": "", "sentence": "", "remedies": remedies, **options})


def offered(made, name, **options):
    (found,) = made.remedies(finding(name, **options))
    return found


@pytest.mark.parametrize(
    ("name", "label", "settings"),
    [("lower_rate", "Rate × 0.1 → 1.0e-2", {"lr": 0.01}), ("raise_rate", "Rate × 10 → 1.0e0", {"lr": 1.0}),
     ("clip", "Clip at 1.00", {"clip": ("norm", 1.0)}), ("halve_batch", "Batch of 16", {"batch_size": 16}),
     ("double_batch", "Batch of 64", {"batch_size": 64}),
     ("weight_decay", "Weight decay 0.01", {"weight_decay": 0.01}),
     ("lower_momentum", "Momentum 0.95 → 0.9", {"momentum": 0.9}),
     ("train_longer", "Train for 20 epochs", {"epochs": 20}),
     ("accumulate", "Accumulate 4 batches a step", {"accumulate": 4})],
)  # fmt: skip
def test_a_button_says_its_number_and_what_it_wishes_for(name, label, settings):
    found = offered(session(), name)
    assert (found.label, found.settings, found.why_not) == (label, settings, "")


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [("no_clip", {}, "nothing is clipped"), ("clip", {"clip": 0.5}, "it clips at 0.500 already"),
     ("early_stopping", {}, "there is no validation data"), ("halve_batch", {"batch_size": 1}, "one sample"),
     ("adam_eps", {}, "no epsilon"), ("full_precision", {}, "it is so already"),
     ("lower_momentum", {"optimizer": "adamw"}, "the optimizer has no momentum"),
     ("unfreeze", {}, "names no layer"), ("clip_p90", {}, "fewer than 10 gradient norms"),
     ("warm_up", {"schedule": ("cosine", {"warmup": 3})}, "has a warm-up already")],
)  # fmt: skip
def test_a_button_that_does_not_apply_says_why(name, options, why):
    made = session(**options)
    assert why in offered(made, name).why_not
    with pytest.raises(ValueError, match="does not apply here"):
        made.apply_remedy(finding(name), name)


def test_every_remedy_can_be_offered_and_read_or_says_why_not():
    found = session().remedies(finding(*REMEDIES, layer="0"))
    assert [one.name for one in found] == [*REMEDIES]
    assert all(one.settings or one.why_not or one.view for one in found)


def test_the_limit_is_the_90th_percentile_of_the_norms_measured_before_the_trouble():
    made = session(clip=1e9)
    made.step(60)
    norms = made.history().grad_norm.to_numpy()[:49]
    limit = offered(made, "clip_p90", step=50).settings["clip"][1]
    assert limit == pytest.approx(np.quantile(norms, 0.9), rel=1e-2)


@pytest.mark.parametrize(
    ("loss", "last", "better"),
    [("BCEWithLogitsLoss", "Sigmoid", "BCELoss"), ("CrossEntropyLoss", "LogSoftmax", "NLLLoss"),
     ("CrossEntropyLoss", "Softmax", "NLLOfProbabilities"), ("NLLLoss", "Softmax", "NLLOfProbabilities"),
     ("NLLLoss", "Linear", "CrossEntropyLoss"), ("NLLLoss", "LogSoftmax", None)],
)  # fmt: skip
def test_the_loss_is_swapped_for_the_one_that_takes_the_output(loss, last, better):
    (found,) = offer_remedies(Case(finding("swap_loss"), {"loss_function": None}, loss=loss, last=last))
    assert found.settings == ({"loss_function": better} if better else {})
    assert bool(found.why_not) is (better is None)


def test_a_control_that_a_session_has_not_is_said():
    case = Case(finding("scale_inputs"), {"lr": 0.1})
    assert offer_remedies(case)[0].why_not == "this session has no control 'input_scaling'"


def test_where_nothing_is_spoiled_the_run_stays_where_it_is():
    made = session()
    made.step(20)
    made.apply_remedy(finding("lower_rate"))
    made.step(1)
    assert (made.steps, made.lr, made.line_changes[-1].by) == (21, 0.01, "doctor")


def exploded():
    made = session(on_divergence="go on")
    made.step(20)
    for budget in (made.timeline._often, made.timeline._epochs, made.timeline._before):
        budget.due = lambda: False  # no others, however slow the machine
    made._run.result(lambda: made.timeline.take("time"))
    made.step(2)
    made.lr = 1e6
    with pytest.raises(ArithmeticError):
        made.fit(progress=False)
    return made


def test_where_the_loss_exploded_it_goes_back_to_before_and_pauses():
    made = exploded()
    made.apply_remedy("loss_not_finite", "clip")
    assert (made.steps, made.lr, made.clip, made.status) == (20, 0.1, ("norm", 1.0), "paused")
    assert made.ledger().iloc[-2:][["name", "by"]].to_numpy().tolist() == [["rewind", "doctor"], ["clip", "doctor"]]
    assert made.fit(progress=False).status == "done"


def test_one_undo_takes_back_the_change_and_the_going_back():
    made = exploded()
    steps, weights = made.steps, {name: one.clone() for name, one in made.model.state_dict().items()}
    made.apply_remedy("loss_not_finite", "clip")
    made.undo()
    assert (made.steps, made.lr, made.clip, made.line) == (steps, 1e6, None, "main")
    assert all(torch.equal(one, weights[name]) for name, one in made.model.state_dict().items())


def test_a_later_change_is_undone_by_itself():
    made = exploded()
    made.apply_remedy("loss_not_finite", "clip")
    made.step(3)
    made.lr = 0.05
    made.step(1)
    made.undo()
    assert (made.steps, made.lr, made.clip) == (23, 0.1, ("norm", 1.0))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("loss_not_finte",), "Did you mean 'loss_not_finite'"), (("loss_not_finite", "clp"), "Did you mean 'clip'")],
)
def test_a_name_that_there_is_not_is_refused_with_a_hint(arguments, said):
    with pytest.raises(ValueError, match=said):
        exploded().apply_remedy(*arguments)


def test_a_dead_activation_has_the_weights_before_it_drawn_anew():
    made = session(optimizer="adam", lr=0.01, clip=1.0)
    assert offered(made, "reinitialise", layer="1").label == "Re-initialise 0"
    assert offered(made, "reinitialise", layer="3").label == "Re-initialise 3"


def test_an_epsilon_that_is_too_large_is_made_the_usual_one():
    made = session(optimizer=("adam", {"eps": 1.0}), lr=0.01)
    assert offered(made, "adam_eps", rule="adam_epsilon").settings["optimizer"] == ("Adam", {"eps": 1e-8})
