"""What is frozen and moves all the same is found, measured, and mended by a button."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.core.doctor.rules.broken import found, normed, only, run


def by_hand(model, *paths):
    for path in paths:
        for parameter in model.get_submodule(path).parameters():
            parameter.requires_grad = False
    return model


def epochs(model, count=1, **options):
    made = run(model, steps=0, **options)
    return made.fit(count, progress=False)


class Leaving(torch.optim.SGD):
    """Leaves zeros for gradients, as all optimizers once did."""

    def zero_grad(self, set_to_none=True):
        super().zero_grad(set_to_none=False)


class Shrinking(torch.optim.SGD):
    """Decays whatever it was given."""

    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        for parameter in self.param_groups[0]["params"]:
            parameter.mul_(0.999)


# -- statistics


def test_statistics_that_move_while_frozen_by_hand_are_measured_and_held_by_a_button():
    model = by_hand(normed(), "0", "1")
    made = epochs(model, lr=1e-3)
    card = only(made, "batch_norm_frozen")
    begun = nn.BatchNorm1d(16).state_dict()
    name = max(("running_mean", "running_var"), key=lambda one: (model[1].state_dict()[one] - begun[one]).abs().max())
    far = float((model[1].state_dict()[name] - begun[name]).abs().max())
    assert card.layer == "1" and card.evidence[f"1.{name}"] == pytest.approx(far)
    assert f"1.{name} has moved by {far:.3g}" in card.sentence
    (offer,) = made.remedies(card)
    assert offer.label == "Freeze 0 and 1 more, statistics too"
    before = {key: one.clone() for key, one in model[:2].state_dict().items()}
    made.apply_remedy(card).fit(1, progress=False)
    assert all(map(torch.equal, before.values(), model[:2].state_dict().values()))
    assert made.proof.holds and not found(made, "batch_norm_frozen")


def test_the_card_is_over_once_its_button_was_pressed_with_no_step_in_between_and_back_with_undo():
    made = run(by_hand(normed(), "0", "1"), steps=0)
    made.diagnose()
    made.apply_remedy(only(made, "batch_norm_frozen"))
    assert made.steps == 0 and not found(made, "batch_norm_frozen")
    made.undo()
    assert only(made, "batch_norm_frozen")


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm1d(16, affine=False), nn.utils.parametrizations.spectral_norm(nn.Linear(16, 16))]
)  # fmt: skip
def test_other_statistics_among_what_is_frozen_are_found_too(layer):
    body = nn.Sequential(nn.Linear(8, 16), layer)
    made = epochs(by_hand(nn.Sequential(body, nn.Linear(16, 3)), "0"))
    made.apply_remedy(only(made, "batch_norm_frozen"))
    before = [one.clone() for one in body.state_dict().values()]
    made.fit(1, progress=False)
    assert all(map(torch.equal, before, body.state_dict().values()))


def test_a_bare_norm_among_layers_that_train_is_left_in_peace():
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16, affine=False), nn.Linear(16, 3))
    assert not found(epochs(by_hand(model, "0")), "batch_norm_frozen")


# -- weights


def test_momentum_moves_nothing_that_was_frozen_between_two_runs():
    made = epochs(model := normed(), optimizer=lambda p: Leaving(p, lr=0.1, momentum=0.9, weight_decay=0.01))
    before = model[0].weight.detach().clone()
    by_hand(model, "0")
    assert torch.equal(made.fit(1, progress=False).model[0].weight, before) and made.proof.holds


def test_momentum_that_moves_what_was_frozen_amid_a_run_is_found_and_a_button_stops_it():
    made = epochs(model := normed(), optimizer=lambda p: Leaving(p, lr=0.1, momentum=0.9, weight_decay=0.01))
    before = model[0].weight.detach().clone()
    made.at_step(lambda: by_hand(model, "0")).result()  # while it trains
    made.fit(1, progress=False)
    card, far = only(made, "frozen_moved"), float((model[0].weight - before).abs().max())
    assert card.severity == "medium" and "momentum and weight decay move it on" in card.sentence
    assert made.proof.moved["0.weight"] == pytest.approx(far) and far > 0
    made.apply_remedy(card).fit(1, progress=False)
    assert made.proof.holds and not found(made, "frozen_moved")


def test_an_optimizer_that_moves_what_has_no_gradient_is_found_and_changed_for_torchs():
    made = run(normed(), optimizer=lambda p: Shrinking(p, lr=0.1)).freeze("0").fit(1, progress=False)
    card = only(made, "frozen_moved")
    assert card.severity == "high" and card.title.startswith("Frozen but moved: 0.weight and 1 more, by ")
    assert [offer.label for offer in made.remedies(card)] == ["Shrinking → torch's SGD"]
    before = made.model[0].weight.detach().clone()
    made.apply_remedy(card).fit(1, progress=False)
    assert torch.equal(made.model[0].weight, before)


def test_a_hook_that_writes_is_named():
    def write(module, inputs, output):
        with torch.no_grad():
            module.bias[0] += 1e-3

    made = run(normed()).freeze("0")
    made.model[0].register_forward_hook(write)
    made.fit(1, progress=False)
    card = only(made, "frozen_moved")
    assert "0 has a hook on its forward" in card.sentence and not made.remedies(card)
    assert made.proof.changed == ("0.bias",)


def test_an_average_that_a_step_keeps_of_other_weights_is_told_softly():
    class Twins(nn.Module):
        def __init__(self):
            super().__init__()
            self.student, self.teacher = nn.Linear(8, 3), nn.Linear(8, 3).requires_grad_(False)

        def forward(self, x):
            return self.student(x)

    def step(model, batch):
        with torch.no_grad():
            model.teacher.weight.lerp_(model.student.weight, 0.1)
        return F.cross_entropy(model(batch[0]), batch[1])

    assert not found(epochs(Twins(), training_step=step), "frozen_moved")
    alone = epochs(model := Twins(), training_step=step, optimizer=torch.optim.Adam(model.student.parameters()))
    assert only(alone, "frozen_moved").severity == "low"


@pytest.mark.parametrize("froze", [lambda made: made.freeze("0", "1"), lambda made: by_hand(made.model, "0")])
def test_what_is_frozen_as_it_should_be_raises_no_alarm(froze):
    made = run(normed(), steps=0, valid=0.2, ema=0.9, weight_decay=0.1)
    froze(made)
    made.fit(2, progress=False)
    assert made.proof.holds and not made.findings


def test_two_networks_that_a_step_trains_by_turns_raise_no_alarm():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.maker, self.critic = nn.Linear(8, 8), nn.Linear(8, 1)

        def forward(self, x):
            return self.critic(self.maker(x))

    model = Pair()
    critic = torch.optim.Adam(model.critic.parameters(), lr=1e-2)

    def step(model, batch):
        model.maker.requires_grad_(False)
        model.critic.requires_grad_(True)
        critic.zero_grad()
        (model(batch[0]).mean() - model.critic(batch[0]).mean()).backward()
        critic.step()
        model.maker.requires_grad_(True)
        model.critic.requires_grad_(False)
        return -model(batch[0]).mean()

    made = epochs(model, 3, training_step=step, optimizer=torch.optim.Adam(model.maker.parameters(), lr=1e-2))
    assert not found(made, "frozen_moved") and not made.changes and (made.proof is None or made.proof.holds)


def test_what_all_trains_again_has_no_proof():
    made = run(normed()).freeze("0").fit(1, progress=False)
    assert made.proof is not None
    assert made.unfreeze().fit(1, progress=False).proof is None and len(made.proofs())
