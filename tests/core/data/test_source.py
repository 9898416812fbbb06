"""What people hand over as data: the forms that are understood, and a sentence for those that are not."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from dlwidgets.core.data.source import Rows, read_data, read_inputs, split_data

X, y = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
FRAME = pd.DataFrame(
    {"a": [1.0, 2.0, 3.0], "b": [4, 5, 6], "on": [True, False, True], "kind": ["x", "y", "x"]}
)


@pytest.mark.parametrize(
    "given",
    [
        (X, y), [X, y], (X.numpy(), y.numpy()), (X.tolist(), y.tolist()), (X, pd.Series(y.numpy())),
        (pd.DataFrame(X.numpy()), y), TensorDataset(X, y), (list(X), y), (X.numpy(), list(y.numpy())),
    ],
    ids=[
        "tensors", "a list of two", "arrays", "lists", "a series", "a frame", "a tensor dataset", "a list of samples",
        "numpy numbers",
    ],
)  # fmt: skip
def test_pairs_of_many_kinds_are_the_same_rows(given):
    rows = read_data(given)
    assert torch.equal(rows.inputs.float(), X)
    assert torch.equal(rows.targets, y)
    assert rows.targets.dtype == torch.int64


def test_several_inputs_are_a_tuple_or_a_dict():
    rows = read_data(((X, X[:, :1]), y))
    assert [part.shape for part in rows.inputs] == [(6, 3), (6, 1)]
    rows = read_data(({"left": X, "right": X.numpy()}, y))
    assert list(rows.inputs) == ["left", "right"]
    inputs, targets = rows.take(torch.tensor([4, 0]))
    assert torch.equal(inputs["right"], X[[4, 0]])
    assert targets.tolist() == [1, 0]


def test_a_dict_of_columns_with_a_target_is_rows():
    rows = read_data({"x": X, "label": y}, target="label")
    assert list(rows.inputs) == ["x"]
    assert torch.equal(rows.targets, y)


def test_a_frame_is_its_columns_without_the_target():
    rows = read_data(FRAME, target="kind")
    assert rows.columns == ("a", "b", "on")
    np.testing.assert_array_equal(rows.inputs.numpy(), FRAME[["a", "b", "on"]].to_numpy(float))
    assert (rows.classes, rows.targets.tolist(), rows.named) == (("x", "y"), [0, 1, 0], True)


def test_several_target_columns_name_the_classes():
    rows = read_data(FRAME[["a", "b", "on"]], target=["b", "on"])
    assert (rows.classes, rows.columns) == (("b", "on"), ("a",))
    assert rows.targets.tolist() == [[4, 1], [5, 0], [6, 1]]


def test_the_validation_frame_has_the_columns_of_the_training_frame_in_their_order():
    rows = read_data(FRAME, target="kind")
    mixed = FRAME[["on", "kind", "b", "a"]].assign(extra=1.0)
    valid = read_data(mixed, target="kind", like=rows)
    assert torch.equal(valid.inputs, rows.inputs)
    with pytest.raises(ValueError, match="valid lacks the column 'b', which train has"):
        read_data(FRAME.drop(columns="b"), name="valid", target="kind", like=rows)


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "Float64", "category"])
def test_pandas_types_that_may_be_missing_are_numbers(dtype):
    series = pd.Series([0, 1, 1, 0], dtype=dtype)
    rows = read_data((X[:4], series))
    assert rows.targets.float().tolist() == [0, 1, 1, 0]
    assert rows.classes is None


@pytest.mark.parametrize(
    "wrap",
    [list, np.array, lambda w: np.array(w, object), pd.Series, lambda w: pd.Series(w, dtype="category")],
)
def test_names_become_numbers_as_in_scikit_learns_label_encoder(wrap):
    from sklearn.preprocessing import LabelEncoder

    words = ["dog", "cat", "dog", "ape", "cat", "ape"]
    encoder = LabelEncoder().fit(words)
    rows = read_data((X, wrap(words)))
    assert rows.targets.tolist() == encoder.transform(words).tolist()
    assert rows.classes == tuple(encoder.classes_)


def test_given_classes_number_the_names_in_their_order():
    rows = read_data((X, ["dog", "cat"] * 3), classes=["dog", "ape", "cat"])
    assert rows.targets.tolist() == [0, 2] * 3
    assert rows.classes == ("dog", "ape", "cat")
    valid = read_data((X[:1], ["cat"]), name="valid", like=rows)
    assert valid.targets.tolist() == [2]


def test_datasets_loaders_and_iterables_stay_what_they_are():
    class Three(IterableDataset):
        def __iter__(self):
            return iter([1, 2, 3])

    class Duck:
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return X[i], y[i]

    for given in (
        DataLoader(TensorDataset(X, y)),
        Three(),
        Duck(),
        [(X, y)],
        ((X, y) for _ in range(2)),
        TensorDataset(X, X, y),
    ):
        assert read_data(given) is given


class Empty(Dataset):
    def __len__(self):
        return 0

    def __getitem__(self, i):
        raise IndexError


@pytest.mark.parametrize(
    ("given", "options", "sentence"),
    [
        (None, {}, "There is no data: pass train=(X, y), a DataFrame, a Dataset or a DataLoader."),
        (X, {}, "train is one Tensor of shape (6, 3): targets are missing. Pass train=(X, y)."),
        (X.numpy(), {}, "train is one ndarray of shape (6, 3): targets are missing. Pass train=(X, y)."),
        ((X, X, y), {}, "train has 3 parts: pass train=(X, y), with several inputs as X=(X1, X2)."),
        ((X, None), {}, "train has no targets (None): pass train=(X, y)."),
        ((X, y[:5]), {}, "train has 6 inputs but 5 targets: X and y must have one row for each sample."),
        (((X, X[:4]), y), {}, "train has 4 and 6 inputs but 6 targets: X and y must have one row for each sample."),
        ((X[:0], y[:0]), {}, "train is empty: it has no samples."),
        (Empty(), {}, "train is empty: it has no samples."),
        (DataLoader(Empty()), {}, "train is empty: it has no samples."),
        ([], {}, "train is empty: it has no batches."),
        ((X, 3), {}, "train has targets without a sample axis: a single number."),
        ((3.0, y), {}, "the X of train has no sample axis: it is a single number."),
        ("data.csv", {}, "train is of type str, which is none of: (X, y) of tensors or arrays, a DataFrame with target=..., a Dataset, a DataLoader, an iterable of batches."),
        (7, {}, "train is of type int, which is none of: (X, y) of tensors or arrays, a DataFrame with target=..., a Dataset, a DataLoader, an iterable of batches."),
        ({"x": X, "y": y}, {}, "train is a dict with 'x', 'y': say which entry is to be predicted, as target=..., or pass train=(X, y)."),
        ((X, y), {"target": "kind"}, "target='kind' is for a DataFrame or dicts: train=(X, y) says itself what y is."),
        ((np.array([["a"]] * 6), y), {}, "the X of train cannot be made a tensor: it holds texts, and numbers are wanted."),
        (([torch.zeros(2), torch.zeros(3)], y[:2]), {}, "the X of train is a list of tensors of different shapes, as (2,) and (3,): make them equal."),
        ((X[:3], [[0.5], [1.5, 2.0], []]), {}, "the y of train cannot be read as an array of numbers: it has lists of unequal length, that hold 0.5. Lists of labels name each label of a sample once; other rows need to be of equal length (padded)."),
        ((X[:2], [[1, 1], [0, 2, 1]]), {}, "the y of train cannot be read as an array of numbers: it has lists of unequal length, one of which has a label twice."),
        ((X[:2], np.array([["a", "b"], ["c", "d"]])), {}, "the y of train holds texts in shape (2, 2): names of classes are wanted as N names, one a sample, or as a list of names for each sample."),
        ((X[:2], ["a", "z"]), {"classes": ["a", "b"]}, "the y of train holds 'z', which is none of the classes 'a', 'b': 1 of 2 labels fits no class."),
        (FRAME, {}, 'train is a DataFrame: say which column is to be predicted, as target="kind".'),
        (FRAME, {"target": "sort"}, "target 'sort' is not a column of train, which has 'a', 'b', 'on', 'kind'."),
        (FRAME, {"target": "a"}, "train has columns that are not numbers: 'kind'. Encode them (pandas.get_dummies) or leave them out."),
        (FRAME[["kind"]], {"target": "kind"}, "train has no columns besides the target."),
        ((FRAME, y[:3]), {}, "the X of train has columns that are not numbers: 'kind'. Encode them (pandas.get_dummies) or leave them out."),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_a_sentence(given, options, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        read_data(given, **options)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value).removeprefix(sentence) or "numpy" in sentence


def test_a_share_is_held_out_and_both_parts_are_all():
    rows = Rows(torch.arange(10), torch.arange(10), classes=("a",), columns=("n",), named=True)
    train, valid = split_data(rows, 0.3, seed=1)
    assert (len(train), len(valid)) == (7, 3)
    assert sorted(train.inputs.tolist() + valid.inputs.tolist()) == list(range(10))
    assert torch.equal(train.inputs, train.targets)
    assert (train.classes, train.columns, valid.named) == (("a",), ("n",), True)
    again = split_data(rows, 0.3, seed=1)
    assert torch.equal(valid.inputs, again[1].inputs)
    assert not torch.equal(valid.inputs, split_data(rows, 0.3, seed=2)[1].inputs)


def test_a_dataset_is_split_too():
    train, valid = split_data(TensorDataset(torch.arange(10), torch.arange(10)), 0.5, seed=0)
    assert sorted(int(part[i][0]) for part in (train, valid) for i in range(5)) == list(range(10))


@pytest.mark.parametrize(
    ("rows", "share", "sentence"),
    [
        (Rows(X, y), 20, "valid=20: as a number it is the share of train to hold out, between 0 and 1."),
        (Rows(X, y), 0.05, "valid=0.05 of 6 samples leaves one part empty."),
        (DataLoader(TensorDataset(X, y)), 0.2, "valid as a share needs (X, y), a DataFrame or a Dataset; pass valid data of its own."),
        ([(X, y)], 0.2, "valid as a share needs (X, y), a DataFrame or a Dataset; pass valid data of its own."),
    ],
)  # fmt: skip
def test_a_share_that_cannot_be_held_out_is_refused(rows, share, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        split_data(rows, share, seed=0)
    assert str(caught.value) == sentence


def test_arrays_that_may_not_be_written_are_copied_without_a_warning(recwarn):
    array = np.zeros((4, 2), np.float32)
    array.setflags(write=False)
    assert read_inputs(array, "X").shape == (4, 2)
    assert not recwarn.list


def test_arrays_with_negative_strides_are_read():
    assert torch.equal(read_inputs(X.numpy()[::-1], "X"), X.flip(0))


@pytest.mark.parametrize(
    "made",
    [
        torch.randn(20), torch.randn(20, 1), torch.randn(20, 1, 8, 8), torch.randn(20, 3, 1, 1), torch.randn(20, 0, 4),
        torch.randn(20, 3, 8, 8).to(memory_format=torch.channels_last),
        # One channel: is_contiguous() holds for both, and a convolution rounds by the strides.
        torch.randn(20, 8, 8, 1).permute(0, 3, 1, 2), torch.randn(8, 20, 3).transpose(0, 1),
        torch.randn(20, 6)[:, ::2], torch.randn(20, 1).expand(20, 5), torch.randn(20, 3) > 0,
        torch.randn(20, 3, dtype=torch.complex64), torch.randn(20, 3).bfloat16(),
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)} {tuple(tensor.stride())} {tensor.dtype}",
)  # fmt: skip
def test_rows_are_those_that_indexing_gives_strides_and_all(made):
    rows, index = Rows(made, torch.arange(20)), torch.randperm(20)[:7]
    for some in (index, index[:1], slice(2, 9)):
        inputs, targets = rows.take(some)
        assert torch.equal(inputs, made[some]) and torch.equal(targets, rows.targets[some])
        assert inputs.stride() == made[some].stride() and inputs.dtype == made.dtype
    assert rows.take(index[:0])[0].shape == made[:0].shape
