"""Layers drawn anew: as a plain loop that calls `reset_parameters()` between two steps, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets.session import Session
from tests.core.controls.by_hand import SIZE, X, Y, net, plain, same, session, sgd


def adagrad(parameters):
    return torch.optim.Adagrad(parameters, lr=0.05, initial_accumulator_value=0.1)


def reset(*paths):
    """Return what a plain loop does: the layers draw themselves, and nothing is known of them any more."""

    def change(model, optimizer):
        for path in paths:
            model.get_submodule(path).reset_parameters()
            for parameter in model.get_submodule(path).parameters():
                optimizer.state.pop(parameter, None)

    return change


def kaiming(model, optimizer):
    nn.init.kaiming_normal_(model[5].weight)
    nn.init.zeros_(model[5].bias)
    for parameter in model[5].parameters():
        optimizer.state.pop(parameter, None)


@pytest.mark.parametrize(("wish", "change"), [
    ("7", reset("7")), (["0", "1"], reset("0", "1")), ("", reset("0", "1", "5", "7")), (("5", "kaiming"), kaiming),
])  # fmt: skip
def test_layers_are_drawn_as_by_hand(wish, change):
    made = session().step(3)
    made.reinitialise = wish
    same(made.fit(2).model, plain(at={3: change}))


def test_a_layer_is_drawn_before_the_first_step():
    made = session(reinitialise="7")
    assert made.reinitialise == (("7",), None, 1) and made.changes[0].step == 0
    same(made.fit().model, plain(at={0: reset("7")}))


def test_the_same_layer_is_drawn_twice():
    made = session().step(3)
    made.reinitialise = "7"
    made.step()
    made.reinitialise = made.model[7]
    assert made.applied["reinitialise"] == (("7",), None, 2)
    same(made.fit(2).model, plain(at={3: reset("7"), 4: reset("7")}))


def test_attention_is_drawn_as_its_constructor_draws():
    def layer():
        torch.manual_seed(7)
        attention = nn.TransformerEncoderLayer(16, 2, 8, batch_first=True)
        return nn.Sequential(nn.Flatten(2), attention, nn.Flatten(), nn.Linear(16, 4))

    def anew(model, optimizer):
        model[1].self_attn.out_proj.reset_parameters()
        model[1].self_attn._reset_parameters()
        for parameter in model[1].self_attn.parameters():
            optimizer.state.pop(parameter, None)

    made = session(layer()).step(3)
    made.reinitialise = "1.self_attn"
    same(made.fit(2).model, plain(layer(), at={3: anew}))


def test_an_optimizer_that_makes_its_state_in_the_beginning_begins_anew():
    def anew(model, optimizer):
        model[7].reset_parameters()
        for parameter in model[7].parameters():
            optimizer.state[parameter]["step"].zero_()
            optimizer.state[parameter]["sum"].fill_(0.1)

    made = session(optimizer=adagrad).step(3)
    made.reinitialise = "7"
    same(made.fit(2).model, plain(at={3: anew}, optimizer=adagrad))


def test_a_model_at_rest_shows_its_new_weights_and_averages_begin_anew():
    made = session(ema=0.9).step(5)
    made.reinitialise = "7"
    assert torch.equal(made._run.loop.weights()["7.weight"], made.model[7].weight)
    assert not torch.equal(made._run.loop.weights()["5.weight"], made.model[5].weight)


def test_batch_norm_forgets_what_it_saw():
    made = session().step(3)
    made.reinitialise = "1"
    assert made.model[1].num_batches_tracked == 0 and not made.model[1].running_mean.any()
    assert made.ledger().note.tolist() == ["drew 1 anew: 6 parameters"]


def test_undo_takes_it_back_and_going_back_repeats_it():
    made = session().step(3)
    before = {name: one.clone() for name, one in made.model.state_dict().items()}
    made.reinitialise = "5"
    after = made.step(4).model[5].weight.clone()
    made.undo()
    assert made.reinitialise is None and [n for n, t in made.model.state_dict().items() if not t.equal(before[n])] == []
    made.switch("main")
    assert torch.equal(made.model[5].weight, after)
    assert torch.equal(made.step(2).rewind(7).model[5].weight, after)


def test_trials_draw_alike_and_leave_the_run_as_it_was():
    made = session().step(3)
    first, second, _ = made.try_each(2, {"reinitialise": "7"}, {"reinitialise": "7"}, {})
    assert first.history().loss.tolist() == second.history().loss.tolist()
    same(made.fit(2).model, plain())


def test_a_ledger_draws_the_same_in_another_session():
    made = session().step(3)
    made.reinitialise = ["7", "0"]
    made.fit(2)
    same(session().replay(made.ledger()).fit().model, made.model)


def test_a_checkpoint_goes_on_and_draws_what_was_given_once(tmp_path):
    made = session(reinitialise="5", checkpoint_dir=tmp_path).step(3)
    made.reinitialise = "7"
    made.step().save_checkpoint()
    twin = Session.from_checkpoint(
        tmp_path, net(), (X, Y), (X[:10], Y[:10]), batch_size=SIZE, epochs=2, optimizer=sgd, reinitialise="5"
    )
    assert twin.reinitialise == (("7",), None, 2)
    same(twin.fit(2).model, made.fit(2).model)
    for one in (made, twin):  # what is saved later draws in the middle of another test
        one.close()


class Odd(nn.Module):
    """A layer whose parameter nothing draws, or that makes another in its place."""

    def __init__(self, makes=False):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4))
        if makes:
            self.reset_parameters = self._make

    def _make(self):
        torch.rand(3)
        self.gain = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x * self.gain


@pytest.mark.parametrize(("wish", "sentence"), [
    ("2", "reinitialise: '2' has no parameters to draw anew. Layers that have it are '0', '1', '5', '7'."),
    ("8", "reinitialise: '8' (Odd) has no reset_parameters() that draws its gain. Layers that have it are "
          "'0', '1', '5', '7'."),
    ("9", "reinitialise: the Sequential has no layer '9'. Layers that have it are '0', '1', '5', '7'."),
    (("7", "kaimin"), "reinitialise has 'kaimin': a layer of the model, or one of 'kaiming', 'xavier', 'orthogonal', "
                      "is wanted. Did you mean 'kaiming'?"),
    (3, "reinitialise=3: the path of a layer, as 'features.0', several as a list, or a layer and how it is drawn, as "
        "('features.0', 'kaiming'), is wanted."),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(wish, sentence):
    with pytest.raises(ValueError) as caught:
        session(net().append(Odd()), reinitialise=wish)
    assert str(caught.value) == sentence


def test_a_layer_that_was_rejected_is_asked_for_once_more():
    model = net().append(Odd(makes=True))
    made = session(model).step(3)
    made.reinitialise = "8"
    model[8].reset_parameters = lambda: nn.init.constant_(model[8].gain, 0.5)
    made.reinitialise = "8"
    assert made.rejected == {} and model[8].gain.tolist() == [0.5] * 4


def test_a_split_weight_is_refused():
    made = session(normalise={"7": "weight_norm"})
    with pytest.raises(ValueError, match=r"'7' \(ParametrizedLinear\) computes its weight from others"):
        made.reinitialise = "7"


def test_a_layer_that_makes_other_parameters_is_rejected_and_all_is_as_before():
    made = session(net().append(Odd(makes=True))).step(3)
    made.reinitialise = "8"
    assert "that of Odd makes other parameters" in made.rejected["reinitialise"]
    assert made.applied["reinitialise"] is None
    same(made.fit(2).model, plain(net().append(Odd())))
