"""Labels and scores of every awkward kind, for tests that compare with scikit-learn."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

import numpy as np
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

# Timings on a busy machine say nothing about the code.
varied = settings(deadline=None, max_examples=60)

# Few distinct values, so that ties among scores and with the threshold are common; some outside 0..1.
SCORES = st.one_of(
    st.sampled_from([0.0, -0.0, 0.1, 0.3, 0.5, 0.7, 1.0, -2.5, 40.0, 0.49975586]), st.floats(-5, 5, width=16)
)
# Bin edges of a calibration curve among them.
PROBABILITIES = st.one_of(
    st.sampled_from([0.0, -0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 1.0]), st.floats(0, 1, width=16)
)
THRESHOLDS = st.one_of(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0, -2.5, 1.5]), st.floats(-6, 6))


def told(y):
    """Say whether labels are told apart: where -1 stands beside 1 and there is no 0, Scores asks."""
    return {*np.unique(y)} != {-1, 1}


@st.composite
def labelled(draw, labels=(0, 1), dtypes=(np.float16, np.float32, np.float64), scores=SCORES, least=1):
    """Draw N x C labels and scores, columns of one label only included, and C thresholds."""
    n, c = draw(st.integers(1, 12)), draw(st.integers(least, 4))
    y = draw(hnp.arrays(np.int64, (n, c), elements=st.sampled_from(labels)))
    constant = draw(st.lists(st.sampled_from((None, *labels)), min_size=c, max_size=c))
    for column, value in enumerate(constant):
        if value is not None:
            y[:, column] = value
    assume(told(y))
    values = draw(hnp.arrays(np.float64, (n, c), elements=scores)).astype(draw(st.sampled_from(dtypes)))
    return y, values, np.array(draw(st.lists(THRESHOLDS, min_size=c, max_size=c)))


def said(scores, thresholds):
    """Return what is predicted, 0 or 1, compared in float64 as documented."""
    return (np.asarray(scores, np.float64) >= thresholds).astype(int)


@contextmanager
def quiet():
    """Let scikit-learn go without its warnings of undefined metrics."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
