"""A run that went on from a checkpoint is written as a script from its very beginning, bit for bit."""

from __future__ import annotations

import warnings
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dlwidgets.core.base.state import same_state
from dlwidgets.core.training.snapshots.origin import read_origin, write_origin
from dlwidgets.session import Session
from tests.core.export.script_runs import Runs, X, Y, check_weights, differing, net, run_alone

TARGETS = Y["multiclass"]


class Own(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.inside = nn.Linear(12, width)
        self.outside = nn.Linear(width, 4)

    def forward(self, x):
        return self.outside(torch.relu(self.inside(x)))


def loader():
    return DataLoader(TensorDataset(X, TARGETS), 16, shuffle=True, generator=torch.Generator().manual_seed(4))


def moved(parameters):
    """Return an optimizer that has moved weights before."""
    made = torch.optim.Adam(parameters, lr=0.01)
    for group in made.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    made.step()
    made.zero_grad()
    return made


#: name -> options, what is changed before the checkpoint, and after it.
RUNS = {
    "plain": ({}, lambda s: None, lambda s: None),
    "changed": (
        {"optimizer": ("sgd", {"momentum": 0.9}), "lr": 0.1},
        lambda s: (setattr(s, "lr", 0.03), setattr(s, "batch_size", 8), setattr(s, "clip", 0.5)),
        lambda s: (setattr(s, "clip", ("value", 0.01)), setattr(s, "weight_decay", 0.1)),
    ),
    "frozen": ({}, lambda s: s.freeze("0", "1"), lambda s: s.unfreeze("0")),
    "scheduled": (
        {"schedule": "one-cycle"}, lambda s: setattr(s, "lr", 0.002), lambda s: setattr(s, "lr", 0.001),
    ),
    "swapped": (
        {"schedule": "cosine"},
        lambda s: setattr(s, "optimizer", "sgd"), lambda s: setattr(s, "optimizer", "adam"),
    ),
    "by a plateau": (
        {"schedule": ("plateau", {"patience": 0, "metric": "accuracy"}), "valid": (X, TARGETS), "lr": 0.3},
        lambda s: None, lambda s: None,
    ),
    "regimen": (
        {"accumulate": 2, "dropout": 0.5, "label_smoothing": 0.1, "normalise": "max_norm", "ema": 0.9},
        lambda s: setattr(s, "dropout", 0.1), lambda s: setattr(s, "accumulate", 1),
    ),
    "split": ({"normalise": {"0": "weight_norm"}}, lambda s: None, lambda s: None),
    "from a loader": (
        {"train": loader, "batch_size": None}, lambda s: None, lambda s: setattr(s, "lr", 0.01),
    ),
    "another seed": ({"seed": 11}, lambda s: None, lambda s: None),
    "own model": ({"model": Own}, lambda s: None, lambda s: None),
    "moved before": ({"optimizer": moved}, lambda s: None, lambda s: setattr(s, "lr", 0.002)),
    "rewound": ({}, lambda s: (s.step(3), s.rewind(4), setattr(s, "lr", 0.1)), lambda s: s.rewind(8)),
}  # fmt: skip


def options(name):
    given = {"batch_size": 16, "epochs": 4, "threads": 1, "seed": 3, **RUNS[name][0]}
    model, train = given.pop("model", net), given.pop("train", lambda: (X, TARGETS))
    torch.manual_seed(7)
    return model(), train(), given


def begun(name, folder):
    model, train, given = options(name)
    made = Session(model, train, checkpoint_dir=folder, **given)
    made.step(5)
    RUNS[name][1](made)
    made.step(3)
    made.save_checkpoint()
    made.close()
    return made


def gone_on(name, folder, **more):
    model, train, given = options(name)
    if name == "another seed":
        given["seed"] = 0  # what is given now is not what counts
    if name == "swapped":
        given["optimizer"] = "sgd"  # that of the checkpoint
    made = Session.from_checkpoint(folder, model, train, **{**given, **more})
    made.step(2)
    RUNS[name][2](made)
    made.resume()
    made.wait()
    made._run.raise_failure()
    return made


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")

    def make(name):
        begun(name, folder / name)
        return gone_on(name, folder / name)

    return Runs({name: partial(make, name) for name in RUNS}).write(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_script_of_a_run_that_went_on_gives_its_weights_bit_for_bit(done, name):
    check_weights(done, name)


@pytest.mark.slow
def test_it_may_be_gone_on_with_several_times_also_in_another_folder(tmp_path):
    begun("plain", tmp_path / "one")
    model, train, given = options("plain")
    given["checkpoint_dir"] = tmp_path / "two"
    second = Session.from_checkpoint(tmp_path / "one", model, train, **given)
    second.step(2)
    second.save_checkpoint()
    second.close()
    third = gone_on("plain", tmp_path / "two")
    third.to_script(tmp_path / "run.py")
    assert run_alone([tmp_path / "run.py"], tmp_path) == {}
    assert differing(third, tmp_path / "run.weights.pt") == []


def test_where_it_began_is_written_once_and_kept_beside_the_checkpoints(tmp_path):
    model, train, given = options("plain")
    made = Session(model, train, checkpoint_dir=tmp_path, **given)
    written = []
    for _ in range(4):
        made.step()
        made.save_checkpoint()
        written.append({file.name: file.stat().st_mtime_ns for file in tmp_path.glob("origin-*")})
    assert len(written[0]) == 2 and all(one == written[0] for one in written)
    size = sum(t.nbytes for t in model.state_dict().values())
    assert next(tmp_path.glob("origin-*.safetensors")).stat().st_size < size + 4096


def test_an_origin_read_back_is_the_one_that_was_written(tmp_path):
    for name in ("plain", "scheduled", "moved before", "split", "from a loader"):
        model, train, given = options(name)
        made = Session(model, train, **given).step(1)
        origin, loop = made._run.origin, made._run.loop
        other, seed = read_origin(tmp_path, write_origin(origin, 5, tmp_path), loop)
        assert seed == 5
        assert (other.structure, other.kind, other.began) == (origin.structure, origin.kind, origin.began)
        for part in ("weights", "state", "groups", "generator", "dropouts", "names", "split", "cycled"):
            assert same_state(getattr(other, part), getattr(origin, part)), part
        assert (other.schedule, other.asked_schedule) == (origin.schedule, origin.asked_schedule)


def test_a_run_that_began_with_what_no_file_can_hold_is_refused_in_a_sentence(tmp_path):
    model, train, given = options("plain")
    make = lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1)  # noqa: E731
    made = Session(model, train, schedule=make, checkpoint_dir=tmp_path, **given).step(2)
    made.save_checkpoint().close()
    model, train, given = options("plain")
    other = Session.from_checkpoint(tmp_path, model, train, schedule=make, **given).step(1)
    with pytest.raises(ValueError, match="Where this run began is not known: .*no file can hold"):
        other.to_script(tmp_path / "run.py")


def test_an_origin_that_is_damaged_or_missing_hinders_nothing_but_the_script(tmp_path):
    for name, harm in {
        "gone": lambda file: file.unlink(), "cut": lambda file: file.write_bytes(file.read_bytes()[:-3])
    }.items():  # fmt: skip
        for which in ("json", "safetensors"):
            folder = tmp_path / f"{name} {which}"
            begun("plain", folder)
            harm(next(folder.glob(f"origin-*.{which}")))
            made = gone_on("plain", folder)
            with pytest.raises(ValueError, match="Where this run began is not known"):
                made.to_script(tmp_path / "run.py")


def test_checkpoints_of_before_go_on_without_a_script(tmp_path, monkeypatch):
    from dlwidgets.core.training.snapshots.origin import OriginWriter

    with monkeypatch.context() as patched:
        patched.setattr(OriginWriter, "write_once", lambda self, origin, seed, folder: None)
        begun("plain", tmp_path)
    made = gone_on("plain", tmp_path)
    with pytest.raises(ValueError, match="did not begin this run"):
        made.to_script(tmp_path / "run.py")


def test_a_model_of_another_class_has_a_marked_place(tmp_path):
    begun("own model", tmp_path)

    class Other(Own):
        def __init__(self):
            super().__init__(8)
            self.unknown = object()

    _, train, given = options("own model")
    made = Session.from_checkpoint(tmp_path, Other(), train, **given).step(1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        text = made.to_script(tmp_path / "run.py").read_text()
    assert "make_model" in text and any("make_model" in str(one.message) for one in said)
