"""Normalised weights: those of a plain loop that projects or splits them."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from tests.core.controls.by_hand import X, net, plain, same, session


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
