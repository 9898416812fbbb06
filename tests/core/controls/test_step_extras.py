"""What a step can have beside the plain loop: each the same, bit for bit, as a plain loop that does it by hand."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import copy
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

from dlwidgets.core.controls.accumulate import divisors
from dlwidgets.session import Session

COUNT, SIZE = 50, 8  # batches of 8, the last of 2
X = torch.randn(COUNT, 1, 4, 4, generator=torch.Generator().manual_seed(1))
Y = torch.arange(COUNT) % 4


def net():
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)
    )  # fmt: skip


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def session(model=None, **options):
    torch.rand(5)
    options = {"batch_size": SIZE, "epochs": 2, "valid": (X[:10], Y[:10]), "optimizer": sgd, **options}
    return Session(net() if model is None else model, (X, Y), **options)


def plain(model=None, epochs=2, loss=None, after=lambda model: None, accumulate=1, forward=None, optimizer=None):
    model = net() if model is None else model
    loss = nn.CrossEntropyLoss() if loss is None else loss
    optimizer = sgd(model.parameters()) if optimizer is None else optimizer
    torch.manual_seed(0)
    order = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(epochs):
        batches = torch.randperm(COUNT, generator=order).split(SIZE)
        for start in range(0, len(batches), accumulate):
            group = batches[start : start + accumulate]
            optimizer.zero_grad()
            for index in group:
                if forward is None:
                    value = loss(model(X[index]), Y[index])
                else:
                    with forward():
                        value = loss(model(X[index]), Y[index])
                share = len(group) if len({len(i) for i in group}) == 1 else sum(map(len, group)) / len(index)
                (value / share).backward()
            optimizer.step()
            with torch.no_grad():
                after(model)
    return model


def same(left, right):
    left, right = left.state_dict(), right.state_dict()
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


# -- accumulation


@pytest.mark.parametrize("count", [2, 3, 4, 7, 100])
def test_accumulated_gradients_are_those_of_the_plain_loop(count):
    made = session(accumulate=count).fit()
    same(made.model, plain(accumulate=count))
    assert made.steps == 2 * -(-7 // count)
    assert made.applied["effective_batch"] == SIZE * count
    frame = made.history()
    assert frame.groupby("epoch").batch_size.sum().tolist() == [COUNT, COUNT]
    assert made.progress()["total"] == made.steps


@pytest.mark.parametrize("make", [
    lambda d: DataLoader(d, SIZE, shuffle=True, generator=torch.Generator().manual_seed(3)),
    lambda d: [(X[i : i + SIZE], Y[i : i + SIZE]) for i in range(0, COUNT, SIZE)],
    lambda d: iter([(X[i : i + SIZE], Y[i : i + SIZE]) for i in range(0, COUNT, SIZE)]),
], ids=["loader", "list", "generator"])  # fmt: skip
def test_any_source_is_accumulated_to_its_end(make):
    made = Session(net(), make(TensorDataset(X, Y)), optimizer=sgd, accumulate=3, epochs=1).fit()
    assert made.history().batch_size.tolist() == [24, 24, 2]
    assert made.status == "done"


def test_a_source_that_ends_only_by_its_end_is_accumulated_alike_in_each_epoch():
    class Stream:
        def __iter__(self):
            return ((X[i : i + SIZE], Y[i : i + SIZE]) for i in range(0, COUNT, SIZE))

    made = Session(net(), Stream(), optimizer=sgd, accumulate=3, epochs=2).fit()
    assert made.history().batch_size.tolist() == [24, 24, 2] * 2


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(deadline=None)
def test_the_loss_of_a_step_is_the_mean_over_all_its_samples(lengths, seed):
    losses = torch.rand(sum(lengths), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    parts = losses.split(lengths)
    together = sum(part.mean() / d for part, d in zip(parts, divisors([(part,) for part in parts])))
    torch.testing.assert_close(together, losses.mean())


def test_without_randomness_accumulating_is_a_larger_batch():
    def straight():
        torch.manual_seed(2)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 4))

    small, large = session(straight(), accumulate=4).fit(), session(straight(), batch_size=4 * SIZE).fit()
    for left, right in zip(small.model.parameters(), large.model.parameters()):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


class Fails(nn.Module):
    """Raises in the forward passes whose number it is given."""

    def __init__(self, at=()):
        super().__init__()
        self.at, self.calls = set(at), 0

    def forward(self, x):
        if self.training:
            self.calls += 1
            if self.calls in self.at:
                raise RuntimeError("boom")
        return x


@pytest.mark.parametrize("at", [{1}, {2}, {3}, {7}, {8, 11}, {7, 9}])
def test_a_micro_batch_that_fails_puts_its_whole_group_back(at):
    made = session(nn.Sequential(net(), Fails(at)), accumulate=3)
    failures = 0
    while made.status != "done":
        try:
            made.fit()
        except RuntimeError:
            failures += 1
    assert failures == len(at)
    same(made.model, plain(nn.Sequential(net(), Fails()), accumulate=3))


def test_a_group_that_failed_comes_in_smaller_pieces_where_the_batch_size_was_lowered():
    made = session(nn.Sequential(net(), Fails({2})), accumulate=2, epochs=1)
    with pytest.raises(RuntimeError):
        made.step()
    made.batch_size = 4
    made.fit()
    frame = made.history()
    assert frame.batch_size.sum() == COUNT and frame.batch_size.max() == 8


def test_accumulation_changes_in_mid_epoch_and_no_sample_is_lost():
    made = session(epochs=1)
    made.step(2)
    made.accumulate = 3
    made.step()
    made.accumulate = 1
    made.fit()
    assert made.history().batch_size.tolist() == [8, 8, 24, 8, 2]
    assert made.ledger().note.tolist()[:1] == ["24 samples a step"]


# -- weight normalisation


def unit(w):
    return F.normalize(w.flatten(1), dim=1).view_as(w)


@pytest.mark.parametrize(("rule", "by_hand"), [
    ("unit", unit),
    ("unit_dim1", lambda w: F.normalize(w, p=2, dim=1)),
    (("max_norm", 0.3), lambda w: torch.renorm(w, 2, 0, 0.3)),
])  # fmt: skip
@pytest.mark.parametrize("layers", [["5", "7"], ["0", "5", "7"]])
def test_projected_weights_are_those_of_the_plain_loop(rule, by_hand, layers):
    def after(model):
        for layer in layers:
            model[int(layer)].weight.copy_(by_hand(model[int(layer)].weight))

    made = session(normalise=rule if len(layers) == 3 else dict.fromkeys(layers, rule)).fit()
    same(made.model, plain(after=after))


def test_norms_are_what_the_rules_say():
    made = session(normalise={"0": "unit", "5": ("max_norm", 0.5)}).fit()
    torch.testing.assert_close(made.model[0].weight.flatten(1).norm(dim=1), torch.ones(3))
    assert float(made.model[5].weight.detach().norm(dim=1).max()) <= 0.5001


def test_frozen_layers_are_not_normalised():
    made = session(trainable={"5": False}, normalise="unit")
    before = made.model[5].weight.clone()
    made.fit()
    assert torch.equal(before, made.model[5].weight)


def test_a_single_input_channel_is_warned_of():
    made = session()
    made.normalise = "unit_dim1"
    made.step()
    assert made.ledger().note[0] == "'0.weight' has a single input channel: its weights become +1 or -1 and nothing else"
    torch.testing.assert_close(made.model[0].weight.detach().abs(), torch.ones(3, 1, 3, 3))


def test_weight_norm_is_torchs_own_and_taken_off_leaves_the_weights():
    twin = net()
    for layer in (twin[0], twin[5], twin[7]):
        weight_norm(layer)
    made = session(normalise="weight_norm").fit()
    trained = plain(twin)
    X_ = X[:20]
    assert torch.equal(made.model.eval()(X_), trained.eval()(X_))
    weights = [made.model[i].weight.detach().clone() for i in (0, 5, 7)]
    made.normalise = None
    made.epochs = 1
    made.step()
    assert [name for name, _ in made.model.named_parameters()] == [name for name, _ in net().named_parameters()]
    assert "begins anew" in made.ledger().note[0]
    assert weights[0].shape == made.model[0].weight.shape


def test_putting_weight_norm_on_and_off_changes_no_output_and_keeps_the_parameters():
    made = session(lr=0.0)
    own, names = list(made.model.parameters()), [name for name, _ in made.model.named_parameters()]
    made.step()
    before = made.predict_scores(X)
    made.normalise = {"5": "weight_norm"}
    made.step()
    assert "5.parametrizations.weight.original1" in dict(made.model.named_parameters())
    torch.testing.assert_close(made.predict_scores(X), before, rtol=0.2, atol=0.05)  # BatchNorm goes on
    held = {id(p) for group in made.optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in made.model.parameters()}
    made.normalise = None
    made.step()
    assert [name for name, _ in made.model.named_parameters()] == names
    assert all(one is other for one, other in zip(own, made.model.parameters()))
    assert {id(p) for group in made.optimizer.param_groups for p in group["params"]} == set(map(id, own))


@pytest.mark.parametrize(("wish", "sentence"), [
    ("units", "normalise has the rule 'units', which is none of unit, unit_dim1, max_norm, weight_norm. Did you mean 'unit'?"),
    ("l2", "normalise has the rule 'l2', which is none of unit, unit_dim1, max_norm, weight_norm. Plain L2 is weight_decay=1e-4."),
    (("max_norm", 0), "normalise has the rule ('max_norm', 0): the largest norm is a positive number, such as 3."),
    (("unit", 2), "normalise has the rule ('unit', 2): only max_norm has a number."),
    ({"1": "unit"}, "normalise has '1', which means no weight of two or more axes. There are '0.weight', '5.weight', '7.weight'."),
])  # fmt: skip
def test_normalisation_that_cannot_be_is_refused(wish, sentence):
    with pytest.raises(ValueError) as caught:
        session().normalise = wish
    assert str(caught.value) == sentence


# -- dropout and label smoothing


def test_dropout_rates_are_set_and_given_back():
    def with_rate(rate):
        model = net()
        model[4].p = rate
        return model

    made = session(dropout=0.6).fit()
    same(made.model, plain(with_rate(0.6)))
    made.dropout = {"4": 0.1}
    made.step()
    assert made.model[4].p == 0.1 and made.applied["dropout"] == {"4": 0.1}
    made.dropout = None
    made.step()
    assert made.model[4].p == 0.3
    assert made.ledger().note.tolist() == ["4 0.6 to 0.1", "4 0.1 to 0.3"]


@pytest.mark.parametrize(("wish", "sentence"), [
    (1.0, "dropout has the rate 1.0: a share of what is dropped, 0 or more and below 1, is wanted."),
    ({"5": 0.1}, "dropout has '5', which means no dropout layer. There are '4'."),
])  # fmt: skip
def test_dropout_that_cannot_be_is_refused(wish, sentence):
    with pytest.raises(ValueError) as caught:
        session(dropout=wish)
    assert str(caught.value) == sentence


def test_smoothed_labels_train_and_the_evaluation_keeps_its_loss():
    mine = nn.CrossEntropyLoss()
    made = session(loss=mine, label_smoothing=0.2).fit()
    same(made.model, plain(loss=nn.CrossEntropyLoss(label_smoothing=0.2)))
    assert mine.label_smoothing == 0.0
    assert made.evaluation.loss == pytest.approx(float(mine(made.model.eval()(X[:10]), Y[:10]).detach()))
    made.label_smoothing = None
    made.step()
    assert made.applied["label_smoothing"] == 0.0


def test_a_loss_without_label_smoothing_says_so():
    made = Session(net(), (X, F.one_hot(Y, 4).float()), task="multilabel", batch_size=SIZE)
    made.label_smoothing = 0.1
    made.step()
    assert made.rejected["label_smoothing"] == "BCEWithLogitsLoss has no label smoothing: CrossEntropyLoss has"
    assert made.applied["label_smoothing"] is None


# -- averages


def test_averaging_does_not_touch_training_and_is_torchs_own():
    model = net()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    plain(model, after=average.update_parameters)
    made = session(ema=0.9).fit()
    same(made.model, model)
    average.module.eval()
    expected = average.module(X).softmax(1).detach()
    assert torch.equal(made.predict_scores(X), expected)
    assert made.evaluate().loss == pytest.approx(float(F.cross_entropy(average.module(X[:10]), Y[:10]).detach()))
    same(made.model, model)  # looking changed nothing
    made.ema = None
    made.step()
    assert torch.equal(made.predict_scores(X), made.model.eval()(X).softmax(1).detach())


def test_averaging_is_switched_in_mid_run():
    made = session()
    made.step(3)
    made.ema = 0.5
    made.step()
    assert torch.equal(made.predict(X[:5]), made.model.eval()(X[:5]).argmax(1))  # the first step is taken over
    assert made.ledger().note.tolist() == ["evaluations and predictions use the averaged weights"]


# -- precision


def test_bf16_on_the_cpu_is_torchs_autocast():
    made = session(precision="bf16").fit()
    same(made.model, plain(forward=lambda: torch.autocast("cpu", torch.bfloat16)))
    assert all(p.dtype is torch.float32 for p in made.model.parameters())


def test_fp16_on_the_cpu_is_refused_in_a_sentence():
    made = session(device="cpu")
    made.precision = "fp16"
    made.step()
    assert made.rejected["precision"] == 'fp16 needs a CUDA device, and training is on the CPU: "bf16" works there'
    assert made.applied["precision"] == "full"
    with pytest.raises(ValueError, match="precision='fp16': fp16 needs a CUDA device"):
        session(device="cpu", precision="fp16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="fp16 is for CUDA devices")
def test_fp16_is_torchs_scaler_and_leaves_out_steps_that_overflow():
    model = net().cuda()
    optimizer, scaler = sgd(model.parameters()), torch.amp.GradScaler("cuda")
    order, skipped = torch.Generator().manual_seed(0), 0
    torch.manual_seed(0)
    model.train()
    for _ in range(2):
        for index in torch.randperm(COUNT, generator=order).split(SIZE):
            with torch.autocast("cuda", torch.float16):
                loss = F.cross_entropy(model(X[index].cuda()), Y[index].cuda()) * 1e4
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            skipped += scaler.get_scale() < before
    made = session(device="cuda", precision="fp16", loss=lambda o, t: F.cross_entropy(o, t) * 1e4).fit()
    assert made.history().skipped.sum() == skipped > 0
    assert all(map(torch.equal, made.model.cuda().parameters(), model.parameters()))
    assert any("overflow in fp16" in note for note in made.notes)


# -- early stopping


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


@pytest.mark.parametrize(("name", "value", "sentence"), [
    ("accumulate", 0, "accumulate=0: a whole number of batches, 1 or more, is wanted; 1 accumulates nothing."),
    ("ema", 1.0, "ema=1.0: a decay between 0 and 1 is wanted, such as 0.999, or None."),
    ("label_smoothing", 1, "label_smoothing=1: a number from 0 to below 1 is wanted, as 0.1, or None."),
    ("precision", "fp8", "precision='fp8' is none of full, bf16, fp16."),
])  # fmt: skip
def test_wishes_that_cannot_be_are_refused(name, value, sentence):
    for ask in (lambda: session(**{name: value}), lambda: setattr(session(), name, value)):
        with pytest.raises(ValueError) as caught:
            ask()
        assert str(caught.value) == sentence


# -- saving


@pytest.mark.parametrize("options", [{}, {"normalise": "weight_norm"}, {"ema": 0.5}])
def test_saved_weights_load_into_the_models_class(tmp_path, options):
    made = session(**options).fit()
    path = made.save(tmp_path / "model.pt")
    twin = net()
    twin.load_state_dict(torch.load(path, weights_only=True))
    assert torch.equal(twin.eval()(X).softmax(1).detach(), made.predict_scores(X))
    assert os.listdir(tmp_path) == ["model.pt"]


def test_saving_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    made = session()
    path = made.save(tmp_path / "model.pt")
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        made.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.pt"]
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        made.save(tmp_path / "away" / "model.pt")


# -- going back


@pytest.mark.parametrize("options", [
    {"accumulate": 2}, {"normalise": "unit"}, {"normalise": "weight_norm"}, {"dropout": 0.5}, {"label_smoothing": 0.1}, {"ema": 0.8},
    {"precision": "bf16"}, {"early_stopping": ("accuracy", 40)},
], ids=lambda options: next(iter(options.values())) if "normalise" in options else next(iter(options)))  # fmt: skip
def test_after_a_rewind_over_the_change_the_run_is_as_it_was(options):
    (name, value), = options.items()
    made = session(epochs=3)
    own = getattr(made, name)
    made.step(2)
    setattr(made, name, value)
    made.step(3)
    expected, scores = copy.deepcopy(made.model.state_dict()), made.predict_scores(X)
    setattr(made, name, own)
    made.step(2)
    made.rewind(5)
    now = made.model.state_dict()
    assert now.keys() == expected.keys()
    assert all(torch.equal(now[key], expected[key]) for key in expected)
    assert torch.equal(made.predict_scores(X), scores)
    made.rewind(1)
    assert made.applied[name] == own
    made.step()
    assert all(map(torch.equal, made.model.parameters(), session(epochs=3).step(2).model.parameters()))


def test_the_scaler_of_fp16_is_torchs_own_and_steps_that_overflow_are_left_out(monkeypatch):
    # On the CPU, where torch has all of it and only the speed is missing.
    monkeypatch.setattr("dlwidgets.core.controls.precision.why_not", lambda mode, device: None)

    def loss(output, targets):
        return F.cross_entropy(output, targets) * 30

    model, skipped, order = net(), 0, torch.Generator().manual_seed(0)
    optimizer, scaler = sgd(model.parameters()), torch.amp.GradScaler("cpu")
    torch.manual_seed(0)
    model.train()
    for _ in range(2):
        for index in torch.randperm(COUNT, generator=order).split(SIZE):
            with torch.autocast("cpu", torch.float16):
                value = loss(model(X[index]), Y[index])
            optimizer.zero_grad()
            scaler.scale(value).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            skipped += scaler.get_scale() < before
    made = session(precision="fp16", loss=loss, task="multiclass", clip=0.5).fit()
    same(made.model, model)
    assert made.history().skipped.sum() == skipped > 0
    assert any("overflow in fp16" in note for note in made.notes)
    scale = made._run.loop.precision.state()["scaler"]["scale"]
    assert scale == scaler.get_scale()


def test_gradients_that_overflow_without_any_scale_stop_the_step(monkeypatch):
    monkeypatch.setattr("dlwidgets.core.controls.precision.why_not", lambda mode, device: None)
    made = session(precision="fp16", loss=lambda o, t: F.cross_entropy(o, t) * 1e-3 + (o - o).abs().sqrt().sum(), task="multiclass")
    with pytest.raises(ArithmeticError, match="The gradients became infinite or NaN in step"):
        made.fit(epochs=9)
    assert made.history().skipped.tolist() == [1.0] * 16
    assert all(bool(p.isfinite().all()) for p in made.model.parameters())
