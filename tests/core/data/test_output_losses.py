"""Models with several outputs: a loss, a task and metrics for each, by name."""

import numpy as np
import pytest
import torch
from torch import nn

import dlwidgets as dlw

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 5)).astype(np.float32)
KIND, SIZE = RNG.integers(0, 3, 48), RNG.normal(size=48).astype(np.float32)


class Twofold(nn.Module):
    def __init__(self):
        super().__init__()
        self.kind, self.size = nn.Linear(5, 3), nn.Linear(5, 1)

    def forward(self, inputs):
        return self.kind(inputs), self.size(inputs)


def draw():
    torch.manual_seed(0)
    return Twofold()


def train_plainly(model, epochs=2, size_weight=1.0):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    inputs, kinds, sizes = map(torch.from_numpy, (X, KIND, SIZE))
    for _ in range(epochs):
        for index in torch.randperm(48, generator=generator).split(16):
            kind, size = model(inputs[index])
            loss = nn.functional.cross_entropy(kind, kinds[index])
            loss = loss + nn.functional.mse_loss(size, sizes[index][:, None]) * size_weight
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


@pytest.mark.parametrize("targets", [(KIND, SIZE), {"output_1": KIND, "output_2": SIZE}, [KIND, SIZE]])
def test_outputs_with_targets_each_are_trained_as_the_plain_sum_of_their_losses(targets):
    model = draw()
    session = dlw.Session(model, (X, targets), batch_size=16)
    session.fit(2)
    for mine, theirs in zip(model.parameters(), train_plainly(draw()).parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert "output_1 (multiclass), output_2 (regression)" in session.notes[0]


def test_a_named_loss_is_weighed_and_evaluated_with_the_metrics_of_its_task():
    model = draw()
    session = dlw.Session(
        model, (X, (KIND, SIZE)), valid=(X, (KIND, SIZE)), batch_size=16, loss_weights={"output_2": 0.5}
    )
    session.fit(2)
    for mine, theirs in zip(model.parameters(), train_plainly(draw(), size_weight=0.5).parameters(), strict=True):
        assert torch.equal(mine, theirs)
    kind, size = model(torch.from_numpy(X))
    last = session.history().iloc[-1]
    assert last["output_1_accuracy"] == pytest.approx((kind.argmax(1).numpy() == KIND).mean())
    assert last["output_2_mean_absolute_error"] == pytest.approx(np.abs(size.detach().numpy()[:, 0] - SIZE).mean())
    assert not session.evaluation.loss_note


def test_losses_can_be_given_by_output():
    session = dlw.Session(draw(), (X, (KIND, SIZE)), loss={"output_1": "cross_entropy", "output_2": "l1"})
    session.step(1)
    assert session.notes[0].endswith("the loss is CrossEntropyLoss of output_1, L1Loss of output_2.")


def test_predictions_are_arranged_as_the_model_has_them():
    model = draw()
    session = dlw.Session(model, (X, (KIND, SIZE)))
    for mine, theirs in zip(session.predict(X, batch_size=20), model(torch.from_numpy(X)), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ((KIND, SIZE, SIZE), "targets or losses are given for 3"),
        ({"kind": KIND, "size": SIZE}, "The targets name 'kind', 'size', but the model's outputs are 'output_1'"),
        ((KIND, KIND[:, None] * [1, 0]), "Of the output 'output_2': The targets have 2 values a sample"),
    ],
)
def test_targets_that_do_not_fit_are_told_of_by_the_name_of_their_output(targets, said):
    with pytest.raises(ValueError, match=said):
        dlw.Session(draw(), (X, targets))
