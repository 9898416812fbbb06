"""Activations in a file: each tensor under its key, whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dlwidgets.core.activations.activations import activations


def test_a_saved_file_has_each_tensor_under_its_key(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.file = nn.MultiheadAttention(4, 2, batch_first=True)
            self.add_module("a/b", nn.Linear(4, 4, dtype=torch.bfloat16))

        def forward(self, x):
            return self.get_submodule("a/b")(self.file(x, x, x)[0].bfloat16())

    found = activations(Odd(), torch.rand(2, 3, 4), ["file", "a/b", ""])
    path = found.save(tmp_path / "layers")
    assert path == tmp_path / "layers.npz" and [p.name for p in tmp_path.iterdir()] == ["layers.npz"]
    with np.load(path) as saved:
        assert set(saved) == {"file", "file[1]", "file[attention]", "a/b", "(model)", "(about)"}
        assert np.array_equal(saved["file[attention]"], found["file[attention]"].numpy())
        assert np.array_equal(saved["a/b"], found["a/b"].float().numpy())
        assert '"file": "MultiheadAttention"' in str(saved["(about)"])


def test_what_was_saved_before_stays_whole_when_saving_fails(tmp_path):
    found = activations(nn.Linear(2, 2), torch.rand(1, 2), "")
    path = found.save(tmp_path / "x.npz")
    before = path.read_bytes()
    found["broken"] = None
    with pytest.raises(AttributeError):
        found.save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        activations(nn.Linear(2, 2), torch.rand(1, 2), "").save(tmp_path / "none" / "x.npz")
