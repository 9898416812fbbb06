"""`yeast()`: measurements of 2,417 yeast genes with fourteen functional classes."""

from __future__ import annotations

import numpy as np
import torch

from .data import Data, check_integer

FEATURES = tuple(f"Att{i}" for i in range(1, 104))

#: The file calls them so; which functional category stands behind which number it does not say.
CLASSES = tuple(f"Class{i}" for i in range(1, 15))

ABOUT = """2,417 genes of baker's yeast, each described by 103 numbers (micro-array expression and
phylogenetic profiles) and labelled with one or more of 14 functional classes of proteins. Real data: A.
Elisseeff and J. Weston, "A kernel method for multi-labelled classification", NeurIPS 2001, in the version of
the MULAN library (OpenML 40597), read from {source}; no licence for the data is stated with it. The classes
are numbered because the file does not say which category is which. Split at random with seed {seed}; every
feature is scaled to mean 0 and standard deviation 1 over the {n_train:,} training genes."""


def yeast(n_valid: int = 917, seed: int = 0) -> Data:
    """Return the yeast genes: 103 features, 14 labels, real and hard.

    Made for the limits of accuracy: Class12 and Class13 belong to three genes in four, Class14 to one in
    seventy, and a network that never predicts a rare class still looks good on average.

    Read from the package `river` (0.26 or later), which carries the file; without it, from OpenML over the
    internet (scikit-learn keeps a copy for the next time).

    Parameters
    ----------
    n_valid : genes to validate on, the others train; 917 is the size of the paper's own test set.
    seed : decides the split; the global random streams are neither read nor moved.

    Returns
    -------
    Data : X of N x 103 float32, y of N x 14 float32.

    Raises
    ------
    ValueError : n_valid leaves nothing to train or to validate on.
    RuntimeError : neither river nor OpenML can be had.
    """
    n_valid = check_integer("n_valid", n_valid, least=1, most=2416)
    seed = check_integer("seed", seed, least=0)
    X, y, source = _read()
    order = np.random.default_rng(seed).permutation(len(X))
    valid, train = np.sort(order[:n_valid]), np.sort(order[n_valid:])
    mean, spread = X[train].mean(0), X[train].std(0)
    # A feature that never varies in a tiny training part carries nothing: it stays 0, never 0 / 0.
    scaled = (X - mean) / np.where(spread > 0, spread, 1)
    parts = [
        (torch.from_numpy(scaled[rows].astype(np.float32)), torch.from_numpy(y[rows].astype(np.float32)))
        for rows in (train, valid)
    ]
    about = " ".join(ABOUT.format(source=source, seed=seed, n_train=len(train)).split())
    return Data("yeast", *parts, CLASSES, "multilabel", about)


def _read() -> tuple[np.ndarray, np.ndarray, str]:
    """Read 2417 x 103 float64, 2417 x 14 booleans, and their origin."""
    try:
        from river.datasets import Yeast
    except ImportError:
        pass
    else:
        samples, labels = zip(*Yeast(), strict=True)
        X = np.array([[sample[name] for name in FEATURES] for sample in samples])
        return X, np.array([[label[name] for name in CLASSES] for label in labels]), "the package river"
    from sklearn.datasets import fetch_openml

    try:
        bunch = fetch_openml(data_id=40597, as_frame=True)
    except Exception as error:  # whatever the network, the cache or the server may raise
        raise RuntimeError(
            "yeast() needs the package river from version 0.26 (pip install 'river>=0.26'), or the internet: "
            f"river's copy was not found, and OpenML could not be read ({type(error).__name__}: {error})."
        ) from error
    X = bunch.data[list(FEATURES)].to_numpy(dtype=np.float64)
    return X, bunch.target[list(CLASSES)].to_numpy() == "TRUE", "OpenML"
