"""What is said when Python ends with views still open: nothing of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
_VIEWS = ("Dashboard", "LayerTable", "TrainingPanel", "Curves", "ConfusionGrid", "ActivationBrowser")
_LEFT_OPEN = """
import torch, dlwidgets as dlw
X = torch.randn(40, 4)
y = (X[:, :3] > 0).float()
session = dlw.Session(torch.nn.Linear(4, 3), train=(X, y), valid=(X, y), classes=["a", "b", "c"])
views = [getattr(dlw, name)(session) for name in {names}]
{then}
"""


@pytest.mark.parametrize(
    ("names", "then"),
    [
        (_VIEWS, ""),
        pytest.param(("Dashboard",), "session.start()", marks=pytest.mark.slow),
        pytest.param(("Dashboard",), "session.fit(2, progress=False)", marks=pytest.mark.slow),
    ],
    ids=["nothing-run", "training", "trained"],
)
def test_python_ends_in_silence_with_views_left_open(tmp_path, names, then):
    done = subprocess.run(
        [sys.executable, "-c", _LEFT_OPEN.format(names=names, then=then)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = done.stderr.splitlines()
    # Of the run that was broken off, and of nothing else.
    assert done.returncode == 0
    assert len(said) == (then == "session.start()") and all(line.startswith("dlwidgets: Python") for line in said)
