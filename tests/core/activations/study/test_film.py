"""films: the same layer and sample at the kept states of a run, computed on a twin."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from dlwidgets.core.activations.activations import activations
from dlwidgets.core.activations.study.film import MOST_FRAMES, Film, Twin, evenly, kept_states, output_of
from dlwidgets.session import Session


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(144, 3),
    )  # fmt: skip


def data(n: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(n, 1, 8, 8, generator=generator), torch.arange(n) % 3


IMAGE = data()[0][:1]


@pytest.fixture
def session():
    made = Session(net(), data(), batch_size=8, epochs=4, threads=1, lr=0.05)
    yield made
    made.close()


def timeline(session: Session):
    return session._run.timeline


def trained(session: Session, steps: int) -> dict[int, torch.Tensor]:
    """Train, with a snapshot at each step; return what layer "2" put out at each."""
    seen = {}
    for step in range(steps):
        session.at_step(lambda: timeline(session).take("time")).result(10)
        seen[step] = activations(session.model, IMAGE, "2")["2"][0]
        session.step(1)
    return seen


def test_a_film_shows_what_the_layer_put_out_at_each_snapshot(session):
    seen = trained(session, 6)
    film = Film("2", "", IMAGE)
    assert not film.advance(session.model, kept_states(timeline(session)))
    frames = {frame.step: frame for frame in film.frames}
    assert set(frames) >= set(seen)
    for step, expected in seen.items():
        assert torch.equal(frames[step].tensor, expected), step
    assert [(frame.step, frame.why) for frame in film.frames] == list(timeline(session).snapshots)
    # The layer has moved meanwhile: the frames are not all of one state.
    assert not torch.equal(seen[0], seen[5])


def test_a_film_leaves_the_run_bit_for_bit_as_it_would_have_been():
    def weights(filmed: bool) -> list[torch.Tensor]:
        session = Session(net(), data(), batch_size=8, epochs=4, threads=1)
        try:
            for _ in range(8):
                session.step(1)
                if filmed:
                    film = Film("2", "", IMAGE)
                    states = kept_states(timeline(session))
                    work = partial(film.advance, session.model, states)
                    session.at_step(work).result(10)
            return [tensor.clone() for tensor in session.model.state_dict().values()]
        finally:
            session.close()

    assert all(map(torch.equal, weights(False), weights(True)))


def test_a_film_leaves_the_snapshots_as_they_were(session):
    trained(session, 3)
    states = kept_states(timeline(session))
    before = copy.deepcopy([dict(one.parts["weights"]["tensors"]) for one in states])
    Film("2", "", IMAGE).advance(session.model, states)
    for one, kept in zip(states, before, strict=True):
        now = one.parts["weights"]["tensors"]
        assert all(torch.equal(kept[name], tensor) for name, tensor in now.items())
        assert not any(tensor.requires_grad for tensor in now.values())


def test_pieces_give_what_one_go_gives_and_each_state_is_looked_at_once(session):
    trained(session, 5)
    states, film = kept_states(timeline(session)), Film("2", "", IMAGE)
    rounds = 1
    while film.advance(session.model, states, 0.0):
        rounds += 1
    assert rounds == len(states) == len(film.frames)
    first = film.frames[0].tensor
    film.advance(session.model, states)
    assert film.frames[0].tensor is first


def test_frames_of_snapshots_that_were_thinned_out_stay(session):
    trained(session, 5)
    states, film = kept_states(timeline(session)), Film("2", "", IMAGE)
    film.advance(session.model, states)
    film.advance(session.model, states[:1])
    assert [frame.step for frame in film.frames] == [one.step for one in states]
    film.cut(states[2].step)
    assert [frame.step for frame in film.frames] == [one.step for one in states[:3]]


def test_of_very_many_snapshots_some_are_shown_from_the_first_to_the_last(session):
    session.step(1)
    one = kept_states(timeline(session))[0]
    many = [replace(one, step=step) for step in range(200)]
    film = Film("2", "", IMAGE)
    film.advance(session.model, many)
    steps = [frame.step for frame in film.frames]
    assert len(steps) == MOST_FRAMES and steps[0] == 0 and steps[-1] == 199


def test_a_state_of_another_model_says_so(session):
    session.step(1)
    one = kept_states(timeline(session))[0]
    film = Film("0", "", IMAGE)
    film.advance(nn.Sequential(nn.Conv2d(1, 5, 3)), [one])
    assert film.frames[0].tensor is None and "another one then" in film.frames[0].reason


def test_after_going_back_only_the_states_of_the_line_under_way_are_shown(session):
    trained(session, 6)
    session.rewind(3)
    session.step(2)
    steps = [one.step for one in kept_states(timeline(session))]
    assert max(steps) <= 5 and steps == sorted(set(steps))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Linear(4, 4)
        self.two = nn.Linear(4, 4)
        self.two.weight = self.one.weight
        self.register_buffer("scale", torch.ones(4))

    def forward(self, x):
        return self.two(torch.relu(self.one(x))) * self.scale


def lstm() -> nn.Module:
    return nn.Sequential(nn.LSTM(4, 3, batch_first=True))


def normed() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4)), nn.utils.spectral_norm(nn.Linear(4, 4)))


def parametrised() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.LayerNorm(4))


def table() -> nn.Module:
    return nn.Sequential(nn.Embedding(9, 4, max_norm=0.5))


@pytest.mark.parametrize("make", [Tied, lstm, normed, parametrised, table])
def test_a_twin_computes_with_the_weights_it_wears(make):
    def state(model):
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        return {"tensors": {name: tensor.detach().clone() for name, tensor in tensors.items()}}

    torch.manual_seed(1)
    model = make().eval()
    x = torch.tensor([[1, 5, 8]]) if make is table else torch.rand(1, 3, 4)
    early = state(model)
    expected = activations(model, x, "").output
    kept = state(model)
    with torch.no_grad():
        for tensor in (*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())):
            tensor.add_(0.3)
    late = state(model)
    twin = Twin(model)
    twin.load(early)
    found = activations(twin.module, x, "").output
    for one, other in zip(_flat(found), _flat(expected), strict=True):
        torch.testing.assert_close(one, other)
    assert all(torch.equal(late["tensors"][name], tensor) for name, tensor in state(model)["tensors"].items())
    assert all(torch.equal(early["tensors"][name], tensor) for name, tensor in kept["tensors"].items())


def _flat(output) -> list[torch.Tensor]:
    return [output] if isinstance(output, torch.Tensor) else [t for part in output for t in _flat(part)]


def test_a_layer_that_puts_out_nothing_or_something_sparse_says_so_or_is_made_dense():
    class Rare(nn.Module):
        def forward(self, x):
            return (x * 0).to_sparse()

    assert torch.equal(output_of(Rare(), torch.ones(1, 3), ""), torch.zeros(3))
    with pytest.raises(ValueError, match="puts out nothing for this sample"):
        output_of(nn.Identity(), torch.ones(0, 3), "")


def test_things_are_picked_evenly_with_both_ends():
    assert evenly(range(10), 4) == [0, 3, 6, 9]
    assert evenly([1, 2], 4) == [1, 2] and evenly([1, 2, 3], 1) == [1] and evenly([1, 2], 0) == []
