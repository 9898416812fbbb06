"""Inputs as people give them, read for `summary`."""

from __future__ import annotations

import collections
import dataclasses
import types

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

import dlwidgets as dlw

Pair = collections.namedtuple("Pair", "x edges")


@dataclasses.dataclass(frozen=True)
class Sample:
    x: torch.Tensor
    edges: torch.Tensor
    name: str = "one"


class Store:
    def __init__(self, **kept):
        self._mapping = kept


class Graph:
    """A graph that keeps its tensors two objects deep, as graph libraries do."""

    def __init__(self, x, edges):
        self._store = Store(x=x, edges=edges)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self._store._mapping[name]

    def to(self, device):
        return Graph(self.x.to(device), self.edges.to(device))


class GraphNet(nn.Module):
    """Sums over neighbours; takes its graph as one object."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, graph):
        get = graph.__getitem__ if isinstance(graph, (dict, collections.UserDict)) else graph.__getattribute__
        x, (sources, targets) = get("x"), get("edges")
        hidden = self.inner(x)
        hidden = torch.zeros_like(hidden).index_add(0, targets, hidden[sources])
        return self.outer(hidden.relu())


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(5, 4)

    def forward(self, x, y, scale=2.0):
        return (self.a(x) + self.b(y)) * scale


def counted(model, *args, **kwargs):
    """MACs by torch's own counter."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*args, **kwargs)
    return counter.get_total_flops() // 2


X, EDGES = torch.rand(6, 3), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])


@pytest.mark.parametrize(
    "graph",
    [
        {"x": X, "edges": EDGES},
        collections.UserDict(x=X, edges=EDGES),
        collections.OrderedDict(x=X, edges=EDGES),
        types.SimpleNamespace(x=X, edges=EDGES),
        Sample(X, EDGES),
        Pair(X, EDGES),
    ],
    ids=lambda graph: type(graph).__name__,
)
def test_an_object_of_several_tensors_is_given_as_it_is(graph):
    table = dlw.summary(GraphNet(), graph)
    assert table.complete, table.error
    assert table.total_macs == counted(GraphNet(), graph) == 6 * 3 * 8 + 6 * 8 * 2
    assert table["outer"].output_shape == (6, 2)


def test_a_graph_whose_tensors_lie_deep_is_given_as_it_is_and_stays():
    class Net(GraphNet):
        def forward(self, graph):
            return super().forward({"x": graph.x, "edges": graph.edges})

    graph = Graph(X, EDGES)
    table = dlw.summary(Net(), graph)
    assert table.complete and table.total_macs == 6 * 3 * 8 + 6 * 8 * 2
    assert graph.x is X and graph.edges is EDGES


def test_a_batch_encoding_keeps_its_attributes():
    from transformers import BatchEncoding

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 4)

        def forward(self, batch):
            return self.embed(batch.input_ids) * batch["attention_mask"][..., None]

    given = BatchEncoding({"input_ids": torch.tensor([[1, 2]]), "attention_mask": torch.ones(1, 2)})
    assert dlw.summary(Net(), given)["embed"].output_shape == (1, 2, 4)


@pytest.mark.parametrize("sizes", [(1,), (3,), (2, 2, 2, 2)])
def test_a_list_for_a_forward_that_goes_through_it_is_the_list(sizes):
    class Detect(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, images):
            return [self.conv(image[None]) for image in images]

    images = [torch.rand(3, 5 + i, 5) for i in range(len(sizes))]
    table = dlw.summary(Detect(), images)
    assert table.total_macs == counted(Detect(), images) and table["conv"].calls == len(images)


def test_a_batch_of_a_loader_is_still_its_first_part():
    data = torch.utils.data.TensorDataset(torch.rand(8, 3), torch.zeros(8, dtype=torch.long))
    batch = next(iter(torch.utils.data.DataLoader(data, 4)))
    table = dlw.summary(nn.Sequential(nn.Linear(3, 2)), batch)
    assert isinstance(batch, list) and table.total_macs == 4 * 6 and table.batch == 4
    assert "target" in table.how


def test_the_error_of_a_batch_is_that_of_its_first_part():
    batch = [torch.rand(4, 5), torch.zeros(4)]
    table = dlw.summary(nn.Sequential(nn.Linear(3, 2)), batch)
    assert "wants 3 features" in table.error and "4×5" in table.error


def test_several_inputs_are_given_side_by_side():
    x, y = torch.rand(2, 3), np.random.rand(2, 5)
    table = dlw.summary(Both(), x, y)
    assert table.complete and table.total_macs == 2 * (3 + 5) * 4 and table.batch == 2
    assert dlw.summary(Both(), x, y, 0.5).total_macs == table.total_macs
    assert dlw.summary(Both(), (x, y)).total_macs == table.total_macs


@pytest.mark.parametrize(
    "shape",
    [(3, 16, 16), torch.Size([3, 16, 16]), [3, 16, 16], (None, 3, 16, 16), (np.int64(3), 16, 16)],
    ids=str,
)
def test_a_shape_in_the_place_of_an_input_is_a_shape(shape):
    table = dlw.summary(nn.Conv2d(3, 8, 3), shape)
    assert table.complete and table.total_macs == 8 * 27 * 14 * 14
    assert "input_shape" in table.how


@pytest.mark.parametrize("shapes", [((3,), (5,)), [(3,), (5,)], {"x": (3,), "y": (5,)}], ids=str)
def test_shapes_in_the_place_of_inputs_are_shapes(shapes):
    assert dlw.summary(Both(), shapes).total_macs == (3 + 5) * 4


def test_two_shapes_side_by_side_are_shapes():
    assert dlw.summary(Both(), (3,), (5,)).total_macs == (3 + 5) * 4


@pytest.mark.parametrize("rows", [[[1.0, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 6]]], ids=str)
def test_lists_of_numbers_are_rows(rows):
    table = dlw.summary(nn.Linear(3, 4), rows)
    assert table.complete and table.rows[0].output_shape == (2, 4)


def test_a_list_of_numbers_is_a_row_and_lists_are_rows_beside_others_too():
    assert dlw.summary(nn.Linear(3, 4), [0.1, 0.2, 0.3]).rows[0].output_shape == (1, 4)
    assert dlw.summary(nn.Embedding(9, 4), [[1, 2, 3]]).rows[0].output_shape == (1, 3, 4)
    assert dlw.summary(Both(), {"x": [[1.0, 2.0, 3.0]], "y": torch.rand(1, 5)}).total_macs == (3 + 5) * 4


class Table(nn.Module):
    """Categories beside numbers, looked up in another order than they are given."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.numbers = nn.Embedding(9, 4), nn.Embedding(7, 4), nn.Linear(3, 4)

    def forward(self, second, numbers, first):
        return self.first(first).mean(1) + self.second(second).mean(1) + self.numbers(numbers)


@pytest.mark.parametrize(
    "shapes", [[(2,), (3,), (5,)], {"first": (5,), "numbers": (3,), "second": (2,)}], ids=str
)
def test_categories_are_told_from_numbers(shapes):
    table = dlw.summary(Table(), input_shape=shapes)
    assert table.complete and table.total_macs == 3 * 4
    assert table["first"].input_shape == (1, 5) and table["second"].input_shape == (1, 2)
    assert len([note for note in table.notes if "torch.long" in note]) == 2


def test_a_dtype_can_be_given_for_each_input():
    long, real = torch.long, torch.float64
    model = Table().double()
    assert dlw.summary(model, input_shape=[(2,), (3,), (5,)], dtype=[long, real, long]).complete
    x, y = torch.rand(2, 3), torch.rand(2, 5)
    assert dlw.summary(Both().double(), x, y, dtype=[real, "float64"]).complete
    assert "float32" in dlw.summary(Both().double(), x, y, dtype=[real, torch.float32]).error
    with pytest.raises(ValueError, match="2 inputs and 1 dtypes"):
        dlw.summary(Both(), x, y, dtype=[real])


def test_weights_of_complex_numbers_are_given_complex_numbers():
    model = nn.Sequential(nn.Linear(4, 3, dtype=torch.cfloat), nn.Linear(3, 2, dtype=torch.cfloat))
    assert dlw.summary(model, input_shape=(4,)).total_macs == 4 * 3 + 3 * 2
    array = np.ones((2, 4), np.complex128)
    assert dlw.summary(model, array).total_macs == 2 * (4 * 3 + 3 * 2)
    error = dlw.summary(model, torch.rand(2, 4)).error
    assert "complex64" in error and "x.to(torch.complex64)" in error


def test_real_weights_before_complex_ones_are_given_real_numbers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.real, self.wave = nn.Linear(4, 3), nn.Linear(3, 2, dtype=torch.cfloat)

        def forward(self, x):
            return self.wave(torch.complex(self.real(x), self.real(x)))

    assert dlw.summary(Net(), input_shape=(4,)).complete


class Generator(nn.Module):
    """Makes its own input."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, count=3):
        return self.layer(torch.randn(count, 4))


class Nothing(Generator):
    def forward(self):
        return super().forward(5)


class Words(Generator):
    def forward(self, texts):
        return self.layer(torch.tensor([[float(len(word))] * 4 for word in texts]))


def test_a_forward_that_takes_nothing_is_run():
    state = torch.get_rng_state()
    assert dlw.summary(Generator(), ()).total_macs == 3 * 8
    for model, rows in ((Generator(), 3), (Nothing(), 5)):
        before = torch.get_rng_state()
        table = dlw.summary(model)
        assert table.complete and table.total_macs == rows * 8 and "MACs" in str(table)
        assert torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(state)


@pytest.mark.parametrize(
    ("given", "macs"),
    [
        (dict(input=pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": [True, False]})), 2 * 3 * 4),
        (dict(input_shape=np.array([3])), 3 * 4),
        (dict(input_shape=[3], dtype=float), 3 * 4),
        (dict(input_shape=[3], dtype=np.float32), 3 * 4),
    ],
    ids=["frame", "array", "float", "numpy"],
)
def test_numbers_and_sizes_are_read_as_other_libraries_have_them(given, macs):
    table = dlw.summary(nn.Linear(3, 4), **given)
    assert table.complete and table.total_macs == macs, table.error


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (dict(input=pd.DataFrame({"a": [1], "b": ["x"]})), "The DataFrame holds .* numbers in 'b': .*codes"),
        (dict(input=TensorDataset(torch.rand(2, 3))), r"next\(iter\(DataLoader\(dataset, 4\)\)\)"),
        (dict(input=DataLoader(TensorDataset(torch.rand(2, 3)))), r"next\(iter\(loader\)\)"),
        (dict(input_shape=torch.rand(2, 3)), r"given as input, as summary\(model, X\[:1\]\)"),
    ],
    ids=["frame", "dataset", "loader", "tensor"],
)
def test_what_is_no_batch_gets_a_sentence_on_how_to_make_one(given, words):
    with pytest.raises(TypeError, match=words):
        dlw.summary(nn.Linear(3, 4), **given)


def test_an_input_that_goes_by_its_name_alone_is_given_by_that():
    class Named(nn.Linear):
        def forward(self, *, x):
            return super().forward(x)

    assert dlw.summary(Named(3, 4), torch.rand(2, 3)).total_macs == 24
    with pytest.raises(TypeError, match="inputs by name are given as a dict"):
        dlw.summary(Named(3, 4), x=torch.rand(2, 3))


def test_images_to_find_things_in_are_one_list_for_table_and_activations():
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(3, 8)

        def forward(self, images, targets=None):
            return [self.line(image[None]) for image in images]

    images, targets = [torch.rand(3) for _ in range(4)], [{"boxes": torch.zeros(1, 4)}] * 4
    assert dlw.summary(Detector(), images).total_macs == 4 * 24
    assert dlw.summary(Detector(), [images, targets]).total_macs == 4 * 24
    assert len(dlw.activations(Detector(), images).parts("line")) == 4


def test_a_forward_that_takes_no_tensor_is_run():
    assert dlw.summary(Generator(), 7).total_macs == 7 * 8
    assert dlw.summary(Words(), ["a", "bc", "def"]).total_macs == 3 * 8


def test_a_forward_whose_arguments_may_all_be_left_out_is_not_called_broken():
    class Optional(nn.Linear):
        def forward(self, x=None):
            return super().forward(x)

    table = dlw.summary(Optional(3, 2))
    assert "No input was given" in table.error and table.exception is None
    with pytest.raises(TypeError, match="wanted"):
        dlw.summary(Optional(3, 2), "text")


def test_keywords_that_the_forward_lacks_are_left_out():
    x, y = torch.rand(2, 3), torch.rand(2, 5)
    table = dlw.summary(Both(), {"x": x, "y": y, "labels": torch.zeros(2)})
    assert table.complete and "Left out: labels" in table.how
