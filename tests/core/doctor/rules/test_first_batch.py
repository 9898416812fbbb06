"""Models that cannot learn one batch, and outputs that depend on other samples."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets import Session
from dlwidgets.core.base.history import History
from dlwidgets.core.doctor.evidence import Evidence
from dlwidgets.core.doctor.preflight import Preflight
from dlwidgets.core.doctor.rules.first_batch import find_unlearnt_batch

from .by_facts import labelled, linear


class Over(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def found(*layers: nn.Module, diagnosed: bool = True, data=None) -> list[tuple[str, str]]:
    torch.manual_seed(0)
    session = Session(nn.Sequential(*layers), data or labelled())
    session.diagnose() if diagnosed else session.step(1)
    return [(one.rule, one.severity) for one in session.findings if one.rule in ("batch_not_learnt", "samples_mixed")]


def test_a_model_that_learns_is_quiet():
    assert found(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) == []


def test_a_model_whose_input_never_arrives_is_found():
    cut = Over(lambda x: x * 0)
    assert found(nn.Linear(8, 16), cut, nn.Linear(16, 3)) == [("batch_not_learnt", "high")]


def test_what_a_batch_did_not_learn_is_over_once_the_run_has():
    preflight = Preflight(16, (1.0,) * 30, 0.8)
    learnt = History()
    for loss in (0.9, *(0.5,) * 19):
        learnt.step(epoch=1, loss=loss, lr=0.1, batch_size=16, seconds=0.1)
    assert [*find_unlearnt_batch(Evidence(preflight=preflight))]
    assert [*find_unlearnt_batch(Evidence(step=20, record=learnt, preflight=preflight))] == []


def test_a_model_that_gives_nan_in_training_is_found():
    class Root(nn.Module):
        def forward(self, x):
            return (x - 100).sqrt() if self.training else x

    assert found(nn.Linear(8, 3), Root()) == [("batch_not_learnt", "high")]


@pytest.mark.parametrize(
    "mix", [lambda x: x.reshape(x.shape[::-1]).T, lambda x: x.softmax(0), lambda x: x - x.mean(0), lambda x: x.flip(0)]
)
@pytest.mark.parametrize("diagnosed", [True, False])
def test_samples_that_are_mixed_are_found_before_the_first_step_and_after_it(mix, diagnosed):
    assert ("samples_mixed", "high") in found(nn.Linear(8, 16), Over(mix), nn.Linear(16, 3), diagnosed=diagnosed)


def test_the_layer_that_mixes_is_named():
    model = nn.Sequential(nn.Linear(8, 16), Over(lambda x: x - x.mean(0)), nn.Linear(16, 3))
    session = Session(model, labelled()).step(1)
    (one,) = (one for one in session.findings if one.rule == "samples_mixed")
    assert one.layer == "1"


def test_an_attention_over_the_samples_is_found_in_tokens():
    class Attends(nn.Module):
        def __init__(self, batch_first: bool) -> None:
            super().__init__()
            self.words, self.attention = nn.Embedding(9, 8), nn.MultiheadAttention(8, 2, batch_first=batch_first)
            self.head = nn.Linear(8, 3)

        def forward(self, tokens):
            x = self.words(tokens)
            return self.head(self.attention(x, x, x)[0].mean(1))

    words = torch.randint(0, 9, (480, 5), generator=torch.Generator().manual_seed(0))
    data = words, words[:, 0] % 3
    assert ("samples_mixed", "high") in found(Attends(False), data=data, diagnosed=False)
    assert found(Attends(True), data=data, diagnosed=False) == []


def test_batch_norm_mixes_no_samples_where_it_is_evaluated():
    assert found(linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3), diagnosed=False) == []
