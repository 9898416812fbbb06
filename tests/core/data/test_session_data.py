"""Opening a session: everything a student may type wrong is answered in one sentence, before anything is trained."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from dlwidgets.session import Session

G = torch.Generator().manual_seed(0)
X = torch.randn(24, 6, generator=G)
LABELS, SEVERAL, NUMBERS = (
    torch.arange(24) % 3,
    (torch.rand(24, 3, generator=G) > 0.5).float(),
    torch.randn(24, generator=G),
)
FRAME = pd.DataFrame(X.numpy(), columns=list("abcdef")).assign(kind=["x", "y", "z"] * 8, text="words")


def net(out=3, inputs=6):
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, out))


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 2, 3), nn.Linear(2, 3)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))


PICTURES = torch.rand(24, 1, 8, 8)


def with_nan(tensor, *where):
    tensor = tensor.clone()
    for index in where:
        tensor[index] = float("nan")
    return tensor


class Items(TensorDataset):
    """Items that go through `change`."""

    def __init__(self, change):
        super().__init__(X, LABELS)
        self.change = change

    def __getitem__(self, i):
        return self.change(*super().__getitem__(i), i)


class Empty(IterableDataset):
    def __iter__(self):
        return iter(())


def broken(*_):
    raise OSError("no such file")


#: What is typed (a model, the positional arguments, the options) and how the answer begins.
WRONG = {
    "an unknown option": (net(), [(X, LABELS)], {"learning_rate": 0.1}, "Session has no option 'learning_rate'. Did you mean 'lr'?"),
    "the word of before for training_step": (net(), [(X, LABELS)], {"step": broken}, "Session has no option 'step'. Did you mean 'training_step'?"),
    "an unknown option without an idea": (net(), [(X, LABELS)], {"zzz": 1}, "Session has no option 'zzz'."),
    "momentum": (net(), [(X, LABELS)], {"momentum": 0.9}, "Session has no option 'momentum'. Pass optimizer=('sgd', {'momentum': 0.9})"),
    "X and y by name": (net(), [], {"X": X, "y": LABELS}, "Session has no option 'X'. Data goes in as train=(X, y)."),
    "no data": (net(), [], {}, "There is no data: pass train=(X, y), a DataFrame, a Dataset or a DataLoader."),
    "X, y": (net(), [X, LABELS], {}, "The third argument is the validation data: pass the targets along with X, as train=(X, y)."),
    "X, y as arrays": (net(), [X.numpy(), LABELS.numpy()], {}, "The third argument is the validation data: pass the targets"),
    "X alone": (net(), [X], {}, "train is one Tensor of shape (24, 6): targets are missing. Pass train=(X, y)."),
    "the class of the model": (Conv, [(PICTURES, LABELS)], {}, "model is of type type, a torch.nn.Module is wanted: make one first, as Conv(...)."),
    "a function for a model": (lambda x: x, [(X, LABELS)], {}, "model is of type function, a torch.nn.Module is wanted."),
    "a model without parameters": (nn.Flatten(), [(X, LABELS)], {}, "The model Flatten has no parameters: there is nothing to train."),
    "a frozen model": (net().requires_grad_(False), [(X, LABELS)], {}, "All parameters of Sequential are frozen"),
    "lengths that differ": (net(), [(X, LABELS[:20])], {}, "train has 24 inputs but 20 targets: X and y must have one row for each sample."),
    "empty data": (net(), [(X[:0], LABELS[:0])], {}, "train is empty: it has no samples."),
    "an empty list": (net(), [[]], {}, "train is empty: it has no batches."),
    "an empty stream": (net(), [Empty()], {}, "train gave no batch to look at: ValueError: the IterableDataset gives no samples"),
    "an empty generator": (net(), [iter(())], {}, "train gave no batch to look at: the iterable gives no batches."),
    "an empty loader": (net(), [DataLoader(TensorDataset(X[:0], LABELS[:0]))], {}, "train is empty: it has no samples."),
    "inputs of the wrong width": (net(inputs=5), [(X, LABELS)], {}, "Sequential fails on a batch of inputs of shape (4, 6): mat1 and mat2 shapes cannot be multiplied (4x6 and 5x8). dlwidgets.summary(model, X[:1]) shows where."),
    "flat pictures": (Conv(), [(PICTURES.flatten(1), LABELS)], {}, "Conv fails on a batch of inputs of shape (4, 64): "),
    "pictures with channels last": (Conv(), [(PICTURES.permute(0, 2, 3, 1), LABELS)], {}, "Conv fails on a batch of inputs of shape (4, 8, 8, 1): "),
    "uint8 pictures": (Conv(), [((PICTURES * 255).byte(), LABELS)], {}, "Conv fails on a batch of inputs of shape (4, 1, 8, 8): "),
    "whole numbers as inputs": (net(), [(X.long(), LABELS)], {}, "Sequential fails on a batch of inputs of shape (4, 6): "),
    "a label too many": (net(), [(X, LABELS + 1)], {}, "The targets hold the label 3, but the model puts out 3 values: labels go from 0 to 2. Count from 0: pass y - 1."),
    "a negative label": (net(), [(X, LABELS - 1)], {}, "The targets hold the 3 labels -1 ... 1 for 3 classes, so -1 may be a class or mean unknown: for a class count from 0 (y + 1), for unknown give NaN."),
    "more columns than outputs": (net(2), [(X, SEVERAL)], {}, "The targets have 3 values a sample, but the model puts out 2. The model's last layer should put out 3: dlw.with_head(model, 3)."),
    "names of the wrong count": (net(), [(X, SEVERAL)], {"classes": ["a", "b"]}, "classes has 2 names, but the model puts out 3 values a sample: one name for each is wanted."),
    "one text for names": (net(), [(X, SEVERAL)], {"classes": "abc"}, "classes='abc' is one text: pass a list of names."),
    "a name twice": (net(), [(X, SEVERAL)], {"classes": ["a", "b", "a"]}, "classes has the name 'a' twice: each class needs a name of its own."),
    "more classes of text than outputs": (net(2), [(X, ["a", "b", "c"] * 8)], {}, "The targets name 3 classes, but the model puts out 2 values a sample: its last layer should put out 3, as dlw.with_head(model, 3)"),
    "NaN in the inputs": (net(), [(with_nan(X, 5, 7), LABELS)], {}, "train has inputs that are NaN or infinite in 2 of 24 samples, the first is sample 5: fill them in, or leave those samples out."),
    "infinity in the inputs": (net(), [(X / (X != X[3]).float(), LABELS)], {}, "train has inputs that are NaN or infinite in 1 of 24 samples, the first is sample 3"),
    "NaN in the targets": (net(1), [(X, with_nan(NUMBERS, 2))], {}, "The targets hold NaN in 1 sample, the first is sample 2: leave those samples out, or give each a value."),
    "a frame without a target": (net(), [FRAME], {}, "train is a DataFrame: say which column is to be predicted, as target=\"text\"."),
    "a frame with text": (net(), [FRAME], {"target": "kind"}, "train has columns that are not numbers: 'text'. Encode them (pandas.get_dummies) or leave them out."),
    "a target that is no column": (net(), [FRAME], {"target": "sort"}, "target 'sort' is not a column of train"),
    "an unknown optimizer": (net(), [(X, LABELS)], {"optimizer": "adamm"}, "optimizer='adamm' is not in torch.optim. Did you mean 'adam'?"),
    "LBFGS": (net(), [(X, LABELS)], {"optimizer": "lbfgs"}, "LBFGS evaluates the loss several times a step, which is not supported"),
    "an unknown task": (net(), [(X, LABELS)], {"task": "classification"}, "task='classification' is none of multilabel, multiclass, binary, regression"),
    "an unknown loss": (net(), [(X, LABELS)], {"loss": "entropy"}, "loss='entropy' is not a loss of torch.nn"),
    "a loss of many numbers": (net(), [(X, LABELS)], {"loss": nn.CrossEntropyLoss(reduction="none")}, "The loss CrossEntropyLoss fails on outputs of shape (4, 3) and targets of shape (4,): The loss is a tensor of shape (4,): one number"),
    "probabilities wanted": (net(), [(X, SEVERAL)], {"loss": nn.BCELoss()}, "The loss BCELoss fails on outputs of shape (4, 3) and targets of shape (4, 3): all elements of input should be between 0 and 1."),
    "a loss of one argument": (net(), [(X, LABELS)], {"loss": lambda output: output.mean()}, "The loss <lambda> fails on outputs of shape (4, 3)"),
    "a step that is none": (net(), [(X, LABELS)], {"training_step": 3}, "training_step=3 cannot be called: pass a function (model, batch) -> loss."),
    "a step and a loss": (net(), [(X, LABELS)], {"training_step": broken, "loss": nn.MSELoss()}, "training_step= computes the loss itself: leave task= and loss= out."),
    "three parts a batch": (net(), [DataLoader(TensorDataset(X, X, LABELS))], {}, "A batch is of type list with 3 parts, not (inputs, targets): pass training_step=(model, batch) -> loss."),
    "dicts without a target": (net(), [[{"x": X, "label": LABELS}]], {}, "A batch is a dict with 'x', 'label': say which entry is the target (target=...), or pass training_step="),
    "items of float64": (net(), [Items(lambda x, y, i: (x.double(), y))], {}, "Sequential fails on a batch of inputs of shape (4, 6): "),
    "a Dataset that raises": (net(), [Items(broken)], {}, "train gave no batch to look at: OSError: no such file."),
    "items of different shapes": (net(), [Items(lambda x, y, i: (x[: i % 2 + 1], y))], {}, "train: samples of different shapes make no batch: pass a DataLoader with a collate_fn= that pads, packs or lists them"),
    "a batch size of ready-made batches": (net(), [[(X, LABELS)]], {"batch_size": 8}, "batch_size=8 cannot be had: the data comes as ready-made batches."),
    "a loader that drops all": (net(), [DataLoader(TensorDataset(X, LABELS), 30, drop_last=True)], {}, "train has no batch: the DataLoader drops batches that are not full, and there are only 24 samples."),
    "a last batch of one": (nn.Sequential(net(), nn.BatchNorm1d(3)), [(X, LABELS)], {"batch_size": 23}, "With batch_size=23 the last batch of each epoch would hold one sample, on which BatchNorm cannot be trained: take another batch_size."),
    "batches of one": (nn.Sequential(net(), nn.BatchNorm1d(3)), [(X, LABELS)], {"batch_size": 1}, "With batch_size=1 the batch holds one sample, on which BatchNorm cannot be trained: take another batch_size."),
    "an output that is no tensor": (nn.LSTM(6, 3), [(X, LABELS)], {}, "The model's output is of type tuple, not a tensor: pass loss=(output, targets) -> loss, or training_step=(model, batch) -> loss."),
    "a device there is not": (net(), [(X, LABELS)], {"device": "gpu"}, "device='gpu' is not known to torch: try \"cpu\", \"cuda\" or \"auto\"."),
    "a device that is no name": (net(), [(X, LABELS)], {"device": [1]}, "device=[1] is not known to torch"),
    **{
        f"{name}={value!r}": (net(), [(X, LABELS)], {name: value}, f"{name}={value!r}")
        for name, values in {
            "lr": [-1, "0.1", float("nan")], "batch_size": [0, 2.5, "32"], "epochs": [0, 1.5], "seed": [None, "x"],
            "weight_decay": [-1, "a"], "evaluate_every": [0, "step"], "clip": [True, "abc", {}], "threads": [0, "two"],
        }.items()
        for value in values
        if not (name == "clip" and value == "abc")
    },
    "a clip mode": (net(), [(X, LABELS)], {"clip": ("length", 1)}, "clip has the mode 'length', which is none of off, norm, value, adaptive, each."),
    "validation of another width": (net(), [(X, LABELS), (X[:, :5], LABELS)], {}, "valid has inputs of shape (5,) a sample, train of (6,): they must match."),
    "validation labels out of range": (net(), [(X, LABELS), (X, LABELS + 1)], {}, "In the validation data: The targets hold the label 3"),
    "NaN in the validation inputs": (net(), [(X, LABELS), (with_nan(X, 4), LABELS)], {}, "valid has inputs that are NaN or infinite in 1 of 24 samples, the first is sample 4"),
    "a validation generator": (net(), [(X, LABELS), ((X, LABELS) for _ in range(2))], {}, "valid can be read once only (a generator): pass a list of batches, or a Dataset."),
    "a share above one": (net(), [(X, LABELS), 20], {}, "valid=20: as a number it is the share of train to hold out, between 0 and 1."),
    "a share of a loader": (net(), [DataLoader(TensorDataset(X, LABELS)), 0.2], {}, "valid as a share needs (X, y), a DataFrame or a Dataset"),
    "text classes that train has not": (net(), [(X, ["a", "b", "c"] * 8), (X[:1], ["d"])], {}, "the y of valid holds 'd', which is none of the classes 'a', 'b', 'c': 1 of 1 label fits no class."),
    "validation without targets": (net(), [(X, LABELS), [X]], {}, "A batch is of type Tensor, not (inputs, targets)"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_typed_wrong_is_answered_in_one_sentence(what):
    model, arguments, options, sentence = WRONG[what]
    with pytest.raises((TypeError, ValueError)) as caught:
        Session(model, *arguments, **options)
    said = str(caught.value)
    assert said.startswith(sentence)
    assert "\n" not in said
    assert said.endswith((".", "?"))


@pytest.mark.parametrize(
    ("inputs", "hint"),
    [
        ((PICTURES * 255).byte(), "The inputs are uint8: X.float() / 255 may be what the model wants."),
        ((PICTURES * 255).int(), "The inputs are int32: X.float() may be what the model wants."),
    ],
)
def test_inputs_of_the_wrong_kind_get_a_hint(inputs, hint):
    with pytest.raises(ValueError) as caught:
        Session(Conv(), (inputs, LABELS))
    assert hint in str(caught.value)


def test_a_dataset_of_float64_gets_a_hint():
    with pytest.raises(
        ValueError, match="The inputs are float64, the model's weights float32: let the Dataset return those"
    ):
        Session(net(), Items(lambda x, y, i: (x.double(), y)))


def test_a_failed_opening_leaves_the_model_as_it_was():
    model = nn.Sequential(net(inputs=5), nn.BatchNorm1d(3))
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError):
        Session(model, (X, LABELS))
    assert [module.training for module in (model, model[0], model[1])] == [True, True, False]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_opening_leaves_model_and_random_numbers_as_they_were():
    model = nn.Sequential(net(), nn.BatchNorm1d(3), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.eval()
    model[1].train()
    torch.manual_seed(3), np.random.seed(3)
    expected = torch.rand(2), np.random.rand()
    torch.manual_seed(3), np.random.seed(3)
    Session(model, DataLoader(TensorDataset(X, LABELS), 4, shuffle=True), (X, LABELS))
    with pytest.raises(ValueError, match="BatchNorm"):
        Session(model, (X, LABELS), batch_size=23)
    assert torch.equal(torch.rand(2), expected[0])
    assert np.random.rand() == expected[1]
    assert [module.training for module in (model, model[0], model[1], model[2])] == [
        False,
        False,
        True,
        False,
    ]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# -- what is put right by itself, and said


def test_float64_arrays_train_beside_float32_weights_and_that_is_said():
    session = Session(net(), (X.double().numpy(), LABELS.numpy()), epochs=1).fit()
    assert "X was float64 and is float32 now, as the model's weights are." in session.notes


def test_a_model_of_float64_keeps_float64():
    session = Session(net(1).double(), (X.double().numpy(), NUMBERS.double().numpy()), epochs=1).fit()
    assert not any("float" in note for note in session.notes)
    assert session.predict(X.numpy()).dtype == torch.float64


def test_whole_numbers_kept_as_real_numbers_are_labels():
    assert Session(net(), (X, LABELS.float()), epochs=1).fit().task == "multiclass"


def test_names_of_classes_are_numbered_and_that_is_said():
    session = Session(net(), (X, ["dog", "cat", "ape"] * 8), epochs=1).fit()
    assert session.classes == ("ape", "cat", "dog")
    assert "The names of the classes became numbers: ape = 0, cat = 1, dog = 2." in session.notes
    assert (
        session.notes[0]
        == "Multiclass, 3 classes, since the targets are names of classes; the loss is CrossEntropyLoss."
    )


def test_names_of_classes_keep_the_order_they_are_given_in():
    session = Session(net(), (X, ["dog", "cat", "ape"] * 8), classes=["dog", "cat", "ape"], epochs=1, lr=0.1)
    order = session.at_step(lambda: session._run.data.train.source.targets[:3].tolist()).result()
    assert order == [0, 1, 2]


def test_nan_that_the_model_deals_with_is_no_error():
    class Filled(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            return self.net(x.nan_to_num())

    assert Session(Filled(), (with_nan(X, 3), LABELS), epochs=1).fit().status == "done"


def test_outputs_that_are_probabilities_already_are_noted():
    model = nn.Sequential(net(), nn.Sigmoid())
    session = Session(model, (X, SEVERAL))
    assert any(
        "look like probabilities, but BCEWithLogitsLoss wants them as they are before the sigmoid" in n
        for n in session.notes
    )
    assert not any("probabilities" in note for note in Session(model, (X, SEVERAL), loss=nn.BCELoss()).notes)


def test_a_loss_that_masks_unknown_targets_may_have_them():
    def masked(output, targets):
        known = ~targets.isnan()
        return F.binary_cross_entropy_with_logits(output[known], targets[known])

    session = Session(
        net(), (X, with_nan(SEVERAL, (3, 1))), (X, with_nan(SEVERAL, (3, 1))), loss=masked, epochs=2
    ).fit()
    assert session.task == "multilabel"
    assert session.scores.positives.sum() + session.scores.negatives.sum() == 24 * 3 - 1


def test_a_lazy_model_is_made_by_the_look_at_the_data():
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    assert Session(model, (X, LABELS), epochs=1).fit().status == "done"


def test_a_model_that_writes_its_batch_size_into_its_shapes_is_tried_on_a_whole_batch():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            return self.net(x).view(8, 3)

    assert Session(Fixed(), (X, LABELS), batch_size=8, epochs=1).fit().status == "done"


def test_a_dataset_with_a_bad_sample_among_the_first_opens_and_fails_there():
    data = Items(lambda x, y, i: broken() if i == 3 else (x, y))
    session = Session(net(), data)
    with pytest.raises(OSError, match="no such file"):
        session.fit()
    assert session.status == "failed"


# -- after opening


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("lr", -1, "lr=-1: a learning rate is a number"), ("lr", "fast", "lr='fast': a learning rate"), ("lr", None, "lr=None"),
        ("batch_size", 0, "batch_size=0: a whole number"), ("batch_size", 2.5, "batch_size=2.5"), ("epochs", 0, "epochs=0: a whole number"),
        ("clip", -1, "clip has the limit -1"), ("clip", "abc", "clip has the mode 'abc'"), ("weight_decay", -1, "weight_decay=-1"),
        ("evaluate_every", "step", "evaluate_every='step'"), ("thresholds", [0.1], "thresholds has 1 numbers for 3 classes"),
        ("thresholds", "high", "thresholds='high'"),
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be_is_refused_at_once_and_the_run_goes_on(name, value, sentence):
    session = Session(net(), (X, SEVERAL), epochs=3)
    before = getattr(session, name)
    session.step(2)
    with pytest.raises(ValueError) as caught:
        setattr(session, name, value)
    assert str(caught.value).startswith(sentence)
    assert getattr(session, name) == before
    session.fit()
    assert session.status == "done"
    assert session.ledger().empty


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("learning_rate", "A Session has no 'learning_rate'. Did you mean 'lr'?"),
        ("batchsize", "A Session has no 'batchsize'. Did you mean 'batch_size'?"),
        ("qwertz", "A Session has no 'qwertz'."),
        ("steps", "steps can be read, not set: what can be set is "),
        ("loss", "loss can be read, not set: what can be set is "),
        ("model", "model can be read, not set: what can be set is "),
        ("fit", "fit can be read, not set: what can be set is "),
    ],
)
def test_a_name_that_cannot_be_set_is_refused(name, sentence):
    session = Session(net(), (X, LABELS))
    with pytest.raises(AttributeError) as caught:
        setattr(session, name, 1)
    assert str(caught.value).startswith(sentence)
    if "what can be set" in sentence:
        names = str(caught.value).rpartition(" is ")[2].rstrip(".").split(", ")
        assert names == sorted(names) and {"lr", "paused", "selected_layer", "thresholds"} <= {*names}


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True, None])
def test_a_number_of_steps_is_whole(n):
    with pytest.raises(ValueError, match="a whole number of steps, 1 or more, is wanted"):
        Session(net(), (X, LABELS)).step(n)


def test_what_needs_validation_data_says_so():
    with pytest.raises(ValueError, match=r"There is no validation data: pass valid=\(X, y\) to the Session."):
        Session(net(), (X, LABELS)).evaluate()


def test_wishes_start_as_what_is_in_force():
    session = Session(
        net(), (X, LABELS), lr=np.float32(0.5), batch_size=np.int64(5), clip=2, weight_decay=0.25, threads=2
    )
    assert (session.lr, session.batch_size, session.clip, session.weight_decay) == (
        0.5,
        5,
        ("norm", 2.0),
        0.25,
    )
    numbers = sum(one.numel() for one in session.model.parameters())
    assert session.applied == {
        "lr": 0.5, "batch_size": 5, "clip": ("norm", 2.0), "weight_decay": 0.25, "threads": 2,
        "trainable": None, "reinitialise": None, "optimizer": ("AdamW", {}), "betas": (0.9, 0.999), "momentum": None,
        "schedule": None, "schedule_in_words": "constant", "scheduled_lr": 0.5, "lr_multiplier": 1.0,
        "lr_groups": [
            {"factor": 1.0, "lr": 0.5, "own": 0, "parameters": numbers, "training": numbers, "patterns": []},
        ],
        "lr_scale": None, "unfreeze_at": None, "timetable": [], "loss_weights": None, "head": None,
        "accumulate": 1, "effective_batch": 5, "normalise": None, "dropout": None, "label_smoothing": 0.0,
        "input_scaling": None, "loss_function": None, "loss_in_words": "CrossEntropyLoss",
        "ema": None, "precision": "full", "early_stopping": None,
    }  # fmt: skip
    assert Session(net(), DataLoader(TensorDataset(X, LABELS), 7)).batch_size == 7
    assert Session(net(), DataLoader(TensorDataset(X, LABELS), 7), batch_size=5).batch_size == 5
    assert Session(net(), (X, LABELS), optimizer=lambda p: torch.optim.SGD(p, lr=0.3)).lr == 0.3
