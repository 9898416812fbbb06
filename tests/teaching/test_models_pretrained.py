"""The weights that come along: the published ones, described by their card, worth having; and how they are made."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import interpolate

from dlwidgets.teaching import FashionNet, models, pretrained

_SCRIPT = Path(__file__).parents[1] / "benchmarks" / "make_pretrained.py"
_SPEC = importlib.util.spec_from_file_location("make_pretrained", _SCRIPT)
pretraining = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(pretraining)
CARD = (models.WEIGHTS.parent / "README.md").read_text("utf-8")


@pytest.fixture
def clothes(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A folder with 256 and 100 made-up images and labels as gzipped IDX files, and what they hold."""
    random, held = np.random.default_rng(0), {}
    for part, number in (("train", 256), ("t10k", 100)):
        for name, shape in (("images-idx3", (number, 28, 28)), ("labels-idx1", (number,))):
            held[f"{part}-{name}"] = array = random.integers(0, 10, shape, dtype=np.uint8)
            head = bytes([0, 0, 8, array.ndim]) + np.array(shape, dtype=">i4").tobytes()
            (tmp_path / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return tmp_path, held


def test_a_card_says_of_the_weights_what_their_file_says():
    with safe_open(models.WEIGHTS, "pt") as file:
        facts = json.loads(file.metadata()["facts"])
    assert facts["data"] == "Fashion-MNIST" and models.SHA256 in CARD and "MIT" in CARD
    for line in (f"accuracy **{facts['accuracy']}**", f"{facts['epochs']} epochs", f"seed {facts['seed']}",
                 f"torch {facts['torch']}"):  # fmt: skip
        assert line in CARD
    assert models.WEIGHTS.stat().st_size < 500_000


def test_features_that_were_learnt_tell_digits_apart_better_than_random_ones():
    digits = load_digits(n_class=10)
    X = interpolate(torch.tensor(digits.images[:300, None] / 16, dtype=torch.float32), scale_factor=3)
    torch.manual_seed(0)

    def score(model: FashionNet) -> float:
        with torch.no_grad():
            features = model.eval().backbone(X).mean((2, 3)).numpy()
        probe = LogisticRegression(max_iter=200).fit(features[:100], digits.target[:100])
        return probe.score(features[100:], digits.target[100:300])

    assert score(pretrained()) > score(FashionNet()) + 0.1


def test_weights_are_given_in_eval_mode_and_twice_the_same():
    first, again = pretrained(), pretrained()
    assert not first.training
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values()))


def test_a_damaged_file_is_refused_with_one_sentence(monkeypatch, tmp_path):
    damaged = tmp_path / "fashion.safetensors"
    damaged.write_bytes(models.WEIGHTS.read_bytes()[:-1])
    monkeypatch.setattr(models, "WEIGHTS", damaged)
    with pytest.raises(RuntimeError, match="is damaged: .* is wanted. Install dlwidgets anew"):
        pretrained()


def test_a_part_is_read_as_the_format_says(clothes):
    folder, held = clothes
    X, y = pretraining.read_part(folder, "t10k")
    np.testing.assert_allclose(X[:, 0], held["t10k-images-idx3"] / 255, rtol=1e-6)
    np.testing.assert_array_equal(y, held["t10k-labels-idx1"])


def test_every_second_image_is_varied_and_the_others_only_moved():
    torch.manual_seed(0)
    images = torch.rand(64, 1, 28, 28)
    varied = pretraining.vary(images)
    assert varied.shape == images.shape and 0 <= varied.min() and varied.max() <= 1
    plain = [torch.equal(a.flatten().sort()[0], b.flatten().sort()[0]) for a, b in zip(images, varied)]
    assert plain == [True, False] * 32


@pytest.mark.slow
def test_the_script_writes_a_file_that_the_network_loads_twice_the_same(clothes, monkeypatch, tmp_path, capsys):
    written = []
    for file in (tmp_path / "one.safetensors", tmp_path / "two.safetensors"):
        monkeypatch.setattr(sys, "argv", ["pretraining", str(file), "--folder", str(clothes[0]), "--epochs", "1"])
        pretraining.main()
        written.append(file.read_bytes())
    assert written[0] == written[1] and "SHA-256" in capsys.readouterr().out
    FashionNet().load_state_dict(models.load(written[0]))
