"""The loss exchanged in mid-run: as a plain loop that calls another from a step on, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlwidgets.session import Session
from tests.core.controls.by_hand import COUNT, SIZE, X, Y, net, plain, same, session, sgd

LABELS = F.one_hot(Y, 4).float()
WEIGHT = torch.tensor([0.3, 1.0, 2.5, 4.0])


class Switch:
    """A loss for the plain loop, which a change exchanges."""

    def __init__(self, loss):
        self.loss = loss

    def __call__(self, output, targets):
        return self.loss(output, targets)

    def to(self, loss):
        return lambda model, optimizer: setattr(self, "loss", loss)


def ended_by(last):
    return net().append(last)


def of_probabilities(output, targets):
    return F.nll_loss(output.log(), targets)


@pytest.mark.parametrize(("wish", "by_hand"), [
    ("multi_margin", nn.MultiMarginLoss()), (nn.MultiMarginLoss, nn.MultiMarginLoss()),
    (nn.CrossEntropyLoss(weight=WEIGHT), nn.CrossEntropyLoss(weight=WEIGHT)),
    (lambda output, targets: 2 * F.cross_entropy(output, targets), lambda o, t: 2 * F.cross_entropy(o, t)),
])  # fmt: skip
def test_another_loss_trains_from_the_next_step_on(wish, by_hand):
    made, loss = session().step(3), Switch(nn.CrossEntropyLoss())
    made.loss_function = wish
    same(made.fit(2).model, plain(loss=loss, at={3: loss.to(by_hand)}))


def test_none_is_the_loss_of_the_beginning():
    made, loss = session().step(3), Switch(nn.CrossEntropyLoss())
    made.loss_function = "multi_margin"
    made.step(2)
    made.loss_function = None
    same(made.fit(2).model, plain(loss=loss, at={3: loss.to(nn.MultiMarginLoss()), 5: loss.to(nn.CrossEntropyLoss())}))
    assert made.applied["loss_function"] is None and made.applied["loss_in_words"] == "CrossEntropyLoss"


def test_a_softmax_at_the_end_is_mended_by_a_loss_of_probabilities():
    model, twin = ended_by(nn.Softmax(1)), ended_by(nn.Softmax(1))
    made, loss = session(model).step(3), Switch(nn.CrossEntropyLoss())
    assert any("pass loss='nll_of_probabilities'" in note for note in made.notes)
    made.loss_function = "nll_of_probabilities"
    same(made.fit(2).model, plain(twin, loss=loss, at={3: loss.to(of_probabilities)}))
    found, output = made.evaluate(), model.eval()(X[:10]).detach()
    assert found.loss == pytest.approx(float(of_probabilities(output, Y[:10])))
    assert torch.equal(made.predict_scores(X[:10]), output.double())


def test_a_sigmoid_at_the_end_is_mended_by_bce():
    model = ended_by(nn.Sigmoid())
    made = Session(model, (X, LABELS), task="multilabel", batch_size=SIZE).step(2)
    before = made.predict_scores(X[:5])
    made.loss_function = "binary_cross_entropy"
    made.step(1)
    assert made.applied["loss_function"] == "BCELoss" and made.scores_of(torch.tensor([[0.5, 0, 1, 1]]))[0, 0] == 0.5
    assert before.min() > 0.5 > made.predict_scores(X[:5]).min()  # no second sigmoid


def test_unknown_labels_are_left_out_by_the_next_loss_too():
    unknown = LABELS.masked_fill(torch.rand(COUNT, 4, generator=torch.Generator().manual_seed(2)) < 0.3, -1)
    made = Session(net(), (X, unknown), task="multilabel", batch_size=SIZE, valid=(X, unknown)).step(2)
    made.loss_function = nn.BCEWithLogitsLoss(pos_weight=WEIGHT)
    found, output, known = made.step(2).evaluate(), made.model.eval()(X).detach(), unknown >= 0
    each = F.binary_cross_entropy_with_logits(output, unknown, pos_weight=WEIGHT, reduction="none")
    assert found.loss == pytest.approx(float(each[known].mean()))


def test_classes_that_were_left_out_stay_left_out():
    some = Y.masked_fill(torch.arange(COUNT) % 5 == 0, -1)
    made = Session(net(), (X, some), (X, some), batch_size=SIZE).step(2)
    made.loss_function = "multi_margin"
    made.step()
    assert "loss_function" in made.rejected  # it cannot leave out
    made.loss_function = "cross_entropy"
    found, output = made.step(1).evaluate(), made.model.eval()(X).detach()
    assert found.loss == pytest.approx(float(F.cross_entropy(output, some, ignore_index=-1)))


def test_what_is_best_is_counted_anew_on_another_scale():
    made = session(early_stopping=("valid_loss", 99)).fit(1)
    assert made._run.loop.patience.best_step == 7
    made.loss_function = lambda output, targets: 100 * F.cross_entropy(output, targets)
    made.fit(1)
    assert made._run.loop.patience.best > 10


def test_the_next_loss_comes_with_its_own_label_smoothing():
    made = session(label_smoothing=0.2).step(3)
    made.loss_function = nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.1)
    made.step()
    assert made.applied["label_smoothing"] == 0.1 and made.label_smoothing is None
    made.loss_function = None
    made.step()
    assert made.applied["label_smoothing"] == 0.0


def test_going_back_trials_and_another_session_have_the_loss_of_then():
    made, loss = session().step(3), Switch(nn.CrossEntropyLoss())
    made.loss_function = "multi_margin"
    made.fit(2)
    other = session().replay(made.ledger()).fit()
    same(other.model, made.model)
    other.undo()
    assert other.steps == 3 and other.loss_function is None and other.applied["loss_in_words"] == "CrossEntropyLoss"
    first, _ = other.try_each(2, {"loss_function": "multi_margin"}, {})
    assert first.history().loss.tolist() == made.history().loss.tolist()[:5]
    same(other.fit(2).model, plain())
    made.rewind(5).fit(2)
    same(made.model, plain(loss=loss, at={3: loss.to(nn.MultiMarginLoss())}))


def test_a_checkpoint_goes_on_with_the_loss_of_then(tmp_path, request):
    def again(wish):
        made = session(checkpoint_dir=tmp_path / str(wish)).step(3)
        made.loss_function = wish
        made.step().save_checkpoint()
        twin = Session.from_checkpoint(
            tmp_path / str(wish), net(), (X, Y), (X[:10], Y[:10]), batch_size=SIZE, epochs=2, optimizer=sgd
        )
        for one in (made, twin):  # what is saved later draws in the middle of another test
            request.addfinalizer(one.close)
        return made, twin

    made, twin = again("MultiMarginLoss")
    assert twin.loss_function == "MultiMarginLoss"
    same(twin.fit(2).model, made.fit(2).model)
    _, twin = again(nn.CrossEntropyLoss(weight=WEIGHT))
    assert any("the loss was CrossEntropyLoss, which no file can hold" in note for note in twin.notes)


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, output, target):
        return F.cross_entropy(output * self.scale, target)


@pytest.mark.parametrize(("wish", "sentence"), [
    ("mse", "MSELoss compares each output with a number, and the targets are the numbers of classes: pass one-hot "
            "targets, or a loss of classes, as nn.CrossEntropyLoss()"),
    ("nll_of_probabilities", "The model's outputs are no probabilities, which are 0 or more and sum to 1 for each "
                             "sample: of logits the loss is nn.CrossEntropyLoss()"),
    (Learned(), "Learned has parameters that the optimizer is to move: it can be given as loss= of a Session only"),
])  # fmt: skip
def test_a_loss_that_does_not_fit_is_rejected_and_the_run_goes_on(wish, sentence):
    made = session().step(3)
    made.loss_function = wish
    same(made.fit(2).model, plain())
    assert made.rejected == {"loss_function": sentence}


def test_what_is_no_loss_is_refused():
    with pytest.raises(ValueError, match="loss_function='cros_entropy' is not a loss of torch.nn"):
        session().loss_function = "cros_entropy"
    with pytest.raises(ValueError, match="the loss is what training_step= returns, and cannot be another"):
        made = Session(net(), (X, Y), training_step=lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]))
        made.loss_function = "mse"
    with pytest.raises(AttributeError, match="Did you mean 'loss_function'"):
        session().criterion = "mse"
