"""summary() of models that nobody chose: random stacks against hooks of a real forward and torch's counts."""

from __future__ import annotations

import copy

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import dlwidgets as dlw


@st.composite
def stacks(draw):
    """A random network for images with its input: nested, with shared and frozen layers and tied weights."""
    channels, size = draw(st.integers(1, 4)), 16
    x = torch.rand(draw(st.integers(1, 3)), channels, size, size)
    shared: list[nn.Module] = [nn.ReLU(), nn.ReLU(inplace=True)]

    def layer(channels: int) -> tuple[nn.Module, int]:
        kind = draw(
            st.sampled_from("conv depthwise norm group relu shared pool drop identity block square".split())
        )
        if kind == "conv":
            wider = draw(st.integers(1, 6))
            kernel = draw(st.sampled_from([1, 3]))
            return nn.Conv2d(channels, wider, kernel, padding=kernel // 2, bias=draw(st.booleans())), wider
        if kind == "square":
            made = nn.Conv2d(channels, channels, 1)
            twin = nn.Conv2d(channels, channels, 1)
            if draw(st.booleans()):
                twin.weight = made.weight
            return nn.Sequential(made, twin), channels
        if kind == "block":
            inner, wider = [], channels
            for _ in range(draw(st.integers(0, 3))):
                one, wider = layer(wider)
                inner.append(one)
            return nn.Sequential(*inner), wider
        simple = {
            "depthwise": lambda: nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            "norm": lambda: nn.BatchNorm2d(channels),
            "group": lambda: nn.GroupNorm(1, channels),
            "relu": lambda: nn.ReLU(inplace=draw(st.booleans())),
            "shared": lambda: draw(st.sampled_from(shared)),
            "pool": lambda: nn.MaxPool2d(3, stride=1, padding=1),
            "drop": lambda: nn.Dropout(0.5),
            "identity": lambda: nn.Identity(),
        }
        return simple[kind](), channels

    layers = []
    for _ in range(draw(st.integers(1, 6))):
        made, channels = layer(channels)
        if draw(st.booleans()) and draw(st.booleans()):
            made.requires_grad_(False)
        layers.append(made)
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3))
    return model.train(draw(st.booleans())), x


def unique(model: nn.Module) -> list[nn.Parameter]:
    held = [p for module in model.modules() for p in module._parameters.values() if p is not None]
    return list({id(p): p for p in held}.values())


@settings(max_examples=60, deadline=None)
@given(stacks())
def test_parameters_are_those_of_the_unique_tensors_in_every_row(stack):
    model, x = stack
    table = dlw.summary(model, x)
    assert table.total_parameters == sum(p.numel() for p in unique(model))
    assert table.trainable_parameters == sum(p.numel() for p in unique(model) if p.requires_grad)
    for row in table.rows:
        inside = unique(model.get_submodule(row.path))
        assert row.parameters == sum(p.numel() for p in inside)
        assert row.parameter_bytes == sum(p.nbytes for p in inside)
        flags = {p.requires_grad for p in inside}
        assert row.trainable == {0: "", 1: "yes" if flags == {True} else "no", 2: "partly"}[len(flags)]
    assert sum(row.own_parameters - row.tied_parameters for row in table.rows if row.same_as is None) == (
        table.total_parameters
    )


@settings(max_examples=60, deadline=None)
@given(stacks())
def test_shapes_and_calls_are_those_that_hooks_see(stack):
    model, x = stack
    table = dlw.summary(model, x)
    twin, seen = copy.deepcopy(model).eval(), {}
    for name, module in twin.named_modules():
        module.register_forward_hook(
            lambda _, given, out, name=name: seen.setdefault(name, []).append(
                (tuple(given[0].shape), tuple(out.shape))
            )
        )
    with torch.no_grad():
        twin(x)
    first = {id(module): name for name, module in twin.named_modules()}
    calls: dict[str, int] = {}
    for row in table.rows:
        name = first[id(twin.get_submodule(row.path))]
        calls[name] = calls.get(name, 0) + row.calls
        if row.calls and row.same_as is None:
            assert (row.input_shape, row.output_shape) in seen[name]
    assert calls == {name: len(seen.get(name, [])) for name in calls}


@settings(max_examples=40, deadline=None)
@given(stacks())
def test_macs_are_half_of_the_flops_that_torch_counts(stack):
    model, x = stack
    table = dlw.summary(model, x)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(model).eval().to("meta")(x.to("meta"))
    assert table.total_macs * 2 == counter.get_total_flops()
    assert sum(row.own_macs for row in table.rows) == table.total_macs and not table.uncounted


@settings(max_examples=40, deadline=None)
@given(stacks())
def test_activation_bytes_are_those_of_the_memory_that_layers_fill(stack):
    """Every innermost layer's output is kept, as training does; memory seen before is not counted again."""
    model, x = stack
    table = dlw.summary(model, x)
    twin, kept, filled = copy.deepcopy(model).eval(), [x], 0
    seen = {x.untyped_storage().data_ptr()}

    def hook(module, given, out):
        nonlocal filled
        kept.append(out)  # so that no memory is used twice
        memory = out.untyped_storage()
        if memory.data_ptr() not in seen:
            seen.add(memory.data_ptr())
            filled += memory.nbytes()

    leaves = {id(m): m for m in twin.modules() if next(m.children(), None) is None}
    for module in leaves.values():
        module.register_forward_hook(hook)
    with torch.no_grad():
        twin(x)
    assert table.activation_bytes == filled
