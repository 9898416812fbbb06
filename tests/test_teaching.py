"""`teaching` as a room: cheap to enter, its data fit a session, its pictures and tables say what is there."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from dlwidgets import teaching
from dlwidgets.teaching import Data

MAKERS = {
    "collages": lambda seed: teaching.collages(60, 20, seed=seed),
    "findings": lambda seed: teaching.findings(40, 20, size=32, seed=seed),
    "sentences": lambda seed: teaching.sentences(60, 20, seed=seed),
    "yeast": lambda seed: teaching.yeast(seed=seed),
}


@pytest.fixture(scope="module", params=MAKERS)
def maker(request):
    if request.param == "yeast":
        pytest.importorskip("river", minversion="0.26")
    return MAKERS[request.param]


def small(**changes) -> Data:
    X, y = torch.zeros(4, 1, 8, 8), torch.tensor([[1, 0], [1, 1], [0, 0], [1, 0]], dtype=torch.float32)
    fields = dict(name="small", train=(X, y), valid=(X[:2], y[:2]), classes=("cat", "dog"), task="multilabel")
    return Data(**(fields | {"about": "Nothing."} | changes))


def test_entering_the_room_loads_none_of_what_is_in_it():
    code = (
        "import sys, dlwidgets.teaching as t; names = dir(t);"
        "print([m for m in ('torch', 'sklearn', 'river', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_every_public_name_can_be_taken_and_is_listed():
    assert set(teaching.__all__) <= set(dir(teaching))
    for name in teaching.__all__:
        assert callable(getattr(teaching, name))


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(AttributeError, match="no attribute 'mnist'; it has .*collages"):
        _ = teaching.mnist


def test_the_parts_are_tensors_in_the_shapes_that_a_session_takes(maker):
    data = maker(0)
    for X, y in (data.train, data.valid):
        assert X.dtype == y.dtype == (torch.float32 if data.task == "multilabel" else torch.int64)
        assert tuple(X.shape[1:]) == data.input_shape
        assert y.shape == ((len(X), len(data.classes)) if data.task == "multilabel" else (len(X),))
        assert torch.isfinite(X).all()
        assert set(y.unique().tolist()) == {*range(2 if data.task == "multilabel" else len(data.classes))}
        assert X.is_contiguous() and y.is_contiguous()
    assert len(set(data.classes)) == len(data.classes)


def test_the_same_seed_gives_the_same_data_and_another_seed_gives_others(maker):
    one, two, other = maker(3), maker(3), maker(4)
    for part in ("train", "valid"):
        for a, b in zip(getattr(one, part), getattr(two, part)):
            assert torch.equal(a, b)
        assert not torch.equal(getattr(one, part)[0], getattr(other, part)[0])


def test_the_global_random_streams_are_neither_read_nor_moved(maker):
    import random

    def position():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = position()
    one = maker(0)
    assert position() == before
    random.seed(2), np.random.seed(2), torch.manual_seed(2)
    assert torch.equal(one.train[0], maker(0).train[0])


def test_no_sample_is_in_both_parts(maker):
    data = maker(0)
    train = {sample.numpy().tobytes() for sample in data.train[0]}
    assert not train & {sample.numpy().tobytes() for sample in data.valid[0]}


def test_the_description_counts_each_class_in_each_part():
    table = small().describe()
    assert list(table.index) == ["cat", "dog"]
    assert table.train.tolist() == [3, 1] and table.train_share.tolist() == [0.75, 0.25]
    assert table.valid.tolist() == [2, 1] and table.valid_share.tolist() == [1.0, 0.5]


def test_the_description_counts_multiclass_and_binary_targets_too():
    X = torch.zeros(4, 3)
    whole = small(task="multiclass", train=(X, torch.tensor([0, 1, 1, 1])), valid=(X[:1], torch.tensor([1])))
    assert whole.describe().train.tolist() == [1, 3]
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    assert small(task="binary", train=(X, y), valid=(X, y)).describe().train.tolist() == [2, 2]


def test_the_representation_says_task_sizes_classes_and_source():
    said = repr(small(about="Drawn by nobody."))
    assert said.splitlines()[0] == "small: multilabel, 2 classes, 4 to train on, 2 to validate"
    assert "1×8×8 float32" in said and "cat, dog" in said and said.endswith("Drawn by nobody.")


def test_a_data_set_cannot_be_changed_by_accident():
    with pytest.raises(AttributeError):
        small().classes = ("a", "b")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"task": "guessing"}, r"task is 'guessing'; it must be one of multilabel, "),
        ({"train": (torch.zeros(3, 1, 8, 8), torch.zeros(2, 2))}, r"train has 3 inputs and 2 targets"),
        ({"classes": ("cat",)}, r"targets of shape \(4, 2\); 1 class names need N x 1"),
        ({"valid": (torch.zeros(2, 3), torch.zeros(2))}, r"valid has targets of shape \(2,\)"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_one_sentence(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        small(**changes)


def test_the_picture_of_images_shows_the_first_ones_over_the_names_of_their_classes():
    figure = small().figure(samples=3)
    drawn = [axis for axis in figure.axes if axis.images]
    assert [axis.texts[0].get_text() for axis in drawn] == ["cat", "cat, dog", "none"]


def test_the_picture_of_a_table_shows_how_frequent_each_class_is():
    figure = small(train=(torch.zeros(4, 3), small().train[1])).figure()
    (axis,) = figure.axes
    assert [bar.get_width() for bar in axis.patches] == [75, 25]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cat", "dog"]


def test_a_part_of_another_name_is_refused():
    with pytest.raises(ValueError, match="part is 'test'; it must be 'train' or 'valid'"):
        small().figure(part="test")
