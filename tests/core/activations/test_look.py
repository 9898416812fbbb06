"""Looks at layers whose first axis is not the batch."""

from __future__ import annotations

import dataclasses
import types

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import dlwidgets as dlw
from dlwidgets.core.activations.activations import ForwardFailed

NODES, EDGES = torch.randn(34, 7), torch.randint(0, 34, (2, 156))


class Graph(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(7, 16), nn.Linear(16, 3)

    def forward(self, x, edge_index, batch=None):
        hidden = self.inner(x)
        hidden = torch.zeros_like(hidden).index_add(0, edge_index[1], hidden[edge_index[0]])
        if batch is not None:
            hidden = hidden.new_zeros(int(batch.max()) + 1, 16).index_add(0, batch, hidden)
        return self.outer(hidden)


class OneGraph(Graph):
    def forward(self, graph):
        return super().forward(graph.x, graph.edge_index)


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.LSTM(8, 16, batch_first=True)
        self.out = nn.Linear(16, 3)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return self.out(self.cells(packed)[1][0][-1])


class Recurrent(nn.Module):
    def __init__(self, turn):
        super().__init__()
        self.cells, self.turn = nn.GRU(4, 6), turn

    def forward(self, x):
        return self.cells(x.transpose(0, 1) if self.turn else x)[0]


class Frames(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, video):
        return self.conv(video.flatten(0, 1)).mean((2, 3)).unflatten(0, video.shape[:2]).mean(1)


class Detect(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        return [self.conv(image) for image in images]


@dataclasses.dataclass
class Points:
    x: torch.Tensor
    edge_index: torch.Tensor


def drawn(model, X, layer):
    return dlw.ActivationBrowser(model, X, layer=layer).project()["drawing"]


@pytest.mark.parametrize(
    ("model", "X"),
    [
        (Graph(), (NODES, EDGES)),
        (Graph(), {"x": NODES, "edge_index": EDGES}),
        (Graph(), {"x": NODES, "edge_index": EDGES, "batch": torch.zeros(34, dtype=torch.long)}),
        (OneGraph(), types.SimpleNamespace(x=NODES, edge_index=EDGES)),
        (OneGraph(), Points(NODES, EDGES)),
        (OneGraph(), [Points(NODES, EDGES), Points(NODES[:9], EDGES % 9)]),
    ],
)
def test_the_nodes_of_a_graph_are_shown_whole(model, X):
    picture = drawn(model, X, "inner")
    assert picture["form"] == "sequence" and picture["shape"] == [34, 16], picture
    assert "shown whole" in picture["note"]


class Convolved(nn.Module):
    """Graph convolutions as courses write them: nodes times their neighbours."""

    def __init__(self, edges=None):
        super().__init__()
        self.inner, self.edges = nn.Linear(7, 16), edges

    def forward(self, x, edges=None):
        return (self.edges if edges is None else edges) @ self.inner(x)


class Stacked(nn.Module):
    """Takes a batch as a list of dicts."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(7, 16)

    def forward(self, rows):
        return self.inner(torch.stack([row["x"] for row in rows]))


@pytest.mark.parametrize(
    ("model", "X"),
    [
        (Convolved(), (NODES, torch.eye(34))), (Convolved(torch.eye(34)), NODES),
        (Stacked(), [{"x": row} for row in NODES]),
    ],
)
def test_rows_that_the_model_takes_all_at_once_alone_are_shown_whole(model, X):
    picture = drawn(model, X, "inner")
    assert picture["shape"] == [34, 16] and "shown whole" in picture["note"], picture


def test_one_row_of_nested_tensors_is_shown():
    X = torch.nested.nested_tensor([NODES[:2], NODES[:5]], layout=torch.jagged)
    assert drawn(nn.Sequential(nn.Linear(7, 16)), X, "0")["shape"] == [2, 16]


def test_a_model_without_values_says_so():
    assert "is on the meta device" in drawn(nn.Sequential(nn.Linear(7, 3, device="meta")), NODES, "0")["reason"]


def test_what_is_pooled_over_a_graph_is_one_row():
    X = {"x": NODES, "edge_index": EDGES, "batch": torch.zeros(34, dtype=torch.long)}
    picture = drawn(Graph(), X, "outer")
    assert picture["form"] == "bars" and picture["shape"] == [3] and not picture["note"]


def test_a_packed_sequence_is_shown_whole_with_a_session_and_without():
    x, lengths = torch.randn(12, 9, 8), torch.tensor([9, 7, 5, 3] * 3)
    picture = drawn(Packed(), (x, lengths), "cells")
    assert picture["shape"] == [9, 16] and "shown whole" in picture["note"]
    session = dlw.Session(Packed(), train=((x, lengths), torch.arange(12) % 3), batch_size=4)
    view = dlw.ActivationBrowser(session, layer="cells", sample=2)
    assert view.project()["drawing"]["shape"] == [5, 16]


def test_what_a_packed_sequence_shows_is_what_the_layer_put_out():
    model, x, lengths = Packed().eval(), torch.randn(3, 9, 8), torch.tensor([9, 7, 5])
    view = dlw.ActivationBrowser(model, (x, lengths), layer="cells", sample=1)
    kept = []
    with model.cells.register_forward_hook(lambda *call: kept.append(call[2][0].data)), torch.no_grad():
        model(x[1:2], lengths[1:2])
    assert torch.equal(view._look.taken.look.values, kept[0])


@pytest.mark.parametrize(("turn", "said"), [(False, "batch_first=False"), (True, "")])
def test_a_layer_that_takes_the_samples_for_time_says_so(turn, said):
    picture = drawn(Recurrent(turn), torch.randn(3, 10, 4), "cells")
    assert picture["shape"] == [10, 6] and (said in picture["note"] if said else not picture["note"])


def test_frames_along_axis_0_are_the_first_of_several():
    picture = drawn(Frames(), torch.rand(5, 6, 3, 8, 8), "conv")
    assert picture["shape"] == [4, 6, 6] and "the first of 6" in picture["note"]


def test_an_image_without_a_batch_axis_has_its_channels_as_maps():
    picture = drawn(Detect(), [torch.rand(3, 9, 8), torch.rand(3, 7, 8)], "conv")
    assert picture["form"] == "maps" and picture["shape"] == [4, 7, 6]


@pytest.mark.parametrize("rows", [[[1.0, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 6]]])
def test_lists_of_numbers_are_samples(rows):
    view = dlw.ActivationBrowser(nn.Sequential(nn.Linear(3, 4)), rows, layer="0", sample=1)
    picture = view.project()
    assert picture["drawing"]["shape"] == [4] and picture["sample"]["count"] == 2


def test_texts_are_samples():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, texts):
            return self.layer(torch.tensor([[float(len(text))] * 4 for text in texts]))

    assert drawn(Words(), ["abc", "de"], "layer")["shape"] == [2]


def test_weights_of_complex_numbers_are_looked_at():
    model = nn.Sequential(nn.Linear(3, 8, dtype=torch.cfloat))
    assert drawn(model, torch.rand(5, 3, dtype=torch.cfloat), "0")["shape"] == [8]


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3)), torch.rand(2, 1, 8, 8)),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 4)), torch.rand(2, 3, 4)),
        (nn.Sequential(nn.Embedding(10, 4)), torch.full((2, 5), 10)),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(3)), torch.rand(2, 1, 8, 8)),
    ],
)
def test_the_browser_says_what_the_table_says(model, x):
    said = dlw.summary(model, x[:1]).error
    assert said and drawn(model, x, "0")["reason"].endswith(said)
    with pytest.raises(ForwardFailed) as failed:
        dlw.activations(model, x[:1])
    assert str(failed.value).endswith(said)


def test_activations_take_what_the_table_takes():
    class Batch(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 8)

        def forward(self, batch):
            return self.layer(batch["x"])

    assert dlw.activations(Batch(), {"x": torch.rand(2, 3)})["layer"].shape == (2, 8)
    assert dlw.activations(nn.Sequential(nn.Linear(3, 2)), [[1, 2, 3]])["0"].shape == (1, 2)
    assert dlw.activations(OneGraph(), Points(NODES, EDGES))["inner"].shape == (34, 16)
    images = [torch.rand(3, 9, 8), torch.rand(3, 7, 8)]
    assert dlw.activations(Detect(), images)["conv#2"].shape == (4, 5, 6)
