"""Data as people hand it over: rows, a Dataset or an iterable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from ..base.trees import arrays_to_tensors, tree_map, tree_tensors
from ..base.words import pluralize, quote_names
from .detection import DetectionSamples, is_sample, is_target_list
from .labels import Labels, match_names, order_columns, read_labels, row_names
from .own_loss import find_entry

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Rows in memory: inputs (a tree of tensors) and targets."""

    inputs: Any
    #: A tensor; a tuple or dict of them where a model has several outputs.
    targets: Any
    #: The names of the classes, where the targets brought them.
    classes: tuple[str, ...] | None = None
    #: The columns of the DataFrame that the inputs were, in order.
    columns: tuple[Any, ...] | None = None
    #: Whether the targets were given as names.
    named: bool = False
    #: The columns of the DataFrame that the targets were, in order, where there are several.
    target_columns: tuple[str, ...] | None = None
    #: The names of the samples, where an index brought any.
    names: Sequence[Any] | None = None
    #: Whether the inputs were given to be differentiated by: those of each batch are then leaves.
    differentiated: bool = False

    def __len__(self) -> int:
        return len(next(tree_tensors(self.targets)))

    def take(self, index: Any) -> tuple[Any, Any]:
        """Return (inputs, targets) of the samples at `index`: integers or a slice."""
        inputs = tree_map(lambda tensor: _select(tensor, index), self.inputs)
        if self.differentiated:
            inputs = tree_map(lambda t: t.detach().requires_grad_(t.is_floating_point()), inputs)
        return inputs, tree_map(lambda tensor: _select(tensor, index), self.targets)


def _select(tensor: torch.Tensor, index: Any) -> torch.Tensor:
    """Return `tensor[index]`, strides and all; integers take a third of the time."""
    if not isinstance(index, torch.Tensor) or tensor.device != index.device:
        return tensor[index]
    # Are the strides those of a new tensor? `is_contiguous()` overlooks the axes of length 1: by their
    # strides a convolution tells whether one channel comes first or last, and rounds differently.
    expected = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.stride())):
        if stride != expected:
            return tensor[index]
        expected *= max(size, 1)
    return tensor.index_select(0, index)


def read_data(
    data: Any, *, name: str = "train", target: Any = None, classes: Sequence[str] | None = None,
    like: Rows | None = None,
) -> Any:  # fmt: skip
    """Read `data` as `Rows`, a Dataset, a DataLoader or an iterable.

    Parameters
    ----------
    data : (X, y) of tensors or arrays, (images, list of dicts with boxes), a list of such pairs, a pandas DataFrame,
        a dict of columns, a map-style Dataset, an iterable or a DataLoader.
    name : what to call it in a message.
    target : the column, or list of columns, of a DataFrame that is to be predicted; the entry of a dict.
    classes : the names of the classes in order; targets given as names become their numbers.
    like : the training rows, whose columns and class names serve for the validation rows too.

    Raises TypeError, ValueError: one sentence that says what was given and what is wanted.
    """
    if classes is None and like is not None and like.named:
        classes = like.classes
    columns = None if like is None else like.columns
    if data is None:
        raise TypeError(f"There is no data: pass {name}=(X, y), a DataFrame, a Dataset or a DataLoader.")
    if is_frame(data):
        rest, y = split_columns(data, name, target)
        rest = columns or rest
        return replace(_make_rows(frame_to_array(data, name, rest), y, name, classes, like), columns=rest)
    if isinstance(data, (DataLoader, Rows)):
        _refuse_empty(getattr(data, "dataset", data), name)
        return data
    # Not a subclass: its items may be changed on the way.
    if type(data) is TensorDataset and len(data.tensors) == 2:
        data = tuple(data.tensors)
    if isinstance(data, Mapping) and target is None:
        target = find_entry(data)
    if isinstance(data, Mapping) and isinstance(target, str) and target in data:
        X = {key: value for key, value in data.items() if key != target}
        return _make_rows(X, data[target], name, classes, like)
    # [X, y] for (X, y); a list of two ready-made batches holds pairs or dicts.
    arrays = isinstance(data, list) and all(isinstance(part, (torch.Tensor, np.ndarray)) for part in data)
    if isinstance(data, list) and data and is_sample(data[0]):
        return DetectionSamples.from_pairs(data, name)
    if isinstance(data, list) and data and _is_labelled(data[0]):
        return Subset(data, range(len(data)))  # type: ignore[arg-type]
    if isinstance(data, (tuple, list)) and len(data) == 2 and is_target_list(data[1]):
        return DetectionSamples.read(*data, name)
    if (isinstance(data, tuple) or arrays) and len(data) == 2:
        if target is not None:
            raise TypeError(
                f"target={target!r} is for a DataFrame or dicts: {name}=(X, y) says itself what y is."
            )
        X, y = data
        rows = _make_rows(X, y, name, classes, like, columns)
        return replace(rows, columns=columns or tuple(X.columns)) if is_frame(X) else rows
    return _pass_through(arrays_to_tensors(data) if type(data) is list else data, name)


def _is_labelled(item: Any) -> bool:
    """Say whether this is one sample with its label, and no batch."""
    label = item[1] if isinstance(item, tuple) and len(item) == 2 else None
    return isinstance(label, (int, float, np.number)) or (isinstance(label, torch.Tensor) and not label.ndim)


def _pass_through(data: Any, name: str) -> Any:
    """Return a Dataset or an iterable as it is; refuse everything else."""
    if isinstance(data, (torch.Tensor, np.ndarray)):
        raise TypeError(
            f"{name} is one {type(data).__name__} of shape {tuple(data.shape)}: targets are missing. "
            f"Pass {name}=(X, y)."
        )
    if isinstance(data, tuple):
        raise TypeError(
            f"{name} has {len(data)} parts: pass {name}=(X, y), with several inputs as X=(X1, X2)."
        )
    if isinstance(data, Mapping):
        raise TypeError(
            f"{name} is a dict with {quote_names(data)}: say which entry is to be predicted, as target=..., "
            f"or pass {name}=(X, y)."
        )
    numbered = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if not isinstance(data, (str, bytes)) and (isinstance(data, (Dataset, Iterable)) or numbered):
        if isinstance(data, list):
            _refuse_empty(data, name, "batches")
        elif not isinstance(data, IterableDataset) and (numbered or isinstance(data, Dataset)):
            _refuse_empty(data, name)
        return data
    raise TypeError(
        f"{name} is of type {type(data).__name__}, which is none of: (X, y) of tensors or arrays, "
        "a DataFrame with target=..., a Dataset, a DataLoader, an iterable of batches."
    )


def split_data(
    rows: Any, share: float, seed: int, held_out: NDArray[np.bool_] | None = None
) -> tuple[Any, Any]:
    """Split rows or a Dataset into (train, valid), valid a random `share`.

    Where groups are not to be divided, `held_out` says which samples: see `groups.draw_groups`.
    """
    if not 0 < share < 1:
        raise ValueError(
            f"valid={share!r}: as a number it is the share of train to hold out, between 0 and 1."
        )
    unnumbered = isinstance(rows, (DataLoader, IterableDataset, list)) or not hasattr(rows, "__getitem__")
    if unnumbered and not isinstance(rows, Rows):
        raise TypeError(
            "valid as a share needs (X, y), a DataFrame or a Dataset; pass valid data of its own."
        )
    count = len(rows)
    held = round(count * share)
    if not 0 < held < count:
        raise ValueError(f"valid={share!r} of {count} samples leaves one part empty.")
    if held_out is None:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        parts = order[held:].sort().values, order[:held].sort().values
    else:
        out = torch.from_numpy(held_out)
        parts = (~out).nonzero()[:, 0], out.nonzero()[:, 0]
    if isinstance(rows, Rows):
        taken = [(*rows.take(part), rows.names and [rows.names[n] for n in part.tolist()]) for part in parts]
        return tuple(replace(rows, inputs=X, targets=y, names=names) for X, y, names in taken)  # type: ignore[return-value]
    return tuple(torch.utils.data.Subset(rows, part.tolist()) for part in parts)  # type: ignore[return-value]


def read_inputs(X: Any, name: str, columns: Sequence[Any] | None = None) -> Any:
    """Read inputs as a tensor, or a tuple or dict of tensors.

    `name` is what to call them in a message; `columns`: see `frame_to_array`.
    """
    if is_frame(X):
        X = frame_to_array(X, name, columns)
    if isinstance(X, Mapping):
        return {key: read_inputs(value, f"{name}[{key!r}]") for key, value in X.items()}
    if isinstance(X, tuple) and X and all(isinstance(part, (torch.Tensor, np.ndarray)) for part in X):
        return tuple(read_inputs(part, name) for part in X)
    if isinstance(X, list) and X and all(isinstance(part, torch.Tensor) for part in X):
        # A list holds samples, a tuple several inputs.
        shapes = {tuple(part.shape) for part in X}
        if len(shapes) > 1:
            raise ValueError(
                f"{name} is a list of tensors of different shapes, as "
                f"{' and '.join(map(str, sorted(shapes)[:2]))}: make them equal."
            )
        X = torch.stack(X)
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    tensor = as_tensor(X, name)
    if tensor.ndim == 0:
        raise ValueError(f"{name} has no sample axis: it is a single number.")
    return tensor


def _make_rows(
    X: Any, y: Any, name: str, classes: Sequence[str] | None, like: Rows | None = None,
    columns: Sequence[Any] | None = None,
) -> Rows:  # fmt: skip
    if _of_several(y, X):
        parts = [_make_rows(X, one, name, None) for one in (y.values() if isinstance(y, Mapping) else y)]
        each = tuple(part.targets for part in parts)
        return replace(parts[0], targets=dict(zip(y, each)) if isinstance(y, Mapping) else each, classes=None)
    labels = _read_targets(y, name, classes, like)
    _match_frames(X, labels, name)
    targets = as_tensor(labels.values, f"the targets of {name}")
    if isinstance(X, list) and len(X) != len(targets) and _of_arrays(X) and len(X[0]) == len(targets):
        X = tuple(X)  # [X1, X2] for (X1, X2): each has a row for each sample
    inputs = read_inputs(X, f"the X of {name}", columns)
    counts = {len(tensor) for tensor in tree_tensors(inputs)}
    if not counts:
        raise TypeError(f"{name} has inputs of type {type(X).__name__}: pass tensors or arrays.")
    if counts != {len(targets)}:
        given = " and ".join(map(str, sorted(counts)))
        raise ValueError(
            f"{name} has {given} inputs but {pluralize(len(targets), 'target')}: "
            "X and y must have one row for each sample."
        )
    _refuse_empty(targets, name)
    return Rows(
        inputs, targets, labels.classes or labels.columns, named=labels.classes is not None,
        target_columns=labels.columns if targets.ndim > 1 else None, names=labels.rows or row_names(X),
        differentiated=any(tensor.requires_grad for tensor in tree_tensors(X)),
    )  # fmt: skip


def _parts(tree: Any) -> list[Any]:
    return [*tree.values()] if isinstance(tree, Mapping) else [*tree] if isinstance(tree, (list, tuple)) else []


def _of_several(y: Any, X: Any) -> bool:
    """Say whether these are targets of several outputs."""
    if not _of_arrays(y):
        return False
    count = len(next(iter(_parts(X)), X)) if not isinstance(X, list) or _of_arrays(X) else len(X)
    return (isinstance(y, Mapping) or len(y) != count) and len(_parts(y)[0]) == count


def _of_arrays(tree: Any) -> bool:
    """Say whether these are arrays with as many rows each."""
    parts = _parts(tree)
    arrays = all(isinstance(one, (torch.Tensor, np.ndarray)) and one.ndim for one in parts)
    return bool(parts) and arrays and len(set(map(len, parts))) == 1


def _match_frames(X: Any, labels: Labels, name: str) -> None:
    """Refuse X and y that name rows differently."""
    for part in X.values() if isinstance(X, Mapping) else X if isinstance(X, tuple) else [X]:
        rows = row_names(part)
        if rows is None or labels.rows is None or rows == labels.rows:
            continue
        order = set(rows) == set(labels.rows)
        raise ValueError(
            f"X and y of {name} name {'the same rows in another order' if order else 'different rows'} (X "
            f"{quote_names(rows[:3])}, ...; y {quote_names(labels.rows[:3])}, ...): pass y.loc[X.index], or "
            "X.to_numpy() and y.to_numpy() where they do belong together."
        )


def _refuse_empty(data: Any, name: str, what: str = "samples") -> None:
    if find_length(data) == 0:  # of an IterableDataset, only reading it will tell
        raise ValueError(f"{name} is empty: it has no {what}.")


def find_length(data: Any) -> int | None:
    """Return the length of data; None where it cannot say."""
    try:
        return len(data)
    except Exception:  # noqa: BLE001 - some raise NotImplementedError, or what their own data raises
        return None


def is_frame(data: Any) -> bool:
    """Say whether `data` is a pandas DataFrame, without importing pandas."""
    return type(data).__module__.split(".")[0] == "pandas" and hasattr(data, "columns")


def frame_to_array(frame: Any, name: str, columns: Sequence[Any] | None = None) -> np.ndarray:
    """Return a DataFrame as float32, or float64 where a column is.

    `columns` are those wanted, in order; None: all. ValueError says what is missing or no number.
    """
    if columns is not None:
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise ValueError(f"{name} lacks the column {str(missing[0])!r}, which train has.")
        frame = frame[list(columns)]
    if frame.shape[1] == 0:
        raise ValueError(f"{name} has no columns besides the target.")
    texts = [str(column) for column, kind in frame.dtypes.items() if kind.kind not in "fiub"]
    if texts:
        raise ValueError(
            f"{name} has columns that are not numbers: {quote_names(texts)}. "
            "Encode them (pandas.get_dummies) or leave them out."
        )
    wide = any(kind.kind == "f" and kind.itemsize > 4 for kind in frame.dtypes)
    return frame.to_numpy(dtype=np.float64 if wide else np.float32, na_value=np.nan)


def split_columns(frame: Any, name: str, target: Any) -> tuple[tuple[Any, ...], Any]:
    """Split a DataFrame into feature columns and target column or columns."""
    if target is None:
        raise ValueError(
            f'{name} is a DataFrame: say which column is to be predicted, as target="{frame.columns[-1]}".'
        )
    several = isinstance(target, (list, tuple)) and target not in list(frame.columns)
    chosen = list(target) if several else [target]
    missing = [column for column in chosen if column not in frame.columns]
    if missing:
        raise ValueError(
            f"target {str(missing[0])!r} is not a column of {name}, which has {quote_names(frame.columns)}."
        )
    rest = tuple(column for column in frame.columns if column not in chosen)
    return rest, frame[chosen] if several else frame[target]


def _read_targets(y: Any, name: str, names: Sequence[str] | None, like: Rows | None) -> Labels:
    """Return targets by row, with names of classes.

    Names of classes become numbers: in the order of `names`, else in sorted order, as scikit-learn's
    LabelEncoder has it. Columns of a DataFrame stand in the order of `names`, or as those of `like` do.
    """
    if y is None:
        raise TypeError(f"{name} has no targets (None): pass {name}=(X, y).")
    if isinstance(y, torch.Tensor) and y.layout == torch.strided:
        labels = Labels(y.detach())  # type: ignore[arg-type]
    else:
        many = like is not None and like.named and like.targets.ndim > 1
        labels = read_labels(y, f"the y of {name}", names, lists=many)
    if labels.values.ndim == 0:
        raise ValueError(f"{name} has targets without a sample axis: a single number.")
    columns = labels.columns if labels.values.ndim == 2 and labels.values.shape[1] > 1 else None
    if columns is None:
        return replace(labels, columns=None)
    if names is None and like is not None and like.target_columns is not None:
        names = like.target_columns
        place = match_names(names, columns, "train's y", f"{name}'s")
    else:
        place = order_columns(columns, names, f"the y of {name}")
    values = labels.values if place is None else labels.values[:, place]
    return replace(labels, values=values, columns=tuple(map(str, columns if names is None else names)))


def as_tensor(values: Any, what: str) -> torch.Tensor:
    """Return what numpy reads as an array as a tensor; tensors detached."""
    if isinstance(values, torch.Tensor):
        return values.detach()
    try:
        array = np.asarray(values)
        if not array.flags.writeable:
            array = array.copy()  # torch warns of memory that it may not write
        if array.dtype.kind in "US":
            raise TypeError("it holds texts, and numbers are wanted.")
        return torch.as_tensor(np.ascontiguousarray(array) if array.ndim else array)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} cannot be made a tensor: {error}") from error
