"""Labels in every form that people have them in, read alike by a session and by Scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.preprocessing import LabelEncoder, MultiLabelBinarizer
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from dlwidgets import Scores, Session
from dlwidgets.core.data.labels import read_labels
from dlwidgets.core.data.task import infer_task

#: 1, 0, and unknown.
TABLE = np.array([[1, 0, -1], [0, -1, 1], [1, 1, 0], [0, 0, 1]])
UNKNOWN = TABLE == -1
NAN = np.where(UNKNOWN, np.nan, TABLE)
X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))


class Polars:
    """A frame that is none of pandas: columns, and an array."""

    columns = ["a", "b", "c"]

    def __array__(self, dtype=None, copy=None):
        return NAN


def nullable(kind):
    return pd.DataFrame({name: pd.array(column, dtype=kind) for name, column in zip("abc", columns())})


def columns():
    return [[None if no else int(label) for label, no in zip(*pair)] for pair in zip(TABLE.T, UNKNOWN.T)]


FORMS = {
    "ints": TABLE,
    "floats with -1": TABLE.astype(np.float32),
    "floats with NaN": NAN,
    "objects with None": np.array(columns(), object).T,
    "objects with NaN": np.where(UNKNOWN, np.nan, TABLE.astype(object)),
    "lists with None": [list(row) for row in zip(*columns())],
    "masked": np.ma.masked_array(np.abs(TABLE), UNKNOWN),
    "masked texts": np.ma.masked_array(np.abs(TABLE).astype(str), UNKNOWN),
    "texts": TABLE.astype(str),
    "texts with gaps": np.where(UNKNOWN, "", TABLE.astype(str)),
    "sparse": sparse.csr_array(TABLE),
    "sparse matrix": sparse.coo_matrix(TABLE),
    "nullable Int64": nullable("Int64"),
    "nullable boolean": nullable("boolean"),
    "nullable Float64": nullable("Float64"),
    "frame of objects": pd.DataFrame(dict(zip("abc", columns())), dtype=object),
    "sparse frame": pd.DataFrame(TABLE).astype(pd.SparseDtype("int64", 0)),
    "no pandas": Polars(),
    "tensor": torch.tensor(TABLE),
    "tensor with NaN": torch.tensor(NAN),
    "half tensor": torch.tensor(NAN, dtype=torch.bfloat16),
    "sparse tensor": torch.tensor(TABLE).to_sparse(),
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_with_unknown_ones_are_the_same_in_every_form_to_scores(form):
    scores = Scores(FORMS[form], np.full((4, 3), 0.7))
    np.testing.assert_array_equal(scores.y_true, TABLE)
    assert scores.unknown.tolist() == UNKNOWN.sum(axis=0).tolist()


@pytest.mark.parametrize("form", FORMS)
def test_labels_with_unknown_ones_are_the_same_in_every_form_to_a_session(form):
    session = Session(nn.Linear(5, 3), (X, FORMS[form]), (X, FORMS[form]))
    assert session.task == "multilabel"
    np.testing.assert_array_equal(session.evaluate().scores.y_true, TABLE)


@pytest.mark.parametrize("form", ["nullable Int64", "frame of objects", "no pandas"])
def test_columns_name_the_classes(form):
    assert Scores(FORMS[form], np.full((4, 3), 0.7)).classes == ("a", "b", "c")
    assert Session(nn.Linear(5, 3), (X, FORMS[form])).classes == ("a", "b", "c")


LISTS = [["edema"], [], ["mass", "edema"], ("hernia",)]


@pytest.mark.parametrize("make", [list, pd.Series, lambda rows: [set(row) for row in rows]])
def test_lists_of_labels_are_scikit_learns_indicator_columns(make):
    expected = MultiLabelBinarizer().fit(LISTS)
    found = read_labels(make(LISTS), "y")
    np.testing.assert_array_equal(found.values, expected.transform(LISTS))
    assert found.classes == tuple(expected.classes_)
    session = Session(nn.Linear(5, 3), (X, make(LISTS)), (X, make(LISTS)))
    assert (session.task, session.classes) == ("multilabel", found.classes)
    np.testing.assert_array_equal(session.evaluate().scores.y_true, found.values)


def test_lists_of_one_label_each_are_lists_beside_longer_ones():
    found = Scores.from_predictions([["a"], ["a", "b"], []], [["a"], ["b"], ["b"]])
    assert found.confusion().tolist() == [[[1, 0], [1, 1]], [[1, 1], [0, 1]]]
    session = Session(nn.Linear(5, 3), (X, LISTS), (X, [["mass"], ["edema"], ["mass"], ["hernia"]]))
    assert session.evaluate().scores.y_true.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_lists_of_numbers_have_as_many_classes_as_are_named_or_scored():
    lists = [[0], [2, 0], []]
    wanted = MultiLabelBinarizer(classes=range(4)).fit_transform(lists)
    np.testing.assert_array_equal(Scores(lists, np.full((3, 4), 0.7)).y_true, wanted)
    np.testing.assert_array_equal(read_labels(lists, "y", classes=list("abcd")).values, wanted)


def test_a_sample_without_a_list_is_unknown():
    assert Scores(pd.Series([["a"], np.nan, ["a", "b"]]), np.full((3, 2), 0.7)).unknown.tolist() == [1, 1]
    assert read_labels([["a"], None, ["a", "b"]], "y").values.tolist() == [[1, 0], [-1, -1], [1, 1]]


def test_names_that_fit_no_class_are_refused_with_their_count():
    with pytest.raises(ValueError, match="'x', 'y', which are none .*: 3 of 4 labels fit no class"):
        Scores(["a", "x", "y", "x"], np.eye(2)[[0, 1, 1, 1]], classes=["a", "b"])
    with pytest.raises(ValueError, match="'c', which is none .*: 1 of 4 labels fits no class"):
        Session(nn.Linear(5, 2), (X, [["a"], ["c"], ["a", "b"], []]), classes=["a", "b"])


def test_names_are_numbered_as_scikit_learn_does_and_missing_ones_are_unknown():
    words = ["dog", None, "cat", np.nan, "eel"]
    encoder = LabelEncoder().fit(["dog", "cat", "eel"])
    for given in (
        words,
        pd.Series(words),
        pd.Series(words, dtype="string"),
        pd.Series(words, dtype="category"),
    ):
        found = read_labels(given, "y")
        assert found.classes == tuple(encoder.classes_)
        assert found.values.tolist() == [1, -1, 0, -1, 2]


def test_texts_of_0_and_1_in_a_column_are_yes_and_no():
    assert Scores(["0", "1", "-1", ""], [0.1, 0.9, 0.5, 0.5]).y_true.ravel().tolist() == [0, 1, -1, -1]
    assert Scores(["no", "yes", "no"], [0.1, 0.9, 0.5]).classes == ("yes",)


# -- what -1 means


@pytest.mark.parametrize("make", [np.array, torch.tensor, pd.Series, lambda y: np.array(y, float)])
def test_minus_one_beside_one_and_no_zero_is_asked_about(make):
    y = make([-1, 1, 1, -1])
    with pytest.raises(ValueError, match="may mean no or unknown"):
        Scores(y, [0.1, 0.9, 0.8, 0.2])
    with pytest.raises(ValueError, match='may mean no or unknown.*task="regression"'):
        Session(nn.Linear(5, 1), (X, y))
    assert Session(nn.Linear(5, 1), (X, y), task="regression").task == "regression"


def test_minus_one_may_be_the_first_of_three_classes_and_is_asked_about():
    y = [-1, 0, 1, 0]
    with pytest.raises(ValueError, match="-1 may be a class or mean unknown"):
        Scores(y, np.full((4, 3), 1 / 3))
    with pytest.raises(ValueError, match="-1 may be a class or mean unknown"):
        Session(nn.Linear(5, 3), (X, y))
    assert Scores([-1, 0, 2, 1], np.full((4, 3), 1 / 3)).unknown.tolist() == [1, 1, 1]


# -- rows and columns by name

FRAME = pd.DataFrame({"a": [1, 0, 1, 0], "b": [0, 1, 1, 0]}, index=list("wxyz"))


def test_rows_and_columns_of_two_frames_are_matched_by_name():
    chances = FRAME * 0.8 + 0.1
    expected = Scores(FRAME.to_numpy(), chances.to_numpy(), ["a", "b"])
    found = Scores(FRAME, chances.loc[list("zxwy"), ["b", "a"]])
    np.testing.assert_array_equal(found.confusion(), expected.confusion())
    assert found.metrics()["f1"].tolist() == [1, 1]
    assert found.sample_ids.tolist() == list("wxyz")


@pytest.mark.parametrize(
    "chances",
    [
        FRAME.set_axis(list("wxyq")) * 0.8,
        FRAME.reset_index(drop=True) * 0.8,
        FRAME.rename(columns={"b": "c"}) * 0.8,
        FRAME.iloc[:3] * 0.8,
        FRAME.set_axis(list("wxxy")) * 0.8,
    ],
)
def test_frames_with_other_names_are_refused(chances):
    with pytest.raises(ValueError, match="names|differ"):
        Scores(FRAME, chances)


def test_numbers_of_rows_in_another_order_are_no_names():
    y = FRAME.reset_index(drop=True)
    with pytest.raises(ValueError, match="only numbers"):
        Scores(y, y.iloc[[1, 0, 3, 2]] * 0.8)


def test_scores_name_the_classes_and_samples_where_labels_do_not():
    chances = pd.DataFrame(np.eye(3), columns=["cat", "dog", "eel"], index=list("pqr"))
    found = Scores(np.array([0, 1, 2]), chances)
    assert found.classes == ("cat", "dog", "eel") and found.sample_ids.tolist() == list("pqr")
    assert Scores(pd.Series(["eel", "dog", "cat"], index=list("rqp")), chances).exact_match() == 1
    assert Scores(pd.Series([0, 1], name="sick"), [0.2, 0.7]).classes == ("sick",)


def test_columns_that_are_the_labels_themselves_are_matched_by_them():
    chances = pd.DataFrame(np.eye(3), columns=[3, 5, 9])
    assert Scores(np.array([3, 5, 9]), chances).exact_match() == 1
    with pytest.raises(ValueError, match="holds '4'.*1 of 3 labels fits no class"):
        Scores(np.array([3, 4, 9]), chances)


def test_names_of_classes_in_another_order_than_the_columns_put_these_in_order():
    assert Scores(FRAME, FRAME.to_numpy()[:, ::-1] * 0.8, classes=["b", "a"]).metrics()["f1"].tolist() == [
        1,
        1,
    ]
    session = Session(nn.Linear(5, 2), (X, FRAME), (X, FRAME), classes=["b", "a"])
    np.testing.assert_array_equal(session.evaluate().scores.y_true, FRAME[["b", "a"]])


@pytest.mark.parametrize("order", [[1, 0, 3, 2], [0, 1, 2, 2]])
def test_a_session_refuses_targets_whose_rows_are_named_otherwise(order):
    inputs = pd.DataFrame(X.numpy())
    targets = FRAME.reset_index(drop=True).iloc[order]
    with pytest.raises(ValueError, match=r"name .* rows .*y\.loc\[X\.index\]"):
        Session(nn.Linear(5, 2), (inputs, targets))
    with pytest.raises(ValueError, match="rows"):
        Session(nn.Linear(5, 1), (inputs, targets["a"]))


def test_the_validation_targets_stand_in_the_order_of_the_training_columns():
    session = Session(nn.Linear(5, 2), (X, FRAME), (X, FRAME[["b", "a"]]))
    np.testing.assert_array_equal(session.evaluate().scores.y_true, FRAME)
    with pytest.raises(ValueError, match="differ"):
        Session(nn.Linear(5, 2), (X, FRAME), (X, FRAME.rename(columns={"a": "c"})))


# -- training on what is known


@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 3.0, 0.5])])
def test_unknown_labels_take_no_part_in_the_loss(weight):
    output = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    targets, known = torch.tensor(NAN).float(), torch.tensor(~UNKNOWN)
    loss = None if weight is None else nn.BCEWithLogitsLoss(pos_weight=weight)
    task = infer_task(targets, output, loss=loss)
    found = task.loss(output, task.prepare(targets, output))
    each = F.binary_cross_entropy_with_logits(
        output, targets.nan_to_num(), pos_weight=weight, reduction="none"
    )
    torch.testing.assert_close(found, each[known].mean())
    ours, theirs = (
        torch.autograd.grad(one, output, retain_graph=True)[0] for one in (found, each[known].mean())
    )
    torch.testing.assert_close(ours, theirs)
    assert (ours[~known] == 0).all()


@pytest.mark.parametrize("loss", [nn.SoftMarginLoss(), lambda output, signs: (1 - output * signs).clamp(0).mean()])
def test_labels_of_minus_one_and_one_that_a_loss_wants_are_no_and_yes(loss, tmp_path):
    signs = torch.tensor([[1, -1], [-1, 1], [1, 1], [-1, -1]])
    session = Session(nn.Linear(5, 2), (X, signs), (X, signs), loss=loss, task="multilabel", epochs=1).fit()
    np.testing.assert_array_equal(session.scores.y_true, (signs > 0).int())
    assert infer_task(signs, signs.float(), loss=nn.SoftMarginLoss()).name == "multilabel"
    session.to_script(tmp_path / "run.py")
    assert torch.equal(torch.load(tmp_path / "run.valid.pt")["targets"], (signs > 0).long())
    assert session.evaluation.loss == pytest.approx(loss(session.model(X), signs.float()).item())


@pytest.mark.parametrize(("flat", "task"), [(True, "binary"), (False, "multilabel")])
def test_smoothed_labels_beside_a_loss_of_labels_are_labels(flat, task):
    labels = torch.tensor([0.05, 0.95, 0.95, 0.05]) if flat else torch.tensor([[0.05, 0.95]] * 4)
    found = infer_task(labels, torch.zeros(4, 1 if flat else 2), loss=nn.BCEWithLogitsLoss())
    assert found.name == task
    assert infer_task(labels, torch.zeros(4, 1 if flat else 2), loss=nn.MSELoss()).name == "regression"


def test_a_batch_without_a_known_label_has_no_loss_and_no_gradient():
    output = torch.zeros(2, 3, requires_grad=True)
    task = infer_task(torch.tensor(NAN), output)
    loss = task.loss(output, torch.full((2, 3), -1.0))
    assert loss.item() == 0 and (torch.autograd.grad(loss, output)[0] == 0).all()


def test_unknown_classes_are_left_out_as_by_ignore_index():
    y = torch.tensor([0, 2, -1, 1])
    for given in (y, y.float().masked_fill(y < 0, torch.nan), ["a", "c", None, "b"]):
        torch.manual_seed(0)
        model = nn.Linear(5, 3)
        expected = F.cross_entropy(model(X), y, ignore_index=-1)
        session = Session(model, (X, given), (X, given))
        torch.testing.assert_close(torch.tensor(session.evaluate().loss), expected.detach())
        assert session.evaluate().scores.unknown.tolist() == [1, 1, 1]
        session = Session(model, (X, given), loss=nn.CrossEntropyLoss(), task="multiclass").fit(1)
        assert session.status == "done"


@pytest.mark.parametrize(
    ("loss", "late"), [("BCEWithLogitsLoss", -1), ("BCELoss", torch.nan), ("CrossEntropyLoss", -1)]
)
def test_unknown_labels_beyond_the_first_batches_of_a_loader_take_no_part(loss, late, tmp_path):
    inputs = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    targets = (inputs[:, :3] > 0).float() if loss[0] == "B" else torch.arange(100) % 3
    targets[70:90:2] = late
    known = targets >= 0
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(nn.Sequential(nn.Linear(5, 3), nn.Sigmoid() if loss == "BCELoss" else nn.Identity()))
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=10)
    session = Session(models[0], loader, loader, loss=loss, optimizer="sgd", lr=0.1, epochs=1).fit()
    optimizer = torch.optim.SGD(models[1].parameters(), 0.1)
    for start in range(0, 100, 10):
        part = slice(start, start + 10)
        own = known[part] if known.ndim > 1 else known[part, None].expand(-1, 3)
        output = models[1](inputs[part])[own].reshape(-1, 3)
        optimizer.zero_grad()
        getattr(nn, loss)()(output, targets[part][known[part]].reshape(len(output), *targets.shape[1:])).backward()
        optimizer.step()
    torch.testing.assert_close(models[0][0].weight, models[1][0].weight)
    assert session.scores.unknown.tolist() == [10, 10, 10] and session.evaluation.loss_note == ""
    session.to_script(tmp_path / "run.py")
    wanted = "labels that are known" if loss[0] == "B" else "masked_fill(targets == -1, -100)"
    assert wanted in (tmp_path / "run.py").read_text()


def test_a_loss_that_cannot_leave_unknown_labels_out_is_refused_or_told_of():
    with pytest.raises(ValueError, match="MultiLabelSoftMarginLoss cannot.*take BCEWithLogitsLoss"):
        Session(nn.Linear(5, 3), (X, TABLE), loss=nn.MultiLabelSoftMarginLoss())

    def own(output, targets):
        return F.binary_cross_entropy_with_logits(output, targets.clamp(0))

    assert any("are given to own as they are" in note for note in Session(nn.Linear(5, 3), (X, TABLE), loss=own).notes)
    assert not any("as they are" in note for note in Session(nn.Linear(5, 3), (X, TABLE)).notes)


def test_a_loader_whose_labels_are_all_known_trains_to_the_bit_as_without_a_mask():
    loader = DataLoader(TensorDataset(X, torch.tensor(abs(TABLE)).float()), batch_size=2)
    models = []
    for own in (None, lambda output, targets: F.binary_cross_entropy_with_logits(output, targets)):
        torch.manual_seed(0)
        models.append(Session(nn.Linear(5, 3), loader, loss=own, task="multilabel", epochs=2).fit().model)
    assert torch.equal(models[0].weight, models[1].weight)


def test_a_class_beyond_the_outputs_in_a_later_batch_is_said_in_a_sentence():
    loader = DataLoader(TensorDataset(torch.zeros(50, 5), torch.arange(50) // 45 * 7), batch_size=10)
    with pytest.raises(ValueError, match="A batch holds the label 7, but the model puts out 3 values"):
        Session(nn.Linear(5, 3), loader, epochs=1).fit()


def test_labels_unknown_in_the_validation_data_alone_are_masked_there():
    session = Session(nn.Linear(5, 3), (X, abs(TABLE)), (X, TABLE), epochs=1).fit()
    known = torch.tensor(~UNKNOWN)
    with torch.no_grad():
        each = F.binary_cross_entropy_with_logits(
            session.model(X), torch.tensor(abs(TABLE)).float(), reduction="none"
        )
    assert session.evaluation.loss == pytest.approx(float(each[known].mean()))


def test_targets_without_any_known_label_are_refused():
    with pytest.raises(ValueError, match="No label of the targets is known"):
        Session(nn.Linear(5, 3), (X, np.full((4, 3), np.nan)), task="multilabel")


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_a_loss_of_known_labels_is_that_of_the_set_at_any_batch_size(size):
    g = torch.Generator().manual_seed(0)
    inputs, y = torch.randn(50, 5, generator=g), (torch.rand(50, 3, generator=g) > 0.5).float()
    y[torch.rand(50, 3, generator=g) < 0.5] = torch.nan
    y[:10] = torch.nan
    session = Session(nn.Linear(5, 3), (inputs, y), (inputs, y), batch_size=size)
    with torch.no_grad():
        each = F.binary_cross_entropy_with_logits(session.model(inputs), y.nan_to_num(), reduction="none")
    assert session.evaluate().loss == pytest.approx(float(each[~y.isnan()].mean()), rel=1e-5)


@pytest.mark.parametrize("share", [True, False])
def test_the_index_of_a_frame_names_the_samples_of_a_sessions_scores(share):
    frame = pd.DataFrame({"a": range(20), "y": [0, 1] * 10}, [f"image {n}" for n in range(20)])
    session = Session(nn.Linear(1, 1), frame, 0.5 if share else frame[10:], target="y")
    names = session.evaluate().scores.sample_ids
    held = [f"image {int(session.samples.inputs(n))}" for n in range(10)]
    assert names.tolist() == held
    session.evaluate_samples = 4
    scores = session.evaluate().scores
    assert scores.sample_ids.tolist() == [held[n] for n in scores.numbers]
    if share:  # numbers say something once they are no longer all there
        plain = Session(nn.Linear(1, 1), frame.reset_index(drop=True), 0.5, target="y")
        assert [f"image {n}" for n in plain.evaluate().scores.sample_ids] == held
    whole = (frame.reset_index(drop=True)[["a"]], frame["y"].to_numpy())
    assert Session(nn.Linear(1, 1), whole, whole).evaluate().scores.sample_ids is None
