"""Faults: planted as they say, refused with a sentence, the same for the same seed."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

import dlwidgets as dlw
from dlwidgets import teaching
from dlwidgets.teaching import faults, setups

pytestmark = pytest.mark.usefixtures("river")


@pytest.fixture(scope="module")
def river():
    pytest.importorskip("river", minversion="0.26")


def test_there_are_many_faults_and_each_says_in_one_sentence_what_is_broken():
    assert len(faults.names()) >= 26
    for fault in faults.FAULTS.values():
        assert fault.rules and set(fault.setups) <= set(setups.SETUPS)
        assert fault.sentence[0].isupper() and fault.sentence.endswith(".")


@pytest.mark.parametrize("name", faults.FAULTS)
def test_a_fault_gives_arguments_that_a_session_has(name):
    arguments = teaching.broken(name)
    assert {*arguments} <= {*inspect.signature(dlw.Session).parameters}
    assert isinstance(arguments["model"], nn.Module)


def test_the_same_seed_plants_the_same_fault_and_draws_no_global_random_numbers():
    before = torch.get_rng_state()
    one, two = (faults.plant("shuffled labels", "sentences", seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one["train"][1], two["train"][1])
    for a, b in zip(one["model"].state_dict().values(), two["model"].state_dict().values()):
        assert torch.equal(a, b)


def test_a_fault_leaves_the_healthy_data_as_they_are():
    before = setups.healthy("sentences").train
    assert faults.plant("one class only", "sentences")["train"][1].unique().numel() == 1
    for a, b in zip(before, setups.healthy("sentences").train):
        assert torch.equal(a, b)


def test_a_killed_relu_gives_zero_for_every_sample():
    arguments = teaching.broken("ReLU killed")
    model, images = arguments["model"], arguments["train"][0][:64]
    out = model.stage2(model.stage1(images))
    assert not out.any()


def test_a_detached_middle_gives_what_comes_before_no_gradient():
    arguments = teaching.broken("cut by detach")
    model = arguments["model"]
    model(arguments["train"][0][:8]).sum().backward()
    assert {name.split(".")[0] for name, one in model.named_parameters() if one.grad is not None} == {"stage3", "head"}


@pytest.mark.parametrize("name", ["samples mixed", "softmax over the batch"])
def test_mixed_samples_depend_on_one_another(name):
    arguments = teaching.broken(name)
    inputs = arguments["train"][0][:8].clone().requires_grad_()
    arguments["model"].eval()(inputs)[0].sum().backward()
    assert inputs.grad[1:].any()


def test_listed_layers_are_none_of_the_models_parameters():
    for setup in setups.SETUPS:
        whole, hidden = setups.healthy(setup).model, faults.plant("layers in a plain list", setup)["model"]
        assert len([*hidden.parameters()]) < len([*whole.parameters()]) / 2
        assert hidden(setups.healthy(setup).train[0][:2]).shape == whole(setups.healthy(setup).train[0][:2]).shape


def test_boxes_in_pixels_hold_the_digit():
    images, boxes = faults.plant("boxes in pixels", "collages")["train"]
    for image, (left, top, right, bottom) in zip(images[:50], boxes.int()):
        inside = image[0, top:bottom, left:right]
        assert 4 <= bottom - top <= 32 and image.max() == inside.max()


def test_shuffled_labels_are_the_same_labels_and_no_curve_is_said_to_show_them():
    fault, healthy = faults.FAULTS["shuffled labels"], setups.healthy("sentences")
    shuffled = faults.plant(fault.name, "sentences")["train"][1]
    assert torch.equal(shuffled.bincount(), healthy.train[1].bincount())
    assert (shuffled == healthy.train[1]).float().mean() < 0.3
    assert "only the labels themselves" in fault.unseen


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: faults.plant("rate x100"), "There is no fault 'rate x100': .* Did you mean 'rate x 100'?"),
        (lambda: teaching.broken("sofmax twice"), "Did you mean 'softmax twice'?"),
        (lambda: faults.plant("rate 0", "finding"), "There is no set-up 'finding': .* Did you mean 'findings'?"),
        (lambda: faults.plant("channels last", "yeast"), "makes no sense in 'yeast': it does in collages, findings"),
        (lambda: setups.healthy(optimizer="sdg"), "There is no optimizer 'sdg': .* Did you mean 'sgd'?"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_the_names_of_one_set_up_are_those_that_make_sense_there():
    assert "channels last" in faults.names("findings") and "channels last" not in faults.names("yeast")


@pytest.mark.slow
@pytest.mark.parametrize(
    # Each set-up with each optimizer and with both rates, and each optimizer with both.
    ("setup", "optimizer", "rate"),
    [
        (setup, optimizer, (1 / 3, 3)[(first + second) % 2])
        for first, setup in enumerate(setups.SETUPS) for second, optimizer in enumerate(setups.OPTIMIZERS)
    ],
)
def test_a_healthy_set_up_learns_at_rates_that_merely_are_not_ideal(setup, optimizer, rate):
    session = dlw.Session(**setups.healthy(setup, optimizer=optimizer, rate=rate).arguments())
    before = session.evaluate().loss
    # A third of the rate, or three times it, learns more slowly: by how much depends on the processor's rounding.
    assert session.step(150).evaluate().loss < 0.97 * before
    session.close()
