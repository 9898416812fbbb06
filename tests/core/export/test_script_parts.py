"""Models, data and losses of every kind in scripts: each gives the same weights, or says what is missing."""

from __future__ import annotations

import linecache
import random
import re
import sys
import types
from collections import OrderedDict
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from dlwidgets import teaching
from dlwidgets.core.controls.dropout import Dropout
from tests.core.export.script_runs import Runs, X, Y, check_weights, differing, net, run_alone, session

RUNS = Runs()
WIDTH = 24
SLOPE, SIZES = 0.1, {"hidden": [16, 8]}
IMAGES = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(5))
LABELS = torch.arange(20) % 3


def activated(x, slope=SLOPE):
    return F.leaky_relu(x, slope)


class Block(nn.Module):
    """A part of the model below."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + activated(self.layer(x))

    def twin(self) -> Block:
        """Return another, as an annotation that names what is defined only later."""
        return Block(self.layer.in_features)


class Net(nn.Module):
    """A model with helpers, constants and arguments of its own."""

    def __init__(self, width, classes=4, *, depth=1, dropout=0.0):
        super().__init__()
        self.first = nn.Linear(12, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(width, classes)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(self.drop(x)) * math_of(1.0)


def math_of(x):
    return np.float64(x).item() + len(SIZES["hidden"]) * 0.25


class Remembers(nn.Module):
    """A model that keeps its arguments, and ties two of its weights."""

    def __init__(self, count, width):
        super().__init__()
        self.count, self.width = count, width
        self.embed = nn.Embedding(count, width)
        self.last = nn.Linear(width, count, bias=False)
        self.last.weight = self.embed.weight

    def forward(self, index):
        return self.last(self.embed(index).mean(1))


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True, dropout=0.1, num_layers=2)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        x, _ = self.lstm(x.reshape(len(x), 3, 4))
        return self.last(self.attention(x, x, x)[0].mean(1))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(12, 4), nn.Linear(5, 4)

    def forward(self, left, right):
        return self.left(left) * self.right(right)


@RUNS.add
def a_class_of_ones_own():
    torch.manual_seed(1)
    return session(model=Net(WIDTH, depth=2, dropout=0.25)).fit()


@RUNS.add
def a_class_of_ones_own_whose_call_stands_in_the_file():
    torch.manual_seed(1)
    return session(model=Net(20, depth=1, dropout=0.125)).fit()


@RUNS.add
def tied_weights():
    torch.manual_seed(1)
    index = torch.randint(0, 9, (30, 5), generator=torch.Generator().manual_seed(4))
    return session(model=Remembers(9, 7), data=(index, index[:, 0])).fit()


@RUNS.add
def layers_with_randomness_of_their_own():
    torch.manual_seed(1)
    return session(model=Attends()).fit()


@RUNS.add
def a_convolutional_sequential():
    torch.manual_seed(1)
    model = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4, eps=1e-3, momentum=0.03),
                nn.LeakyReLU(0.1, inplace=True), nn.MaxPool2d(2),
                nn.Conv2d(4, 6, (3, 1), stride=(1, 2), padding="valid"),
                nn.GroupNorm(2, 6), nn.SiLU(), nn.Dropout2d(0.1), nn.AdaptiveAvgPool2d(1),
            ),
            flat=nn.Flatten(), head=nn.Linear(6, 3),
        )
    )  # fmt: skip
    return session(model=model, data=(IMAGES, LABELS), lr=0.01).fit()


@RUNS.add
def a_model_for_lessons():
    torch.manual_seed(1)
    return session(model=teaching.SmallCNN(3), data=(torch.randn(12, 1, 28, 28), LABELS[:12]), epochs=1).fit()


@RUNS.add
def two_inputs():
    return session(model=Two(), data=((X, X[:, :5].clone()), Y["multiclass"])).fit()


@RUNS.add
def named_inputs():
    return session(model=Two(), data=({"left": X, "right": X[:, :5].clone()}, Y["multiclass"])).fit()


@RUNS.add
def targets_in_other_shapes():
    model = nn.Sequential(nn.Linear(12, 1))
    return session("binary", model=model, data=(X.double(), (Y["multiclass"] > 1).tolist())).fit()


@RUNS.add
def arrays_and_names_of_classes():
    return session(data=(X.double().numpy(), [f"class {i}" for i in Y["multiclass"]]), task=None).fit()


@RUNS.add
def a_loss_with_weights():
    return session(
        "multilabel", loss=nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2.5, 0.1, 3.0]))
    ).fit()


@RUNS.add
def a_loss_with_options():
    return session(loss=nn.CrossEntropyLoss(reduction="sum", label_smoothing=0.1), lr=1e-4).fit()


@RUNS.add
def a_loss_of_torch_as_a_function():
    return session("regression", loss=F.smooth_l1_loss).fit()


def focal(output, targets, power=2.0):
    """Return the focal loss."""
    like = F.cross_entropy(output, targets, reduction="none")
    return ((1 - torch.exp(-like)) ** power * like).mean()


@RUNS.add
def a_loss_of_ones_own():
    return session(loss=focal).fit()


@RUNS.add
def a_loss_as_a_lambda():
    return session(loss=lambda output, targets: focal(output, targets) * 0.5).fit()


def step(model, batch):
    inputs, targets = batch
    output = model(inputs)
    return {"entropy": F.cross_entropy(output, targets), "size": 1e-3 * output.pow(2).mean()}


@RUNS.add
def a_step_of_ones_own_by_a_name_that_the_script_uses_too():
    made = session(task=None, training_step=step).step(3)
    made.lr = 0.01
    return made.fit()


@RUNS.add
def a_closure():
    weight = 0.125

    def loss(output, targets):
        return weight * F.cross_entropy(output, targets)

    return session(loss=loss).fit()


class Rows(Dataset):
    def __len__(self):
        return 30

    def __getitem__(self, index):
        return X[index].numpy(), int(Y["multiclass"][index])


class Noisy(Rows):
    def __getitem__(self, index):
        return X[index] + torch.randn(12), int(Y["multiclass"][index])


@RUNS.add
def a_dataset():
    made = session(data=Rows()).step(3)
    made.batch_size = 7
    return made.step(4)


@RUNS.add
def a_loader_with_batches_resized():
    made = session(data=DataLoader(Rows(), batch_size=8, shuffle=True), batch_size=None).step(3)
    made.batch_size = 4
    made.step(3)
    made.batch_size = 16
    return made.step(4)


@RUNS.add
def a_loader_in_order_that_drops_the_last():
    loader = DataLoader(TensorDataset(X, Y["multiclass"]), batch_size=16, drop_last=True)
    return session(data=loader, batch_size=None).fit()


@RUNS.add
def a_loader_with_a_seeded_generator():
    loader = DataLoader(Rows(), batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(17))
    return session(data=loader, batch_size=None).fit()


@RUNS.add
def a_loader_that_collates_by_a_lambda():
    collate = lambda rows: tuple(map(torch.stack, zip(*rows)))  # noqa: E731
    loader = DataLoader(TensorDataset(X, Y["multiclass"]), batch_size=8, shuffle=True, collate_fn=collate)
    return session(data=loader, batch_size=None).fit(1)


@RUNS.add
def a_loader_whose_generator_was_used_before():
    loader = DataLoader(Rows(), batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(17))
    list(loader)
    return session(data=loader, batch_size=None).fit()


@RUNS.add
def a_loader_with_a_schedule_by_epochs_and_a_slider_over_it():
    loader = DataLoader(Rows(), batch_size=10, shuffle=True)
    schedule = ("step", {"unit": "epoch", "step_size": 1, "gamma": 0.5})
    made = session(data=loader, batch_size=None, optimizer="sgd", lr=0.1, schedule=schedule).step(3)
    made.lr = 0.07
    made.batch_size = 6
    made.step(5)
    made.lr = 0.02
    return made.step(3)


@RUNS.add
def a_list_of_batches():
    batches = [(X[i : i + 10], Y["multiclass"][i : i + 10]) for i in range(0, 50, 10)]
    return session(data=batches, batch_size=None).fit()


@RUNS.add
def loader_of_dicts():
    samples = [{"input": x, "label": y} for x, y in zip(X, Y["multiclass"])]
    return session(
        model=Named(net()), data=DataLoader(samples, batch_size=8), batch_size=None, target="label", task=None
    ).fit()


class Named(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, input):
        return self.net(input)


class Secret(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.layer = make()

    def forward(self, x):
        return self.layer(x)


class Rough(nn.Module):
    """Draws from the generators of numpy and of Python."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 4)

    def forward(self, x):
        if self.training:
            x = x + float(np.random.rand()) + random.random()
        return self.layer(x)


@RUNS.add
def random_numbers_of_numpy_and_python():
    torch.manual_seed(1)
    return session(model=Rough()).fit()


# Globals of every kind, as in a notebook, two of them by names that the script has too.
found, step_weights = nn.CrossEntropyLoss(label_smoothing=0.1), torch.tensor([1.0, 2.0, 3.0, 4.0])
TEACHER, AVERAGED, CENTER = net().eval().requires_grad_(False), net(), torch.zeros(4)
SETTINGS, SHARES = types.SimpleNamespace(share=0.3), np.linspace(0, 1, 4)


def distilled(model, batch, teacher=None):
    inputs, targets = batch
    output = model(inputs)
    with torch.no_grad():
        CENTER.mul_(0.9).add_(output.mean(0), alpha=0.1)
        for mine, theirs in zip(AVERAGED.parameters(), model.parameters()):
            mine.mul_(0.9).add_(theirs, alpha=0.1)
        goal = (TEACHER(inputs) + AVERAGED(inputs) + (0 if teacher is None else teacher(inputs))).softmax(1)
    plain = found(output - CENTER, targets) + F.cross_entropy(output, targets, weight=step_weights)
    return plain * SETTINGS.share * float(SHARES.sum()) + F.kl_div(output.log_softmax(1), goal, reduction="batchmean")


class Tempered:
    def __init__(self, power):
        self.power = power

    def __call__(self, output, targets):
        return (F.cross_entropy(output, targets, reduction="none") ** self.power).mean()

    def step(self, model, batch):
        return self(model(batch[0]), batch[1])


@RUNS.add
def a_step_with_teachers_and_settings_around_it():
    return session(task=None, training_step=distilled).step(5)


@RUNS.add
def a_partial_step_with_a_teacher_of_its_own():
    return session(task=None, training_step=partial(distilled, teacher=net().eval())).step(5)


@RUNS.add
def a_partial_loss_with_weights():
    return session(loss=partial(F.cross_entropy, weight=step_weights)).step(3)


@RUNS.add
def a_loss_that_is_an_object():
    return session(loss=Tempered(1.2)).step(3)


@RUNS.add
def a_step_that_is_a_method():
    return session(task=None, training_step=Tempered(1.2).step).step(3)


COUNTED, taken = {"steps": 0, "by": [2.0]}, 0


def counted(output, targets):
    global taken
    taken += 1
    COUNTED["steps"] += 1
    COUNTED["last"] = taken
    return F.cross_entropy(output, targets) / (COUNTED["steps"] + taken) * COUNTED["by"][0]


@RUNS.add
def a_loss_that_counts_in_variables():
    return session(loss=counted).step(3)


@RUNS.add
def a_loss_with_the_head_of_the_model():
    model = net()
    head = model[4]

    def decayed(output, targets):
        return F.cross_entropy(output, targets) + head.weight.norm()

    return session(model=model, loss=decayed).step(3)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_script_gives_the_weights_of_the_run_bit_for_bit(done, name):
    check_weights(done, name)


@pytest.mark.slow
def test_a_model_whose_arguments_are_unknown_has_a_marked_place(tmp_path):
    made = session(model=Secret(net)).step(2)
    with pytest.warns(UserWarning, match="Put the line that makes the Secret into make_model"):
        path = made.to_script(tmp_path / "run.py")
    assert "def make_model():" in path.read_text()
    assert "NotImplementedError" in run_alone([path], tmp_path)["run"]


@pytest.mark.slow
def test_data_that_draws_random_numbers_has_a_marked_place(tmp_path):
    made = session(data=Noisy()).step(2)
    with pytest.warns(UserWarning, match="Put the Noisy, with its samples in the same order, into load_data"):
        path = made.to_script(tmp_path / "run.py")
    assert not (tmp_path / "run.data.pt").exists()
    assert "NotImplementedError" in run_alone([path], tmp_path)["run"]


@pytest.mark.slow
def test_data_may_be_left_out_and_put_in_by_hand(tmp_path):
    made = session(data=(X.double(), Y["multiclass"].double()), task=None).fit()
    with pytest.warns(UserWarning, match="Put your data into load_data"):
        path = made.to_script(tmp_path / "run.py", data=False)
    assert [one.name for one in sorted(tmp_path.iterdir())] == ["run.initial.pt", "run.py"]
    text = path.read_text()
    assert "X: 50 × 12 float32" in text and "y: 50 int64" in text
    torch.save((X, Y["multiclass"]), tmp_path / "mine.pt")
    path.write_text(
        text.replace('raise NotImplementedError("Put your data here.")', 'return torch.load("mine.pt")')
    )
    assert run_alone([path], tmp_path) == {}
    assert differing(made, tmp_path / "run.weights.pt") == []


class Counting:
    def __init__(self, power):
        self.power = power

    def __call__(self, output, targets):
        self.power *= 0.9
        return self.power * F.cross_entropy(output, targets)


HELD = {"center": torch.zeros(4)}


def with_a_centre_inside(output, targets):
    HELD["center"].add_(output.detach().mean(0))
    return F.cross_entropy(output - HELD["center"], targets)


@pytest.mark.parametrize(
    ("loss", "why"),
    [
        (Counting(1.0), "the Counting has changed in the run"),
        (with_a_centre_inside, "uses 'HELD', which is of type dict: the tensor HELD.center has changed"),
    ],
)
def test_what_changes_in_the_run_by_itself_is_refused_in_a_sentence(tmp_path, loss, why):
    made = session(loss=loss).step(2)
    with pytest.raises(ValueError, match=rf"^This run cannot be written as a script: the loss .*{why}.*\.$"):
        made.to_script(tmp_path / "run.py")
    assert not list(tmp_path.iterdir())


_CELL = """
import torch.nn.functional as F
from torch import nn

SCALE = 0.5


class Base(nn.Module):
    pass


class FromACell(Base):
    def __init__(self, width):
        super().__init__()
        self.first, self.last = nn.Linear(12, width), nn.Linear(width, 4)

    def forward(self, x):
        return self.last(F.relu(self.first(x))) * SCALE
"""


@pytest.mark.slow
def test_a_class_that_was_defined_in_a_cell_is_written_out(tmp_path, monkeypatch):
    monkeypatch.setitem(linecache.cache, "<cell 1>", (len(_CELL), None, _CELL.splitlines(True), "<cell 1>"))
    monkeypatch.setattr(sys.modules["__main__"], "In", [_CELL, "FromACell(9)"], raising=False)
    names = {"__name__": "__main__"}
    exec(compile(_CELL, "<cell 1>", "exec"), names)
    made = session(model=names["FromACell"](9)).fit()
    path = made.to_script(tmp_path / "run.py")
    assert "model = FromACell(9)" in path.read_text()
    assert run_alone([path], tmp_path) == {}
    assert differing(made, tmp_path / "run.weights.pt") == []


def test_a_model_too_large_to_keep_twice_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setattr("dlwidgets.core.training.snapshots.origin.snapshot_budget", lambda size: size - 1)
    with pytest.raises(
        ValueError, match="the weights that the run began with were not kept: a copy of 0 MB did"
    ):
        session().step().to_script(tmp_path / "run.py")


def test_no_step_no_script(tmp_path):
    with pytest.raises(ValueError, match="No step was taken yet"):
        session().to_script(tmp_path / "run.py")
    with pytest.raises(ValueError, match=r"the name of a Python file is wanted, as 'run\.py'"):
        session().to_script(tmp_path / "run")


def test_an_unknown_control_is_named_and_not_passed_over(tmp_path, monkeypatch):
    made = session().step()
    monkeypatch.setattr(Dropout, "writer", None)
    with pytest.raises(ValueError, match="the control 'dropout' has no writer yet"):
        made.to_script(tmp_path / "run.py")


def test_a_rate_changed_behind_the_sessions_back_is_noticed(tmp_path):
    made = session().step(2)
    made.optimizer.param_groups[0]["lr"] = 0.25
    made.step(2)
    with pytest.raises(ValueError, match="step 3 was taken with the rate 0.25, which no change explains"):
        made.to_script(tmp_path / "run.py")


def test_writing_a_script_disturbs_no_training(tmp_path):
    one, other = session().step(3), session().step(3)
    torch.manual_seed(0)
    one.to_script(tmp_path / "run.py")
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(0)))
    one.step(3)
    other.step(3)
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_a_script_is_short_and_plain_where_the_run_was(tmp_path):
    text = session().fit().to_script(tmp_path / "run.py").read_text()
    assert len(text.splitlines()) < 60
    assert not re.search(r"clip|skip|accumulate|autocast|step ==|Schedule|def |class ", text)
