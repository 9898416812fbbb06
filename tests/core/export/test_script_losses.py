"""Scripts of runs whose loss was exchanged give their weights, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlwidgets.session import Session
from tests.core.export.script_runs import Runs, X, Y, check_weights, net, session

RUNS = Runs()
WEIGHT = torch.tensor([0.3, 1.0, 2.5, 4.0])
UNKNOWN = Y["multilabel"].masked_fill(torch.rand(50, 4, generator=torch.Generator().manual_seed(5)) < 0.4, -1)


def doubled(output, targets):
    return 2 * F.cross_entropy(output, targets)


@RUNS.add
def back_and_forth():
    made = session().step(3)
    for loss in ("multi_margin", None, nn.CrossEntropyLoss(weight=WEIGHT), doubled, F.cross_entropy, None):
        made.loss_function = loss
        made.step(2)
    return made


@RUNS.add
def before_the_first_step():
    made = session()
    made.loss_function = "multi_margin"
    return made.fit(1)


@RUNS.add
def a_function_first():
    made = session(loss=doubled).step(3)
    made.loss_function = lambda output, targets: F.cross_entropy(output, targets, label_smoothing=0.1)
    made.step(2)
    made.loss_function = None
    return made.step(2)


@RUNS.add
def probabilities():
    made = session(model=net().append(nn.Softmax(1))).step(3)
    made.loss_function = "nll_of_probabilities"
    return made.fit(2)


@RUNS.add
def probabilities_of_labels():
    made = session("multilabel", model=net().append(nn.Sigmoid()), valid=(X, Y["multilabel"])).step(3)
    made.loss_function = "bce_of_probabilities"
    return made.fit(2)


@RUNS.add
def unknown_labels():
    made = session("multilabel", data=(X, UNKNOWN), accumulate=2).step(3)
    made.loss_function = nn.BCEWithLogitsLoss(pos_weight=WEIGHT)
    made.step(2)
    made.loss_function = None
    return made.step(2)


@RUNS.add
def unknown_classes():
    classes = Y["multiclass"].masked_fill(torch.arange(50) % 7 == 0, -1)
    made = session(data=(X, classes), model=net().append(nn.Softmax(1))).step(3)
    made.loss_function = "nll_of_probabilities"
    return made.step(3)


@RUNS.add
def smoothed_in_between():
    made = session(label_smoothing=0.1).step(2)
    made.loss_function = nn.CrossEntropyLoss(label_smoothing=0.3)
    made.step(2)
    made.label_smoothing = 0.05
    made.step(2)
    made.loss_function = None
    return made.step(2)


@RUNS.add
def of_numbers():
    made = session("regression", clip=1.0).step(3)
    made.loss_function = "huber"
    return made.fit(2)


@pytest.mark.parametrize("name", RUNS)
def test_a_script_exchanges_the_loss_as_the_run_did(done, name):
    check_weights(done, name)


def test_a_script_predicts_with_the_last_loss_in_mind(done):
    text = (done[0] / "probabilities_of_labels.py").read_text()
    assert "probabilities = model(inputs).cpu().double()" in text


@pytest.mark.parametrize(("make", "why"), [
    (lambda: session("multilabel", data=(X, UNKNOWN.float()), loss="bce_with_logits"), nn.MultiLabelSoftMarginLoss()),
], ids=["unknown labels"])  # fmt: skip
def test_a_loss_that_cannot_leave_unknown_labels_out_is_rejected(make, why):
    made = make().step(2)
    made.loss_function = why
    made.step()
    assert "cannot leave them out" in made.rejected["loss_function"]


def test_accumulated_gradients_of_losses_that_divide_by_other_counts_have_no_script(tmp_path):
    made = session(accumulate=2).step(1)
    made.loss_function = nn.CrossEntropyLoss(weight=WEIGHT)
    with pytest.raises(ValueError, match="accumulated under losses whose means divide by other counts"):
        made.step(1).to_script(tmp_path / "run.py")


def test_a_resumed_run_writes_its_losses(tmp_path):
    made = session(checkpoint_dir=tmp_path / "kept").step(2)
    made.loss_function = "multi_margin"
    made.step(2).save_checkpoint()
    twin = Session.from_checkpoint(
        tmp_path / "kept", net(), (X, Y["multiclass"]), batch_size=16, epochs=3, threads=1, seed=3, task="multiclass"
    )
    twin.loss_function = None
    text = twin.step(2).to_script(tmp_path / "run.py").read_text()
    assert text.count("loss_function = nn.MultiMarginLoss()") == 1
    assert text.count("loss_function = nn.CrossEntropyLoss()") == 2
    made.close()
    twin.close()
