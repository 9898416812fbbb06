"""`findings()`: synthetic chest-like images with fourteen findings; for lessons, not for medicine."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch

from .checks import check_integer
from .data import Data

ABOUT = """SYNTHETIC, NOT MEDICAL: {size}×{size} drawings that only resemble chest radiographs, generated from
seed {seed}; nobody's body, no diagnosis, and a model trained on them knows nothing about patients. The
fourteen names are those of the NIH ChestX-ray14 list; each stands for a pattern of its own (place, shape,
texture). As in the real list, most images show few findings or none, some findings are rare, some come
together (edema with cardiomegaly, effusion with atelectasis), and infiltration, pneumonia and consolidation
are made hard to tell apart. The two parts are independent draws. Part of dlwidgets, same licence
(BSD-3-Clause)."""


@dataclass(frozen=True)
class Finding:
    """The share of a finding, and its hidden causes (0..1 each)."""

    share: float
    causes: dict[str, float]


#: In the order of ChestMNIST's columns. As in NIH ChestX-ray14 (Wang et al. 2017, CVPR), infiltration is
#: commonest and hernia rarest; the rare ones are raised, so that each class has examples to learn from.
FINDINGS: dict[str, Finding] = {
    "atelectasis": Finding(0.14, {"fluid": 0.5}),
    "cardiomegaly": Finding(0.08, {"heart": 0.7}),
    "effusion": Finding(0.16, {"fluid": 0.6, "heart": 0.5}),
    "infiltration": Finding(0.20, {"infection": 0.6}),
    "mass": Finding(0.08, {"tumour": 0.6}),
    "nodule": Finding(0.10, {"tumour": 0.6}),
    "pneumonia": Finding(0.06, {"infection": 0.7}),
    "pneumothorax": Finding(0.08, {"airway": 0.5}),
    "consolidation": Finding(0.10, {"infection": 0.6, "fluid": 0.3}),
    "edema": Finding(0.06, {"heart": 0.8}),
    "emphysema": Finding(0.06, {"airway": 0.7}),
    "fibrosis": Finding(0.05, {"airway": 0.4, "scar": 0.5}),
    "pleural": Finding(0.07, {"scar": 0.6}),
    "hernia": Finding(0.015, {}),
}


def findings(
    n_train: int = 3000, n_valid: int = 1000, size: int = 64, seed: int = 0, noise: float = 0.04
) -> Data:
    """Draw synthetic chest-like images with fourteen findings. Not medical data.

    Made for what `collages()` cannot show: rare classes, classes that come together, classes that resemble
    one another, and so different thresholds and different mistakes for each class.

    Parameters
    ----------
    n_train, n_valid : images in each part.
    size : height and width in pixels, 32 to 256.
    seed : the same seed gives the same images; the global random streams are neither read nor moved.
    noise : standard deviation of the grain, where 1 is the range from black to white.

    Returns
    -------
    Data
        X of N x 1 x size x size, float32 in 0..1; y of N x 14, float32; classes as in ChestMNIST.

    Raises
    ------
    TypeError, ValueError
        Where a number is not a whole number or is out of its range.
    """
    n_train = check_integer("n_train", n_train, least=1)
    n_valid = check_integer("n_valid", n_valid, least=1)
    size = check_integer("size", size, least=32, most=256)
    seed = check_integer("seed", seed, least=0)
    if not 0 <= noise <= 1:
        raise ValueError(f"noise is {noise}; give a standard deviation between 0 and 1.")
    from .radiograph import draw_radiographs

    parts = []
    for stream, n in enumerate((n_train, n_valid)):
        random = np.random.default_rng([seed, stream])
        y = draw_labels(n, random)
        X = draw_radiographs(y, size, noise, random)
        parts.append((torch.from_numpy(X[:, None]), torch.from_numpy(y.astype(np.float32))))
    about = " ".join(ABOUT.format(size=size, seed=seed).split())
    return Data("findings", *parts, tuple(FINDINGS), "multilabel", about)


def draw_labels(n: int, random: np.random.Generator) -> np.ndarray:
    """Draw n x 14 booleans with the shares of FINDINGS, correlated.

    A Gaussian copula: each finding is a standard normal variable that passes its quantile; the part that a
    cause explains is shared with the other findings of that cause. The shares come out exact, whatever the
    causes.
    """
    causes = sorted({cause for finding in FINDINGS.values() for cause in finding.causes})
    loadings = np.array(
        [[finding.causes.get(cause, 0.0) for cause in causes] for finding in FINDINGS.values()]
    )
    own = np.sqrt(1 - (loadings**2).sum(1))
    hidden = random.standard_normal((n, len(causes))) @ loadings.T
    hidden += own * random.standard_normal((n, len(FINDINGS)))
    limits = np.array([NormalDist().inv_cdf(1 - finding.share) for finding in FINDINGS.values()])
    return hidden > limits
