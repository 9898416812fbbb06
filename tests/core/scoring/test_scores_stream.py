"""Scores gathered batch by batch: the same as built at once, and no value read on the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from dlwidgets.core.scoring.scores import Scores
from tests.core.scoring.scored import labelled, varied

#: What makes the host wait for a GPU: reading a value, a size that hangs on values, leaving the device.
WAITING = (
    "item",
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique",
    "is_nonzero",
    "equal",
    "_to_copy",
)


class Recorder(TorchDispatchMode):
    """Notes the name of every operation."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def parts(n, data):
    """Draw where N samples are cut into batches, empty ones included."""
    inside = data.draw(st.lists(st.integers(0, n), max_size=4))
    edges = [0, *sorted(inside), n]
    return [slice(a, b) for a, b in zip(edges, edges[1:])]


@varied
@given(labelled(labels=(0, 1, -1)), st.booleans(), st.booleans(), st.data())
def test_a_stream_is_the_same_as_all_at_once(case, tensors, logits, data):
    y, scores, thresholds = case
    if tensors:
        y, scores = torch.from_numpy(y), torch.from_numpy(scores)
    stream = Scores.stream(logits=logits)
    for part in parts(len(y), data):
        stream.add(y[part], scores[part])
    found = stream.scores()
    expected = (Scores.from_logits if logits else Scores)(y, scores)
    assert len(stream) == len(y) and found.task == expected.task
    np.testing.assert_array_equal(found.y_true, expected.y_true)
    np.testing.assert_array_equal(found.y_score, expected.y_score)
    assert found.y_score.dtype == expected.y_score.dtype
    np.testing.assert_array_equal(found.confusion(thresholds), expected.confusion(thresholds))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_logits_of_classes_become_the_same_probabilities_as_at_once(dtype):
    torch.manual_seed(0)
    y, logits = torch.randint(0, 4, (50,)), (8 * torch.randn(50, 4)).to(dtype).requires_grad_()
    stream = Scores.stream(["a", "b", "c", "d"], "multiclass", logits=True)
    for labels, outputs in zip(y.split(16), logits.split(16)):
        stream.add(labels, outputs)
    expected = Scores.from_logits(y, logits, ["a", "b", "c", "d"])
    np.testing.assert_array_equal(stream.scores().y_score, expected.y_score)
    np.testing.assert_array_equal(stream.scores().matrix(), expected.matrix())
    assert stream.scores().classes == expected.classes


def test_adding_reads_no_value_so_the_device_is_not_waited_for():
    y, p = torch.randint(0, 2, (64, 14)), torch.rand(64, 14, requires_grad=True)
    stream = Scores.stream(logits=True)
    with Recorder() as recorder:
        for _ in range(3):
            stream.add(y, p)
    assert recorder.names, "nothing was recorded"
    assert not [name for name in recorder.names if name.startswith(WAITING)]


def test_a_batch_without_values_can_be_added():
    # Tensors on the meta device have no values: whatever read one, or left the device, would fail.
    stream = Scores.stream()
    for size in (64, 64, 17):
        stream.add(torch.empty(size, 14, device="meta"), torch.empty(size, 14, device="meta"))
    assert len(stream) == 145
    assert {batch.device.type for batch in (*stream._labels, *stream._outputs)} == {"meta"}


def test_what_was_added_is_the_streams_own():
    stream, y, p = Scores.stream(), torch.tensor([0, 1]), torch.tensor([0.2, 0.9])
    stream.add(y, p)
    y.fill_(0), p.fill_(0.6)
    stream.add(y, p)
    assert stream.scores().matrix().tolist() == [[1, 2], [0, 1]]


def test_outputs_that_were_added_hold_no_graph():
    weight = torch.ones(3, requires_grad=True)
    stream = Scores.stream()
    stream.add(torch.zeros(5, 3), torch.rand(5, 3) * weight)
    assert not any(batch.requires_grad for batch in stream._outputs)


def test_a_stream_may_be_read_and_added_to_again():
    stream = Scores.stream()
    stream.add([0, 1], [0.1, 0.8])
    first = stream.scores()
    stream.add([1], [0.3])
    assert (first.n_samples, stream.scores().n_samples) == (2, 3)
    assert stream.scores().confusion().tolist() == [[[1, 0], [1, 1]]]
    assert repr(stream) == "ScoreStream(3 samples so far)"


def test_samples_keep_their_names():
    stream = Scores.stream()
    stream.add([0, 1], [0.1, 0.8], sample_ids=["a", "b"])
    stream.add([1], [0.3], sample_ids=["c"])
    assert list(stream.scores().sample_ids) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="all or none"):
        stream.add([1], [0.3])


def test_a_nan_is_named_by_its_row_among_all_batches():
    stream = Scores.stream()
    stream.add(torch.zeros(4, 2), torch.rand(4, 2))
    stream.add(torch.zeros(4, 2), torch.full((4, 2), torch.nan))
    with pytest.raises(ValueError, match=r"4 of 8 samples \(rows 4, 5, 6, 7\)"):
        stream.scores()


def test_true_classes_may_be_one_hot_where_the_task_is_said():
    y = torch.tensor([2, 0, -1, 1])
    hot = torch.tensor([[0, 0, 1.0], [1, 0, 0], [torch.nan] * 3, [0, 1, 0]])
    p = torch.softmax(torch.randn(4, 3), 1)
    for labels in (hot, y[:, None]):
        stream = Scores.stream(task="multiclass")
        stream.add(labels, p)
        np.testing.assert_array_equal(stream.scores().y_true, Scores(y, p).y_true)


@pytest.mark.parametrize(
    ("batches", "sentence"),
    [
        ([((4, 3), (3, 3))], r"\(4, 3\), y_score \(3, 3\): both need one row a sample"),
        ([((4, 3), (4, 3)), ((4, 3), (4, 2))], "all must have the same columns"),
        ([((4,), (4,)), ((), ())], "one row a sample"),
    ],
)
def test_batches_that_do_not_fit_are_refused_when_they_are_added(batches, sentence):
    stream = Scores.stream()
    with pytest.raises(ValueError, match=sentence):
        for y, p in batches:
            stream.add(torch.zeros(y), torch.zeros(p))


def test_an_empty_stream_a_strange_task_and_another_task_are_told():
    with pytest.raises(ValueError, match="Nothing was added"):
        Scores.stream().scores()
    with pytest.raises(ValueError, match="no task='regression'"):
        Scores.stream(task="regression")
    stream = Scores.stream(task="binary")
    stream.add(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="a multilabel task, not binary"):
        stream.scores()
