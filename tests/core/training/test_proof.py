"""Proofs that what is frozen did not move, held against tensors that really do."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

import dlwidgets as dlw
from dlwidgets.core.training.proof import digest_tensor


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def session(model: nn.Module | None = None, **options) -> dlw.Session:
    generator = torch.Generator().manual_seed(1)
    X, y = torch.randn(24, 4, generator=generator), torch.arange(24) % 3
    return dlw.Session(model or network(), train=(X, y), batch_size=8, lr=0.1, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64, torch.bool])
def test_a_digest_is_that_of_the_bytes_whatever_the_layout(dtype):
    tensor = torch.randn(6, 4).to(dtype)
    raw = f"{dtype} {(6, 4)}".encode() + bytes(tensor.reshape(-1).view(torch.uint8).tolist())
    assert digest_tensor(tensor) == hashlib.blake2b(raw, digest_size=16).hexdigest()
    assert digest_tensor(tensor.t().contiguous().t()) == digest_tensor(tensor)


def test_what_is_frozen_is_proved_at_the_end_of_a_run():
    run = session()
    run.freeze("0", "1").fit(1, progress=False)
    proof = run.proof
    assert proof.holds and proof.before == proof.digest and proof.step == 3
    # Two layers of two parameters each, and the three buffers of the BatchNorm that is held.
    assert (proof.tensors, proof.parameters) == (7, 4 * 8 + 8 + 8 + 8)
    assert run.proofs().loc[3, "holds"]


def test_nothing_frozen_nothing_proved():
    run = session()
    run.fit(1, progress=False)
    assert run.proof is None and run.proofs(now=True).empty


def test_a_tensor_that_an_optimizer_moves_is_named_with_how_far_and_since_when():
    class Careless(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            with torch.no_grad():
                self.param_groups[0]["params"][1][2] += 0.25

    run = session(optimizer=lambda parameters: Careless(parameters, lr=0.1))
    run.step(2).freeze("0").fit(2, progress=False)
    assert run.proof.changed == ("0.bias",)
    assert run.proof.moved["0.bias"] == pytest.approx(0.25 * (run.steps - 2))
    assert run.proof.since["0.bias"] == 2 and run.proof.describe("0.bias").endswith("since step 2")
