"""`findings()`: fourteen patterns that can be seen, as frequent and as entangled as they are said to be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dlwidgets.teaching import chest, findings
from dlwidgets.teaching.chest import PATTERNS, Anatomy, draw_healthy

NAMES = list(chest.FINDINGS)
#: The columns of ChestMNIST (medmnist), in its order.
CHESTMNIST = (
    "atelectasis cardiomegaly effusion infiltration mass nodule pneumonia pneumothorax consolidation edema "
    "emphysema fibrosis pleural hernia"
).split()


#: Spots, which may reach over the edge of a lung; a hernia lies between the lungs.
ROUND = ("mass", "nodule", "emphysema", "hernia")


def labels(n: int) -> np.ndarray:
    return chest.draw_labels(n, np.random.default_rng(0))


def painted(name: str, n: int = 48) -> tuple[Anatomy, np.ndarray, np.ndarray]:
    """Return n healthy bodies, their drawings, and what the pattern of one finding adds to each."""
    random = np.random.default_rng(5)
    chest = Anatomy.draw(64, random, big=np.zeros(n, np.float32), blown=np.zeros(n, np.float32))
    clear = draw_healthy(chest)
    return chest, clear, PATTERNS[name](clear.copy(), chest, random) - clear


def test_the_names_are_those_of_chestmnist_in_its_order():
    assert NAMES == CHESTMNIST
    assert findings(2, 1).classes == tuple(CHESTMNIST)


def test_every_finding_has_a_pattern():
    assert {*PATTERNS, "cardiomegaly"} == set(NAMES)  # the anatomy alone shows a wide heart


def test_the_paragraph_about_it_says_first_that_it_is_synthetic():
    assert findings(2, 1).about.startswith("SYNTHETIC, NOT MEDICAL")


def test_each_finding_is_as_frequent_as_the_list_says():
    n = 40_000
    share = labels(n).mean(0)
    wanted = np.array([finding.share for finding in chest.FINDINGS.values()])
    assert np.all(np.abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / n))


def test_hernia_is_rare_and_infiltration_is_common():
    share = findings(3000, 1, size=32).train[1].mean(0)
    assert share.argmin() == NAMES.index("hernia") and share[-1] < 0.03
    assert share.argmax() == NAMES.index("infiltration")


def test_no_cause_explains_more_of_a_finding_than_there_is():
    for finding in chest.FINDINGS.values():
        assert sum(part**2 for part in finding.causes.values()) <= 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("edema", "cardiomegaly"),
        ("effusion", "atelectasis"),
        ("pneumonia", "infiltration"),
        ("mass", "nodule"),
    ],
)
def test_findings_of_one_cause_come_together_more_often_than_by_chance(one, other):
    y = labels(40_000)
    a, b = y[:, NAMES.index(one)], y[:, NAMES.index(other)]
    assert (a & b).mean() > 1.5 * a.mean() * b.mean()


def test_findings_of_no_common_cause_come_together_as_chance_has_it():
    y = labels(40_000)
    a, b = y[:, NAMES.index("mass")], y[:, NAMES.index("edema")]
    expected = a.mean() * b.mean()
    assert abs((a & b).mean() - expected) < 4 * np.sqrt(expected / len(y))


def test_a_good_part_of_the_images_shows_nothing_and_some_show_three_or_more():
    count = labels(10_000).sum(1)
    assert 0.25 < (count == 0).mean() < 0.5
    assert 0.05 < (count >= 3).mean() < 0.3


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cardiomegaly"])
def test_each_pattern_can_be_seen_in_every_image_that_has_it(name):
    _, _, added = painted(name)
    assert np.abs(added).max((1, 2)).min() > 0.1


def test_an_enlarged_heart_is_seen_by_its_width():
    big = np.linspace(0, 1, 9, dtype=np.float32)
    chest = Anatomy.draw(64, np.random.default_rng(0), big=big, blown=np.zeros(9, np.float32))
    widths = (chest.heart_shape() > 0.5).any(1).sum(1)
    assert widths[-1] > 1.3 * widths[0]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ROUND and name != "cardiomegaly"])
def test_findings_of_the_lungs_stay_within_the_lungs(name):
    chest, _, added = painted(name)
    outside = 1 - np.maximum(chest.lung(-1.0), chest.lung(1.0))
    assert np.abs(added * (outside > 0.95)).max() < 0.05


def test_fluid_gathers_at_the_bottom_and_the_air_of_a_pneumothorax_does_not():
    rows = np.arange(64)

    def height(name: str) -> np.ndarray:
        _, _, added = painted(name)
        weight = np.abs(added).sum(2)
        return (weight * rows).sum(1) / weight.sum(1)

    assert height("effusion").min() > height("pneumothorax").max()


def test_a_pneumothorax_and_an_emphysema_are_darker_and_a_consolidation_is_brighter_than_lung():
    assert all(painted(name)[2].sum((1, 2)).max() < 0 for name in ("pneumothorax", "emphysema"))
    assert painted("consolidation")[2].sum((1, 2)).min() > 0


def test_a_mass_is_larger_than_a_nodule():
    area = {name: (painted(name)[2] > 0.15).sum((1, 2)) for name in ("mass", "nodule")}
    # Up to three nodules may be there, hence the medians.
    assert np.median(area["mass"]) > 2 * np.median(area["nodule"])


@pytest.mark.parametrize("size", [32, 48, 64, 128])
def test_any_size_shows_the_same_kind_of_picture(size):
    X, _ = findings(16, 4, size=size).train
    assert X.shape == (16, 1, size, size)
    assert X.min() >= 0 and X.max() <= 1
    corner = X[..., : size // 8, : size // 8]
    middle = X[..., size // 4 : -size // 4, size // 2 - 2 : size // 2 + 2]
    assert corner.mean() + 0.2 < middle.mean()


def test_more_validation_images_leave_the_training_images_as_they_are():
    assert torch.equal(findings(30, 5, size=32).train[0], findings(30, 50, size=32).train[0])


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"n_train": -3}, ValueError, "n_train is -3; give a whole number of at least 1"),
        ({"n_valid": "many"}, TypeError, "n_valid is 'many'; give a whole number"),
        ({"size": 16}, ValueError, "size is 16; give a whole number from 32 to 256"),
        ({"noise": 2}, ValueError, "noise is 2; give a standard deviation between 0 and 1"),
        ({"seed": None}, TypeError, "seed is None; give a whole number"),
    ],
)
def test_impossible_arguments_are_refused_with_one_sentence(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        findings(**arguments)
