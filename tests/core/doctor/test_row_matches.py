"""Repeated rows, held against comparing all with all; labels of neighbours, against scikit-learn's neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dlwidgets.core.doctor.row_matches import compare_neighbours, find_repeats


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_every_row_of_valid_that_is_in_train_is_found_and_no_other():
    train, valid = numbers(300, 5, 5), numbers(100, 5, 5, seed=1)
    valid[[3, 50, 70]] = train[[7, 8, 200]]
    found = find_repeats(train, valid)
    equal = (valid.flatten(1)[:, None] == train.flatten(1)).all(2)
    assert found.pairs == tuple(map(tuple, equal.nonzero().tolist()))
    assert (found.count, found.exact, found.usual) == (3, 3, 0.0)


def test_rows_that_were_rounded_are_found_too_and_said_not_to_be_equal():
    train = numbers(300, 40)
    found = find_repeats(train, (train[:50] * 1e6).round() / 1e6)
    assert found.count > 45 and found.exact == 0


def test_rows_that_agree_only_where_keys_are_taken_are_not_the_same():
    train = numbers(50, 400)
    valid = train.clone()
    valid[:, 123] += 1
    assert find_repeats(train, valid).count == 0


def test_data_with_few_possible_rows_repeats_itself_in_train_as_well():
    words = torch.randint(0, 3, (600, 3), generator=torch.Generator().manual_seed(0))
    found = find_repeats(words[:400], words[400:])
    assert found.count / found.of > 0.9 and found.usual > 0.9


def test_neighbours_are_those_of_scikit_learn():
    from sklearn.neighbors import NearestNeighbors

    X, y = numbers(200, 4), numbers(200, seed=1)
    found = compare_neighbours(X, y, "regression")
    scaled = ((X - X.mean(0)) / X.std(0)).numpy()
    near = NearestNeighbors(n_neighbors=6).fit(scaled).kneighbors(scaled)[1][:, 1:]
    label = ((y - y.mean()) / y.std()).numpy()
    assert found.found == pytest.approx(float(np.mean(label * label[near].mean(1))), abs=1e-5)


def test_labels_of_the_inputs_agree_and_shuffled_ones_do_not():
    X = numbers(600, 10)
    y = (X[:, 0] + X[:, 1] > 0).long()
    assert compare_neighbours(X, y, "multiclass").sigmas > 8
    assert abs(compare_neighbours(X, y[torch.randperm(600)], "multiclass").sigmas) < 4


def test_texts_are_alike_where_they_share_words_not_where_words_have_close_numbers():
    chance = torch.Generator().manual_seed(0)
    y = torch.arange(500) % 2
    common = torch.rand(2, 5000, generator=chance) ** 8
    words = torch.stack([torch.multinomial(common[topic], 40, True, generator=chance) for topic in y.tolist()])
    assert compare_neighbours(words, y, "multiclass").sigmas > 8


def test_what_it_draws_is_its_own():
    X, before = numbers(100, 4), torch.get_rng_state()
    assert compare_neighbours(X, X[:, 0], "regression") == compare_neighbours(X, X[:, 0], "regression")
    assert torch.equal(torch.get_rng_state(), before)
