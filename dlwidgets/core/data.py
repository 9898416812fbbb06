"""What people hand over as data, brought into one of three forms: rows in memory, a Dataset, an iterable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from .trees import tensors, tree_map


@dataclass(frozen=True)
class Rows:
    """Rows in memory: inputs (a tensor, or a tuple or dict of them) and targets, sample by sample in axis 0."""

    inputs: Any
    targets: torch.Tensor
    #: The names behind integer targets, where the targets were given as names.
    classes: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, index: Any) -> tuple[Any, torch.Tensor]:
        """Return (inputs, targets) of the samples at `index`: integers or a slice."""
        return tree_map(lambda tensor: tensor[index], self.inputs), self.targets[index]


def read(data: Any, *, name: str = "train", target: Any = None, like: Rows | None = None) -> Any:
    """Return `data` as `Rows`, a map-style Dataset, a DataLoader or an iterable of batches.

    Parameters
    ----------
    data : (X, y) of tensors or arrays, a pandas DataFrame, a map-style Dataset, an iterable or a DataLoader.
    name : what to call it in a message.
    target : the column, or list of columns, of a DataFrame that is to be predicted.
    like : the training rows, whose class names serve for the validation rows too.

    Raises
    ------
    TypeError, ValueError : one sentence that says what was given and what is wanted.
    """
    if _is_frame(data):
        data = _split_frame(data, name, target)
    elif isinstance(data, (DataLoader, Rows)):
        return data
    elif isinstance(data, TensorDataset) and len(data.tensors) == 2:
        data = tuple(data.tensors)
    if isinstance(data, tuple) and len(data) == 2:
        return _rows(data[0], data[1], name, like)
    if isinstance(data, (torch.Tensor, np.ndarray)):
        raise TypeError(
            f"{name} is one {type(data).__name__} of shape {tuple(data.shape)}: targets are missing. "
            f"Pass {name}=(X, y)."
        )
    if isinstance(data, tuple):
        raise TypeError(f"{name} has {len(data)} parts: pass {name}=(X, y), with several inputs as X=(X1, X2).")
    if isinstance(data, IterableDataset):
        return data
    if isinstance(data, Dataset) or (
        hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (list, str, Mapping))
    ):
        if len(data) == 0:
            raise ValueError(f"{name} is empty: the Dataset has no samples.")
        return data
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes, Mapping)):
        if isinstance(data, list) and not data:
            raise ValueError(f"{name} is an empty list: it has no batches.")
        return data
    raise TypeError(
        f"{name} is of type {type(data).__name__}, which is none of: (X, y) of tensors or arrays, a DataFrame with "
        "target=..., a Dataset, a DataLoader, an iterable of batches."
    )


def split(rows: Any, share: float, seed: int) -> tuple[Any, Any]:
    """Return (train, valid) of `rows` or a Dataset, with `share` of the samples, drawn at random, in valid."""
    if not 0 < share < 1:
        raise ValueError(f"valid={share!r}: as a number it is the share of train to hold out, between 0 and 1.")
    if not isinstance(rows, Rows) and (isinstance(rows, DataLoader) or not hasattr(rows, "__getitem__")):
        raise TypeError("valid as a share needs (X, y), a DataFrame or a Dataset; pass valid data of its own.")
    count = len(rows)
    held = round(count * share)
    if not 0 < held < count:
        raise ValueError(f"valid={share!r} of {count} samples leaves one part empty.")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    parts = order[held:].sort().values, order[:held].sort().values
    if isinstance(rows, Rows):
        return tuple(Rows(*rows.take(part), rows.classes) for part in parts)  # type: ignore[return-value]
    return tuple(torch.utils.data.Subset(rows, part.tolist()) for part in parts)  # type: ignore[return-value]


def _is_frame(data: Any) -> bool:
    # By name, so that asking does not import pandas.
    return type(data).__module__.startswith("pandas.") and hasattr(data, "columns")


def _split_frame(frame: Any, name: str, target: Any) -> tuple[Any, Any]:
    if target is None:
        raise ValueError(f'{name} is a DataFrame: say which column is to be predicted, as target="{frame.columns[-1]}".')
    columns = list(target) if isinstance(target, (list, tuple)) else [target]
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"target {missing[0]!r} is not a column of {name}, which has {_listed(frame.columns)}.")
    features = frame.drop(columns=columns)
    texts = [str(c) for c, kind in features.dtypes.items() if kind.kind not in "fiub"]
    if texts:
        raise ValueError(
            f"{name} has columns that are not numbers: {_listed(texts)}. "
            "Encode them (pandas.get_dummies) or leave them out."
        )
    if features.shape[1] == 0:
        raise ValueError(f"{name} has no columns besides the target.")
    targets = frame[columns] if isinstance(target, (list, tuple)) else frame[target]
    return features.to_numpy(dtype=np.float32), targets.to_numpy()


def _rows(X: Any, y: Any, name: str, like: Rows | None) -> Rows:
    inputs = read_inputs(X, name)
    targets, classes = _targets(y, name, like)
    counts = {len(tensor) for tensor in tensors(inputs)}
    if not counts:
        raise TypeError(f"{name} has inputs of type {type(X).__name__}: pass tensors or arrays.")
    if counts != {len(targets)}:
        given = " and ".join(str(count) for count in sorted(counts))
        raise ValueError(
            f"{name} has {given} inputs but {len(targets)} targets: X and y must have one row for each sample."
        )
    if len(targets) == 0:
        raise ValueError(f"{name} is empty: it has no samples.")
    return Rows(inputs, targets, classes)


def read_inputs(X: Any, name: str) -> Any:
    """Return inputs as a tensor, or a tuple or dict of tensors, one row a sample."""
    if _is_frame(X):
        X = X.to_numpy(dtype=np.float32)
    if isinstance(X, Mapping):
        return {key: read_inputs(value, name) for key, value in X.items()}
    if isinstance(X, (tuple, list)) and X and all(isinstance(part, (torch.Tensor, np.ndarray)) for part in X):
        return tuple(read_inputs(part, name) for part in X)
    tensor = _tensor(X, f"the inputs of {name}")
    if tensor.ndim == 0:
        raise ValueError(f"{name} has inputs without a sample axis: a single number.")
    return tensor


def _targets(y: Any, name: str, like: Rows | None) -> tuple[torch.Tensor, tuple[str, ...] | None]:
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    if not isinstance(y, torch.Tensor):
        y = np.asarray(y)
        if y.dtype.kind in "OUS" or y.dtype.name.startswith("str"):
            return _encoded(y, name, like)
    tensor = _tensor(y, f"the targets of {name}")
    if tensor.ndim == 0:
        raise ValueError(f"{name} has targets without a sample axis: a single number.")
    return tensor, None


def _encoded(y: np.ndarray, name: str, like: Rows | None) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Names to integers, in sorted order, as scikit-learn's LabelEncoder does."""
    if y.ndim != 1:
        raise ValueError(f"{name} has targets of text in shape {y.shape}: one name for each sample is wanted.")
    words = [str(word) for word in y]
    classes = like.classes if like is not None and like.classes else tuple(sorted(set(words)))
    number = {word: i for i, word in enumerate(classes)}
    unknown = sorted(set(words) - set(classes))
    if unknown:
        raise ValueError(f"{name} has the class {unknown[0]!r}, which train does not have.")
    return torch.tensor([number[word] for word in words]), classes


def _tensor(values: Any, what: str) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach()
    try:
        array = np.asarray(values)
        if array.dtype == np.float64:
            # Models have float32 weights unless someone says otherwise.
            array = array.astype(np.float32)
        if not array.flags.writeable:
            array = array.copy()
        return torch.as_tensor(np.ascontiguousarray(array) if array.ndim else array)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} cannot be made a tensor: {error}") from error


def _listed(names: Any) -> str:
    words = [repr(str(name)) for name in names]
    return ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")
