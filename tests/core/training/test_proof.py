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


def moved_in_place(run: dlw.Session, name: str) -> None:
    with torch.no_grad():
        run.model.state_dict()[name].add_(0.5)


def test_what_a_hand_changes_while_it_trains_is_named():
    run = session(epochs=20).freeze("0", "1").step().start()
    run.at_step(lambda: moved_in_place(run, "1.running_mean")).result()
    proofs = run.wait().proofs()
    assert run.proof.changed == ("1.running_mean",) and run.proof.moved == {"1.running_mean": pytest.approx(0.5)}
    assert run.proof.before != run.proof.digest and not proofs["holds"].iloc[-1]
    # It is not as it was, and it moves no more.
    assert not run.fit(1, progress=False).proof.moving


def test_what_a_hand_changes_between_two_runs_is_said_and_counts_from_there():
    run = session().freeze("0").fit(1, progress=False)
    moved_in_place(run, "0.weight")
    run.fit(1, progress=False)
    assert run.proof.holds and run.notes[-1].startswith("'0.weight', frozen, was changed by hand after step 3:")


def test_layers_drawn_anew_on_purpose_count_from_there():
    run = session(seed=5).freeze("0", "1").fit(1, progress=False)
    first = run.proof.digest
    run.reinitialise = "0"
    run.fit(1, progress=False)
    assert run.proof.holds and run.proof.digest != first


def test_proofs_go_with_the_run_back_and_to_other_lines():
    run = session(epochs=4).step(2).freeze("0", "1").fit(2, progress=False)
    digest, steps = run.proof.digest, run.steps
    run.rewind(1)
    assert run.proof is None and run.proofs(now=True).empty
    run.step(2).freeze("0").fit(1, progress=False)
    assert run.proof.holds and run.proof.tensors == 2
    run.switch("main")
    assert run.proof.digest == digest and run.proof.step == steps
    assert run.proofs(now=True).iloc[-1].before == digest
    run.undo()
    assert run.proof is None


def test_a_proof_goes_on_from_a_checkpoint(tmp_path):
    run = session(epochs=4, checkpoint_dir=tmp_path).freeze("0", "1").fit(2, progress=False)
    run.close()
    X, y = torch.randn(24, 4, generator=torch.Generator().manual_seed(1)), torch.arange(24) % 3
    other = dlw.Session.from_checkpoint(tmp_path, network(), (X, y), batch_size=8, lr=0.1, epochs=4)
    assert other.proof == run.proof and len(other.proofs()) == len(run.proofs())
    moved_in_place(other, "1.running_var")
    # Changed before it goes on: between two runs.
    other.resume().wait()
    assert other.notes[-1].startswith("'1.running_var', frozen, was changed by hand")
    assert other.proof.digest != run.proof.digest and other.proof.tensors == 7


def test_tied_weights_are_one_tensor_and_half_precision_is_proved_bit_for_bit():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)).to(torch.bfloat16)
    model[1].weight = model[0].weight
    X = torch.randn(24, 4, dtype=torch.bfloat16)
    run = dlw.Session(model, (X, torch.arange(24) % 3), batch_size=8).freeze("0", "1").fit(1, progress=False)
    assert run.proof.holds and run.proof.tensors == 3 and run.proof.parameters == 16 + 4 + 4
