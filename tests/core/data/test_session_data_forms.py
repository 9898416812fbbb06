"""Sessions on every form of data: what goes in trains, evaluates and predicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from dlwidgets.session import Session

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(40, 4, generator=G), torch.arange(40) % 3
FRAME = pd.DataFrame(X.numpy(), columns=list("abcd")).assign(kind=np.array(["x", "y", "z"])[Y])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y))


class Arrays(Dataset):
    """Items as many people write them: numpy arrays and python numbers."""

    def __len__(self):
        return 40

    def __getitem__(self, i):
        return X[i].numpy(), int(Y[i])


def collate(items):
    return torch.stack([torch.tensor(x) for x, _ in items]), torch.tensor([y for _, y in items])


def net(inputs=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, 3))


FORMS = {
    "tensors": lambda: ((X, Y), {}),
    "arrays": lambda: ((X.numpy(), Y.numpy()), {}),
    "lists": lambda: ((X.tolist(), Y.tolist()), {}),
    "list of two": lambda: ([X, Y], {}),
    "frame": lambda: (FRAME, {"target": "kind"}),
    "frame and series": lambda: ((FRAME[list("abcd")], FRAME["kind"]), {}),
    "tensor dataset": lambda: (TensorDataset(X, Y), {}),
    "dataset": lambda: (Arrays(), {}),
    "loader": lambda: (DataLoader(Arrays(), 8, shuffle=True), {}),
    "loader with workers": lambda: (DataLoader(Arrays(), 8, num_workers=1), {}),
    "loader with a collate of its own": lambda: (DataLoader(Arrays(), 8, collate_fn=collate), {}),
    "stream": lambda: (Stream(), {}),
    "loader of a stream": lambda: (DataLoader(Stream(), 8), {}),
    "list of batches": lambda: ([*zip(X.split(8), Y.split(8))], {}),
    "generator": lambda: (zip(X.split(8), Y.split(8)), {}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_data_trains_evaluates_and_predicts(form):
    train, options = FORMS[form]()
    valid = None if form == "generator" else FORMS[form]()[0]
    if "loader" not in form and "batches" not in form and form != "generator":
        options["batch_size"] = 8
    made = Session(net(), train, valid, epochs=2, lr=0.05, **options).fit()
    assert made.task == "multiclass"
    assert (made.status, made.steps) == ("done", 5 if form == "generator" else 10)
    assert made.history().batch_size.tolist() == [8] * made.steps
    if valid is not None:
        assert made.evaluation.samples == 40
        assert sorted(made.scores.y_true.sum(0).tolist()) == [13, 13, 14]
    assert made.predict(X[:5]).shape == (5,)
    assert len(made.samples) >= 8
    assert made.samples.inputs(3).shape == (1, 4)
    assert made.layers().total_parameters == 4 * 8 + 8 + 8 * 3 + 3
    made.close()


def test_all_forms_with_the_same_order_give_the_same_weights():
    weights = []
    for form in ("tensors", "arrays", "frame", "list of two", "tensor dataset", "dataset"):
        train, options = FORMS[form]()
        weights.append(Session(net(), train, batch_size=8, epochs=2, **options).fit().model[0].weight)
    assert all(torch.equal(weights[0], other) for other in weights[1:])


def test_a_share_held_out_is_neither_trained_on_nor_lost():
    made = Session(net(), (X, Y), 0.25, batch_size=10, epochs=1).fit()
    assert (made.steps, made.evaluation.samples) == (3, 10)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(1, 3)

    def forward(self, wide, narrow):
        return self.left(wide) + self.right(narrow)


def test_several_inputs_go_in_as_a_tuple_and_by_name():
    pair = Session(Two(), ((X, X[:, :1]), Y), ((X, X[:, :1]), Y), epochs=1).fit()
    named = Session(Two(), ({"narrow": X[:, :1], "wide": X}, Y), epochs=1).fit()
    assert (
        pair.predict((X[:4], X[:4, :1])).shape
        == named.predict({"wide": X[:4], "narrow": X[:4, :1]}).shape
        == (4,)
    )
    assert [part.shape for part in pair.samples.inputs(0)] == [(1, 4), (1, 1)]


@pytest.mark.parametrize("wrap", [lambda d: DataLoader(d, 8), lambda d: d])
def test_dict_batches_have_a_target(wrap):
    class Dicts(Dataset):
        def __len__(self):
            return 40

        def __getitem__(self, i):
            return {"wide": X[i], "narrow": X[i, :1], "label": Y[i]}

    made = Session(Two(), wrap(Dicts()), wrap(Dicts()), target="label", epochs=1).fit()
    assert (made.task, made.evaluation.samples) == ("multiclass", 40)
    assert sorted(made.samples.inputs(2)) == ["narrow", "wide"]
    assert made.samples.target(2) == 2
    assert made.predict(Dicts()).shape == (40,)


def test_a_dict_of_columns_has_a_target_too():
    made = Session(Two(), {"wide": X, "narrow": X[:, :1], "label": Y}, target="label", epochs=1).fit()
    assert made.status == "done"


def test_a_custom_step_takes_batches_of_any_kind():
    def step(model, batch):
        return nn.functional.cross_entropy(model(batch["items"][0]), batch["items"][1])

    made = Session(
        net(), [{"items": [X, Y], "names": ["a"] * 40}], [{"items": [X, Y]}], training_step=step, epochs=3
    ).fit()
    assert (made.task, made.steps) == ("custom", 3)
    assert made.evaluation.loss > 0
    assert "loss       the custom step's" in repr(made)


def test_several_target_columns_are_labels_by_name():
    first, even = (Y == 0).int().numpy(), np.arange(40) % 2
    frame = FRAME.drop(columns="kind").assign(x=first, even=even, z=1 - first)
    made = Session(net(), frame, 0.3, target=["x", "even", "z"], epochs=1).fit()
    assert (made.task, made.classes) == ("multilabel", ("x", "even", "z"))
    assert made.scores.classes == ("x", "even", "z")


def test_each_batch_keeps_its_size_in_the_history_as_it_changes_in_mid_epoch():
    made = Session(net(), (X, Y), batch_size=16, epochs=2)
    made.step()
    made.batch_size = 10
    made.fit()
    sizes = made.history().batch_size.tolist()
    assert sizes == [16, 10, 10, 4, 10, 10, 10, 10]


# -- predictions


def test_predictions_are_the_models_own_in_eval_mode():
    made = Session(nn.Sequential(net(), nn.Dropout(0.5)), (X, Y), epochs=1).fit()
    made.model.eval()
    logits = made.model(X)
    assert torch.equal(made.predict(X), logits.argmax(1))
    torch.testing.assert_close(made.predict_scores(X, batch_size=7), logits.double().softmax(1).detach())
    assert not made.predict_scores(X).requires_grad


@pytest.mark.parametrize(
    "inputs",
    [
        X, X.double(), X.numpy(), X.numpy().astype(float), X.tolist(), list(X), FRAME[list("dcba")], FRAME,
        TensorDataset(X, Y), DataLoader(Arrays(), 7),
    ],
    ids=[
        "tensor", "float64", "array", "float64 array", "list", "list of tensors", "other order",
        "with the target", "dataset", "loader",
    ],
)  # fmt: skip
def test_predictions_are_for_all_that_can_be_trained_on(inputs):
    made = Session(net(), FRAME, target="kind", epochs=1).fit()
    assert torch.equal(made.predict(inputs), made.model(X).argmax(1))


def test_predictions_of_several_labels_follow_the_thresholds():
    several = torch.stack([Y == 0, Y == 1, Y < 2], 1).float()
    made = Session(net(), (X, several), epochs=1).fit()
    scores = made.predict_scores(X)
    made.thresholds = [0.2, 0.5, 0.8]
    assert torch.equal(made.predict(X), (scores.double() >= torch.tensor([0.2, 0.5, 0.8])).long())


def test_predictions_of_one_label_are_flat():
    made = Session(nn.Linear(4, 1), (X, Y == 0), epochs=1).fit()
    assert made.task == "binary"
    assert made.predict(X).shape == made.predict_scores(X).shape == (40,)
    made.thresholds = 0.0
    assert made.predict(X).tolist() == [1] * 40


def test_predictions_of_numbers_are_the_output():
    made = Session(nn.Linear(4, 1), (X, X.sum(1)), epochs=1).fit()
    assert torch.equal(made.predict(X), made.model(X).detach())


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (X[0], r"X has shape \(4,\), the training's inputs \(4, 4\): one row for each sample is wanted"),
        (X[:0], "X has no samples."),
        (FRAME[["a", "b"]], "X lacks the column 'c', which train has."),
        ("text", "X cannot be made a tensor"),
    ],
)
def test_what_cannot_be_predicted_from_is_said(inputs, sentence):
    made = Session(net(), FRAME, target="kind")
    with pytest.raises((TypeError, ValueError), match=sentence):
        made.predict(inputs)


def test_a_batch_size_to_predict_with_is_a_whole_number():
    with pytest.raises(ValueError, match="batch_size=0"):
        Session(net(), (X, Y)).predict(X, batch_size=0)


# -- the dropped and the odd


def test_a_loader_that_drops_its_last_batch_drops_it():
    made = Session(net(), DataLoader(TensorDataset(X, Y), 12, drop_last=True), epochs=2).fit()
    assert made.history().batch_size.tolist() == [12] * 6


def test_a_batch_size_that_a_dropping_loader_cannot_fill_is_rejected():
    made = Session(net(), DataLoader(TensorDataset(X, Y), 12, drop_last=True), epochs=1)
    made.batch_size = 41
    made.fit()
    assert made.rejected == {
        "batch_size": "the DataLoader drops batches that are not full, and there are only 40 samples"
    }
    assert made.steps == 3


def test_a_change_of_the_batch_size_with_workers_says_what_was_fetched_ahead():
    made = Session(net(), DataLoader(Arrays(), 4, num_workers=1), epochs=1)
    made.step()
    made.batch_size = 8
    made.fit()
    assert "2 batches of the old size had been fetched ahead by workers" in made.ledger().note[0]
    assert sum(made.history().batch_size) == 40
    made.close()
