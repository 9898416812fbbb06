"""summary() of a model whose forward fails: the table up to there, the layer, both shapes, the cause."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import dlwidgets as dlw


def flat(features: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Linear(features, 10))


#: What is wrong -> (model, input, failing layer, what the sentence must say).
MISFITS = {
    "a flatten is missing": (
        flat(8 * 26 * 26),
        (2, 1, 28, 28),
        "2",
        ["5,408", "2×8×26×26", "nn.Flatten() is missing"],
    ),
    "a flatten is missing, and the number is wrong": (
        flat(700),
        (2, 1, 28, 28),
        "2",
        ["in_features=5408", "nn.Flatten()"],
    ),
    "maps are not pooled": (flat(8), (2, 1, 28, 28), "2", ["nn.AdaptiveAvgPool2d(1)"]),
    "in_features": (
        nn.Sequential(nn.Flatten(), nn.Linear(700, 10)),
        (2, 1, 28, 28),
        "1",
        ["700", "2×784", "in_features=784"],
    ),
    "in_channels": (
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(4, 4, 3)),
        (2, 1, 9, 9),
        "1",
        ["N×4×H×W", "2×8×7×7", "in_channels=8"],
    ),
    "channels last": (
        nn.Sequential(nn.Conv2d(3, 8, 3)),
        (2, 32, 30, 3),
        "0",
        ["channels come last", "x.permute(0, 3, 1, 2)"],
    ),
    "channels last, no batch": (
        nn.Sequential(nn.Conv2d(3, 8, 3)),
        (32, 30, 3),
        "0",
        ["channels come last", "movedim"],
    ),
    "the channel axis is missing": (nn.Sequential(nn.Conv2d(1, 8, 3)), (5, 28, 28), "0", ["x.unsqueeze(1)"]),
    "flattened too early": (
        nn.Sequential(nn.Flatten(), nn.Conv2d(1, 8, 3)),
        (5, 1, 28, 28),
        "1",
        ["before the flattening"],
    ),
    "too many axes": (
        nn.Sequential(nn.Conv1d(1, 8, 3)),
        (5, 1, 28, 28),
        "0",
        ["N×1×L", "4 axes instead of 3"],
    ),
    "num_features": (
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(4)),
        (2, 1, 9, 9),
        "1",
        ["4 channels", "num_features=8"],
    ),
    "the wrong BatchNorm": (nn.Sequential(nn.BatchNorm1d(3)), (2, 3, 9, 9), "0", ["BatchNorm2d is meant"]),
    "normalized_shape": (nn.Sequential(nn.LayerNorm(8)), (2, 4, 6), "0", ["normalized_shape=[6]"]),
    "num_channels": (nn.Sequential(nn.GroupNorm(2, 8)), (2, 4, 6), "0", ["num_channels=4"]),
    "shrunk too far": (
        nn.Sequential(nn.MaxPool2d(4), nn.Conv2d(1, 2, 5)),
        (2, 1, 12, 12),
        "1",
        ["at least 5×5", "3×3", "shrunk"],
    ),
    "pooled too far": (
        nn.Sequential(nn.MaxPool2d(4), nn.MaxPool2d(4)),
        (2, 1, 12, 12),
        "1",
        ["at least 4×4", "shrunk"],
    ),
    "input_size": (nn.LSTM(4, 3, batch_first=True), (2, 5, 7), "", ["N×L×4", "2×5×7", "input_size=7"]),
    "features before steps": (nn.GRU(4, 3, batch_first=True), (2, 4, 7), "", ["x.transpose(1, 2)"]),
    "batch in the wrong place": (nn.Sequential(nn.Linear(7, 2)), (7, 3), "0", ["the batch comes first"]),
}


@pytest.mark.parametrize("name", MISFITS)
def test_the_sentence_names_layer_shapes_and_cause(name):
    model, shape, path, said = MISFITS[name]
    table = dlw.summary(model, torch.rand(shape))
    assert not table.complete and table.failed == path
    for words in [path, type(model.get_submodule(path)).__name__, *said]:
        assert words in table.error, table.error
    assert table.error.endswith(".") and "\n" not in table.error


@pytest.mark.parametrize("name", MISFITS)
def test_what_the_sentence_advises_is_right(name):
    """Where a number is advised, the model with that number runs."""
    model, shape, path, _ = MISFITS[name]
    error = dlw.summary(model, torch.rand(shape)).error
    mended = {
        "in_features": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
        "a flatten is missing": lambda: nn.Sequential(*model[:2], nn.Flatten(), model[2]),
        "a flatten is missing, and the number is wrong": lambda: nn.Sequential(
            *model[:2], nn.Flatten(), nn.Linear(5408, 10)
        ),
        "maps are not pooled": lambda: nn.Sequential(
            *model[:2], nn.AdaptiveAvgPool2d(1), nn.Flatten(), model[2]
        ),
        "in_channels": lambda: nn.Sequential(model[0], nn.Conv2d(8, 4, 3)),
        "num_features": lambda: nn.Sequential(model[0], nn.BatchNorm2d(8)),
        "the wrong BatchNorm": lambda: nn.BatchNorm2d(3),
        "normalized_shape": lambda: nn.LayerNorm([6]),
        "num_channels": lambda: nn.GroupNorm(2, 4),
        "input_size": lambda: nn.LSTM(7, 3, batch_first=True),
    }.get(name)
    given = {
        "channels last": lambda x: x.permute(0, 3, 1, 2),
        "channels last, no batch": lambda x: x.movedim(-1, 0)[None],
        "the channel axis is missing": lambda x: x.unsqueeze(1),
        "features before steps": lambda x: x.transpose(1, 2),
        "batch in the wrong place": lambda x: x.T,
    }.get(name)
    x = torch.rand(shape)
    if mended is not None:
        mended()(x)
    elif given is not None:
        model(given(x))
    else:
        assert "=" not in error, "a number is advised that nothing here tries"


@pytest.mark.parametrize("name", MISFITS)
def test_the_exception_is_the_one_that_torch_raises(name):
    model, shape, *_ = MISFITS[name]
    table = dlw.summary(model, torch.rand(shape))
    with pytest.raises(type(table.exception)) as raised:
        copy.deepcopy(model).eval()(torch.rand(shape))
    assert str(table.exception) == str(raised.value)
    assert table.exception.__traceback__ is not None


def test_the_table_goes_up_to_the_layer_that_failed():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Linear(9, 3), nn.ReLU(), nn.Linear(3, 2))
    table = dlw.summary(model, torch.rand(2, 1, 8, 8))
    assert [row.output_shape for row in table.rows] == [None, (2, 4, 6, 6), (2, 4, 6, 6), None, None, None]
    assert "fails here, given 2×4×6×6" in table["2"].note
    assert [table[path].note for path in ("0", "1", "3", "4")] == ["", "", "not reached", "not reached"]
    assert table.total_parameters == sum(p.numel() for p in model.parameters())
    assert table.total_macs == 2 * 4 * 36 * 9 and "at least" in str(table)
    assert str(table).splitlines()[1] == f"! {table.error}"


class Skips(nn.Module):
    def __init__(self, stride: int = 1, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, stride, 1)

    def forward(self, x):
        return self.conv(x) + x


class Flattens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(400, 2)

    def forward(self, x):
        return self.head(self.conv(x).view(-1, 400))


class Multiplies(nn.Module):
    def forward(self, x):
        return x @ x


class Joins(nn.Module):
    def forward(self, x):
        return torch.cat([x, F.avg_pool2d(x, 2)], 1)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Skips(channels=8), ["adding 2×8×8×9", "2×3×8×9", "channels differ", "1×1 convolution"]),
        (Skips(stride=2), ["2×3×4×5", "2×3×8×9", "strides"]),
        (Flattens(), ["2×8×6×7", "(-1, 400)", "336 values, not 400"]),
        (Multiplies(), ["2×3×8×9", "9 and 8 must be equal"]),
        (Joins(), ["joined along axis 1", "8 against 4"]),
    ],
    ids=["channels of a shortcut", "size of a shortcut", "view", "matmul", "cat"],
)
def test_what_fails_between_layers_is_explained_too(model, said):
    table = dlw.summary(nn.Sequential(model), torch.rand(2, 3, 8, 9))
    assert table.failed == "0" and "In the forward of 0" in table.error
    for words in said:
        assert words in table.error or words.replace("2×3×8×9", "6×8×9") in table.error, table.error


@pytest.mark.parametrize(
    ("model", "x", "said"),
    [
        (nn.Linear(4, 2), torch.rand(3, 4).double(), ["float32", "float64", "x.to(torch.float32)"]),
        (nn.Linear(4, 2).half(), torch.rand(3, 4), ["float16", "float32"]),
        (nn.Conv2d(1, 2, 3), torch.zeros(3, 1, 8, 8, dtype=torch.uint8), ["uint8", "/ 255"]),
        (nn.Embedding(9, 2), torch.rand(3, 4), ["whole numbers", "x.long()"]),
    ],
    ids=["double", "half", "bytes", "embedding"],
)
def test_a_wrong_dtype_is_told_as_such(model, x, said):
    table = dlw.summary(model, x)
    assert not table.complete
    for words in said:
        assert words in table.error
    with pytest.raises(type(table.exception)):
        model(x)


def test_an_error_of_the_model_s_own_is_told_with_its_words():
    class Odd(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError("the moon is full.")

    table = dlw.summary(nn.Sequential(nn.Linear(4, 3), Odd()), torch.rand(2, 4))
    assert table.failed == "1" and isinstance(table.exception, ZeroDivisionError)
    assert table.error == "1 (Odd) failed, given 2×3: the moon is full."


def test_inputs_that_are_missing_are_named():
    table = dlw.summary(nn.MultiheadAttention(4, 2), torch.rand(3, 2, 4))
    assert "'key' and 'value'" in table.error
    table = dlw.summary(nn.MultiheadAttention(4, 2))
    assert "query, key, value" in table.error


def test_a_failing_scripted_model_gets_a_sentence():
    table = dlw.summary(torch.jit.script(nn.Sequential(nn.Linear(4, 3))), torch.rand(2, 5))
    assert not table.complete and "Sequential" in table.error


def test_a_class_in_the_place_of_a_model_is_told_as_such():
    with pytest.raises(TypeError, match=r"the class Linear: Linear\(\.\.\.\) makes a model"):
        dlw.summary(nn.Linear, torch.rand(2, 4))


def test_a_shape_that_fits_in_neither_reading_is_explained_for_the_one_that_goes_further():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(9, 2))
    table = dlw.summary(model, input_shape=(3, 8, 8))
    assert table.failed == "2" and "in_features=144" in table.error


# -- without input


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 8, 3)),
            ["0 (Conv2d)", "N×3×H×W", "input_shape=(3, H, W)", "your own H and W"],
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 2)), ["1 (Linear)", "N×784", "input_shape=(784,)"]),
        (nn.Sequential(nn.Embedding(10, 3)), ["whole numbers from 0 to 9", "dtype=torch.long"]),
        (nn.Sequential(nn.LSTM(5, 3)), ["L×N×5"]),
        (nn.Sequential(nn.LazyLinear(3)), ["not built yet"]),
        (nn.Bilinear(3, 4, 5), ["input1, input2", "tuple"]),
        (nn.Sequential(nn.ReLU()), ["Pass a batch", "input_shape=..."]),
    ],
    ids=["convolution", "linear", "embedding", "recurrence", "lazy", "two inputs", "anything"],
)
def test_without_input_it_says_which_layer_wants_what_and_how_to_give_it(model, said):
    table = dlw.summary(model)
    assert not table.complete and table.exception is None
    for words in ["No input was given", "summary(model, ", *said]:
        assert words in table.error, table.error
    assert table.total_parameters == sum(p.numel() for p in model.parameters() if not nn.parameter.is_lazy(p))
    assert all(row.output_shape is None and not row.calls for row in table.rows)


def test_what_it_asks_for_is_what_the_model_takes():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    asked = dlw.summary(model).error
    shape = asked.split("input_shape=")[1].split(")")[0] + ")"
    assert dlw.summary(model, input_shape=eval(shape, {"H": 16, "W": 20})).complete
