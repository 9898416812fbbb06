"""Tasks: inferred from targets and output, with the loss that fits, or refused in a sentence."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dlwidgets.core.data.task import Task, infer_task, read_class_names, read_loss, unpack_batch

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
FLOATS = (torch.float16, torch.float32, torch.float64)


def out(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def labels(count, classes):
    return torch.arange(count) % classes


def hot(count, classes):
    return F.one_hot(labels(count, classes), classes)


def table(count, columns):
    rows, places = torch.arange(count)[:, None], torch.arange(columns)
    return ((rows * 7 + places * 3) % 5 < 2).long()


def cases():
    for dtype in (*INTEGERS, torch.bool, *FLOATS):
        if dtype != torch.bool:
            yield "multiclass", labels(30, 5).to(dtype), out(4, 5), f"labels {dtype}"
            yield "multiclass", labels(30, 5).to(dtype)[:, None], out(4, 5), f"labels in a column {dtype}"
        yield "multiclass", labels(30, 2).to(dtype), out(4, 2), f"two classes {dtype}"
        yield "binary", labels(30, 2).to(dtype), out(4, 1), f"0 and 1 {dtype}"
        yield "binary", labels(30, 2).to(dtype), out(4), f"0 and 1, flat output {dtype}"
        yield "binary", labels(30, 2).to(dtype)[:, None], out(4, 1), f"0 and 1 in a column {dtype}"
        yield "binary", labels(30, 2).to(dtype)[:, None], out(4), f"0 and 1 in a column, flat output {dtype}"
        yield "multilabel", table(30, 5).to(dtype), out(4, 5), f"several labels {dtype}"
        yield "multilabel", hot(8, 5).to(dtype), out(4, 5), f"few rows that might be one-hot {dtype}"
        yield "multiclass", hot(30, 5).to(dtype), out(4, 5), f"one-hot {dtype}"
    for dtype in INTEGERS:
        yield "regression", labels(30, 9).to(dtype), out(4, 1), f"whole numbers {dtype}"
    for dtype in FLOATS:
        yield "regression", torch.linspace(-1, 1, 30, dtype=dtype), out(4, 1), f"numbers {dtype}"
        yield (
            "regression",
            torch.linspace(-1, 1, 30, dtype=dtype)[:, None],
            out(4),
            f"numbers in a column {dtype}",
        )
        yield "regression", torch.linspace(-1, 1, 60, dtype=dtype).reshape(30, 2), out(4, 2), f"pairs {dtype}"
        yield "regression", torch.randn(8, 3, 4, 4).to(dtype), out(4, 3, 4, 4), f"pictures {dtype}"
    yield "multiclass", labels(6 * 16, 3).reshape(6, 4, 4), out(4, 3, 4, 4), "a class for each pixel"


@pytest.mark.parametrize(("name", "targets", "output", "what"), [*cases()], ids=[case[3] for case in cases()])
def test_the_task_is_told_from_targets_and_output_and_its_loss_is_a_number(name, targets, output, what):
    task = infer_task(targets, output)
    assert task.name == name
    assert task.because
    output = output.clone().requires_grad_()
    loss = task.loss(output, task.prepare(targets[: len(output)], output))
    loss.backward()
    assert loss.ndim == 0
    assert loss.isfinite()


@pytest.mark.parametrize("dtype", [*INTEGERS, torch.float32, torch.float64])
def test_labels_of_any_dtype_give_the_loss_of_labels_in_int64(dtype):
    output, targets = out(6, 3), labels(6, 3)
    task = infer_task(labels(30, 3), output)
    expected = F.cross_entropy(output, targets)
    assert torch.equal(task.loss(output, task.prepare(targets.to(dtype), output)), expected)
    assert torch.equal(task.loss(output, task.prepare(targets.to(dtype)[:, None], output)), expected)
    torch.testing.assert_close(task.loss(output, task.prepare(hot(6, 3).to(dtype), output)), expected)


@given(
    column_out=st.booleans(), column_target=st.booleans(), count=st.integers(2, 7),
    name=st.sampled_from(["binary", "regression"]),
)  # fmt: skip
def test_a_column_beside_a_row_is_compared_sample_by_sample_and_not_broadcast(
    column_out, column_target, count, name
):
    output, targets = out(count), (out(count) > 0).float()
    loss = {"binary": F.binary_cross_entropy_with_logits, "regression": F.mse_loss}[name]
    task = infer_task(targets, output, task=name)
    shaped = output[:, None] if column_out else output
    prepared = task.prepare(targets[:, None] if column_target else targets, shaped)
    assert prepared.shape == shaped.shape
    assert torch.equal(task.loss(shaped, prepared), loss(output, targets))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_targets_take_the_dtype_of_the_output(dtype):
    task = infer_task(table(30, 4), out(4, 4))
    assert task.prepare(table(4, 4), out(4, 4).to(dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("loss", "targets", "output", "name"),
    [
        (nn.CrossEntropyLoss(), hot(8, 5).float(), out(4, 5), "multiclass"),
        (nn.CrossEntropyLoss, labels(8, 5), out(4, 5), "multiclass"),
        ("cross_entropy", labels(8, 5), out(4, 5), "multiclass"),
        (F.cross_entropy, labels(8, 5), out(4, 5), "multiclass"),
        (nn.NLLLoss(), labels(8, 5), out(4, 5).log_softmax(1), "multiclass"),
        (nn.BCEWithLogitsLoss(), hot(30, 5), out(4, 5), "multilabel"),
        (nn.BCELoss(), labels(8, 2), out(4, 1).sigmoid(), "binary"),
        ("mse", labels(8, 2), out(4, 1), "regression"),
        (nn.L1Loss(), labels(8, 2), out(4, 1), "regression"),
        (F.mse_loss, labels(8, 2), out(4, 1), "regression"),
        (
            lambda output, targets: (output - targets).abs().mean(),
            torch.linspace(0, 5, 8),
            out(4, 1),
            "regression",
        ),
    ],
)
def test_the_loss_has_a_say_in_the_task(loss, targets, output, name):
    assert infer_task(targets, output, loss=loss).name == name


def test_whole_numbers_beside_a_loss_of_ones_own_may_be_numbers():
    def gaussian(output, targets):
        return (output[:, 0] - targets).square().mean() + output[:, 1].mean()

    assert infer_task(torch.arange(9.0), out(4, 2), loss=gaussian).name == "regression"


@pytest.mark.parametrize("task", ["multilabel", "multiclass", "binary", "regression"])
def test_a_task_that_was_given_is_taken(task):
    targets, output = {
        "multilabel": (hot(30, 3), out(4, 3)), "multiclass": (table(30, 1)[:, 0], out(4, 3)),
        "binary": (table(30, 1), out(4, 1)), "regression": (table(30, 3), out(4, 3)),
    }[task]  # fmt: skip
    found = infer_task(targets, output, task=task)
    assert (found.name, found.because) == (task, "it was given")


def test_outputs_that_are_no_tensors_need_a_loss_of_their_own():
    found = infer_task(labels(4, 2), (out(4, 2), out(4, 2)), loss=lambda output, targets: output[0].mean())
    assert found.name == "custom"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"task": "classification"}, "task='classification' is none of multilabel, multiclass, binary, regression, detection; for any other, pass training_step=(model, batch) -> loss."),
        ({"loss": "crossentropie"}, "loss='crossentropie' is not a loss of torch.nn: try loss=nn.CrossEntropyLoss(), or a function (output, targets) -> scalar tensor. Did you mean 'crossentropyloss'?"),
        ({"loss": 3}, "loss=3 cannot be called: pass a function (output, targets) -> scalar tensor."),
        ({"output": (out(4, 5), out(4, 5))}, "The model's output is of type tuple, not a tensor: pass loss=(output, targets) -> loss, or training_step=(model, batch) -> loss."),
        ({"targets": {"boxes": out(4, 4)}}, "The targets are of type dict, not a tensor: pass loss=(output, targets) -> loss, or training_step=(model, batch) -> loss."),
        ({"output": out(4, 5).mean()}, "The model puts out a single number for a batch: one row for each sample is wanted."),
        ({"targets": labels(8, 6)}, "The targets hold the label 5, but the model puts out 5 values: labels go from 0 to 4. They do not in 1 sample, the first is sample 5. For 6 classes it is dlw.with_head(model, 6)."),
        ({"targets": torch.where(labels(8, 6) == 5, 255, labels(8, 6))}, "The targets hold the label 255, but the model puts out 5 values: labels go from 0 to 4. They do not in 1 sample, the first is sample 5."),
        ({"targets": labels(8, 5) + 1}, "The targets hold the label 5, but the model puts out 5 values: labels go from 0 to 4. Count from 0: pass y - 1."),
        ({"targets": labels(8, 5) - 1}, "The targets hold the 5 labels -1 ... 3 for 5 classes, so -1 may be a class or mean unknown: for a class count from 0 (y + 1), for unknown give NaN."),
        ({"targets": labels(8, 5) + 0.5, "task": "multiclass"}, "The targets are not whole numbers: a multiclass task has the number of its class for each sample."),
        ({"targets": table(8, 3), "task": "multilabel"}, "The targets have 3 values a sample, but the model puts out 5. The model's last layer should put out 3: dlw.with_head(model, 3)."),
        ({"targets": table(8, 3), "task": "multiclass"}, "The targets have shape (3,) a sample and the model's output (5,): for 5 classes each sample has one whole number, or a number for each class."),
        ({"targets": 2 * table(8, 5), "task": "multilabel"}, "The targets hold 2; a multilabel task has targets between 0 and 1."),
        ({"targets": -2 * table(8, 1), "task": "binary", "output": out(4, 1)}, "The targets hold -2; a binary task has targets between 0 and 1."),
        ({"targets": torch.tensor([1.0, float("nan"), 0.5]), "output": out(3, 1)}, "The targets hold NaN in 1 sample, the first is sample 1: leave those samples out, or give each a value."),
        ({"targets": labels(8, 2), "task": "binary"}, "The targets have 1 value a sample, but the model puts out 5. The model's last layer should put out 1: dlw.with_head(model, 1)."),
        ({"targets": out(8, 2), "output": out(4, 1)}, "The targets have 2 values a sample, but the model puts out 1. The model's last layer should put out 2: dlw.with_head(model, 2)."),
        ({"classes": ["a", "b"]}, "classes has 2 names, but the model puts out 5 values a sample: one name for each is wanted."),
        ({"classes": "abcde"}, "classes='abcde' is one text: pass a list of names."),
        ({"classes": 5}, "classes=5 is of type int: pass a list of names."),
        ({"classes": ["a", "b", "c", "d", "a"]}, "classes has the name 'a' twice: each class needs a name of its own."),
        ({"classes": list("abcd"), "named": True}, "The targets name 4 classes, but the model puts out 5 values a sample: its last layer should put out 4, as dlw.with_head(model, 4), or more names be passed as classes=."),
        ({"classes": list("abc"), "named": True, "output": out(4, 1), "targets": labels(9, 3)}, "The targets name 3 classes, but the model puts out 1 value a sample: its last layer should put out 3, as dlw.with_head(model, 3), or more names be passed as classes=."),
        ({"classes": ["low", "high"], "targets": out(8), "output": out(4, 1)}, "classes has 2 names, but the model puts out 1 value a sample (the task is regression, since the targets are real numbers): one name for each is wanted."),
        ({"classes": list("abc"), "targets": labels(8, 2), "output": out(4, 1)}, "classes has 3 names, but the model puts out 1 value a sample: one name for each is wanted."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_a_sentence(arguments, sentence):
    arguments = {"targets": labels(30, 5), "output": out(4, 5), **arguments}
    with pytest.raises((TypeError, ValueError)) as caught:
        infer_task(arguments.pop("targets"), arguments.pop("output"), **arguments)
    assert str(caught.value) == sentence


def test_labels_that_the_loss_ignores_are_not_out_of_range():
    targets = labels(8, 5)
    targets[2] = -100
    assert infer_task(targets, out(4, 5)).name == "multiclass"
    targets[2] = 255
    assert infer_task(targets, out(4, 5), loss=nn.CrossEntropyLoss(ignore_index=255)).name == "multiclass"


def test_a_loss_that_masks_nan_gets_targets_with_nan():
    targets = table(30, 5).float()
    targets[3, 1] = float("nan")
    found = infer_task(targets, out(4, 5), loss=lambda output, y: output[~y.isnan()].mean())
    assert found.name == "multilabel"


@pytest.mark.parametrize("names", [["sick"], ["well", "sick"], np.array(["well", "sick"]), ("a", 3)])
def test_a_binary_task_has_one_name_or_two(names):
    assert infer_task(labels(30, 2), out(4, 1), classes=names).classes == tuple(str(n) for n in names)


def test_no_classes_are_none():
    assert read_class_names(None) is None


# -- scores and predictions


def test_scores_are_softmax_or_sigmoid_of_logits():
    output = out(6, 3).double()
    assert torch.equal(infer_task(labels(30, 3), output).scores(output), output.softmax(1))
    assert torch.equal(infer_task(table(30, 3), output).scores(output), output.sigmoid())
    assert torch.equal(infer_task(labels(30, 2), output[:, :1]).scores(output[:, :1]), output[:, 0].sigmoid())
    assert torch.equal(
        infer_task(torch.linspace(0, 5, 30), output[:, :1]).scores(output[:, :1]), output[:, :1].float()
    )


@pytest.mark.parametrize(
    ("loss", "output", "targets"),
    [
        (nn.BCELoss(), out(6, 3).sigmoid(), table(30, 3)),
        (F.binary_cross_entropy, out(6, 3).sigmoid(), table(30, 3)),
        (lambda output, y: F.binary_cross_entropy(output, y), out(6, 3).sigmoid(), table(30, 3)),
        (lambda output, y: F.nll_loss(output.log(), y), out(6, 3).softmax(1), labels(30, 3)),
    ],
)
def test_probabilities_are_not_squashed_again(loss, output, targets):
    assert torch.equal(infer_task(targets, output, loss=loss).scores(output), output)


def test_logits_of_a_loss_of_ones_own_are_squashed():
    output = out(6, 3)
    found = infer_task(table(30, 3), output, loss=lambda o, y: F.binary_cross_entropy_with_logits(o, y))
    assert torch.equal(found.scores(output), output.double().sigmoid())


def test_log_probabilities_give_their_probabilities():
    output = out(6, 3).log_softmax(1)
    torch.testing.assert_close(
        infer_task(labels(30, 3), output, loss=nn.NLLLoss()).scores(output), output.double().exp()
    )


def test_predictions_follow_the_thresholds():
    output = torch.tensor([[0.0, 2.0, -2.0], [3.0, -1.0, 0.1]])
    several = infer_task(table(30, 3), output)
    assert several.predictions(output).tolist() == [[1, 1, 0], [1, 0, 1]]
    assert several.predictions(output, [0.6, 0.9, 0.1]).tolist() == [[0, 0, 1], [1, 0, 1]]
    assert infer_task(labels(30, 3), output).predictions(output).tolist() == [1, 0]
    assert infer_task(labels(30, 2), output[:, :1]).predictions(output[:, :1], 0.6).tolist() == [0, 1]
    numbers = infer_task(torch.linspace(0, 5, 30), output[:, :1])
    assert torch.equal(numbers.predictions(output[:, :1]), output[:, :1])


# -- batches and losses


def test_a_batch_is_a_pair_or_a_dict_with_a_target():
    assert unpack_batch((1, 2)) == unpack_batch([1, 2]) == (1, 2)
    assert unpack_batch({"x": 1, "z": 2, "y": 3}, "y") == ({"x": 1, "z": 2}, 3)


@pytest.mark.parametrize(
    ("batch", "target", "sentence"),
    [
        ({"x": 1, "y": 2}, None, "A batch is a dict with 'x', 'y': say which entry is the target (target=...), or pass training_step=(model, batch) -> loss."),
        ({"x": 1, "y": 2}, "label", "A batch is a dict with 'x', 'y': say which entry is the target (target=...), or pass training_step=(model, batch) -> loss."),
        ((1, 2, 3), None, "A batch is of type tuple with 3 parts, not (inputs, targets): pass training_step=(model, batch) -> loss."),
        (torch.zeros(3), None, "A batch is of type Tensor, not (inputs, targets): pass training_step=(model, batch) -> loss."),
    ],
)  # fmt: skip
def test_any_other_batch_needs_a_step(batch, target, sentence):
    with pytest.raises(TypeError) as caught:
        unpack_batch(batch, target)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("mse", nn.MSELoss), ("MSELoss", nn.MSELoss), ("cross_entropy", nn.CrossEntropyLoss), ("bce", nn.BCEWithLogitsLoss),
        ("mae", nn.L1Loss), ("Smooth L1", nn.SmoothL1Loss), (nn.HuberLoss, nn.HuberLoss), ("ce", nn.CrossEntropyLoss),
    ],
)  # fmt: skip
def test_a_loss_may_be_named(given, kind):
    assert type(read_loss(given)) is kind


def test_a_task_names_its_loss():
    assert infer_task(labels(30, 5), out(4, 5)).loss_name == "CrossEntropyLoss"
    assert Task("custom", None, "").loss_name == "the custom step's"
    assert Task("regression", F.mse_loss, "").loss_name == "mse_loss"


@pytest.mark.parametrize(
    "classes",
    [
        {"dog": 1, "bird": 2, "cat": 0},
        {1: "dog", 2: "bird", 0: "cat"},
        {"dog": np.int64(1), "bird": np.int64(2), "cat": np.int64(0)},
        np.array(["cat", "dog", "bird"]),
        pd.Index(["cat", "dog", "bird"]),
    ],
)
def test_class_names_are_read_in_the_order_of_their_numbers(classes):
    assert read_class_names(classes) == ("cat", "dog", "bird")


@pytest.mark.parametrize(
    "classes",
    [
        {"cat", "dog"}, frozenset("ab"), {"cat": 1, "dog": 2}, {"cat": 0, "dog": 0}, {"cat": 0.5, "dog": 1}, {},
        [], b"ab", ["a", "a"], 3,
    ],
)  # fmt: skip
def test_class_names_without_an_order_or_a_name_each_are_refused(classes):
    with pytest.raises((TypeError, ValueError), match="^classes"):
        read_class_names(classes)
