"""Freezing without a session: what patterns mean, what a choice does to a model, and what its optimizer gets."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import contextlib
import copy
import json
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.controls.parameter_groups import find_group
from dlwidgets.core.controls.patterns import (
    FreezableParts,
    TrainablePatterns,
    describe_trainable,
    read_trainable,
    statistics_of,
)
from dlwidgets.core.controls.trainable import Freezing


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()),
            nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2, affine=False)),
        )
        self.classifier = nn.Linear(8, 3)


NAMES = [
    "features.0.0.weight", "features.0.0.bias", "features.0.1.weight", "features.0.1.bias",
    "features.1.0.weight", "features.1.0.bias", "classifier.weight", "classifier.bias",
]  # fmt: skip


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def training(model):
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def chosen(model, choice, optimizer=None):
    freezing = Freezing(model)
    freezing.put(freezing.read(choice), optimizer or sgd(model))
    return freezing


# -- what a pattern means


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("", 8), ("*", 8), ("features", 6), ("features.0", 4), ("features.0.1", 2), ("features.1", 2), ("classifier.bias", 1),
        ("features.*", 6), ("*.bias", 4), ("*.weight", 4), ("features.?.0", 4), ("features.[1]*", 2), ("*.0.bias", 2), ("[!f]*", 2),
    ],
)  # fmt: skip
def test_a_pattern_is_a_layer_a_parameter_or_has_wildcards(pattern, count):
    model = Net()
    chosen(model, {"*": True, pattern: False, "classifier.weight": True})
    left = [name for name in NAMES if name not in training(model)]
    assert len(left) == count - (pattern in ("", "*", "*.weight", "[!f]*"))


def test_a_layer_whose_name_looks_like_a_pattern_is_that_layer():
    model = nn.ModuleDict({"a*": nn.Linear(2, 2), "ab": nn.Linear(2, 2)})
    chosen(model, {"a*": False})
    assert training(model) == ["ab.weight", "ab.bias"]


def test_the_last_pattern_that_means_a_parameter_counts():
    model = Net()
    chosen(model, {"features": False, "features.0": True, "*.bias": False})
    assert training(model) == ["features.0.0.weight", "features.0.1.weight", "classifier.weight"]
    chosen(model := Net(), {"features.0": True, "*.bias": False, "features": False})
    assert training(model) == ["classifier.weight"]


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (None, None), ({}, None), (["classifier"], {"*": False, "classifier": True}), (("classifier", "features.0"), {"*": False, "classifier": True, "features.0": True}),
        ("classifier", {"*": False, "classifier": True}), ("*", {"*": True}), ([""], {"*": True}), ({"": False, "classifier": True}, {"*": False, "classifier": True}),
    ],
)  # fmt: skip
def test_a_list_is_all_that_is_to_train(value, meant):
    assert read_trainable(FreezableParts(Net()), value) == meant


def test_modules_and_parameters_stand_for_their_names():
    model = Net()
    parts = FreezableParts(model)
    given_ = {model.features: False, model.features[0][1].bias: True, model: True}
    assert [*read_trainable(parts, given_)] == ["features", "features.0.1.bias", "*"]
    assert read_trainable(parts, model.classifier) == {"*": False, "classifier": True}


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (lambda m: 0, {"features"}), (lambda m: -1, {"classifier"}), (lambda m: range(2), {"features", "classifier"}),
        (lambda m: slice(1, None), {"classifier"}), (lambda m: m.features[:1], {"features.0"}), (lambda m: m.features, {"features"}),
        (lambda m: m.features.parameters(), {"features"}), (lambda m: m.features[0].named_parameters(), {"features.0"}),
        (lambda m: m.named_children(), {"features", "classifier"}), (lambda m: [*m.features[0]], {"features.0.0", "features.0.1"}),
        (lambda m: (p for n, p in m.named_parameters() if "bias" in n), {"*.bias"}), (lambda m: m.parameters(), {"*"}),
        (lambda m: nn.BatchNorm2d, {"features.0.1", "features.1.1"}), (lambda m: "Conv2d", {"features.0.0", "features.1.0"}),
        (lambda m: nn.modules.batchnorm._BatchNorm, {"features.0.1", "features.1.1"}), (lambda m: {0, "classifier.bias"}, {"features", "classifier.bias"}),
    ],
)  # fmt: skip
def test_whatever_people_name_layers_by_means_the_same_parts(value, same):
    parts = FreezableParts(model := Net())
    meant = set().union(*map(parts.match, parts.patterns_for(value(model))))
    paths = set().union(*map(parts.match, same))
    # parameters() says nothing of a layer that has none.
    assert meant == paths or meant == {number for number in paths if number < len(parts.tensors)}


def test_numbers_count_what_a_model_that_wraps_one_container_has_in_it():
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))

    parts = FreezableParts(Wrapper())
    assert parts.patterns_for(2) == ["model.2"]
    # What has nothing to freeze is passed over in a range, and refused by itself.
    assert parts.patterns_for(range(3)) == ["model.0", "model.2"]
    with pytest.raises(ValueError, match="'model.1' is a ReLU without parameters"):
        parts.patterns_for(1)
    with pytest.raises(ValueError, match=r"'trunk'. Its layers are 'model'. Those inside have numbers, 0 to 2"):
        parts.patterns_for("trunk")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"clasifier": False}, "trainable: The Net has no layer or parameter 'clasifier'. Did you mean 'classifier'?"),
        ({"features.0.0.wieght": False}, "trainable: The Net has no layer or parameter 'features.0.0.wieght'. Did you mean 'features.0.0.weight'?"),
        ({"trunk": False}, "trainable: The Net has no layer or parameter 'trunk'. Its layers are 'features', 'classifier'."),
        (["1.0"], "trainable: The Net has no layer or parameter '1.0'. Did you mean 'features.1.0'?"),
        ({"*.gamma": False}, "trainable: '*.gamma' matches no layer and no parameter of the Net."),
        ({"features.0.2": False}, "trainable: 'features.0.2' is a ReLU without parameters that could train: there is nothing to freeze."),
        ({"features": "no"}, "trainable has 'no' for 'features': True, it trains, or False, it is frozen, is wanted."),
        ({"features": 0}, "trainable has 0 for 'features': True, it trains, or False, it is frozen, is wanted."),
        (False, "trainable=False: a dict such as {'features': False}, a list of all that is to train, as ['classifier'], or None for as the model was, is wanted."),
        ([], "trainable=[]: a dict such as {'features': False}"),
        ([0.5], "trainable: 0.5 names nothing that could train: a layer, as 'features' or model.features"),
        ([7], "trainable: The Net has no layer 7: it has 2, 'features' to 'classifier', counted from 0."),
        ([nn.BatchNorm3d], "trainable: The Net has no layer or parameter 'BatchNorm3d'. Did you mean 'BatchNorm2d'?"),
        (["batchnorm2d"], "trainable: The Net has no layer or parameter 'batchnorm2d'. Did you mean 'BatchNorm2d'?"),
        (nn.Module, "trainable: Module is no class of layers: nn.BatchNorm2d would be one."),
        (iter([]), "trainable: This list_iterator holds nothing: was it read before? parameters() gives it anew."),
        ([nn.Linear(8, 3)], "trainable: This Linear is no part of the Net."),
    ],
)  # fmt: skip
def test_what_the_model_does_not_have_is_refused_in_a_sentence(value, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        read_trainable(FreezableParts(Net()), value)
    assert str(caught.value).startswith(sentence)


# -- a choice as a value


def test_a_choice_is_a_dict_that_nobody_changes_in_place():
    choice = TrainablePatterns({"features": False})
    for change in (
        lambda: choice.update({"classifier": False}),
        lambda: choice.pop("features"),
        lambda: choice.clear(),
        lambda: choice.setdefault("classifier", True),
        lambda: choice.__setitem__("classifier", False),
        lambda: choice.__delitem__("features"),
    ):
        with pytest.raises(TypeError, match="trainable is replaced as a whole"):
            change()
    assert choice == {"features": False}


def test_the_order_of_a_choice_is_part_of_it():
    one, other = TrainablePatterns({"a": True, "b": False}), TrainablePatterns({"b": False, "a": True})
    assert one != other
    assert one == TrainablePatterns({"a": True, "b": False}) == {"b": False, "a": True}


def test_a_choice_can_be_copied_kept_and_sent():
    choice = TrainablePatterns({"a": True, "b": False})
    for twin in (copy.copy(choice), copy.deepcopy(choice), pickle.loads(pickle.dumps(choice))):
        assert twin == choice and type(twin) is TrainablePatterns
    assert json.loads(json.dumps(choice)) == choice


def test_a_choice_in_words():
    assert describe_trainable(TrainablePatterns({"*": False, "head": True})) == "all frozen, head trains"
    assert describe_trainable(None) == ""
    assert describe_trainable({str(i): False for i in range(9)}).endswith("5 frozen and 3 more")


# -- clicks


PATTERNS = ["*", "features", "features.0", "features.0.1", "features.1", "features.1.1", "classifier", "*.bias", "features.1.0.bias"]  # fmt: skip
clicks = st.lists(st.tuples(st.sampled_from(PATTERNS), st.booleans()), max_size=12)


def outcome(choice, by_hand):
    """Return what trains and whose statistics are held in a model where `choice` is put in force."""
    model = Net()
    for name in by_hand:
        model.get_parameter(name).requires_grad_(False)
    freezing = Freezing(model)
    try:
        freezing.put(freezing.read(choice), sgd(model))
    except ValueError as why:
        return str(why)
    model.train()
    freezing.hold_statistics(mode_was_set=True)
    return training(model), [name for name, module in model.named_modules() if not module.training]


@given(clicks=clicks, by_hand=st.sets(st.sampled_from(NAMES), max_size=7))
def test_entries_that_say_nothing_are_left_out_and_the_rest_says_the_same(clicks, by_hand):
    model, everything, choice = Net(), {}, None
    for name in by_hand:
        model.get_parameter(name).requires_grad_(False)
    freezing, optimizer = Freezing(model), sgd(model)
    for pattern, trains in clicks:
        choice = freezing.extend(choice, [pattern], trains, optimizer)
        everything.pop(pattern, None)
        everything[pattern] = trains
        with contextlib.suppress(ValueError):  # not all that can be clicked can be in force
            freezing.put(choice, optimizer)
    assert outcome(choice, by_hand) == outcome(everything, by_hand)
    # Frozen by a pattern is more than frozen by hand, which a hand may undo; and what is refused is all alike.
    if by_hand or isinstance(outcome(choice, by_hand), str):
        return
    for pattern in choice or {}:
        fewer = {key: trains for key, trains in choice.items() if key != pattern}
        assert outcome(fewer, by_hand) != outcome(choice, by_hand)


def test_clicks_leave_no_trail():
    model = Net()
    freezing, optimizer, choice = Freezing(model), sgd(model), None
    for number in range(100):
        choice = freezing.extend(choice, [PATTERNS[number * 7 % len(PATTERNS)]], number % 3 == 0, optimizer)
        assert len(choice or {}) <= len(PATTERNS)
    assert freezing.extend(choice, ["*"], True, optimizer) is None


# -- in force


def test_none_is_the_model_as_its_owner_made_it():
    model = Net()
    model.features[0].requires_grad_(False)
    freezing = Freezing(model)
    before, optimizer = training(model), sgd(model)
    for value in ({"*": True}, {"features": False}, ["features.0"], {"*.bias": False}):
        freezing.put(freezing.read(value), optimizer)
        assert training(model) != before or value == {"features": False}
    freezing.put(None, optimizer)
    assert training(model) == before
    assert freezing.choice is None


def test_what_is_changed_by_hand_where_no_pattern_means_it_stays():
    model = Net()
    freezing = chosen(model, {"features": False}, optimizer := sgd(model))
    model.classifier.bias.requires_grad_(False)
    model.features[0].requires_grad_(True)
    freezing.reapply(optimizer)
    assert training(model) == ["classifier.weight"]
    freezing.put(None, optimizer)
    assert training(model) == NAMES[:-1]


def test_a_layer_that_is_put_in_its_place_follows_the_choice_too():
    model = Net()
    freezing = chosen(model, {"*": False, "classifier": True}, optimizer := sgd(model))
    model.features[0][0] = nn.Conv2d(1, 2, 3)
    freezing.reapply(optimizer)
    assert training(model) == ["classifier.weight", "classifier.bias"]


@pytest.mark.parametrize(
    "choice", [{"*": False}, {"features": False, "classifier.*": False}, {"*": True, "": False}]
)
def test_to_freeze_all_is_refused_and_nothing_changes(choice):
    model = Net()
    freezing, optimizer = Freezing(model), sgd(model)
    freezing.put(freezing.read({"features": False}), optimizer)
    with pytest.raises(ValueError, match="everything would be frozen: there would be nothing to train"):
        freezing.put(freezing.read(choice), optimizer)
    assert training(model) == NAMES[-2:]
    assert freezing.choice == {"features": False}


def test_a_frozen_parameter_has_no_gradient_and_others_keep_theirs():
    model = Net()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    chosen(model, {"features": False})
    assert [name for name, parameter in model.named_parameters() if parameter.grad is not None] == NAMES[-2:]


@pytest.mark.parametrize(
    ("steps", "note"),
    [
        ([{"features": False}], "froze features: 3 layers, 62 parameters; running statistics of 2 BatchNorm2d held"),
        ([{"features.0": False}], "froze features.0: 2 layers, 24 parameters; running statistics of 1 BatchNorm2d held"),
        ([{"*.bias": False}], "froze features.0.0.bias, features.0.1.bias, features.1.0.bias, classifier.bias: 4 layers, 9 parameters"),
        ([{"features": False}, None], "unfroze features: 3 layers, 62 parameters; running statistics of 2 BatchNorm2d going on"),
        ([["features"], ["classifier"]], "froze features: 3 layers, 62 parameters; unfroze classifier: 1 layer, 27 parameters; running statistics of 2 BatchNorm2d held"),
        ([{"classifier": True}], "nothing changed by it"), ([{"features": False}, {"features": False}], ""),
    ],
)  # fmt: skip
def test_what_changed_is_said_in_words(steps, note):
    freezing, said = Freezing(model := Net()), ""
    optimizer = sgd(model)
    for step in steps:
        said = freezing.put(freezing.read(step), optimizer)
    assert said == note


# -- tensors with several names


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4, bias=False), nn.Linear(4, 4)
        self.decoder.weight = self.encoder.weight


@pytest.mark.parametrize("pattern", ["encoder", "decoder.weight", "encoder.weight", "enc*"])
def test_a_tied_weight_is_frozen_under_all_its_names(pattern):
    model = Tied()
    freezing, optimizer = Freezing(model), sgd(model)
    note = freezing.put(freezing.read({pattern: False}), optimizer)
    assert not model.decoder.weight.requires_grad
    assert note == "froze encoder: 1 layer, 16 parameters, shared with decoder.weight"
    assert freezing.extend(freezing.choice, ["decoder.weight"], True, optimizer) is None


def test_a_layer_in_two_places_has_both_names():
    model = nn.ModuleDict({"a": nn.Sequential(nn.Linear(2, 2)), "other": nn.Linear(2, 2)})
    model["b"] = model["a"]
    for pattern in ("b", "b.0", "b.0.weight"):
        assert FreezableParts(model).match(pattern) == FreezableParts(model).match(pattern.replace("b", "a"))
    model["b"].add_module("again", model["b"])
    assert len(FreezableParts(model).match("b")) == 2


# -- what cannot train


def test_whole_numbers_cannot_train_and_do_not_stand_in_the_way():
    model = Net()
    model.register_parameter("packed", nn.Parameter(torch.ones(3, dtype=torch.int8), requires_grad=False))
    freezing = chosen(model, {"features": False})
    assert freezing.extend(freezing.choice, ["*"], True, sgd(model)) is None
    with pytest.raises(ValueError, match="'packed' holds int8 numbers, which cannot train"):
        freezing.read({"packed": True})


def test_a_lazy_layer_is_frozen_once_it_has_a_size():
    model = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 2))
    freezing, optimizer = Freezing(model), torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="'0.weight' gets its size in the first step"):
        freezing.put(freezing.read({"0": False}), optimizer)
    model(torch.ones(1, 3))
    freezing.put(freezing.read({"0": False}), optimizer)
    assert training(model) == ["1.weight", "1.bias"]


# -- layers with statistics


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.BatchNorm1d(2), "BatchNorm1d"), (nn.BatchNorm3d(2, affine=False), "BatchNorm3d"), (nn.SyncBatchNorm(2), "SyncBatchNorm"),
        (nn.InstanceNorm2d(2, track_running_stats=True), "InstanceNorm2d"), (nn.InstanceNorm2d(2, affine=True), ""),
        (nn.BatchNorm2d(2, track_running_stats=False), ""), (nn.LazyBatchNorm2d(), "LazyBatchNorm2d"), (nn.LayerNorm(2), ""), (nn.GroupNorm(1, 2), ""), (nn.Dropout(), ""),
        (nn.utils.spectral_norm(nn.Linear(2, 2)), "SpectralNorm"), (nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)).parametrizations.weight[0], "SpectralNorm"),
    ],
)  # fmt: skip
def test_layers_whose_statistics_follow_what_they_see_are_known(layer, kind):
    assert statistics_of(layer) == kind


@pytest.mark.parametrize("model", [nn.BatchNorm1d(3), nn.InstanceNorm1d(3, affine=True, track_running_stats=True), nn.BatchNorm1d(3, affine=False), nn.BatchNorm1d(3, momentum=None), nn.utils.parametrizations.spectral_norm(nn.Linear(5, 5)), nn.utils.spectral_norm(nn.Linear(5, 5))], ids=lambda model: type(model).__name__)  # fmt: skip
def test_held_statistics_do_not_move_in_train_mode_and_others_do(model):
    whole = nn.ModuleList([model, nn.Linear(2, 2)])
    freezing, optimizer = Freezing(whole), sgd(whole)
    for holds in (True, False):
        freezing.put(freezing.read({"0": False} if holds else None), optimizer)
        whole.train()
        freezing.hold_statistics(mode_was_set=True)
        before = [buffer.clone() for buffer in model.buffers()]
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))  # the vectors of a norm may be exact by now
        model(torch.randn(4, 3, 5))
        assert all(torch.equal(a, b) for a, b in zip(before, model.buffers())) is holds


def test_a_layer_that_is_held_no_more_is_in_the_mode_it_was_in():
    model = Net()
    optimizer = sgd(model)
    freezing = Freezing(model)
    model.features[1][1].eval()
    before = [module.training for module in model.modules()]
    freezing.put(freezing.read({"features": False}), optimizer)
    freezing.hold_statistics()
    assert not model.features[0][1].training and model.features[0][0].training
    freezing.put(None, optimizer)
    freezing.hold_statistics()
    assert [module.training for module in model.modules()] == before


# -- the optimizer


def joined(make, model, *names):
    optimizer = make(model)
    freezing = Freezing(model)
    note = freezing.put(freezing.read(dict.fromkeys(names, True)), optimizer)
    return optimizer, freezing, note


KINDS = ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adadelta", "Adagrad", "RMSprop", "Rprop", "ASGD", "Adafactor"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_optimizer_was_never_given_trains_as_if_it_had_been(kind):
    made = getattr(torch.optim, kind)
    models = []
    for whole in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
        if whole:
            optimizer = made(model.parameters(), lr=0.01)
        else:
            optimizer, _, note = joined(lambda m: made(m[1].parameters(), lr=0.01), model, "0")
            assert note == "2 tensors added to the optimizer, lr 0.01"
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
        models.append(model)
    # The order of the tensors differs, which fused sums may feel in the last bit.
    torch.testing.assert_close(models[0].state_dict(), models[1].state_dict(), rtol=1e-6, atol=1e-7)


def test_adagrad_begins_with_the_sum_it_was_made_with():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer, _, _ = joined(
        lambda m: torch.optim.Adagrad(m[1].parameters(), initial_accumulator_value=0.5), model, "0"
    )
    assert optimizer.state[model[0].weight]["sum"].tolist() == [[0.5] * 3] * 3


def test_it_joins_with_what_is_in_force_not_with_what_the_optimizer_began_with():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))

    def make(model):
        optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
        optimizer.param_groups[0]["lr"] = 0.003
        return optimizer

    optimizer, _, note = joined(make, model, "0")
    assert len(optimizer.param_groups) == 1
    assert note == "2 tensors added to the optimizer, lr 0.003"


def test_it_leaves_the_optimizer_when_the_model_is_as_it_was():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer, freezing, _ = joined(lambda m: torch.optim.Adam([*m[1].named_parameters()]), model, "0")
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias", "0.weight", "0.bias"]
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    freezing.put(None, optimizer)
    assert [*map(id, optimizer.param_groups[0]["params"])] == [*map(id, model[1].parameters())]
    assert len(optimizer.state) == len(optimizer.param_groups[0]["param_names"]) == 2
    optimizer.load_state_dict(optimizer.state_dict())


def test_what_the_optimizer_was_not_given_can_be_frozen_and_unfrozen_by_turns():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer, freezing, _ = joined(lambda m: torch.optim.SGD(m[1].parameters()), model)
    for trains in (False, True, False, True):
        freezing.put(freezing.extend(freezing.choice, ["0"], trains, optimizer), optimizer)
        assert freezing.choice == {"0": trains}
        assert model[0].weight.requires_grad is trains
    assert len(optimizer.param_groups[0]["params"]) == 4


def test_an_optimizer_that_does_not_take_it_is_named_and_nothing_changes():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no optimizer that refuses parameters")
    optimizer, freezing = torch.optim.Muon([model[1].weight]), Freezing(model)
    model[0].requires_grad_(False)
    with pytest.raises(ValueError, match="Muon does not take '0.bias': Muon only supports 2D parameters"):
        freezing.put(freezing.read({"0": True}), optimizer)
    assert len(optimizer.param_groups[0]["params"]) == 1
    assert training(model) == ["1.weight", "1.bias"]


def test_a_parameter_goes_to_the_group_of_its_nearest_kin():
    model = nn.Sequential(Net(), nn.Linear(3, 3))
    names = dict(model.named_parameters())
    groups = [
        {"params": [names["1.weight"], names["1.bias"]]},
        {"params": [names["0.features.1.0.weight"], names["0.classifier.weight"]]},
        {"params": [names["0.features.1.0.bias"], names["0.classifier.bias"]], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups)
    for name, group in {
        "0.features.0.0.weight": 1,
        "0.features.0.0.bias": 2,
        "0.features.0.1.bias": 2,
    }.items():
        assert find_group(name, names[name], names, optimizer) == group


def test_what_the_optimizer_lacks_counts_for_nothing_that_trains():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    freezing = Freezing(model)
    with pytest.raises(ValueError, match="everything would be frozen"):
        freezing.put(freezing.read({"1": False}), torch.optim.SGD(model[1].parameters(), lr=0.1))


def test_to_freeze_what_is_frozen_by_hand_holds_its_statistics_and_is_a_wish():
    model = Net()
    model.features[0].requires_grad_(False)
    freezing, optimizer = Freezing(model), sgd(model)
    assert freezing.extend(None, ["features.0.0"], False, optimizer) is None
    choice = freezing.extend(None, ["features.0"], False, optimizer)
    assert choice == {"features.0": False}
    assert freezing.put(choice, optimizer) == "running statistics of 1 BatchNorm2d held"
