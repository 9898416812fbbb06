"""Scripts of runs in which layers were drawn anew: the same random numbers, and so the same weights, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from tests.core.export.script_runs import Runs, X, Y, check_weights, session

RUNS = Runs()


class Noisy(Dataset):
    """Samples with noise that is drawn as they are read."""

    def __init__(self, inputs, labels):
        self.inputs, self.labels = inputs, labels

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.inputs[index] + 0.1 * torch.randn(12), self.labels[index]


NOISY = Noisy(X, Y["multiclass"])


@RUNS.add
def twice_and_before_the_first_step():
    made = session(reinitialise="4", lr=0.01).step(3)
    made.reinitialise = ["0", "1"]
    made.step()
    made.reinitialise = ("0", "kaiming")
    return made.fit(2)


@RUNS.add
def the_whole_model_under_adagrad():
    made = session(optimizer="adagrad", lr=0.05).step(6)
    made.reinitialise = ""
    return made.step(4)


@RUNS.add
def between_batches_of_noise():
    made = session(data=NOISY, task=None).step(3)
    made.reinitialise = "4"
    made.step(2)
    made.skip()
    made.reinitialise = ("0", "orthogonal")
    return made.fit(2)


@RUNS.add
def between_batches_of_a_loader():
    loader = DataLoader(NOISY, 16, shuffle=True)
    made = session(data=loader, task=None, batch_size=None, accumulate=2).step(2)
    made.reinitialise, made.lr = "4", 0.01
    made.step(1)
    made.skip()
    made.reinitialise = "0"
    return made.fit(2)


@RUNS.add
def beside_averages_and_another_optimizer():
    made = session(ema=0.9).step(3)
    made.optimizer, made.reinitialise = "sgd", ("4", "xavier")
    made.step(2)
    made.ema = None
    made.reinitialise = "4"
    return made.step(2)


@RUNS.add
def an_average_begins_anew():
    made = session(ema=0.9).step(3)
    made.reinitialise = "4"
    return made.step(2)


class Attentive(nn.Module):
    """Attention between three parts of the inputs."""

    def __init__(self):
        super().__init__()
        self.attention = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.head = nn.Linear(12, 4)

    def forward(self, x):
        return self.head(self.attention(x.unflatten(1, (3, 4))).flatten(1))


@RUNS.add
def attention():
    torch.manual_seed(7)
    made = session(model=Attentive()).step(3)
    made.reinitialise = "attention"
    return made.fit(2)


class Mixed(nn.Module):
    """An embedding and a recurrent layer behind one path."""

    def __init__(self):
        super().__init__()
        self.body = nn.ModuleDict({"words": nn.Embedding(20, 6, padding_idx=0), "gru": nn.GRU(6, 5, batch_first=True)})
        self.head = nn.Linear(5, 4)

    def forward(self, tokens):
        return self.head(self.body["gru"](self.body["words"](tokens))[0][:, -1])


@RUNS.add
def recurrent_layers():
    torch.manual_seed(7)
    tokens = torch.randint(0, 20, (50, 5), generator=torch.Generator().manual_seed(4))
    made = session(model=Mixed(), data=(tokens, Y["multiclass"])).step(3)
    made.reinitialise = ("body", "kaiming")
    made.step(2)
    made.undo()
    made.reinitialise = "body"
    return made.fit(2)


@pytest.mark.parametrize("name", RUNS)
def test_a_script_draws_layers_as_the_run_did(done, name):
    check_weights(done, name)


def test_a_script_has_the_averaged_weights_of_a_layer_drawn_anew(done):
    folder, sessions, _ = done
    ours = sessions["an_average_begins_anew"]._run.loop.weights(averaged=True)
    theirs = torch.load(folder / "an_average_begins_anew.averaged.pt", weights_only=True)
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
