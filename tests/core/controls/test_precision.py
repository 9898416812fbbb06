"""Mixed precision: torch's autocast and scaler."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.core.controls.by_hand import COUNT, SIZE, X, Y, net, plain, same, session, sgd


def test_bf16_on_the_cpu_is_torchs_autocast():
    made = session(precision="bf16").fit()
    same(made.model, plain(forward=lambda: torch.autocast("cpu", torch.bfloat16)))
    assert all(p.dtype is torch.float32 for p in made.model.parameters())


def test_fp16_on_the_cpu_is_refused_in_a_sentence():
    made = session(device="cpu")
    made.precision = "fp16"
    made.step()
    assert made.rejected["precision"] == 'fp16 needs a CUDA device, and training is on the CPU: "bf16" works there'
    assert made.applied["precision"] == "full"
    with pytest.raises(ValueError, match="precision='fp16': fp16 needs a CUDA device"):
        session(device="cpu", precision="fp16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="fp16 is for CUDA devices")
def test_fp16_is_torchs_scaler_and_leaves_out_steps_that_overflow():
    model = net().cuda()
    optimizer, scaler = sgd(model.parameters()), torch.amp.GradScaler("cuda")
    order, skipped = torch.Generator().manual_seed(0), 0
    torch.manual_seed(0)
    model.train()
    for _ in range(2):
        for index in torch.randperm(COUNT, generator=order).split(SIZE):
            with torch.autocast("cuda", torch.float16):
                loss = F.cross_entropy(model(X[index].cuda()), Y[index].cuda()) * 1e4
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            skipped += scaler.get_scale() < before
    made = session(device="cuda", precision="fp16", loss=lambda o, t: F.cross_entropy(o, t) * 1e4).fit()
    assert made.history().skipped.sum() == skipped > 0
    assert all(map(torch.equal, made.model.cuda().parameters(), model.parameters()))
    assert any("overflow in fp16" in note for note in made.notes)


def test_the_scaler_of_fp16_is_torchs_own_and_steps_that_overflow_are_left_out(monkeypatch):
    # On the CPU, where torch has all of it and only the speed is missing.
    monkeypatch.setattr("dlwidgets.core.controls.precision.why_not", lambda mode, device: None)

    def loss(output, targets):
        return F.cross_entropy(output, targets) * 30

    model, skipped, order = net(), 0, torch.Generator().manual_seed(0)
    optimizer, scaler = sgd(model.parameters()), torch.amp.GradScaler("cpu")
    torch.manual_seed(0)
    model.train()
    for _ in range(2):
        for index in torch.randperm(COUNT, generator=order).split(SIZE):
            with torch.autocast("cpu", torch.float16):
                value = loss(model(X[index]), Y[index])
            optimizer.zero_grad()
            scaler.scale(value).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            skipped += scaler.get_scale() < before
    made = session(precision="fp16", loss=loss, task="multiclass", clip=0.5).fit()
    same(made.model, model)
    assert made.history().skipped.sum() == skipped > 0
    assert any("overflow in fp16" in note for note in made.notes)
    scale = made._run.loop.precision.state()["scaler"]["scale"]
    assert scale == scaler.get_scale()


def test_gradients_that_overflow_without_any_scale_stop_the_step(monkeypatch):
    monkeypatch.setattr("dlwidgets.core.controls.precision.why_not", lambda mode, device: None)
    made = session(precision="fp16", loss=lambda o, t: F.cross_entropy(o, t) * 1e-3 + (o - o).abs().sqrt().sum(), task="multiclass")
    with pytest.raises(ArithmeticError, match="The gradients became infinite or NaN in step"):
        made.fit(epochs=9)
    assert made.history().skipped.tolist() == [1.0] * 16
    assert all(bool(p.isfinite().all()) for p in made.model.parameters())


def test_a_step_that_failed_after_its_gradients_were_unscaled_can_be_taken_again(monkeypatch):
    monkeypatch.setattr("dlwidgets.core.controls.precision.why_not", lambda mode, device: None)
    made = session(precision="fp16").step(1)
    clip = made._run.loop._gradients.clip
    monkeypatch.setattr(made._run.loop._gradients, "clip", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made.step(1)
    monkeypatch.setattr(made._run.loop._gradients, "clip", clip)
    whole = session(precision="fp16").step(3)
    same(made.step(2).model, whole.model)
