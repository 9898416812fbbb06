"""Models whose weights are elsewhere: brought in while they run, or shared out among processes."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import dlwidgets as dlw

X, Y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Sequential(nn.Linear(8, 3))).eval()


class Brings:
    """Brings a layer's weights in while it runs, by the protocol of accelerate's hooks."""

    def __init__(self, module: nn.Module) -> None:
        self.kept = {name: parameter.detach().clone() for name, parameter in module._parameters.items()}
        module._hf_hook, module._old_forward = self, module.forward
        module.forward = functools.update_wrapper(functools.partial(self.run, module), module._old_forward)
        self.put(module, "meta")

    def put(self, module: nn.Module, device: str) -> None:
        for name, values in self.kept.items():
            module._parameters[name] = nn.Parameter(values.to(device), requires_grad=False)

    def run(self, module: nn.Module, *args, **kwargs):
        self.put(module, "cpu")
        output = module._old_forward(*args, **kwargs)
        self.put(module, "meta")
        return output


def test_weights_that_are_brought_in_are_described_shown_and_left_where_they_are():
    model = net()
    wanted = model(X).detach()
    for module in list(model.modules()):
        if module._parameters:
            Brings(module)
    table, found = dlw.summary(model, X), dlw.activations(model, X)
    assert table.complete and table.total_macs == 6 * (32 + 24) and "brought in while it runs" in table.how
    assert torch.equal(found.output, wanted) and found["3.0"].shape == (6, 3)
    browser = dlw.ActivationBrowser(model, X, layer="0")
    assert browser.project()["drawing"]["words"] == "8 units"
    browser.wish("show", "filters")
    assert "has its weights elsewhere" in browser.project()["drawing"]["reason"]
    assert all(parameter.is_meta for parameter in model.parameters())
    assert torch.equal(model(X), wanted)
    with pytest.raises(ValueError, match="offloaded"):
        dlw.Session(model, train=(X, Y))


@pytest.fixture
def alone():
    """A group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["replicated", "sharded"])
def test_weights_that_are_shared_out_are_described_shown_and_trained(alone, kind):
    from torch.distributed.fsdp import fully_shard

    model = net().train()
    if kind == "replicated":
        model = nn.parallel.DistributedDataParallel(model)
    else:
        fully_shard(model[0], mesh=alone)
        fully_shard(model, mesh=alone)
    held = {name: id(value) for name, value in (*model.named_parameters(), *model.named_buffers())}
    before = {name: to_plain(value).clone() for name, value in model.state_dict().items()}
    table, found = dlw.summary(model, X), dlw.activations(model, X, nn.Linear)
    assert table.complete and table.total_macs == 6 * (32 + 24) and not table.uncounted
    assert ("The model itself, which cannot be copied" in table.how) == (kind == "sharded")
    assert [tuple(value.shape) for value in found.values()] == [(6, 8), (6, 3)]
    assert dlw.ActivationBrowser(model, X).project()["drawing"]["words"] == "8 units"
    assert held == {name: id(value) for name, value in (*model.named_parameters(), *model.named_buffers())}
    assert all(torch.equal(to_plain(value), before[name]) for name, value in model.state_dict().items())
    assert dlw.Session(model, train=(X, Y), epochs=1).fit(progress=False).steps == 1


def to_plain(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("clip", [None, 0.05, ("value", 0.001), ("adaptive", 0.01)])
def test_layers_that_are_split_beside_whole_ones_train_as_whole_ones(alone, clip):
    trained = []
    for split in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), nn.LayerNorm(2))
        if split:
            model = parallelize_module(model, alone, {"0": ColwiseParallel(), "2": RowwiseParallel()})
        rows = torch.rand(32, 4, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 2
        dlw.Session(model, train=rows, batch_size=8, seed=0, clip=clip).step(4)
        trained.append([getattr(one, "full_tensor", one.detach)() for one in model.parameters()])
    for whole, parts in zip(*trained):
        torch.testing.assert_close(whole, parts)
