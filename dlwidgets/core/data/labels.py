"""Tables and labels as people give them, read in one way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..base.words import pluralize, quote_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: How a text says yes or no, or that it says nothing.
_WORDS = {"true": 1.0, "false": 0.0, "": np.nan, "none": np.nan, "na": np.nan, "n/a": np.nan, "<na>": np.nan}
#: What no label is: NaN is none of itself, the others are known by their types.
_MISSING = ("NoneType", "NAType", "NaTType", "MaskedConstant")


@dataclass(frozen=True)
class Table:
    """What was given as rows of values, with names it brought.

    Attributes
    ----------
    values : an array of numbers, NaN where there is none; or, of texts, an array of str and None.
    rows : the index of a frame that names its rows, as a list; None where rows are only numbered.
    columns : the names of its columns, of a series its own; None where they are only numbered.
    """

    values: NDArray
    rows: list[Any] | None = None
    columns: tuple[Any, ...] | None = None

    @property
    def textual(self) -> bool:
        """Whether it holds names."""
        return self.values.dtype.kind == "O"


@dataclass(frozen=True)
class Labels(Table):
    """Class numbers, or 0 and 1 in columns; unknown: -1, NaN.

    Attributes
    ----------
    classes : the names that the labels themselves were, in the order of their numbers; None: they were none.
    """

    classes: tuple[str, ...] | None = None


def read_table(given: Any, name: str) -> Table:
    """Read an array, tensor, frame or list of any kind.

    Raises TypeError: it is none of them, in a sentence that calls it `name`.
    """
    if isinstance(given, Table):
        return given
    if isinstance(given, torch.Tensor):
        dense = given.detach().to_dense() if given.layout != torch.strided else given.detach()
        half = dense.is_floating_point() and dense.dtype not in (torch.float32, torch.float64)
        return Table((dense.float() if half else dense).cpu().resolve_conj().numpy())
    rows, columns = row_names(given), _column_names(given)
    if hasattr(given, "toarray"):  # scipy.sparse
        given = given.toarray()
    try:
        array = np.ma.asarray(given) if np.ma.isMaskedArray(given) else _as_array(given)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} cannot be read as an array of numbers: {error}.") from None
    if np.ma.isMaskedArray(array):
        hidden = np.ma.getmaskarray(array)
        plain = array.data.astype(object if array.dtype.kind not in "biuf" else np.float64)
        plain[hidden] = None if plain.dtype.kind == "O" else np.nan
        array = plain if hidden.any() else array.data
    if array.dtype.kind not in "biuf":
        array = _read_objects(array, name)
    if array.dtype.kind == "f":
        array = array.astype(np.float32 if array.dtype.itemsize <= 4 else np.float64, copy=False)
    return Table(array, rows, columns)


def read_labels(
    given: Any,
    name: str,
    classes: Sequence[str] | None = None,
    count: int | None = None,
    lists: bool = False,
) -> Labels:
    """Read labels: numbers, names, or lists of labels, one a sample.

    Names become their numbers: in the order of `classes`, else in sorted order, as scikit-learn's
    LabelEncoder and MultiLabelBinarizer have it. A missing one is -1.

    Parameters
    ----------
    count : how many classes there are, where lists hold numbers; None: as many as are named or occur.
    lists : whether each sample is known to have a list of labels, as others of its kind have; else N lists of
        one name each are N names.

    Raises TypeError, ValueError: what they are cannot be told, or some fit none of `classes`.
    """
    if isinstance(given, Labels):
        return given
    if (each := label_lists(given, lists)) is not None:
        return replace(_read_lists(each, name, classes, count), rows=row_names(given))
    table = read_table(given, name)
    if not table.textual:
        return Labels(table.values, table.rows, table.columns)
    texts = table.values[:, 0] if table.values.ndim == 2 and table.values.shape[1] == 1 else table.values
    if texts.ndim != 1:
        raise ValueError(
            f"{name} holds texts in shape {texts.shape}: names of classes are wanted as N names, one a "
            "sample, or as a list of names for each sample."
        )
    numbers, names = number_names(texts, name, classes)
    return Labels(numbers, table.rows, None, names)


def label_lists(given: Any, known: bool = False) -> list[Any] | None:
    """Return lists of labels, one a sample, if these were given.

    `known` says that lists are lists of labels, whatever they hold.
    """
    if isinstance(given, torch.Tensor) or hasattr(given, "toarray") or hasattr(given, "columns"):
        return None
    if isinstance(given, np.ndarray) and given.dtype.kind != "O":
        return None
    try:
        items = list(given)
    except TypeError:
        return None
    lists = [one for one in items if isinstance(one, (list, tuple, set, frozenset, np.ndarray))]
    items = [None if lists and _is_missing(one) else one for one in items]
    if not lists or any(one is not None and _length(one) is None for one in items):
        return None
    if any(isinstance(one, (list, tuple, np.ndarray)) and _nested(one) for one in lists):
        return None
    sets = any(isinstance(one, (set, frozenset)) for one in lists)
    ragged = len({len(one) for one in lists}) > 1 or len(lists) < len(items)
    several = max(map(len, lists)) > 1
    texts = several and any(isinstance(v, str) and _text_number(v) is None for one in lists for v in one)
    return items if known or sets or ragged or texts else None


def number_names(
    texts: NDArray, name: str, classes: Sequence[str] | None = None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the numbers of names (-1: none), and all names.

    Raises ValueError: some are none of `classes`, with their count.
    """
    there = [text for text in texts if text is not None]
    names = tuple(sorted(set(there))) if classes is None else tuple(map(str, classes))
    number = {text: n for n, text in enumerate(names)}
    refuse_strangers([text for text in there if text not in number], len(texts), name, names)
    return np.array([-1 if text is None else number[text] for text in texts], np.int64), names


def refuse_strangers(strange: Sequence[Any], count: int, name: str, names: Sequence[Any]) -> None:
    """Raise ValueError where labels fit no class, with how many there are."""
    if not strange:
        return
    often = [label for label, _ in Counter(strange).most_common()]
    raise ValueError(
        f"{name} holds {quote_names(often, 3)}, which {'is' if len(often) == 1 else 'are'} none of the "
        f"classes {quote_names(names)}: {len(strange):,} of {pluralize(count, 'label')} "
        f"{'fits' if len(strange) == 1 else 'fit'} no class."
    )


def match_rows(one: Table, other: Table, name: str, other_name: str) -> NDArray[np.int64] | None:
    """Find the rows of `one` in `other`; None: they stand alike.

    Raises ValueError: they name different rows, or only one of them names any.
    """
    if one.rows is None or other.rows is None or one.rows == other.rows:
        return None
    here, there = one.rows, other.rows
    at = {row: n for n, row in enumerate(there)}
    fix = f"give both in one order, as {name}.loc[{other_name}.index], or as plain arrays (.to_numpy())"
    if len(at) < len(there) or len(set(here)) < len(here) or set(here) != set(at):
        raise ValueError(
            f"The rows of {name} ({quote_names(here[:3])}, ...) and of {other_name} "
            f"({quote_names(there[:3])}, ...) have different names, so they cannot be told to be the same "
            f"samples: {fix}."
        )
    if numbered(here) or numbered(there):
        raise ValueError(
            f"{name} and {other_name} have the same row names in another order, and those of one are only "
            f"numbers 0, 1, 2, ...: {fix}."
        )
    return np.array([at[row] for row in here], np.int64)


def match_names(
    wanted: Sequence[Any], given: Sequence[Any], name: str, other_name: str
) -> NDArray[np.int64] | None:
    """Find the `wanted` names in `given`; None: they stand alike.

    Raises ValueError: they are not the same names.
    """
    wanted, given = [str(one) for one in wanted], [str(one) for one in given]
    if wanted == given:
        return None
    if len(set(given)) < len(given) or set(wanted) != set(given):
        missing = [one for one in wanted if one not in given] or [one for one in given if one not in wanted]
        raise ValueError(
            f"The columns of {name} ({quote_names(wanted)}) and {other_name} ({quote_names(given)}) differ"
            + (f", as in {missing[0]!r}" if missing else "")
            + ": give both with the same names, in any order."
        )
    at = {one: n for n, one in enumerate(given)}
    return np.array([at[one] for one in wanted], np.int64)


def order_columns(columns: Sequence[Any] | None, classes: Sequence[str] | None, name: str) -> NDArray | None:
    """Find the classes among columns; None: leave them as they are.

    Other names for all the columns are new names for them, in their order.

    Raises ValueError: some of the names are the same, and some are not.
    """
    if columns is None or classes is None or not {*map(str, columns)} & {*map(str, classes)}:
        return None
    return match_names(classes, columns, "classes=", name)


def row_names(given: Any) -> list[Any] | None:
    """Return the index of a frame as a list, or None."""
    index = getattr(given, "index", None)
    return None if index is None or callable(index) else list(index)


def numbered(names: Sequence[Any]) -> bool:
    """Say whether names are only the numbers 0, 1, 2, ..."""
    return list(names) == list(range(len(names))) and all(type(one).__name__ != "bool" for one in names)


def refuse_signs(values: NDArray | torch.Tensor, name: str, otherwise: str = "") -> None:
    """Raise ValueError where -1 stands beside 1, and no 0 anywhere.

    It may then mean "no" as well as unknown.
    """
    minus, one, zero = ((values == label).any() for label in (-1, 1, 0))
    if minus and one and not zero:
        raise ValueError(
            f"{name} -1 and 1 and no 0, so -1 may mean no or unknown: for no give 0 (y > 0), for "
            f"unknown NaN{otherwise}."
        )


def refuse_shifted(values: NDArray | torch.Tensor, count: int, name: str) -> None:
    """Raise ValueError where -1 may be the first of `count` classes."""
    known = values[values == values]  # NaN is unknown either way
    top = int(known.max()) if len(known) else -1
    if (known == -1).any() and top == count - 2 and all((known == label).any() for label in range(count - 1)):
        raise ValueError(
            f"{name} the {count} labels -1 ... {top} for {count} classes, so -1 may be a class or mean "
            "unknown: for a class count from 0 (y + 1), for unknown give NaN."
        )


# -- inside


def _column_names(given: Any) -> tuple[Any, ...] | None:
    columns = getattr(given, "columns", None)
    if columns is None or callable(columns):
        name = getattr(given, "name", None)
        return (name,) if hasattr(given, "to_numpy") and isinstance(name, str) and name else None
    names = tuple(columns)
    return None if numbered(names) else names


def _as_array(given: Any) -> NDArray:
    """Return an array, NaN where a nullable number is missing."""
    dtypes = getattr(given, "dtypes", None)
    if not hasattr(given, "to_numpy") or dtypes is None or not type(given).__module__.startswith("pandas"):
        return np.asarray(given.to_numpy() if hasattr(given, "to_numpy") else given)
    kinds = list(dtypes) if hasattr(given, "columns") else [dtypes]
    if all(isinstance(kind, np.dtype) for kind in kinds):
        return given.to_numpy()
    if any(getattr(kind, "kind", "O") not in "biuf" for kind in kinds):
        return given.to_numpy(dtype=object)
    if not bool(np.asarray(given.isna()).any()):
        return given.to_numpy(dtype=np.float64 if any(kind.kind == "f" for kind in kinds) else np.int64)
    return given.to_numpy(dtype=np.float64, na_value=np.nan)


def _read_objects(array: NDArray, name: str) -> NDArray:
    """Return objects as numbers where they are, else texts and None."""
    flat = array.astype(object).reshape(-1)
    missing = np.fromiter(map(_is_missing, flat), bool, len(flat))
    there = flat[~missing].tolist()
    if any(isinstance(value, (str, bytes)) for value in there):
        texts = [value.decode() if isinstance(value, bytes) else str(value) for value in there]
        means = {text: _text_number(text) for text in set(texts)}
        # In one column they are names of classes, unless all of them say yes, no or unknown.
        single = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
        few = all(one is not None and (one != one or one in (-1, 0, 1)) for one in means.values())
        plain = few if single else None not in means.values()
        if not plain:
            found = np.full(len(flat), None, object)
            found[~missing] = [text if text.strip() else None for text in texts]
            return found.reshape(array.shape)
        there = [means[text] for text in texts]
    try:
        whole = not missing.any() and all(
            isinstance(value, (bool, int, np.bool_, np.integer)) for value in there
        )
        found = np.full(len(flat), np.nan, np.float64) if not whole else np.empty(len(flat), np.int64)
        found[~missing] = np.array(there, dtype=found.dtype) if there else 0
    except (TypeError, ValueError, OverflowError) as error:
        kinds = quote_names(sorted({type(value).__name__ for value in there}))
        raise TypeError(
            f"{name} cannot be read as an array of numbers: it holds values of type {kinds} ({error})."
        ) from None
    return found.reshape(array.shape)


def _is_missing(value: Any) -> bool:
    return type(value).__name__ in _MISSING or (isinstance(value, (float, np.floating)) and value != value)


def _text_number(text: str) -> float | None:
    plain = text.strip().lower()
    try:
        return _WORDS[plain] if plain in _WORDS else float(plain)
    except ValueError:
        return None


def _length(one: Any) -> int | None:
    return (
        len(one) if isinstance(one, (list, tuple, set, frozenset, np.ndarray)) and np.ndim(one) < 2 else None
    )


def _nested(one: Any) -> bool:
    return any(isinstance(value, (list, tuple, set, np.ndarray, torch.Tensor)) for value in one)


def _read_lists(lists: list[Any], name: str, classes: Sequence[str] | None, count: int | None) -> Labels:
    """Return 0 and 1 in a column a label; None is unknown."""
    there = [value for one in lists if one is not None for value in one]
    odd = [value for value in there if isinstance(value, (bool, float, np.floating)) or _is_missing(value)]
    twice = [one for one in lists if one is not None and len(set(one)) < len(one)]
    if odd or twice:
        what = f"that hold {odd[0]!r}" if odd else "one of which has a label twice"
        raise TypeError(
            f"{name} cannot be read as an array of numbers: it has lists of unequal length, {what}. "
            "Lists of labels name each label of a sample once; other rows need to be of equal length (padded)."
        )
    if any(isinstance(value, str) for value in there):
        names = tuple(sorted({*map(str, there)})) if classes is None else tuple(map(str, classes))
        at: dict[Any, int] = {text: n for n, text in enumerate(names)}
        key: Any = str
    else:
        names = None if classes is None else tuple(map(str, classes))
        most = max((int(value) for value in there), default=-1) + 1
        width = len(names) if names is not None else most if count is None else count
        at, key = {n: n for n in range(width)}, int
    strange = [key(value) for value in there if key(value) not in at]
    refuse_strangers(strange, len(there), name, names if names is not None else list(at))
    values = np.zeros((len(lists), len(at)), np.int8)
    for row, one in enumerate(lists):
        if one is None:
            values[row] = -1
        else:
            values[row, [at[key(value)] for value in one]] = 1
    return Labels(values, classes=names)
