"""Scripts of runs whose step or model gives the loss, or whose batches are sequences, give their weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import DataLoader

from dlwidgets.session import Session
from tests.core.export.script_runs import Runs, X, Y, check_weights, net

RUNS = Runs()
LENGTHS = (3, 5, 2, 6, 4, 4, 7, 3)
SEQUENCES = [(torch.randn(n, 3, generator=torch.Generator().manual_seed(n)), n % 2) for n in LENGTHS]
WORDS = torch.randint(0, 9, (24, 6), generator=torch.Generator().manual_seed(3))


class Reader(nn.Module):
    """Reads sequences, packed or in a list."""

    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(3, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, sequences):
        if isinstance(sequences, list):
            return self.head(torch.stack([self.gru(one[None])[1][-1, 0] for one in sequences]))
        return self.head(self.gru(sequences)[1][-1])


class Translator(nn.Module):
    """An encoder and a decoder that is told the word before."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(9, 8), nn.Linear(8, 9)
        self.encoder, self.decoder = nn.GRU(8, 8, batch_first=True), nn.GRU(8, 8, batch_first=True)

    def forward(self, source, target):
        return self.head(self.decoder(self.words(target), self.encoder(self.words(source))[1])[0])


class Scored(nn.Module):
    """Gives its loss along with what it puts out."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 4)

    def forward(self, x, labels=None):
        out = self.layer(x)
        return out if labels is None else (F.cross_entropy(out, labels), out)


def made(model, data, **options):
    torch.manual_seed(7)
    return Session(model(), data, **{"epochs": 2, "threads": 1, "seed": 3, **options})


def pack(samples):
    return pack_sequence([x for x, _ in samples], enforce_sorted=False), torch.tensor([y for _, y in samples])


def pad_nothing(samples):
    return [x for x, _ in samples], torch.tensor([y for _, y in samples])


def teach(model, batch):
    source, target = batch
    return F.cross_entropy(model(source, target[:, :-1]).transpose(1, 2), target[:, 1:])


def total_and_parts(model, batch):
    loss = F.cross_entropy(model(batch[0]), batch[1])
    return loss, {"half": loss.detach() / 2}


@RUNS.add
def packed():
    return made(Reader, DataLoader(SEQUENCES, batch_size=4, collate_fn=pack)).fit()


@RUNS.add
def listed():
    return made(Reader, DataLoader(SEQUENCES, batch_size=4, collate_fn=pad_nothing)).fit()


@RUNS.add
def with_teacher_forcing():
    return made(Translator, (WORDS, WORDS.flip(1)), training_step=teach, batch_size=8).fit()


@RUNS.add
def loss_and_parts():
    return made(net, (X, Y["multiclass"]), training_step=total_and_parts, accumulate=2).fit()


@RUNS.add
def the_model_s_own():
    return made(Scored, (X, Y["multiclass"]), accumulate=2).fit()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return RUNS.write(tmp_path_factory.mktemp("scripts"))


@pytest.mark.parametrize("name", RUNS)
def test_a_script_gives_the_same_weights(written, name):
    check_weights(written, name)


# -- two optimizers

REAL = torch.randn(48, 2, generator=torch.Generator().manual_seed(4)) + 1


class Pair:
    """A generator, and a critic that a step trains with an optimizer of its own."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        self.critic = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
        self.optimizer = torch.optim.Adam(self.critic.parameters(), 1e-3)

    def step(self, model, batch):
        real, drawn = batch[0], model(torch.randn(len(batch[0]), 4))
        one = torch.ones(len(real), 1)
        told = F.binary_cross_entropy_with_logits(self.critic(real), one)
        told = told + F.binary_cross_entropy_with_logits(self.critic(drawn.detach()), 0 * one)
        if model.training:
            self.optimizer.zero_grad()
            told.backward()
            self.optimizer.step()
        return {"loss": F.binary_cross_entropy_with_logits(self.critic(drawn), one), "critic": told.detach()}

    def state(self):
        found = {**self.model.state_dict(prefix="model."), **self.critic.state_dict(prefix="critic.")}
        return {name: value.clone() for name, value in found.items()}


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_two_optimizers_train_go_back_and_go_on_as_a_loop_by_hand(tmp_path):
    pair, twin = Pair(), Pair()
    session = Session(
        pair.model, (REAL, REAL), valid=(REAL, REAL), training_step=pair.step, optimizer="adam", batch_size=16,
        threads=1, evaluate_every=2,
    )  # fmt: skip
    session.step(2)
    before = pair.state()
    session.step(2)

    optimizer, drawn = torch.optim.Adam(twin.model.parameters(), 1e-3), torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    batches = [index for _ in range(2) for index in torch.randperm(48, generator=drawn).split(16)]
    for index in batches[:4]:
        loss = twin.step(twin.model, (REAL[index], REAL[index]))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert same(twin.state(), after := pair.state())
    assert session.history()["critic"].notna().sum() == 4 and session.evaluation.parts["critic"] > 0

    session.rewind(2)
    assert same(before, pair.state())
    session.step(2)
    assert same(after, pair.state())
    with pytest.raises(ValueError, match="moves weights with 1 optimizer of its own, which only the code that made it"):
        session.to_script(tmp_path / "gan.py")


def test_a_step_may_take_turns(tmp_path):
    turns = copy.deepcopy(Pair())

    def step(model, batch):
        drawn, one = model(torch.randn(len(batch[0]), 4)), torch.ones(len(batch[0]), 1)
        step.count += 1
        if step.count % 2:
            losses = F.binary_cross_entropy_with_logits(turns.critic(batch[0]), one)
            return {"critic": losses + F.binary_cross_entropy_with_logits(turns.critic(drawn.detach()), 0 * one)}
        return {"generator": F.binary_cross_entropy_with_logits(turns.critic(drawn), one)}

    step.count = 0
    both = torch.optim.Adam([*turns.model.parameters(), *turns.critic.parameters()], 1e-3)
    session = Session(turns.model, (REAL, REAL), training_step=step, optimizer=both, batch_size=16, threads=1)
    session.step(2)
    session.step(2)
    after = turns.state()
    assert session.history()["loss_critic"].notna().tolist() == [True, False, True, False]
    assert session.applied["loss_weights"] == {"critic": 1.0, "generator": 1.0}
    session.rewind(2).step(2)
    assert same(after, turns.state())
