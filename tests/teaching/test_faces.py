"""`lfw()`: scikit-image's own pictures, half of them faces, and few to train on."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from dlwidgets.teaching import lfw


@pytest.fixture
def photographs() -> np.ndarray:
    """The 200 pictures as scikit-image gives them, the faces first."""
    return pytest.importorskip("skimage.data").lfw_subset()


def numbers(X: torch.Tensor, photographs: np.ndarray) -> list[int]:
    """Return which of scikit-image's pictures each one is."""
    apart = np.abs(X.numpy() - photographs).max((2, 3))  # N x 1 x 25 x 25 against 200 x 25 x 25
    assert (apart.min(1) < 1e-6).all()
    return apart.argmin(1).tolist()


@pytest.mark.parametrize(("n_train", "faces"), [(2, 1), (20, 10), (7, 3), (198, 99)])
def test_half_of_what_it_trains_on_are_faces(photographs, n_train, faces):
    _, y = lfw(n_train).train
    assert (len(y), int(y.sum())) == (n_train, faces)


def test_a_seed_decides_which_and_the_global_streams_are_left_alone(photographs):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again, other = lfw(seed=1), lfw(seed=1), lfw(seed=2)
    assert torch.equal(first.train[0], again.train[0]) and not torch.equal(first.train[0], other.train[0])
    assert torch.equal(before[0], torch.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()


def test_without_scikit_image_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(RuntimeError, match="scikit-image, which is not installed here: pip install scikit-image"):
        lfw()


@pytest.mark.parametrize(("n_train", "error"), [(0, ValueError), (199, ValueError), (0.5, TypeError)])
def test_a_split_that_leaves_a_class_out_is_refused(n_train, error):
    with pytest.raises(error, match=f"n_train is {n_train}; give a whole number from 2 to 198"):
        lfw(n_train)
