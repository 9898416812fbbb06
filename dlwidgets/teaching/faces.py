"""`lfw()`: faces and other things, few of them to fine-tune on."""

from __future__ import annotations

import numpy as np
import torch

from .data import Data, check_integer

ABOUT = """200 grey photographs of 25×25 pixels: 100 faces, and 100 pieces of the background of the same
photographs. Real data: Labeled Faces in the Wild (G. B. Huang et al. 2007, University of Massachusetts, technical
report 07-49), in the subset that the package scikit-image carries as `skimage.data.lfw_subset`; collected from news
sites for research, no licence for the photographs is stated with it. {n_train} to train on, drawn with seed {seed},
half of them faces; the others validate."""


def lfw(n_train: int = 20, seed: int = 0) -> Data:
    """Return faces and other things: few images, to fine-tune on.

    Read from the package scikit-image, which carries the file.

    Parameters
    ----------
    n_train : images to train on, 2 to 198, half of them faces (of an odd number, one less); the others validate.
    seed : decides which; the global random streams are neither read nor moved.

    Returns
    -------
    Data : X of N x 1 x 25 x 25, float32 in 0..1; y of N, int64: 0 something else, 1 a face.

    Raises
    ------
    TypeError, ValueError : a number is not a whole number or is out of its range.
    RuntimeError : scikit-image is not installed; says what to do.
    """
    n_train = check_integer("n_train", n_train, least=2, most=198)
    seed = check_integer("seed", seed, least=0)
    try:
        from skimage.data import lfw_subset
    except ImportError as error:
        raise RuntimeError(
            "lfw() reads its faces from the package scikit-image, which is not installed here: "
            "pip install scikit-image, and restart the kernel."
        ) from error
    X = torch.from_numpy(np.asarray(lfw_subset(), dtype=np.float32)[:, None])
    y = torch.arange(200).lt(100).long()
    random = np.random.default_rng(seed)
    faces, others = random.permutation(100), 100 + random.permutation(100)
    many = n_train // 2
    train = np.sort(np.concatenate([faces[:many], others[: n_train - many]]))
    valid = np.setdiff1d(np.arange(200), train)
    parts = [(X[rows].contiguous(), y[rows]) for rows in (train, valid)]
    about = " ".join(ABOUT.format(n_train=n_train, seed=seed).split())
    return Data("lfw", *parts, ("other", "face"), "multiclass", about)
