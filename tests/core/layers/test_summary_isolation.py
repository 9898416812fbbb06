"""summary() leaves a model and all around it as it was: each guarantee, on each way that a look can go."""

from __future__ import annotations

import copy
import random
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import dlwidgets as dlw


class Restless(nn.Module):
    """Changes all it can in its forward: statistics, lists, counters, the random streams."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv, self.norm, self.drop = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.words = nn.Embedding(9, 3, max_norm=0.1)
        self.spectral, self.weighted = spectral_norm(nn.Linear(4, 4)), weight_norm(nn.Linear(4, 4))
        self.attention = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
        self.head = nn.Linear(4 if way in ("followed", "run") else 5, 2)
        self.calls, self.seen, self.kept = 0, [], {"best": torch.zeros(3)}
        self.running = torch.zeros(4)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.calls += 1
        self.seen.append(tuple(x.shape))
        self.kept["best"] = self.kept["best"] + 1
        self.last = x
        self.running += 1
        self.count += 1
        self.words(torch.tensor([[1, 2]]))
        x = self.drop(self.norm(self.conv(x))) + torch.rand(4, 1, 1) + np.random.rand() + random.random()
        if self.way in ("run", "run and fails") and float(x.detach().sum()) == 12345.0:
            x = x + 1
        x = self.attention(self.weighted(self.spectral(x.flatten(2).mean(2)))[:, None])[:, 0]
        return self.head(x)


WAYS = ("followed", "run", "fails", "run and fails")


@pytest.fixture(params=WAYS)
def model(request):
    """A model in the middle of training: modes mixed, gradients there, some weights frozen, hooks on it."""
    torch.manual_seed(0)
    made = Restless(request.param)
    made.train()
    made.norm.eval()
    made.drop.train()
    for parameter in made.parameters():
        parameter.grad = torch.rand_like(parameter)
    made.conv.requires_grad_(False)
    return made


def look(model: nn.Module) -> dlw.Summary:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = dlw.summary(model, torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
    # The look went the way that is meant.
    assert table.complete == (model.way in ("followed", "run")), table.error
    if table.complete:
        assert any("for real" in note for note in table.notes) == (model.way == "run"), table.notes
    else:
        assert "head" in table.error
    return table


def test_parameters_keep_identity_values_and_versions(model):
    before = {n: (id(p), p._version, p.detach().clone()) for n, p in model.named_parameters()}
    look(model)
    for name, parameter in model.named_parameters():
        identity, version, value = before[name]
        assert (id(parameter), parameter._version) == (identity, version), name
        assert torch.equal(parameter, value), name
    assert len(before) == len(list(model.parameters()))


def test_buffers_keep_identity_values_and_versions(model):
    before = {n: (id(b), b._version, b.clone()) for n, b in model.named_buffers()}
    assert "norm.num_batches_tracked" in before and "norm.running_mean" in before
    look(model)
    for name, buffer in model.named_buffers():
        identity, version, value = before[name]
        assert (id(buffer), buffer._version) == (identity, version), name
        assert torch.equal(buffer, value), name
    assert len(before) == len(list(model.buffers()))


def test_each_module_keeps_its_train_or_eval_flag(model):
    before = {name: module.training for name, module in model.named_modules()}
    assert set(before.values()) == {True, False}
    look(model)
    assert {name: module.training for name, module in model.named_modules()} == before


def test_gradients_stay(model):
    before = {name: (id(p.grad), p.grad.clone()) for name, p in model.named_parameters()}
    look(model)
    for name, parameter in model.named_parameters():
        assert id(parameter.grad) == before[name][0] and torch.equal(parameter.grad, before[name][1]), name


def test_what_is_frozen_stays_frozen(model):
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    assert set(before.values()) == {True, False}
    look(model)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before


def test_hooks_stay_and_are_not_called(model):
    called = []
    handles = [
        model.conv.register_forward_hook(lambda *_: called.append("forward")),
        model.conv.register_forward_pre_hook(lambda *_: called.append("before")),
        model.conv.register_full_backward_hook(lambda *_: called.append("backward")),
        model.register_state_dict_post_hook(lambda *_: called.append("state")),
    ]
    before = {
        (name, key): dict(value)
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if "hooks" in key and isinstance(value, dict)
    }
    table = look(model)
    after = {
        (name, key): dict(value)
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if "hooks" in key and isinstance(value, dict)
    }
    assert after == before
    # Where the forward fails, it is tried with its hooks too: the model may not do without them.
    assert not called or not table.complete
    for handle in handles:
        handle.remove()


def test_forward_is_no_other_than_before(model):
    look(model)
    assert "forward" not in vars(model) and all("forward" not in vars(module) for module in model.modules())


def test_other_attributes_stay(model):
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    held = (model.calls, list(model.seen), model.kept["best"].clone(), model.running.clone())
    look(model)
    for name, module in model.named_modules():
        assert vars(module).keys() == before[name].keys(), name
        assert all(vars(module)[key] is value for key, value in before[name].items()), name
    assert (model.calls, model.seen) == held[:2] and not hasattr(model, "last")
    assert torch.equal(model.kept["best"], held[2]) and torch.equal(model.running, held[3])


def test_the_random_streams_go_on_where_they_were(model):
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    wanted = torch.rand(3), np.random.rand(3), random.random()
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    look(model)
    assert torch.equal(torch.rand(3), wanted[0])
    assert np.array_equal(np.random.rand(3), wanted[1])
    assert random.random() == wanted[2]


def test_the_model_stays_on_its_device(model):
    before = {name: tensor.device for name, tensor in model.state_dict().items()}
    look(model)
    assert {name: tensor.device for name, tensor in model.state_dict().items()} == before


def test_switches_of_torch_stay(model):
    switches = (
        torch.is_grad_enabled,
        torch.is_inference_mode_enabled,
        torch.backends.mha.get_fastpath_enabled,
        torch.get_default_dtype,
        torch.get_num_threads,
        torch.overrides._get_current_function_mode_stack,
        torch.utils._python_dispatch._get_current_dispatch_mode_stack,
    )
    before = [switch() for switch in switches]
    look(model)
    assert [switch() for switch in switches] == before


def test_the_input_stays_as_it_was(model):
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    before = x.detach().clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dlw.summary(model, x)
    assert torch.equal(x, before) and x._version == 0 and x.grad is None and x.requires_grad


@pytest.mark.parametrize("model", ["followed", "run"], indirect=True)
def test_training_goes_on_as_if_nobody_had_looked(model):
    def trained(looks: bool) -> dict[str, torch.Tensor]:
        twin = copy.deepcopy(model)
        torch.manual_seed(5), np.random.seed(5), random.seed(5)
        optimizer = torch.optim.Adam([p for p in twin.parameters() if p.requires_grad], 0.01)
        for _ in range(3):
            loss = twin(torch.ones(2, 1, 8, 8)).square().mean()
            if looks:
                look(twin)  # between forward and backward, where a buffer touched would be an error
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return {name: tensor.clone() for name, tensor in twin.state_dict().items()}

    alone, watched = trained(False), trained(True)
    assert all(torch.equal(alone[name], watched[name]) for name in alone)


def test_a_look_from_another_thread_leaves_a_forward_alone():
    """The table may be asked for while the model trains in another thread."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3)
    ).eval()
    x = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        wanted = model(x)
    looks, errors = [], []

    def looking() -> None:
        try:
            looks.extend(dlw.summary(model, x) for _ in range(5))
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    thread = threading.Thread(target=looking)
    thread.start()
    with torch.no_grad():
        while thread.is_alive():
            assert torch.equal(model(x), wanted)
    thread.join()
    assert not errors and len({table.total_macs for table in looks}) == 1


def test_a_lazy_model_is_not_built():
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(3))
    dlw.summary(model, torch.rand(2, 1, 8, 8))
    assert all(
        module.has_uninitialized_params() for module in model if hasattr(module, "has_uninitialized_params")
    )
    assert type(model[0]) is nn.LazyConv2d and model[0].in_channels == 0


def test_memory_of_a_look_is_given_back():
    """The table holds numbers, not the stand-in with its tensors, the failing forward's frames included."""
    import gc
    import weakref

    class Noticed(nn.Linear):
        alive: list = []

        def forward(self, x):
            self.alive.append(weakref.ref(self))
            return super().forward(x)

    for width in (4, 5):
        table = dlw.summary(nn.Sequential(Noticed(4, 4), nn.Linear(width, 2)), torch.rand(1, 4))
        gc.collect()
        assert table.rows and not [one for one in Noticed.alive if one() is not None]
        Noticed.alive.clear()
