"""A head for other classes between two steps: as a plain loop that puts a layer in and tells the optimizer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets.session import Session
from tests.core.controls.by_hand import COUNT, SIZE, X, Y, net, plain, same, session, sgd

FEW = torch.arange(COUNT) % 2


def new(count, seed=1, trains=True):
    """Return what a plain loop does: a layer is put in, the optimizer has it in the place of the old one."""

    def change(model, optimizer):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layer = nn.Linear(8, count).requires_grad_(trains)
        for old, fresh in zip(model[7].parameters(), layer.parameters()):
            group = next(one for one in optimizer.param_groups if any(p is old for p in one["params"]))
            group["params"] = [p for p in group["params"] if p is not old] + [fresh]
            optimizer.state.pop(old, None)
        model[7] = layer

    return change


def few(model=None, **options):
    return Session(net() if model is None else model, (X, FEW), (X[:10], FEW[:10]), batch_size=SIZE, epochs=2,
                   optimizer=sgd, **options)  # fmt: skip


def test_a_head_is_put_in_as_by_hand_and_the_task_follows():
    made = session().step(3)
    assert made.new_head(["a", "b", "c", "d", "e"]) is made
    assert made.head == (5, ("a", "b", "c", "d", "e"), (("7", 5),), 1, 1) and made.model[7].out_features == 5
    assert made.ledger().note.tolist() == ["'7' for 5 classes: 45 new parameters"]
    same(made.fit(2).model, plain(at={3: new(5)}))
    assert made.classes == ("a", "b", "c", "d", "e") and made.predict_scores(X).shape == (COUNT, 5)
    assert made.layers()["7"].output_shape == (1, 5) and made.scores.y_score.shape == (10, 5)


@pytest.mark.parametrize("optimizer", [
    lambda p: torch.optim.AdamW(p, lr=0.01), lambda p: torch.optim.Adagrad(p, lr=0.05, initial_accumulator_value=0.1),
])  # fmt: skip
def test_what_the_optimizer_kept_of_the_old_head_is_gone(optimizer):
    def anew(model, made):
        new(4, seed=5)(model, made)
        for one in model[7].parameters():
            if isinstance(made, torch.optim.Adagrad):
                made.state[one] = torch.optim.Adagrad([one], initial_accumulator_value=0.1).state[one]

    made = session(optimizer=optimizer).step(3)
    made.head = {"classes": 4, "seed": 5}
    same(made.fit(2).model, plain(at={3: anew}, optimizer=optimizer))
    assert len(made.optimizer.state) == 8


def test_a_head_before_the_first_step_is_what_the_run_begins_with():
    made = session()
    made.new_head(6)
    same(made.fit().model, plain(at={0: new(6)}))
    made.rewind(0)
    assert made.model[7].out_features == 4


def test_the_new_head_is_in_the_group_of_the_old_one():
    def grouped(parameters):
        held = list(parameters)
        return torch.optim.SGD([{"params": held[:-2], "lr": 0.01}, {"params": held[-2:], "lr": 0.1}])

    made = session(optimizer=grouped).step(3)
    made.new_head(5)
    same(made.fit(2).model, plain(at={3: new(5)}, optimizer=grouped))


def test_factors_on_the_rate_hold_for_the_new_head():
    made = session(lr_scale={"7": 10.0}).step(3)
    made.new_head(5)
    rates = {id(p): group["lr"] for group in made.optimizer.param_groups for p in group["params"]}
    assert rates[id(made.model[7].weight)] == pytest.approx(0.5) and rates[id(made.model[5].weight)] == 0.05


def test_a_pattern_that_freezes_holds_for_the_new_head():
    made = session(trainable={"7": False}).step(3)
    made.new_head(5)
    assert not made.model[7].weight.requires_grad
    before = made.model[7].weight.clone()
    assert torch.equal(made.fit(2).model[7].weight, before)
    made.unfreeze("7").step()
    assert not torch.equal(made.model[7].weight, before)


def test_a_head_alone_can_be_trained_on_a_frozen_backbone():
    made = session(trainable={"0": False, "1": False, "5": False}).step(2)
    kept = made.model[5].weight.clone()
    made.new_head(5)
    made.step(3)
    assert torch.equal(made.model[5].weight, kept) and made.applied["trainable"] == {"0": False, "1": False, "5": False}


def test_averages_begin_anew_with_it_and_clipping_and_norms_go_on():
    made = session(ema=0.9, clip=("adaptive", 0.1), normalise={"7": "unit"}).step(4)
    made.new_head(5)
    assert torch.equal(made._run.loop.weights()["7.weight"], made.model[7].weight)
    made.step(3)
    assert torch.allclose(made.model[7].weight.norm(dim=1), torch.ones(5))
    assert made._run.loop.weights()["7.weight"].shape == (5, 8)


def test_undo_brings_the_old_head_back_and_switch_the_new_one():
    made = session().step(3)
    made.new_head(5)
    made.step(4)
    made.undo()
    assert made.head is None and made.classes is None and made.model[7].out_features == 4
    same(made.fit(2).model, plain())
    made.switch("main")
    assert made.model[7].out_features == 5 and made.steps == 7
    same(made.step(7).model, plain(at={3: new(5)}))
    made.rewind(6)
    same(made.step(8).model, plain(at={3: new(5)}))


def test_heads_are_tried_side_by_side_and_replayed_elsewhere():
    made = session().step(3)
    first, second = made.try_each(2, {"head": 5}, {})
    assert first.history().loss.tolist() != second.history().loss.tolist() and made.model[7].out_features == 4
    made.new_head(5)
    made.fit(2)
    same(session().replay(made.ledger()).fit().model, made.model)


def test_a_checkpoint_goes_on_across_it(tmp_path):
    made = session(checkpoint_dir=tmp_path, ema=0.9).step(3)
    made.new_head(["a", "b", "c", "d", "e"])
    made.step(2).save_checkpoint()
    options = {"batch_size": SIZE, "epochs": 2, "optimizer": sgd, "ema": 0.9}
    twin = Session.from_checkpoint(tmp_path, net(), (X, Y), (X[:10], Y[:10]), **options)
    assert twin.model[7].out_features == 5 and twin.classes == tuple("abcde") and twin.head == made.head
    same(twin.fit(2).model, made.fit(2).model)
    for one in (made, twin):  # what is saved later draws in the middle of another test
        one.close()


@pytest.mark.parametrize(("classes", "sentence"), [
    (3, "The targets hold the label 3, but the model puts out 3 values: labels go from 0 to 2. They do not in 2 "
        "samples, the first is sample 3. For 4 classes it is session.new_head(4)"),
    (["a"], "The targets hold the label 3, but the model puts out 1 value: labels go from 0 to 0. They do not in 7 "
            "samples, the first is sample 1. For 4 classes it is session.new_head(4)"),
])  # fmt: skip
def test_a_head_that_the_labels_do_not_fit_is_rejected_and_all_is_as_before(classes, sentence):
    made = session(label_smoothing=0.1).step(3)
    made.new_head(classes)
    assert made.rejected["head"] == sentence and made.applied["head"] is None and made.model[7].out_features == 4
    made.step(11)
    same(made.model, plain(loss=nn.CrossEntropyLoss(label_smoothing=0.1)))
    made.new_head(4)
    assert made.rejected == {} and made.applied["head"].classes == 4


def test_labels_of_the_validation_data_count_as_well():
    made = Session(net(), (X, FEW), (X[:10], Y[:10]), batch_size=SIZE).step(1)
    made.new_head(2)
    assert "hold the label 3" in made.rejected["head"] and "session.new_head(4)" in made.rejected["head"]


def test_fewer_classes_go_on_with_smoothing_loss_and_thresholds():
    made = few(label_smoothing=0.1, classes=["a", "b", "c", "d"]).step(3)
    made.thresholds = [0.1, 0.2, 0.3, 0.4]
    made.new_head(["no", "yes"])
    assert made.thresholds is None and made.applied["label_smoothing"] == 0.1 and made.classes == ("no", "yes")
    made.step(2)
    made.loss_function = "multi_margin"
    assert made.rejected == {} and made.evaluate().scores.classes == ("no", "yes")
    made.undo()
    made.undo()
    assert made.classes == ("a", "b", "c", "d") and made.applied["label_smoothing"] == 0.1


def test_the_best_weights_are_counted_anew():
    made = few(early_stopping={"patience": 9, "restore": True}).fit(1, progress=False)
    made.new_head(2)
    assert made._run.loop.patience.best is None
    made.fit(1, progress=False)
    assert made._run.loop.patience.best_step == 14


def test_a_column_for_each_label_keeps_its_number():
    made = Session(net(), (X, torch.eye(4)[Y]), task="multilabel", batch_size=SIZE).step(2)
    made.new_head(3)
    assert "The model's last layer should put out 4: session.new_head(4)." in f"{made.rejected['head']}."
    made.new_head(4)
    assert made.rejected == {} and made.step().steps == 3


class Own(nn.Module):
    """A model that changes its head itself, and notes how many classes it has."""

    def __init__(self, classes=4, broken=False):
        super().__init__()
        torch.manual_seed(7)
        self.body, self.classes, self.broken = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU()), classes, broken
        self.top = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, classes))

    def with_classes(self, count):
        self.classes, self.top = count, nn.Sequential(nn.Linear(8, 8), nn.Linear(8, count))
        if self.broken:
            raise RuntimeError("no memory")

    def forward(self, x):
        return self.top(self.body(x)).view(len(x), self.classes)


def test_a_model_that_knows_how_changes_its_head_itself():
    made = session(Own()).step(3)
    kept = made.model.top[0].weight.clone()
    made.new_head(6)
    assert made.head == (6, None, (), 1, 1) and made.model.classes == 6 and made.rejected == {}
    after = made.step(3).model.top[0].weight.clone()
    made.undo()
    assert made.model.classes == 4 and torch.equal(made.model.top[0].weight, kept)
    made.switch("main")
    assert made.model.classes == 6 and torch.equal(made.model.top[0].weight, after)


class Inside(nn.Module):
    """A layer with a gain of each class, which it exchanges itself, in its place."""

    def __init__(self, classes):
        super().__init__()
        self.linear, self.gain = nn.Linear(8, classes), nn.Parameter(torch.ones(classes))

    def forward(self, x):
        return self.linear(x) * self.gain


class Within(Own):
    def __init__(self):
        super().__init__()
        self.top = Inside(4)

    def with_classes(self, count):
        new = Inside(count)
        self.classes, self.top.linear, self.top.gain = count, new.linear, new.gain


def test_parameters_that_a_method_exchanges_in_their_place_come_back():
    made = session(Within()).step(3)
    kept = made.model.top.gain.clone()
    made.new_head(6)
    assert made.ledger().note[0] == "'top.linear', 'top.gain' for 6 classes: 60 new parameters"
    after = made.step(3).model.top.gain.clone()
    made.undo()
    assert torch.equal(made.model.top.gain, kept)
    made.switch("main")
    assert torch.equal(made.model.top.gain, after) and len(made.optimizer.param_groups[0]["params"]) == 5


class Detector(nn.Module):
    """Says of an image what one box in it is."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Flatten(), nn.Linear(16, 8)), nn.Linear(8, 4)

    def forward(self, images, targets=None):
        said = self.head(self.body(images))
        if self.training:
            return {"class": nn.functional.cross_entropy(said, torch.cat([one["labels"] for one in targets]))}
        box = torch.tensor([[0.0, 0, 2, 2]])
        return [{"boxes": box, "labels": one.argmax()[None], "scores": one.softmax(0).max()[None]} for one in said]


def test_a_detector_is_given_other_classes_where_the_boxes_allow_it():
    boxes = [{"boxes": torch.tensor([[0.0, 0, 2, 2]]), "labels": label[None]} for label in Y]
    made = Session(Detector(), (X, boxes), (X[:8], boxes[:8]), batch_size=SIZE).step(2)
    made.new_head(3)
    assert made.rejected["head"].startswith("The targets hold the label 3, and of 3 classes labels go from 0 to 2")
    made.new_head(["a", "b", "c", "d", "e"])
    assert made.rejected == {} and made.classes == tuple("abcde") and made.step().evaluate().detections is not None


def test_a_method_that_fails_leaves_all_as_it_was():
    made = session(Own(broken=True)).step(3)
    made.new_head(6)
    assert made.rejected["head"] == "Own.with_classes(6) failed: no memory" and made.model.classes == 4
    same(made.fit(2).model, plain(Own()))


@pytest.mark.parametrize(("wish", "sentence"), [
    (0, "classes=0: 1 or more are wanted."), ("cat", "classes='cat': a number of classes, or a list"),
    ({"classes": 3, "layer": "8"}, "The Sequential has no layer '8'."),
    ({"classes": 3, "layer": "1"}, "'1' (BatchNorm2d) is no layer that puts out classes"),
    ({"classes": 3, "seed": "x"}, "seed='x': a whole number is wanted"),
])  # fmt: skip
def test_what_is_no_head_is_refused_at_once(wish, sentence):
    made = session()
    with pytest.raises((ValueError, TypeError)) as caught:
        made.head = wish
    assert sentence in str(caught.value) and made.head is None


def test_a_weight_that_is_split_is_refused():
    made = session(normalise={"7": "weight_norm"}).step(1)
    with pytest.raises(ValueError, match="computes its weight from others"):
        made.new_head(5)
