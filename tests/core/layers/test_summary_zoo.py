"""summary() on architectures that others designed, against counts and shapes that we did not make."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import dlwidgets as dlw
from tests.core.layers.zoo import SPECIMENS, Specimen

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

Shape = tuple[int, ...]


def call(model: nn.Module, inputs: Any) -> Any:
    return model(**inputs) if isinstance(inputs, dict) else model(inputs)


# -- the references


def state_of(model: nn.Module) -> dict[str, Any]:
    """Return all that a look must leave alone, in a form that can be compared."""
    modules = dict(model.named_modules())
    return {
        "tensors": {
            name: (id(tensor), tensor._version, tensor.requires_grad, tensor.grad, tensor.detach().clone())
            for name, tensor in (
                *model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)
            )
        },
        "modes": {name: module.training for name, module in modules.items()},
        "attributes": {
            name: {key: id(value) for key, value in vars(module).items()} for name, module in modules.items()
        },
        "hooks": {
            name: [len(value) for key, value in vars(module).items() if key.endswith("_hooks")]
            for name, module in modules.items()
        },
        "torch": torch.get_rng_state().clone(),
        "numpy": np.random.get_state()[1].copy(),
        "python": random.getstate(),
    }  # fmt: skip


def same(left: Any, right: Any) -> bool:
    """Compare dicts, tuples, arrays and tensors to the last bit, with NaN equal to itself."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left.nan_to_num(), right.nan_to_num())
    if isinstance(left, np.ndarray):
        return np.array_equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (tuple, list)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@dataclass
class Seen:
    """What hooks see of a module in a real forward: the first tensor in, the output if it is one, calls."""

    inputs: Shape | None = None
    output: Shape | None = None
    calls: int = 0


def seen_in_a_real_forward(model: nn.Module, inputs: Any) -> dict[str, Seen]:
    paths = {id(module): name for name, module in model.named_modules()}
    found: dict[str, Seen] = {}

    def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        seen = found.setdefault(paths[id(module)], Seen())
        if not seen.calls:
            seen.inputs = next((tuple(tensor.shape) for tensor in tensors_in((args, kwargs))), None)
            seen.output = tuple(output.shape) if isinstance(output, torch.Tensor) else None
        seen.calls += 1

    handles = [module.register_forward_hook(hook, with_kwargs=True) for module in model.modules()]
    try:
        with torch.no_grad(), torch.random.fork_rng():
            call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def tensors_in(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from tensors_in(value)
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from tensors_in(value)


def flops_of_torch(model: nn.Module, inputs: Any) -> int:
    """Count with torch's own counter: on the meta device, else in a real forward.

    Its tables lack grouped products and the CPU's fused attention and recurrences: these are taken apart.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for device in ("meta", "cpu"):
            twin = copy.deepcopy(model).to(device).requires_grad_(False)
            if hasattr(twin, "set_experts_implementation"):
                twin.set_experts_implementation("eager")
            counter = FlopCounterMode(display=False)
            apart = torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH)
            try:
                with torch.no_grad(), torch.random.fork_rng(), apart[0], apart[1], counter:
                    call(twin, moved(inputs, device))
            except Exception:
                if device == "cpu":
                    raise
            else:
                return counter.get_total_flops()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    raise AssertionError("The real forward either counts or raises.")


def moved(inputs: Any, device: str) -> Any:
    if isinstance(inputs, dict):
        return {key: moved(value, device) for key, value in inputs.items()}
    return inputs.to(device)


# -- what must be true of each


def assert_looking_changed_nothing(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before.keys() == after.keys()
    assert not [what for what in before if not same(before[what], after[what])]


def assert_the_table_is_whole(table: dlw.Summary, model: nn.Module, specimen: Specimen) -> None:
    assert table.complete and table.error is None, table.error
    assert [row.path for row in table.rows][0] == ""
    assert {row.path for row in table.rows} >= {name for name, _ in model.named_modules()}
    # Only a model that needs numbers is run.
    said = [note for note in table.notes if "for real" in note]
    assert bool(said) == bool(specimen.numbers), said or f"It did without, though {specimen.numbers}."


def assert_parameters_are_those_of_the_unique_tensors(table: dlw.Summary, model: nn.Module) -> None:
    held = [p for module in model.modules() for p in module._parameters.values() if p is not None]
    every = {id(p): p for p in held}.values()
    assert table.total_parameters == sum(p.numel() for p in every)
    assert table.trainable_parameters == sum(p.numel() for p in every if p.requires_grad)
    assert table.parameter_bytes == sum(p.numel() * p.element_size() for p in every)
    modules = dict(model.named_modules(remove_duplicate=False))
    for row in table.rows:
        inside = {id(p): p.numel() for p in modules[row.path].parameters()}
        assert row.parameters == sum(inside.values()), row.path


def assert_shapes_and_calls_are_those_of_a_real_forward(
    table: dlw.Summary, model: nn.Module, inputs: Any
) -> None:
    seen = seen_in_a_real_forward(model, inputs)
    # A module that stands in several places has a row for each, and runs in one or more of them.
    modules = dict(model.named_modules(remove_duplicate=False))
    rows: dict[str, list[Any]] = {}
    first = {id(module): path for path, module in model.named_modules()}
    for row in table.rows:
        rows.setdefault(first[id(modules[row.path])], []).append(row)
    for path, found in seen.items():
        called = [row for row in rows[path] if row.calls]
        assert sum(row.calls for row in called) == found.calls, path
        assert (found.inputs, found.output) in [(row.input_shape, row.output_shape) for row in called], path
    assert {path for path, places in rows.items() if any(row.calls for row in places)} == set(seen)


def assert_the_macs_are_half_of_the_flops_that_torch_counts(
    table: dlw.Summary, model: nn.Module, inputs: Any, specimen: Specimen
) -> None:
    assert set(table.uncounted) == set(specimen.uncounted)
    assert table.total_macs * 2 == flops_of_torch(model, inputs)
    assert sum(row.own_macs for row in table.rows) == table.total_macs == table.rows[0].macs


def assert_the_table_prints(table: dlw.Summary) -> None:
    assert f"{table.total_parameters:,}" in str(table)
    assert len(table.to_frame()) == len(table.rows)


# -- the tests


def test_there_are_at_least_forty_architectures():
    assert len({specimen.name for specimen in SPECIMENS}) >= 40
    assert len(SPECIMENS) == len({specimen.name for specimen in SPECIMENS}), "each is named once"


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_the_table_of_an_architecture_is_right(specimen: Specimen):
    pytest.importorskip(specimen.package, reason=f"{specimen.package} comes with dlwidgets[zoo]")
    torch.manual_seed(0)
    model, inputs = specimen.make(), specimen.inputs()
    before = state_of(model)
    table = dlw.summary(model, inputs)
    assert_looking_changed_nothing(before, state_of(model))
    assert_the_table_is_whole(table, model, specimen)
    assert_parameters_are_those_of_the_unique_tensors(table, model)
    assert_shapes_and_calls_are_those_of_a_real_forward(table, model, inputs)
    assert_the_macs_are_half_of_the_flops_that_torch_counts(table, model, inputs, specimen)
    assert_the_table_prints(table)
