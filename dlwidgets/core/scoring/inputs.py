"""What people give to Scores: labels, scores, predictions and names, read."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.words import did_you_mean, quote_names
from ..data.labels import (
    Labels,
    Table,
    label_lists,
    match_names,
    match_rows,
    number_names,
    numbered,
    order_columns,
    read_labels,
    read_table,
    refuse_shifted,
    refuse_signs,
    refuse_strangers,
)
from ..data.task import read_class_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .scores import Scores


TASKS = ("multilabel", "multiclass", "binary")

#: Probabilities above it are too near to 1 for float64 to tell them apart as logits do.
CERTAIN = 1 - 1e-12


@dataclass(frozen=True)
class Given:
    """What was given to Scores, rows and columns matched by name.

    Attributes
    ----------
    label : N class numbers, or N x C of 0 and 1; -1 or NaN where unknown.
    score : N or N x C numbers.
    classes : the names that were given, or came with labels or scores; None where there are none.
    sample_ids : likewise of the samples.
    named : whether the labels were names of classes.
    task : what the shapes say, or the one that was given; "" as long as nobody asked.
    """

    label: NDArray
    score: NDArray
    classes: Sequence[str] | None
    sample_ids: Sequence[Any] | None
    named: bool
    task: str = ""


def check_task(task: Any) -> None:
    """Refuse what is no task of a classifier, nor None."""
    if task not in (None, *TASKS):
        hint = did_you_mean(str(task).lower(), TASKS)
        known = ", ".join(map(repr, TASKS))
        raise ValueError(f"There is no task={task!r} with scores: give one of {known}.{hint}")


def read_given(
    y_true: Any, y_score: Any, classes: Sequence[str] | None = None, sample_ids: Sequence[Any] | None = None,
    task: str | None = None, *, logits: bool = False,
) -> Given:  # fmt: skip
    """Read labels and scores of any form in their task's.

    Raises ValueError, TypeError: names or shapes that do not fit, in a sentence.
    """
    check_task(task)
    given = match_given(y_true, y_score, classes, sample_ids)
    truth, said, task = _as_task(given.label, given.score, task, logits)
    if task == "binary" and given.named and len(given.classes or ()) == 1 and classes is None:
        raise ValueError(
            f"y_true names one class only, {given.classes[0]!r}: give classes=(negative, positive)."  # type: ignore[index]
        )
    return replace(given, label=truth, score=said.reshape(len(said), -1), task=task)


def match_given(
    y_true: Any, y_score: Any, classes: Sequence[str] | None, sample_ids: Sequence[Any] | None
) -> Given:
    """Read labels and scores, rows and columns matched by name."""
    if isinstance(classes, str):
        raise TypeError(f"classes is one text, {classes!r}: give a list of names.")
    score = _read_score(y_score)
    columns = score.values.shape[1] if score.values.ndim == 2 else 1
    named = score.columns if classes is None and columns > 1 else classes
    label = read_labels(y_true, "y_true", named, columns)
    if (place := match_rows(label, score, "y_true", "y_score")) is not None:
        score = replace(score, values=score.values[place])
    if sample_ids is None:
        sample_ids = next((one.rows for one in (label, score) if one.rows and not numbered(one.rows)), None)
    truth, said, names = _match_columns(label, score, columns, classes)
    return Given(truth, said, names, sample_ids, label.classes is not None)


def _read_score(y_score: Any) -> Table:
    """Read scores; of a forest's N x 2 the second columns."""
    parts = y_score if isinstance(y_score, (list, tuple)) else ()
    if parts and all(np.ndim(part) == 2 for part in parts) and len({len(part) for part in parts}) == 1:
        tables = [as_array(part, "y_score") for part in parts]
        if any(table.shape[1] != 2 for table in tables):
            raise ValueError(
                f"y_score is a list of {len(tables)} arrays, as predict_proba gives them, of which one has "
                f"{next(t.shape[1] for t in tables if t.shape[1] != 2)} columns and not 2: give N x C scores "
                "as np.stack([p[:, 1] for p in y_score], axis=1)."
            )
        return Table(np.stack([table[:, 1] for table in tables], axis=1))
    table = read_table(y_score, "y_score")
    if table.textual:
        raise TypeError("y_score holds texts: numbers are wanted.")
    return table


def _match_columns(
    label: Labels, score: Table, columns: int, classes: Sequence[str] | None
) -> tuple[NDArray, NDArray, Sequence[str] | None]:
    """Return labels, scores and class names, columns matched by name."""
    truth, said = label.values, score.values
    ours = label.columns if truth.ndim == 2 and truth.shape[1] > 1 else None
    theirs = score.columns if columns > 1 else None
    if ours is not None and theirs is not None:
        if (place := match_names(ours, theirs, "y_true", "y_score")) is not None:
            said = said[:, place]
        theirs = ours
    if (place := order_columns(ours, classes, "y_true")) is not None:
        truth = truth[:, place]
    if (place := order_columns(theirs, classes, "y_score")) is not None:
        said = said[:, place]
    if ours is None and label.classes is None and theirs is not None and truth.ndim == 1 and classes is None:
        truth = _number_by_columns(truth, theirs)
    if classes is not None:
        return truth, said, classes
    if columns == 1:
        return truth, said, label.classes or label.columns or score.columns
    return truth, said, label.classes or ours or theirs


def _number_by_columns(truth: NDArray, columns: Sequence[Any]) -> NDArray:
    """Number labels by the columns that are named by them."""
    if not all(isinstance(one, (int, np.integer)) for one in columns):
        return truth
    at = {int(one): n for n, one in enumerate(columns)}
    unknown = (truth != truth) | ((truth == -1) & (-1 not in at))
    strange = [value for value in truth[~unknown].tolist() if value not in at]
    refuse_strangers(strange, len(truth), "y_true", list(at))
    return np.array([-1 if no else at[value] for value, no in zip(truth.tolist(), unknown)], np.int64)


def _as_task(label: NDArray, score: NDArray, task: str | None, logits: bool) -> tuple[NDArray, NDArray, str]:
    """Return labels and scores as the task has them, and it."""
    shapes = f"y_true has shape {label.shape}, y_score {score.shape}"
    if label.ndim not in (1, 2) or score.ndim not in (1, 2):
        many = "; of predict_proba of a forest take [:, 1] of each" if score.ndim == 3 else ""
        raise ValueError(f"{shapes}: N x C is wanted, or N; flatten pictures and sequences first{many}.")
    if len(label) != len(score):
        raise ValueError(f"{shapes}: both need one row a sample, {len(label)} and {len(score)} differ.")
    if label.size == 0 or score.size == 0:
        raise ValueError(f"{shapes}: at least one sample and one class are wanted.")
    columns, wide = (one.shape[1] if one.ndim == 2 else 1 for one in (score, label))
    if task == "binary" and columns == 2 and wide <= 2:
        # Of both classes the second, as predict_proba has it.
        score = score[:, 1] - score[:, 0] if logits else score[:, 1]
        label = label[:, 1] if wide == 2 else label
        columns = wide = 1
    if wide not in (1, columns):
        raise ValueError(f"{shapes}: {wide} columns of labels for {columns} of scores; give as many of each.")
    if task == "multiclass" and wide == columns > 1:
        unknown = ~(label > 0).any(axis=1)
        most = np.nan_to_num(label, nan=-1).max(axis=1, keepdims=True)
        unclear = (~unknown & ((label == most).sum(axis=1) > 1)) | (label == 0).all(axis=1)
        if unclear.any():
            row = int(unclear.argmax())
            raise ValueError(
                f"y_true has {'no class' if unknown[row] else 'several highest classes'} at sample {row} (and "
                f"{int(unclear.sum()) - 1} more): a multiclass task has one a sample; give NaN where it is unknown, "
                "or task='multilabel'."
            )
        label = np.where(unknown, -1, np.nan_to_num(label, nan=-1).argmax(axis=1))
        wide = 1
    found = "multilabel" if wide > 1 else "binary" if columns == 1 else "multiclass"
    if task == "multilabel" and found == "multiclass":
        label = as_labels(label.reshape(-1), columns, "multiclass", str)
    elif task not in (None, found) and not (task == "multilabel" and found == "binary"):
        raise ValueError(
            f"Labels of shape {label.shape} and scores of shape {score.shape} are a {found} task, not {task}."
        )
    return (label.reshape(-1) if (task or found) == "multiclass" else label), score, task or found


def as_array(given: Any, name: str) -> NDArray:
    """Read what was given as a numeric array, half precision as float32."""
    table = read_table(given, name)
    if table.textual:
        raise TypeError(f"{name} holds texts: numbers are wanted.")
    return table.values


def class_names(classes: Sequence[str] | None, count: int, task: str) -> tuple[str, ...]:
    """Return `count` names; for binary the positive one of two."""
    if classes is None:
        return ("positive",) if task == "binary" else tuple(f"class {c}" for c in range(count))
    names = read_class_names(classes)
    if task == "binary" and len(names) == 2:
        return names[1:]
    if len(names) != count:
        raise ValueError(
            f"{len(names)} class names ({listed_names(names)}) for {count} columns of scores: give {count}."
        )
    return names


def sample_names(sample_ids: Sequence[Any] | None, count: int) -> NDArray | None:
    """Return `count` names of samples as an array, or None."""
    if sample_ids is None:
        return None
    if isinstance(sample_ids, str) or not isinstance(sample_ids, Iterable):
        raise TypeError(f"sample_ids={sample_ids!r}: a list of names is wanted, one a sample.")
    given = list(sample_ids)
    if len(given) != count:
        raise ValueError(f"{len(given)} sample_ids for {count} samples: give one a sample.")
    # Through a list, so that an index of tuples stays one name a sample.
    names = np.empty(count, object)
    names[:] = given
    return names


def as_labels(label: NDArray, count: int, task: str, row: Callable[[int], str]) -> NDArray[np.int8]:
    """Return N x C int8 of 1, 0 and -1 (unknown)."""
    unknown = (label != label) | (label == -1)  # NaN is none of itself
    if task == "multiclass" and count > 2:
        refuse_shifted(label, count, "y_true holds")
    else:
        refuse_signs(label, "y_true holds")
    if task == "multiclass":
        wrong = ~unknown & ((label < 0) | (label >= count) | (label != np.floor(label)))
        wanted = f"a class number 0 ... {count - 1}, as y_score has {count} columns, or -1 or NaN for unknown"
    else:
        wrong = ~unknown & (label != 0) & (label != 1)
        several = "; for several classes y_score must be N x C" if task == "binary" else ""
        wanted = f"0, 1, or -1 or NaN for unknown{several}"
    if wrong.any():
        at = np.argwhere(wrong)[0]
        column = f", column {at[1]}" if len(at) > 1 else ""
        raise ValueError(
            f"y_true holds {label[tuple(at)]!s} at sample {row(at[0])}{column} "
            f"(and {int(wrong.sum()) - 1} more): {wanted} is wanted."
        )
    known = np.where(unknown, 0, label).astype(np.int64 if task == "multiclass" else np.int8)
    known[unknown] = -1
    if task != "multiclass":
        return np.ascontiguousarray(known.reshape(len(known), -1))
    one_hot = (known[:, None] == np.arange(count)).astype(np.int8)
    one_hot[known == -1] = -1
    return one_hot


def as_scores(score: NDArray, row: Callable[[int], str]) -> NDArray[np.floating]:
    """Copy scores as float32 or float64; refuse NaN, which has no order."""
    copy = np.array(score, score.dtype if score.dtype.kind == "f" else np.float64, order="C")
    bad = np.flatnonzero(np.isnan(copy).any(axis=1))
    if len(bad):
        shown = ", ".join(row(n) for n in bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise ValueError(
            f"y_score is NaN in {len(bad):,} of {len(copy):,} samples (rows {shown}): a NaN cannot be "
            "compared with a threshold; drop those rows, or look for what made the model's output NaN."
        )
    return copy


def sigmoid(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Compute 1 / (1 + exp(-x)), exact in both tails."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def log_odds(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute log(p / (1 - p)) of each row's softmax p.

    That is x less the log of the sum of the exponentials of the others, which loses nothing near 0 and 1.
    """
    top = x.argmax(axis=1)[:, None]
    highest = np.arange(x.shape[1]) == top
    with np.errstate(invalid="ignore", divide="ignore"):
        from_top = x - np.take_along_axis(x, top, axis=1)
        e = np.exp(from_top)
        found = from_top - np.log(e.sum(axis=1, keepdims=True) - e)
        # Of the highest the others are summed without it, from the next one on.
        others = np.where(highest, -np.inf, x)
        next_one = others.max(axis=1, keepdims=True)
        rest = np.exp(others - next_one).sum(axis=1, keepdims=True)
        return np.where(highest, x - next_one - np.log(rest), found)


def softmax(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Compute the softmax of each row; NaN for a row with +infinity."""
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def listed_names(names: Sequence[Any]) -> str:
    """Return the first three names in quotes."""
    return ", ".join(repr(str(name)) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def as_predictions(
    y_true: Any, y_pred: Any, classes: Sequence[str] | None, task: str | None = None
) -> tuple[Labels, Table, Sequence[str] | None]:
    """Read labels, scores of 0 and 1, and names: `Scores.from_predictions`."""
    if isinstance(classes, str):
        raise TypeError(f"classes is one text, {classes!r}: give a list of names.")
    lists = label_lists(y_true) is not None or label_lists(y_pred) is not None

    def read_both() -> list[Labels]:
        both = ((y_true, "y_true"), (y_pred, "y_pred"))
        return [read_labels(given, name, classes, lists=lists) for given, name in both]

    read = read_both()
    named = any(one.classes is not None for one in read)
    if named and classes is None:
        classes = sorted({name for one in read for name in one.classes or map(_text, one.values) if name})
        read = read_both()
    if named and any(one.classes is None and one.values.ndim == 1 for one in read):
        read = [
            replace(one, values=number_names(np.array([*map(_text, one.values)], object), name, classes)[0])
            if one.classes is None else one
            for one, name in zip(read, ("y_true", "y_pred"))
        ]  # fmt: skip
    truth, said = read[0], read[1].values
    if said.ndim and said.size:  # Scores refuses others in its own words
        unknown = ((said != said) | (said < 0)).reshape(len(said), -1).any(axis=1)
        if unknown.any():
            row = int(unknown.argmax())
            raise ValueError(
                f"y_pred is {said[row]!s} at sample {row} (and {int(unknown.sum()) - 1} more): a prediction "
                "is 0, 1 or a class number; only y_true may be unknown."
            )
    several = named or task == "multiclass" or (classes is not None and len(classes) > 2)
    several = several or bool((said > 1).any() or (truth.values > 1).any())
    if not (truth.values.ndim == said.ndim == 1 and several):
        wrong = said[(said != 0) & (said != 1)]
        if len(wrong):
            raise ValueError(
                f"y_pred holds {wrong[0]!s}: hard predictions of 0 and 1 are wanted. For probabilities: "
                "Scores(y_true, y_score)."
            )
        return truth, Table(said.astype(np.float32), read[1].rows, read[1].columns), classes
    broken = said[said != np.floor(said)]
    if len(broken):
        raise ValueError(
            f"y_pred holds {broken[0]!s} where class numbers are wanted. For probabilities: "
            "Scores(y_true, y_score) with N x C scores."
        )
    seen = np.concatenate([said.astype(np.float64), truth.values.astype(np.float64)])
    count = int(np.nanmax(seen)) + 1 if classes is None else len(classes)
    if len(said) and said.max() >= count:
        raise ValueError(
            f"y_pred holds class {int(said.max())}: {count} classes are named, 0 ... {count - 1}."
        )
    return truth, Table((said[:, None] == np.arange(count)).astype(np.float32), read[1].rows), classes


def _text(value: Any) -> str | None:
    return None if value != value else str(value)


def match_thresholds(given: Any, classes: Sequence[str]) -> Any:
    """Order thresholds that go by names by the classes.

    Names have a dict, a Series, and what `best_thresholds` returns; all others are returned as they are.

    Raises ValueError: a class has none, or a name is no class's.
    """
    if isinstance(given, Mapping):
        names, values = list(given), list(given.values())
        if all(isinstance(name, (int, np.integer)) and str(name) not in classes for name in names):
            names = [classes[name] if 0 <= name < len(classes) else name for name in names]
    elif hasattr(given, "classes") and hasattr(given, "__array__"):  # what `best_thresholds` returns
        names, values = list(given.classes), np.asarray(given, np.float64).tolist()
    elif hasattr(given, "to_numpy") and not hasattr(given, "columns") and _named(given):
        names, values = list(given.index), given.to_numpy().tolist()
    else:
        return given
    at = {str(name): value for name, value in zip(names, values)}
    strange = [name for name in at if name not in classes]
    missing = [name for name in classes if name not in at]
    if strange or missing or len(at) < len(names):
        what = f"{strange[0]!r} is none of the classes" if strange else (
            f"there is none for {missing[0]!r}" if missing else "one class has two"
        )  # fmt: skip
        raise ValueError(f"Thresholds go by name, and {what}: give one for each of {quote_names(classes)}.")
    return [at[name] for name in classes]


def _named(series: Any) -> bool:
    index = getattr(series, "index", None)
    return index is not None and not callable(index) and not numbered(list(index))


def class_number(scores: Scores, cls: Any) -> int:
    """Find a class by name or number; None: the only one."""
    if cls is None and scores.n_classes == 1:
        return 0
    known = f"give one of {quote_names(scores.classes)}, or a number 0 ... {scores.n_classes - 1}"
    if isinstance(cls, str):
        if cls in scores.classes:
            return scores.classes.index(cls)
        raise ValueError(f"There is no class {cls!r}: {known}.{did_you_mean(cls, scores.classes)}")
    try:
        number = operator.index(cls)
    except TypeError:
        number = -1
    if isinstance(cls, (bool, np.bool_)) or number < 0 and not isinstance(cls, (int, np.integer)):
        raise TypeError(f"Of {scores.n_classes} classes one is wanted, {cls!r} given: {known}.")
    if not 0 <= number < scores.n_classes:
        raise ValueError(f"There is no class {number} of {scores.n_classes}: {known}.")
    return number


def check_probabilities(score: NDArray[np.floating], what: str) -> None:
    """Refuse scores outside 0 ... 1; the sentence says what needs probabilities."""
    if len(score) and not 0 <= score.min() <= score.max() <= 1:
        raise ValueError(
            f"{what} needs probabilities, and the scores run from {score.min():.3g} to {score.max():.3g}: "
            "build the Scores of logits with Scores.from_logits."
        )


def read_row_count(top: Any) -> int | None:
    """Read how many rows of a table are wanted; None: all."""
    if top is None:
        return None
    if isinstance(top, bool) or not isinstance(top, (int, np.integer)):
        raise TypeError(f"top is {top!r}: give a number of rows, or None for all.")
    if top < 1:
        raise ValueError(f"top is {top}: give 1 or more, or None for all.")
    return int(top)
