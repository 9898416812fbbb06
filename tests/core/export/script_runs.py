"""Runs to be written as scripts, which are run in one process that never sees the package."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import torch
from torch import nn

from dlwidgets.session import Session

COUNT, SIZE = 50, 16  # batches of 16, 16, 16, 2
X = torch.randn(COUNT, 12, generator=torch.Generator().manual_seed(1))
Y = {
    "multilabel": (torch.rand(COUNT, 4, generator=torch.Generator().manual_seed(2)) > 0.5).long(),
    "multiclass": torch.arange(COUNT) % 4,
    "regression": torch.randn(COUNT, 4, generator=torch.Generator().manual_seed(3)),
}


def net():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))


def session(task="multiclass", *, model=None, data=None, **options):
    torch.rand(3)  # the global random numbers are somewhere: the seed alone decides
    model, data = model or net(), (X, Y[task or "multiclass"]) if data is None else data
    options = {"batch_size": SIZE, "epochs": 3, "threads": 1, "seed": 3, "task": task, **options}
    return Session(model, data, **options)


_ALONE = """
import json, runpy, sys, traceback
from pathlib import Path

failed = {}
for path in map(Path, json.loads(sys.argv[1])):
    try:
        runpy.run_path(str(path), run_name="__main__")
    except BaseException:
        failed[path.stem] = traceback.format_exc()
    if any(name.partition(".")[0] == "dlwidgets" for name in sys.modules):
        failed[path.stem] = "it imported dlwidgets"
    if "keras" in sys.modules:  # which numbers the layers of a process
        sys.modules["keras"].utils.clear_session()
print("FAILED" + json.dumps(failed))
"""


def run_alone(paths: list[Path], folder: Path) -> dict[str, str]:
    """Run scripts one after the other in a process of their own; return what went wrong, by name."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", _ALONE, json.dumps([str(path) for path in paths])],
        capture_output=True, text=True, cwd=folder, timeout=240, check=False,
    )  # fmt: skip
    assert "FAILED" in done.stdout, done.stderr
    return json.loads(done.stdout.rpartition("FAILED")[2])


class Runs(dict):
    """Runs that are written and compared: name -> a function that returns the trained session."""

    def add(self, make):
        """Name a function as one of them."""
        self[make.__name__] = make
        return make

    def write(self, folder: Path) -> tuple[Path, dict, dict[str, str]]:
        """Write all and run them; return the folder, the sessions, and what went wrong, by name."""
        sessions, failed, paths = {}, {}, []
        for name, make in self.items():
            try:
                sessions[name] = make()
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    paths.append(sessions[name].to_script(folder / f"{name}.py"))
            except Exception:  # noqa: BLE001 - it is told by the test of that name
                failed[name] = traceback.format_exc()
        return folder, sessions, failed | run_alone(paths, folder)


def differing(session, weights: Path) -> list[str]:
    """Return the names of what a script's weights differ in, by a single bit."""
    ours, theirs = session.model.state_dict(), torch.load(weights, weights_only=True)
    assert ours.keys() == theirs.keys()
    return [name for name in ours if not torch.equal(ours[name], theirs[name])]


def check_weights(done, name: str) -> None:
    """Assert that a script of `Runs.write` ran, and gave the weights of its run bit for bit."""
    folder, sessions, failed = done
    assert name not in failed, failed[name]
    differ = differing(sessions[name], folder / f"{name}.weights.pt")
    assert differ == [], differ
