"""What a model computes between its layers, under the names of torch.fx."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from dlwidgets.core.activations.activations import activations


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x):
        return F.relu(x + self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = Block(), Block()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.first(x)
        y = torch.cat([x, self.second(x)], 1)
        return self.head(y.mean((2, 3)))


X = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(1))


def by_fx(model: nn.Module, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """What torch's own interpreter has for each functional node."""
    traced = fx.symbolic_trace(copy.deepcopy(model).eval())
    found = {}

    class Keep(fx.Interpreter):
        def run_node(self, n):
            result = super().run_node(n)
            if n.op in ("call_function", "call_method") and isinstance(result, torch.Tensor):
                found[n.name] = result
            return result

    with torch.no_grad():
        Keep(traced).run(*inputs)
    return found


def test_names_and_values_are_those_of_torch_fx():
    found = activations(Net(), X, [], functional=True)
    expected = by_fx(Net(), X)
    assert list(found) == list(expected) == ["add", "relu", "add_1", "relu_1", "cat", "mean"]
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor)
    assert not found.untraced


def test_operations_stand_among_the_layers_where_they_ran():
    assert list(activations(Net(), X, functional=True)) == [
        "first.conv", "first.norm", "add", "relu", "second.conv", "second.norm", "add_1", "relu_1", "cat",
        "mean", "head",
    ]  # fmt: skip


def test_an_operation_is_reached_by_its_name_or_a_glob_beside_paths():
    assert list(activations(Net(), X, ["head", "add_1"])) == ["add_1", "head"]
    assert list(activations(Net(), X, "relu*")) == ["relu", "relu_1"]
    found = activations(Net(), X, "cat")
    assert found.kinds == {"cat": "cat"} and found.axes == {"cat": 1}


def test_an_unknown_name_is_answered_with_operations_too():
    with pytest.raises(
        ValueError, match="has no layer 'add_2'; close to it are 'add', 'add_1'|'add_1', 'add'"
    ):
        activations(Net(), X, "add_2")


def test_a_name_of_a_layer_is_never_covered_by_an_operation():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_1 = nn.Linear(2, 2)

        def forward(self, x):
            y = x + 1
            return self.add_1(y + 2)

    names = list(by_fx(Named(), X[..., :2]))
    found = activations(Named(), X[..., :2], functional=True)
    assert set(found) == {"add_1", *(f"{name}()" if name == "add_1" else name for name in names)}
    assert found.kinds["add_1"] == "Linear"


class Checks(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = nn.Linear(3, 3)

    def forward(self, x):
        if not isinstance(x, torch.Tensor):
            raise TypeError("only tensors are taken")
        return self.inside(x) + 1


def test_a_model_that_does_not_trace_says_so_and_gives_its_layers():
    found = activations(Checks(), torch.ones(2, 3), functional=True)
    assert list(found) == ["inside"]
    assert found.untraced == (
        "The model does not trace, so that the operations between its layers have no names; torch.fx says: "
        "only tensors are taken."
    )
    assert found.untraced in repr(found)


def test_a_named_operation_of_a_model_that_does_not_trace_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="has no layer 'add'.* The model does not trace"):
        activations(Checks(), torch.ones(2, 3), "add")


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_forward_that_depends_on_its_inputs_is_followed_for_these(sign):
    class Depends(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = nn.Linear(3, 3)

        def forward(self, x):
            x = self.inside(x) * 0 + x
            if x.sum() > 0 and x.ndim == 2:
                x = F.relu(x)
            for row in x:
                x = x - row
            return x.reshape(len(x), int(x.shape[1]))

    model, x = Depends(), sign * torch.ones(2, 3)
    with pytest.raises(fx.proxy.TraceError):
        fx.symbolic_trace(model)
    found = activations(model, x, functional=True)
    assert ("relu" in found) == (sign > 0) and not found.untraced
    assert torch.equal(found["sub_1"], found.output)


def test_other_inputs_than_one_tensor_are_traced_with_those_that_are_given():
    class Several(nn.Module):
        def forward(self, a, pair, *, mask=None, scale=2.0):
            x = a + pair[0] * pair[1]
            if mask is not None:
                x = x.masked_fill(mask, 0.0)
            return {"out": x * scale}

    a = torch.rand(2, 3)
    inputs = {"a": a, "pair": (a, a), "mask": a > 0.5}
    found = activations(Several(), inputs, [], functional=True)
    assert torch.equal(found["masked_fill"], (a + a * a).masked_fill(a > 0.5, 0.0))
    assert "masked_fill" not in activations(Several(), (a, (a, a)), [], functional=True)


def test_a_dropout_without_a_layer_draws_as_in_the_models_own_forward():
    class Drops(nn.Module):
        def forward(self, x):
            return F.dropout(x) + 0

    found = activations(Drops(), torch.ones(50, 4), [], functional=True)
    assert torch.equal(found["add"], found.output) and not found.untraced


def test_a_tensor_that_a_forward_makes_from_nothing_is_no_hindrance():
    class Shifts(nn.Module):
        def forward(self, x):
            return x + torch.ones(3)

    model = Shifts()
    found = activations(model, torch.zeros(2, 3), "add")
    assert torch.equal(found["add"], torch.ones(2, 3)) and not dict(model.named_buffers())
    assert not [name for name in vars(model) if name.startswith("_tensor")]


def test_looking_between_layers_leaves_no_trace():
    model = Net().train()
    before = copy.deepcopy(model.state_dict())
    attributes = {path: dict(vars(module)) for path, module in model.named_modules()}
    generator = torch.get_rng_state()
    called, got = nn.Module.__call__, nn.Module.__getattr__
    activations(model, X, functional=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {path: dict(vars(module)) for path, module in model.named_modules()} == attributes
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(module.training for module in model.modules())
    assert nn.Module.__call__ is called and nn.Module.__getattr__ is got


def test_a_training_on_another_thread_goes_on_while_a_model_is_traced():
    other, errors, stop = Net(), [], threading.Event()

    def train():
        try:
            while not stop.is_set():
                other(X).sum().backward()
        except Exception as error:  # noqa: BLE001 - told by the test
            errors.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(10):
            assert "add_1" in activations(Net(), X, functional=True)
    finally:
        stop.set()
        thread.join()
    assert not errors


def test_operations_are_held_within_the_cap_too():
    found = activations(Net(), X, functional=True, cap=4_000)
    assert sum(tensor.untyped_storage().nbytes() for tensor in found.values()) <= 4_000
    assert "add_1" in found.sampled
