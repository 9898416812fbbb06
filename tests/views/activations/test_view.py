"""The activation browser without a page: what it projects, what it obeys, what it leaves alone."""

from __future__ import annotations

import copy
import json
import random
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dlwidgets.core.activations import layer_choice
from dlwidgets.core.activations.activations import activations
from dlwidgets.core.base.random_state import RandomStates
from dlwidgets.core.data.samples import PlainSamples
from dlwidgets.session import Session
from dlwidgets.views.activations.sample_source import SampleSource
from dlwidgets.views.activations.view import ActivationBrowser

NAMES = ["zero", "one", "two"]


class Net(nn.Module):
    """A convolution, its activation, a layer called twice, one never called, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.spare = nn.Linear(2, 2)
        self.drop = nn.Dropout(0.5)
        self.hidden = nn.Linear(216, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm(self.conv(x)))
        return self.head(self.drop(self.relu(self.hidden(x.flatten(1)))))


def data(n: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(n, 1, 8, 8, generator=generator), torch.arange(n) % 3


def net() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def session():
    made = Session(net(), data(), data(10), classes=NAMES, batch_size=8, epochs=2)
    yield made
    made.close()


@pytest.fixture
def view(session):
    made = ActivationBrowser(session)
    yield made
    made.close()


def settle(session: Session) -> None:
    """Wait until every job that was asked for is done, and what follows from it."""
    for _ in range(2):
        session.at_step(lambda: None).result(10)


def maps(view: ActivationBrowser) -> np.ndarray:
    """Read the maps as the page does."""
    shown = view.project()
    count, size = shown["drawing"]["count"], shown["drawing"]["size"]
    codes = np.frombuffer(shown["maps"], np.uint8).reshape(count, *size).astype(float)
    scale = np.frombuffer(shown["facts"], np.float32)[:count]
    return (codes - 128) * scale[:, None, None] / 127


# -- what it shows


def test_the_first_convolutions_activation_is_shown_where_nobody_chose(view):
    assert view.selected_layer == "relu"
    assert view.drawing["words"] == "6 maps"


def test_the_maps_are_those_of_a_forward_by_hand(session, view):
    expected = activations(session.model, data(10)[0][:1], "relu")["relu"][0].numpy()
    assert np.abs(maps(view) - expected).max() <= expected.max() / 254 * 1.001


def test_the_picture_is_there_when_the_cell_ends_and_travels_in_the_saved_state(view):
    state = view.get_state()
    assert len(state["maps"]) == 6 * 6 * 6
    assert state["drawing"]["form"] == "maps"
    assert state["sample"]["count"] == 10


def test_everything_but_bytes_is_plain_json(view):
    state = {name: value for name, value in view.get_state().items() if not isinstance(value, bytes)}
    json.dumps(state, allow_nan=False)


def test_the_sample_is_shown_with_what_is_true_and_what_was_said(session, view):
    with torch.no_grad():
        probabilities = copy.deepcopy(session.model).eval()(data(10)[0][:1]).softmax(1)[0]
    ranking = view.sample["ranking"]
    assert {name for name, _, _ in ranking} == set(NAMES)
    assert [score for _, score, _ in ranking] == pytest.approx(
        sorted(probabilities.tolist(), reverse=True), abs=1e-6
    )
    assert [name for name, _, true in ranking if true] == ["zero"]
    assert view.sample["words"].startswith("is zero, ")


def test_the_input_itself_is_shown(view):
    expected = (data(10)[0][0, 0].numpy() * 255).round()
    pixels = np.frombuffer(view.pixels, np.uint8).reshape(8, 8, 3)
    assert np.array_equal(pixels[:, :, 0], expected)


def test_a_dense_layer_is_shown_as_its_very_values_with_the_names_of_the_classes(session, view):
    session.selected_layer = "head"
    settle(session)
    assert np.array_equal(
        np.frombuffer(view.project()["bars"], np.float32),
        activations(session.model, data(10)[0][:1], "head")["head"][0].numpy(),
    )
    assert view.project()["drawing"]["names"] == NAMES


def test_a_layer_that_was_not_called_is_said_in_words(session, view):
    session.selected_layer = "spare"
    settle(session)
    assert view.project()["drawing"]["reason"] == "spare was not called for this input."
    assert view.problem == ""


def test_an_unknown_layer_is_said_in_words_with_those_close_to_it(session, view):
    session.selected_layer = "conf"
    settle(session)
    assert view.project()["drawing"]["reason"] == "The model has no layer 'conf'; close to it are 'conv'."


def test_a_sample_that_does_not_exist_is_said_in_words(session, view):
    session.selected_sample = 99
    settle(session)
    assert (
        view.project()["drawing"]["reason"] == "Sample 99 does not exist: the validation samples are 0 to 9."
    )


def test_each_call_of_a_layer_can_be_shown(session, view):
    assert view.drawing["parts"] == ["", "#2"]
    view.wish("part", "#2")
    settle(session)
    assert view.project()["drawing"]["form"] == "bars"
    view.wish("selected_layer", "conv")
    settle(session)
    assert view.project()["part"] == ""


@pytest.mark.parametrize("side", [28, 112, 224])
def test_the_chosen_map_is_sent_in_the_tensors_own_numbers(side):
    model = nn.Conv2d(1, 64, 1)
    image = torch.rand(1, 1, side, side)
    view = ActivationBrowser(model, image, layer="")
    view.wish("chosen", 5)
    shown = view.project()
    near = np.frombuffer(shown["near"], np.float32).reshape(shown["drawing"]["near"]["size"])
    assert shown["drawing"]["near"]["map"] == 5
    assert np.array_equal(near, activations(model, image, "")[""][0, 5].numpy())


def test_of_a_very_large_map_means_of_blocks_are_sent_and_said():
    model = nn.Conv2d(1, 8, 1)
    image = torch.rand(1, 1, 500, 500)
    view = ActivationBrowser(model, image, layer="")
    near = view.drawing["near"]
    whole = activations(model, image, "")[""][:, :1]
    expected = torch.nn.functional.avg_pool2d(whole, near["block"], ceil_mode=True, count_include_pad=False)
    values = np.frombuffer(view.near, np.float32).reshape(near["size"])
    assert np.abs(values - expected[0, 0].numpy()).max() < 1e-6


@pytest.mark.parametrize(
    ("channels", "side"), [(512, 14), (256, 28), (512, 28), (64, 112), (64, 224), (512, 224), (3, 700)]
)
def test_no_view_takes_more_than_300_kb(channels, side):
    model = nn.Sequential(nn.Conv2d(3, channels, 1), nn.ReLU())
    view = ActivationBrowser(model, torch.rand(1, 3, side, side))
    state = view.get_state()
    state = {name: value for name, value in state.items() if not name.startswith("_")}
    held = sum(len(value) for value in state.values() if isinstance(value, bytes))
    words = json.dumps({name: value for name, value in state.items() if not isinstance(value, bytes)})
    assert held + len(words) <= 300_000


# -- what it obeys


def test_it_follows_the_layer_and_the_sample_that_any_view_selects(session, view):
    session.selected_layer, session.selected_sample = "conv", 4
    settle(session)
    shown = view.project()
    assert (shown["drawing"]["layer"], shown["sample"]["number"]) == ("conv", 4)
    expected = activations(session.model, data(10)[0][4:5], "conv")["conv"][0].numpy()
    assert np.abs(maps(view) - expected).max() <= np.abs(expected).max() / 254 * 1.001


def test_what_a_person_picks_is_a_wish_of_the_session(session, view):
    view.wish("selected_layer", "hidden")
    view.wish("selected_sample", 7)
    assert (session.selected_layer, session.selected_sample) == ("hidden", 7)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("selected_layer", "cnv", "has no layer 'cnv'"),
        ("selected_sample", 10, "Sample 10 does not exist"),
        ("selected_sample", -1, "Sample -1 does not exist"),
        ("selected_sample", "many", "Sample 'many' does not exist"),
        ("per", "channel", "does not know"),
        ("chosen", -1, "does not know"),
        ("chosen", True, "does not know"),
        ("show", "gradient", "does not know"),
        ("sort", "name", "does not know"),
        ("go", "home", "no way 'home'"),
        ("order", "loudest", "after the first evaluation"),
        ("lr", 1.0, "does not know"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_in_a_sentence(view, name, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        view.wish(name, value)


def test_a_threshold_that_moves_changes_the_verdict():
    X, _ = data(12)
    y = torch.zeros(12, 3)
    y[:, 1] = 1
    session = Session(net(), (X, y), (X, y), classes=NAMES, task="multilabel")
    view = ActivationBrowser(session)
    session.thresholds = 0.0
    assert "one, found" in view.project()["sample"]["words"]
    session.thresholds = 1.0
    assert "one, missed" in view.project()["sample"]["words"]
    session.close()


def test_colours_and_the_chosen_map_are_kept_by_the_kernel(view):
    view.wish("per", "map")
    view.wish("chosen", 3)
    shown = view.project()
    assert (shown["per"], shown["chosen"]) == ("map", 3)


def test_a_chosen_map_beyond_the_last_falls_back_to_the_last(view):
    view.wish("chosen", 99)
    assert view.project()["chosen"] == 5


# -- the way through the samples, and one of one's own


def judged() -> tuple[Session, ActivationBrowser]:
    session = Session(net(), data(), data(10), classes=NAMES, batch_size=8)
    session.evaluate()
    return session, ActivationBrowser(session)


def test_before_an_evaluation_samples_have_numbers_alone(view):
    assert view.sample["orders"] == [["number", "number"]]
    with pytest.raises(ValueError, match="after the first evaluation"):
        view.wish("order", "worst")


def test_samples_are_walked_from_the_worst_loss_on():
    session, view = judged()
    X, y = data(10)
    with torch.no_grad():
        logits = copy.deepcopy(session.model).eval()(X)
    losses = nn.functional.cross_entropy(logits, y, reduction="none")
    worst = losses.argsort(descending=True).tolist()
    view.wish("order", "worst")
    walked = [session.selected_sample]
    for _ in range(10):
        view.wish("go", "next")
        walked.append(session.selected_sample)
    assert walked == [*worst, worst[-1]]
    assert view.project()["sample"]["place"] == [9, 10]
    view.wish("go", "previous")
    assert session.selected_sample == worst[8]
    session.close()


def test_the_samples_of_one_class_can_be_walked_alone():
    session, view = judged()
    view.wish("order", "class:two")
    walked = [session.selected_sample]
    for _ in range(3):
        view.wish("go", "next")
        walked.append(session.selected_sample)
    assert walked == [2, 5, 8, 8]
    view.wish("go", "random")
    assert session.selected_sample in (2, 5)
    session.close()


def test_a_sample_at_random_draws_nothing_from_the_generators_that_training_uses():
    source = SampleSource(PlainSamples(torch.rand(9, 2)))
    before = (random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist())
    assert {source.go("random", 4) for _ in range(40)} <= set(range(9)) - {4}
    assert (random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()) == before


def test_ones_own_sample_is_looked_at_until_another_is_picked(session, view):
    image = torch.rand(1, 8, 8)
    view.look_at(image, "mine")
    settle(session)
    shown = view.project()
    assert (shown["sample"]["own"], shown["sample"]["number"]) == ({"name": "mine", "done": ""}, None)
    expected = activations(session.model, image[None], "relu")["relu"][0].numpy()
    assert np.abs(maps(view) - expected).max() <= expected.max() / 254 * 1.001
    assert "mine" in view.title()
    assert session.selected_sample == 0
    view.wish("selected_sample", 0)
    settle(session)
    assert view.project()["sample"]["own"] is None


def test_another_view_that_selects_a_sample_lets_ones_own_go(session, view):
    view.look_at(torch.rand(1, 8, 8))
    session.selected_sample = 3
    settle(session)
    assert view.project()["sample"]["number"] == 3


def test_an_image_that_the_page_decoded_is_fitted_and_what_was_done_is_said(session, view):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    said = {"width": 16, "height": 16, "name": "cat.png", "done": "made smaller in the page"}
    view._handle_custom_msg({"own": said}, [memoryview(pixels.tobytes())])
    settle(session)
    own = view.project()["sample"]["own"]
    assert own["name"] == "cat.png"
    assert own["done"] == "made smaller in the page, made grey, 16 × 16 scaled to 8 × 8"


@pytest.mark.parametrize(
    ("said", "size"), [({"width": 4, "height": 4}, 47), ({"width": -4, "height": -4}, 48), ({}, 0)]
)
def test_pixels_that_are_not_what_they_say_are_refused(session, view, said, size):
    sent = []
    view.send = lambda message, *rest: sent.append(message)
    view._handle_custom_msg({"own": said}, [b"x" * size])
    settle(session)
    assert sent == [{"refused": "own", "because": "The page sent an image whose size is not what it says."}]
    assert view.project()["sample"]["number"] == 0


def test_a_text_is_looked_at_where_it_can_be_encoded():
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2))
    X = torch.randint(0, 9, (5, 3))
    view = ActivationBrowser(model, X, layer="0", encode=lambda text: [int(word) for word in text.split()])
    assert view.sample["takes"] == {"image": False, "text": True}
    view.wish("own_text", "1 2 3")
    assert view.project()["shown"]["words"] == "1 2 3"
    near = np.frombuffer(view.project()["near"], np.float32).reshape(3, 4)
    assert np.array_equal(near, model[0].weight[1:4].detach().numpy())


# -- what of the layer


def test_the_input_of_a_layer_can_be_shown(session, view):
    session.selected_layer = "head"
    view.wish("show", "input")
    settle(session)
    expected = activations(session.model, data(10)[0][:1], "head", of="inputs")["head"][0].numpy()
    assert np.array_equal(np.frombuffer(view.project()["bars"], np.float32), expected)
    assert view.title().startswith("given to head")


def test_the_filters_of_a_layer_can_be_shown(session, view):
    session.selected_layer = "conv"
    view.wish("show", "filters")
    settle(session)
    expected = session.model.conv.weight[:, 0].detach().numpy()
    assert np.abs(maps(view) - expected).max() <= np.abs(expected).max() / 254 * 1.001
    assert view.title().startswith("weights of conv")


def test_a_dense_unit_shows_its_incoming_weights_as_the_image_that_it_looks_at(session, view):
    session.selected_layer = "hidden"
    view.wish("chosen", 5)
    settle(session)
    shown = view.project()
    into = shown["drawing"]["incoming"]
    assert (into["unit"], into["layer"], into["shape"]) == (5, "hidden", [6, 6, 6])
    codes = np.frombuffer(shown["incoming"], np.uint8).reshape(into["size"]).astype(float)
    expected = session.model.hidden.weight[5].reshape(6, 6, 6).detach().numpy()
    assert np.abs((codes - 128) * into["scale"] / 127 - expected).max() <= into["scale"] / 254 * 1.001


def test_the_order_of_the_maps_stays_while_the_model_trains_until_it_is_asked_for_again(session, view):
    Page(view)
    view.wish("sort", "strength")
    settle(session)
    first = view.project()["drawing"]["numbers"] or list(range(6))
    with torch.no_grad():
        # The weakest is now the strongest.
        session.model.norm.bias[first[-1]] = 50.0
    session.step(1)
    settle(session)
    assert (view.project()["drawing"]["numbers"] or list(range(6))) == first
    assert view.project()["drawing"]["sorted_at"] == 0
    view.wish("sort", "strength")
    settle(session)
    assert (view.project()["drawing"]["numbers"] or list(range(6)))[0] == first[-1]
    assert view.project()["drawing"]["sorted_at"] is None


def test_a_slice_is_picked_and_forgotten_with_the_layer():
    model = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.ReLU())
    view = ActivationBrowser(model, torch.rand(2, 1, 7, 6, 6), layer="0")
    view.wish("slice", 1)
    assert view.project()["drawing"]["slices"] == [7, 1]
    view.wish("selected_layer", "1")
    assert view.project()["drawing"]["slices"] == [7, 3]


def test_attention_is_shown_as_heads_with_the_tokens_named():
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(5, 8)
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.embed(x)
            return self.attend(x, x, x, need_weights=False)[0]

    model, X = Reader(), torch.tensor([[3, 1, 4]])
    view = ActivationBrowser(model, X, layer="attend", tokens=["the", "cat", "sat", "on", "mat"])
    assert view.drawing["form"] == "attention"
    assert view.drawing["tokens"] == ["on", "cat", "mat"]
    embedded = model.embed(X)
    expected = model.attend(embedded, embedded, embedded, average_attn_weights=False)[1][0, 0]
    near = np.frombuffer(view.near, np.float32).reshape(3, 3)
    assert np.abs(near - expected.detach().numpy()).max() < 1e-6


def test_the_statistics_of_the_channels_come_as_a_frame(view):
    frame = view.to_frame()
    assert len(frame) == 6
    assert frame["max"].max() == pytest.approx(maps(view).max(), rel=0.01)


def test_what_is_looked_at_is_saved_in_full(session, view, tmp_path):
    session.selected_sample = 4
    settle(session)
    written = view.save(tmp_path / "seen")
    with np.load(written) as held:
        assert np.array_equal(held["input"], data(10)[0][4].numpy())
        assert np.array_equal(held["values"], activations(session.model, data(10)[0][4:5], "relu")["relu"][0])
        assert (held["layer"].item(), held["sample"].item(), held["step"].item()) == ("relu", 4, 0)
        assert held["scores"].sum() == pytest.approx(1, abs=1e-6)


def test_there_is_nothing_to_save_of_a_layer_that_was_not_called(session, view, tmp_path):
    session.selected_layer = "spare"
    settle(session)
    with pytest.raises(ValueError, match="nothing to save: spare was not called"):
        view.save(tmp_path / "seen")


# -- while training


class Page:
    """Stands in for the page: says hello and acknowledges each picture."""

    def __init__(self, view: ActivationBrowser) -> None:
        self.view = view
        view.observe(self.drawn, names=["frame"])
        view._handle_custom_msg({"hello": True}, [])

    def drawn(self, change: dict) -> None:
        self.view._handle_custom_msg({"drawn": change["new"]}, [])


def test_after_a_step_in_pause_the_picture_is_of_that_step(session, view):
    Page(view)
    before = maps(view)
    session.step(3)
    settle(session)
    assert view.moment["step"] == 3
    assert not np.allclose(maps(view), before)
    assert not view.moment["running"]


def test_while_training_the_page_sees_pictures_of_several_steps(session, view):
    Page(view)
    view._time_budget.least, view._time_budget.share = 0.0, 1.0
    seen: set[int] = set()
    enough = threading.Event()

    def note(change: dict) -> None:
        if change["new"]["running"]:
            seen.add(change["new"]["step"])
        if len(seen) >= 4:
            enough.set()

    view.observe(note, names=["moment"])
    session.start(epochs=100_000)
    assert enough.wait(30)
    session.stop()
    settle(session)
    assert (view.moment["step"], view.moment["running"]) == (session.steps, False)


def test_with_no_page_training_costs_no_look(session, view):
    view._time_budget.least, view._time_budget.share = 0.0, 1.0
    looked = []
    view._take_look = lambda: looked.append(session.status)
    session.fit(3)
    assert "running" not in looked


def test_looking_changes_neither_the_weights_nor_the_order_of_the_data():
    def train(looking: bool) -> list[torch.Tensor]:
        session = Session(net(), data(), data(10), classes=NAMES, batch_size=8, seed=1)
        if looking:
            view = ActivationBrowser(session)
            Page(view)
            view._time_budget.least, view._time_budget.share = 0.0, 1.0
            session.observe(lambda change: view._look_again(), names=["pulse"])
        session.fit(4)
        session.close()
        return [*session.model.state_dict().values()]

    assert all(torch.equal(a, b) for a, b in zip(train(False), train(True), strict=True))


def test_a_page_that_opens_late_gets_the_picture_of_now(session, view):
    session.step(2)
    view._look.taken = replace(view._look.taken, step=0)
    Page(view)
    settle(session)
    assert view.moment["step"] == 2


def test_a_page_that_was_still_drawing_when_the_run_went_back_sees_where_it_is(wire, open_page, session):
    session.step(6)
    view = ActivationBrowser(session)
    page = open_page(view)
    view.refresh()  # on its way: the page has not drawn it when the run arrives elsewhere
    session.rewind(2)
    settle(session)
    assert page.state["moment"]["step"] == 6
    page.eager = True
    page.draw()
    settle(session)
    assert page.state["moment"]["step"] == 2 and not page.state["moment"]["running"]
    view.close()


def test_the_controls_behind_more_stay_unfolded_over_a_reload(wire, open_page, session, view):
    page = open_page(view, eager=True)
    assert page.state["more"] is False
    page.say(wish="more", value=True)
    assert page.state["more"] is True and open_page(view).state["more"] is True
    page.say(wish="more", value="yes")
    assert wire.customs(view)[-1]["refused"] == "more"


def test_a_model_that_fails_is_said_in_one_sentence_and_the_session_lives(session, view, capfd):
    session.model.conv = nn.Conv2d(3, 6, 3)
    view._look_again()
    settle(session)
    reason = view.project()["drawing"]["reason"]
    assert reason.startswith("The model could not run on inputs of 1×1×8×8: layer 'conv' (Conv2d) said: ")
    assert "\n" not in reason
    assert session.status == "ready"
    assert capfd.readouterr().err == ""


def test_closing_lets_the_session_go(session):
    view = ActivationBrowser(session)
    view.close()
    before = view.frame
    session.selected_layer = "conv"
    session.step(1)
    settle(session)
    assert view.frame == before
    assert view.session is None


# -- with a bare model


def test_a_bare_model_is_shown_on_given_samples():
    X, y = data(5)
    model = net()
    view = ActivationBrowser(model, X, y, task="multiclass", classes=NAMES, sample=2)
    assert view.sample["count"] == 5
    assert view.sample["words"].startswith("is two, ")
    assert view.moment["step"] is None
    view.wish("selected_sample", 4)
    expected = activations(model, X[4:5], "relu")["relu"][0].numpy()
    assert np.abs(maps(view) - expected).max() <= expected.max() / 254 * 1.001


@pytest.mark.parametrize(
    "samples",
    [
        lambda X: X.double().numpy(),
        lambda X: torch.utils.data.TensorDataset(X, torch.zeros(5)),
        lambda X: (X,),
        lambda X: {"x": X},
        lambda X: [image for image in X],
    ],
    ids=["array", "dataset", "tuple", "dict", "list"],
)
def test_samples_may_be_given_in_any_usual_form(samples):
    X, _ = data(5)
    view = ActivationBrowser(net(), samples(X), sample=3)
    assert view.sample["count"] == 5
    expected = activations(net(), X[3:4], "relu")["relu"][0].numpy()
    assert np.abs(maps(view) - expected).max() <= expected.max() / 254 * 1.001


def test_a_table_of_numbers_may_be_given_as_a_frame():
    import pandas as pd

    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc"))
    view = ActivationBrowser(nn.Linear(3, 2), frame, layer="", sample=1)
    assert np.frombuffer(view.strip, np.float32).tolist() == [3.0, 4.0, 5.0]


def test_ones_own_samples_leave_the_sessions_selection_alone(session):
    X, _ = data(5)
    view = ActivationBrowser(session, X)
    view.wish("selected_sample", 3)
    settle(session)
    assert view.project()["sample"]["count"] == 5
    assert view.project()["sample"]["number"] == 3
    assert session.selected_sample == 0
    view.close()


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((3,), {}, "wants a Session, or a torch.nn.Module and X, not int"),
        ((nn.Linear(2, 2),), {}, "needs samples to show: pass X"),
        ((nn.Linear(2, 2), torch.empty(0, 2)), {}, "X has no samples"),
        ((nn.Linear(2, 2), 3.0), {}, "X has no samples|X is of type float"),
        ((nn.Linear(2, 2), torch.rand(3, 2), torch.zeros(2)), {}, "X has 3 samples, y has 2"),
        ((nn.Linear(2, 2), (torch.rand(3, 2), torch.rand(4, 2))), {}, "differ in length: 3, 4"),
        ((nn.Linear(2, 2), torch.rand(3, 2)), {"layer": "0"}, "has no layer '0'"),
        (
            (nn.Linear(2, 2), torch.rand(3, 2)),
            {"sample": 3},
            "Sample 3 does not exist: the given samples are 0 to 2",
        ),
        ((nn.Linear(2, 2), torch.rand(3, 2)), {"sample": "0"}, "Sample '0' does not exist"),
        ((nn.Linear(2, 2), torch.rand(3, 2)), {"layer": 5}, "has no layer '5'"),
        ((nn.Linear(2, 2), torch.rand(3, 2)), {"classes": {"a", "b"}}, "classes=.* has no order"),
        ((nn.Linear(2, 2), torch.rand(3, 2)), {"task": "multi-label"}, "task='multi-label'.*Did you mean"),
        ((nn.Linear(2, 2), torch.rand(3, 2)), {"tokens": "abc"}, "tokens='abc': a list of names"),
        ((nn.Linear(2, 2), torch.rand(3, 2)), {"encode": 5}, "encode=5 cannot be called"),
        ((nn.Linear(2, 2), torch.rand(3, 2), 5), {}, "y=5: one target a sample"),
        ((nn.Linear(2, 2), torch.rand(3, 2)), {"per": "row"}, "per is 'layer' or 'map'"),
        ((nn.Linear(2, 2), torch.rand(3, 2)), {"sort": "name"}, "sort is 'index', 'strength', 'variance'"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(arguments, options, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        ActivationBrowser(*arguments, **options)


def test_layer_and_sample_may_be_the_layer_itself_and_a_number_of_numpy():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    view = ActivationBrowser(model, torch.rand(3, 2), layer=model[1], sample=np.int64(2))
    assert (view.selected_layer, view.selected_sample) == ("1", 2)


# -- as a picture


@pytest.mark.parametrize("layer", ["relu", "head", "spare"])
@pytest.mark.parametrize("per", ["layer", "map"])
def test_the_figure_shows_maps_bars_or_the_reason(layer, per):
    view = ActivationBrowser(net(), data(3)[0], layer=layer, per=per)
    figure = view.figure()
    assert figure.get_suptitle() == view.title()
    if layer == "spare":
        assert "not called" in figure.axes[-1].texts[0].get_text()
    elif layer == "head":
        assert len(figure.axes[1].patches) == 3
    else:
        assert len(figure.axes[1].images) == 1


def test_the_title_says_layer_sample_verdict_and_size(session, view):
    assert view.title() == f"relu · sample 0, {view.sample['words']} · 6 maps · step 0"


def test_a_static_picture_stands_beside_the_widget(view):
    bundle = view._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["image/png"].startswith("iVBOR")


def test_a_rewind_at_rest_is_looked_at(wire, session, open_page):
    session.step(6)
    view = ActivationBrowser(session)
    page = open_page(view, eager=True)
    assert page.state["moment"]["step"] == 6
    session.rewind(2)
    until = time.monotonic() + 20
    while page.state["moment"]["step"] != 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    view.close()


class Halting(torch.utils.data.Dataset):
    """Validation samples, in batches of two; from when it halts, two of them are given when somebody says so."""

    def __init__(self) -> None:
        self.halts = False
        self.at = {4: (threading.Event(), threading.Event()), 8: (threading.Event(), threading.Event())}

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if self.halts and index in self.at:
            reached, go_on = self.at[index]
            reached.set()
            assert go_on.wait(30)
        return data(10)[0][index], index % 3


def test_a_layer_that_is_chosen_in_an_evaluation_is_drawn_before_that_ends(wire, open_page):
    valid = Halting()
    loader = torch.utils.data.DataLoader(valid, batch_size=2)
    session = Session(net(), data(), loader, classes=NAMES, batch_size=8, epochs=1)
    view = ActivationBrowser(session)
    page = open_page(view, eager=True)
    valid.halts = True
    session.start()
    (first, go_on), (second, end) = valid.at.values()
    assert first.wait(30)
    page.say(wish="selected_layer", value="hidden")
    go_on.set()
    assert second.wait(30)
    # The look was taken before this batch; its picture may still be on its way.
    until = time.monotonic() + 20
    while page.state["drawing"]["layer"] != "hidden":
        assert time.monotonic() < until
        time.sleep(0.01)
    assert page.state["drawing"]["words"] == "8 units" and not session.record.evaluations
    end.set()
    view.close()
    session.close()


# -- work is done once


class Counting(torch.utils.data.Dataset):
    """Samples that count how often each is read."""

    def __init__(self) -> None:
        self.reads: list[int] = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        self.reads.append(index)
        return data(10)[0][index], index % 3


class Counts:
    """How often a look saved the random states, and walked over the model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.saved = self.walked = 0
        capture, walk = RandomStates.capture, layer_choice.walk

        def saves(*args):
            self.saved += 1
            return capture(*args)

        def walks(model):
            self.walked += 1
            return walk(model)

        monkeypatch.setattr(RandomStates, "capture", saves)
        monkeypatch.setattr(layer_choice, "walk", walks)


@pytest.mark.parametrize("layer", ["relu", "hidden"])
def test_a_look_reads_its_sample_once_saves_random_states_once_and_walks_once(layer, monkeypatch):
    samples = Counting()
    view = ActivationBrowser(net(), samples, layer=layer)
    counts = Counts(monkeypatch)
    samples.reads.clear()
    view.wish("selected_sample", 4)
    assert (samples.reads, counts.saved, counts.walked) == ([4], 1, 1)


def test_with_a_session_a_look_saves_no_random_states_beside_those_that_the_job_does(session, monkeypatch):
    samples = Counting()
    view = ActivationBrowser(session, samples)
    counts = Counts(monkeypatch)
    session.at_batch(lambda: None).result(10)
    settle(session)
    alone, counts.saved = counts.saved, 0
    samples.reads.clear()
    session.at_batch(view._take_look).result(10)
    settle(session)
    assert (samples.reads, counts.saved, counts.walked) == ([0], alone, 1)
    view.close()


def test_a_piece_of_a_study_reads_the_sample_that_is_looked_at_once(session):
    samples = Counting()
    view = ActivationBrowser(session, samples, layer="conv")
    for section in ("touch", "where", "time"):
        samples.reads.clear()
        view.wish("study", section)
        settle(session)
        assert samples.reads == [0], section
    view.close()
