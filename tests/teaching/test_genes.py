"""`yeast()`: river's own numbers, scaled by the training part alone; OpenML's where river is missing."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from dlwidgets.teaching import yeast

river_datasets = pytest.importorskip("river.datasets")
if not hasattr(river_datasets, "Yeast"):
    pytest.skip("this river does not carry the yeast data yet", allow_module_level=True)


@pytest.fixture(scope="module")
def raw() -> tuple[pd.DataFrame, pd.DataFrame]:
    """River's samples and labels as river gives them, read with pandas."""
    samples, labels = zip(*river_datasets.Yeast())
    return pd.DataFrame(list(samples)), pd.DataFrame(list(labels))


def whole(data) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.concatenate([data.train[i].numpy(), data.valid[i].numpy()]) for i in (0, 1))


def found(X: np.ndarray, features: pd.DataFrame) -> np.ndarray:
    """Return which of river's rows each row of X is: scaling by positive numbers keeps their order."""
    rows = np.empty(len(X), dtype=int)
    rows[np.lexsort(X.T[::-1])] = np.lexsort(features.to_numpy().T[::-1])
    return rows


@pytest.fixture
def without_river(monkeypatch):
    monkeypatch.setitem(sys.modules, "river", None)
    monkeypatch.setitem(sys.modules, "river.datasets", None)


def test_it_has_the_size_of_the_data_set_and_the_split_of_the_paper():
    data = yeast()
    assert data.train[0].shape == (1500, 103) and data.valid[0].shape == (917, 103)
    assert data.train[1].shape == (1500, 14) and data.valid[1].shape == (917, 14)


def test_the_labels_are_rivers_class_by_class(raw):
    X, y = whole(yeast())
    assert yeast().classes == tuple(raw[1].columns)
    np.testing.assert_array_equal(y.sum(0), raw[1].sum().to_numpy())


def test_every_gene_is_rivers_up_to_the_scale_and_keeps_its_labels(raw):
    X, y = whole(yeast(seed=7))
    rows = found(X, raw[0])
    assert sorted(rows) == list(range(2417))
    original = raw[0].to_numpy()[rows]
    for column in range(103):
        assert np.corrcoef(X[:, column].astype(float), original[:, column])[0, 1] > 1 - 1e-9
    np.testing.assert_array_equal(y, raw[1].to_numpy()[rows])


def test_features_are_scaled_by_the_training_genes_alone_as_scikit_learn_does_it(raw):
    data = yeast(seed=1)
    rows = found(whole(data)[0], raw[0])
    train, valid = raw[0].to_numpy()[rows[:1500]], raw[0].to_numpy()[rows[1500:]]
    scaler = StandardScaler().fit(train)
    np.testing.assert_allclose(data.train[0], scaler.transform(train), atol=1e-5)
    np.testing.assert_allclose(data.valid[0], scaler.transform(valid), atol=1e-5)


def test_every_gene_has_a_label_and_class14_is_rare():
    _, y = whole(yeast())
    assert y.sum(1).min() >= 1
    assert y.mean(0)[13] < 0.02 < 0.7 < y.mean(0)[11]


def test_another_size_of_the_validation_part_is_kept():
    data = yeast(n_valid=100)
    assert len(data.valid[0]) == 100 and len(data.train[0]) == 2317


def test_a_tiny_training_part_gives_no_division_by_zero():
    data = yeast(n_valid=2416)
    assert (data.train[0] == 0).all() and data.valid[0].isfinite().all()


def test_without_river_openml_gives_the_same_genes(without_river, monkeypatch, raw):
    features, labels = raw

    def fetch_openml(data_id, as_frame):
        assert (data_id, as_frame) == (40597, True)
        words = labels.map({True: "TRUE", False: "FALSE"}.get).astype("category")
        return SimpleNamespace(data=features, target=words)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch_openml)
    data = yeast()
    assert "read from OpenML" in data.about
    monkeypatch.undo()  # river is back
    for ours, rivers in zip([*data.train, *data.valid], [*yeast().train, *yeast().valid]):
        np.testing.assert_array_equal(ours, rivers)


def test_without_river_and_without_a_network_the_error_says_what_to_install(without_river, monkeypatch):
    def fetch_openml(**_):
        raise OSError("no route to host")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch_openml)
    with pytest.raises(
        RuntimeError, match=r"river from version 0\.26 .*pip install.*OSError: no route to host"
    ):
        yeast()


@pytest.mark.parametrize(("n_valid", "error"), [(0, ValueError), (2417, ValueError), (0.3, TypeError)])
def test_a_split_that_leaves_a_part_empty_is_refused(n_valid, error):
    with pytest.raises(error, match=f"n_valid is {n_valid}; give a whole number from 1 to 2416"):
        yeast(n_valid=n_valid)
