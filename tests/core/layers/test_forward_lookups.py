"""Numbers that a table has no row for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import dlwidgets as dlw


class Columns(nn.Module):
    """A table for each column of categories."""

    def __init__(self, *sizes):
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(size, 4) for size in sizes])
        self.out = nn.Linear(4 * len(sizes), 2)

    def forward(self, x):
        return self.out(torch.cat([table(x[:, i].long()) for i, table in enumerate(self.tables)], 1))


class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(9, 4))

    def forward(self, numbers):
        return F.embedding(numbers + 1, self.weight)


class Positions(nn.Module):
    """Looks up where each token stands."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(50, 4), nn.Embedding(16, 4)

    def forward(self, tokens):
        return self.words(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device) + 1)


def fails(model, *inputs):
    """Say whether torch itself fails."""
    try:
        model(*inputs)
    except (IndexError, RuntimeError):
        return True
    return False


@pytest.mark.parametrize("followed", [False, True])
@pytest.mark.parametrize(
    ("model", "inputs", "words"),
    [
        (nn.Embedding(50, 8), [torch.full((1, 9), 50)], ["50", "0 to 49", "9 are outside"]),
        (nn.Embedding(50, 8), [torch.tensor([[3, -1]])], ["-1", "row 0, column 1"]),
        (nn.EmbeddingBag(10, 3), [torch.tensor([1, 2, 10]), torch.tensor([0, 2])], ["10", "row 2"]),
        (Columns(5, 7), [torch.tensor([[4, 6], [4, 7]])], ["tables.1", "7", "0 to 6", "row 1"]),
        (Columns(5, 7), [torch.tensor([[4.0, 6.0], [5.0, 3.0]])], ["tables.0", "5", "0 to 4", "row 1"]),
        (Shifted(), [torch.arange(9)], ["9", "0 to 8"]),
        (Positions(), [torch.zeros(2, 18).long()], ["places", "18", "0 to 15", "3 are outside"]),
    ],
)
def test_a_number_beyond_a_table_is_told(model, inputs, words, followed):
    if followed:
        import torch._dynamo  # noqa: F401 - from then on models are followed without values
    assert fails(model, *inputs)
    table = dlw.summary(model, *inputs)
    assert not table.complete and all(word in table.error for word in words), table.error


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (Columns(5, 8), torch.tensor([[4, 7], [0, 0]])),
        (Shifted(), torch.arange(8)),
        (nn.Embedding(3, 2), torch.tensor(2)),
        (Positions(), torch.zeros(2, 15).long()),
    ],
)
def test_numbers_within_are_not_told(model, inputs):
    assert not fails(model, inputs) and dlw.summary(model, inputs).complete


def test_a_second_call_of_equal_shape_is_looked_at_too():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 2)

        def forward(self, a, b):
            return self.table(a) + self.table(b)

    table = dlw.summary(Twice(), torch.tensor([1, 2]), torch.tensor([1, 5]))
    assert not table.complete and "5" in table.error


@pytest.mark.parametrize("where", ["train", "valid"])
def test_a_session_finds_them_in_any_row(where):
    torch.manual_seed(0)
    good, bad = torch.randint(0, 5, (200, 2)).float(), torch.randint(0, 5, (200, 2)).float()
    bad[157, 1], bad[180, 1] = 9, 12
    y = torch.randint(0, 2, (200,))
    parts = {"train": (good, y), "valid": (good, y), where: (bad, y)}
    with pytest.raises(
        ValueError, match=rf"In {where}, .*tables\.1.*0 to 6.*12 is among them, 2 are.* row 157"
    ):
        dlw.Session(Columns(5, 7), **parts)


def test_a_session_whose_numbers_fit_is_made():
    x, y = torch.stack([torch.arange(5), torch.arange(5) + 2], 1), torch.tensor([0, 1, 0, 1, 0])
    dlw.Session(Columns(5, 7), train=(x, y))
