"""The scaling of the inputs before the model, as a control."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from ..base.ledger import Entry
from ..base.numbers import read_number
from ..base.words import did_you_mean, pluralize
from ..data.batches import Batches, IndexedBatches
from ..data.detection import holds_targets
from ..data.source import Rows
from ..data.task import unpack_batch
from ..layers.walk import uncompiled
from .control import Control, Panel, PanelRow, Writer

#: What can be measured, or is known, without numbers.
MODES = ("standardize", "0..1")
_SYNONYMS = {"standardise": "standardize", "standard": "standardize", "zscore": "standardize", "0-1": "0..1"}
#: How many samples are measured at most: in memory, and where each has to be read.
_MOST, _MOST_READ = 2048, 512
#: Numbers that are written into a script; more lie beside it.
_FEW = 64


class Scale(NamedTuple):
    """What is taken off the inputs, and what they are divided by.

    Each is one number for all, or one for each channel, or feature column.
    """

    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]


class InputScaling:
    """Scales what a model is called with: (x - mean) / std.

    x is the first tensor; of uint8 it becomes float32. It is a forward pre-hook, which is on the model while a
    session computes with it, and never else: all that a session computes sees the same inputs, and whoever calls
    the model by hand calls it as it was made.
    """

    def __init__(self) -> None:
        self.scale: Scale | None = None
        self._models: list[nn.Module] = []
        self._handles: list[Any] = []
        self._tensors: dict[Any, tuple[torch.Tensor, torch.Tensor]] = {}

    def put(self, scale: Scale | None) -> None:
        """Scale by other numbers from now on; None: not at all."""
        self.scale, self._tensors = scale, {}
        self._hook()

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Scale what a model is called with inside."""
        self._models.append(model)
        self._hook()
        try:
            yield
        finally:
            self._models.remove(model)
            self._hook()

    def _hook(self) -> None:
        for handle in self._handles:
            handle.remove()
        models = self._models if self.scale is not None else ()
        self._handles = [model.register_forward_pre_hook(self._before) for model in models]

    def _before(self, model: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        first = given[0] if given else None
        if isinstance(first, (list, tuple)) and first and isinstance(first[0], torch.Tensor):
            raise TypeError(f"{_LISTED} (input_scaling=None leaves them as they are).")
        if not isinstance(first, torch.Tensor) or not (first.is_floating_point() or first.dtype == torch.uint8):
            return given
        first = first.float() if first.dtype == torch.uint8 else first
        mean, std = self._as_tensors(first)
        return ((first - mean) / std, *given[1:])

    def _as_tensors(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        key = like.dtype, like.device, like.ndim
        if type(like) is torch.Tensor and key in self._tensors:
            return self._tensors[key]
        view = view_of(like.shape, self.scale)
        made = tuple(torch.tensor(one, dtype=like.dtype, device=like.device).reshape(view) for one in self.scale)  # type: ignore[union-attr]
        if type(like) is torch.Tensor:
            self._tensors[key] = made  # type: ignore[assignment]
        return made  # type: ignore[return-value]


_LISTED = "the images come in a list, and a tensor alone can be scaled: have them stacked, or scaled by the Dataset"


@contextmanager
def accept_bytes(model: nn.Module) -> Iterator[None]:
    """Have a model called with uint8 take it as real numbers inside."""
    scaling = InputScaling()
    scaling.put(Scale(0.0, 1.0))
    with scaling.applied(model):
        yield


def view_of(shape: Sequence[int], scale: Scale | None) -> tuple[int, ...]:
    """Return the shape of a scale's numbers beside inputs."""
    sizes = {len(one) for one in scale or () if isinstance(one, tuple)}
    axis = scaled_axis(shape)
    return tuple(-1 if number == axis else 1 for number in range(len(shape))) if sizes and axis is not None else ()


def scaled_axis(shape: Sequence[int]) -> int | None:
    """Return the axis of channels or columns; None: there is none.

    It is the second of N x features, of images and of volumes; the last of images that are channels-last.
    """
    if len(shape) == 4 and shape[-1] in (1, 3, 4) and shape[1] not in (1, 3, 4):
        return 3
    return 1 if len(shape) == 2 or len(shape) > 3 else None


def read_scale(value: Any) -> str | Scale | None:
    """Read a wish for a scaling: None, a mode, or (mean, std).

    Raises
    ------
    ValueError : one sentence on what does not fit.
    """
    if value is None or isinstance(value, str):
        key = "" if value is None else value.lower().replace(" ", "")
        key = _SYNONYMS.get(key, key)
        if value is not None and key not in MODES:
            wanted = f"{' or '.join(map(repr, MODES))}, (mean, std), or None is wanted."
            raise ValueError(f"input_scaling={value!r}: {wanted}{did_you_mean(key, [*MODES, *_SYNONYMS])}")
        return key or None
    try:
        mean, std = (_read_numbers(one) for one in value)
    except (TypeError, ValueError):
        raise ValueError(
            f"input_scaling={value!r}: a pair (mean, std) is wanted, each a number, or one for each channel."
        ) from None
    if any(not one > 0 for one in (std if isinstance(std, tuple) else (std,))):
        raise ValueError(f"input_scaling={value!r}: a standard deviation is above 0; of what is constant take 1.")
    return Scale(mean, std)


def _read_numbers(value: Any) -> float | tuple[float, ...]:
    several = value.tolist() if hasattr(value, "tolist") else value
    numbers = [read_number(one) for one in (several if isinstance(several, (list, tuple)) else [several])]
    if not numbers or any(one is None or not math.isfinite(one) for one in numbers):
        raise ValueError
    return tuple(map(float, numbers)) if isinstance(several, (list, tuple)) else float(numbers[0])  # type: ignore[arg-type]


def measure_inputs(batches: Batches, target: str | None) -> torch.Tensor:
    """Return inputs of evenly spread training samples, in float64."""
    rows = getattr(batches, "source", None)
    count = batches.count_readable()
    numbers = torch.linspace(0, count - 1, min(count, _MOST if isinstance(rows, Rows) else _MOST_READ)).long()
    if isinstance(batches, IndexedBatches) and isinstance(rows, Rows):
        return rows.take(numbers)[0].double()
    items = (batches.read_sample(number) for number in numbers.tolist())
    return torch.cat([_inputs_of(item, target) for item in items]).double()


def _inputs_of(batch: Any, target: str | None) -> Any:
    try:
        return unpack_batch(batch, target)[0]
    except TypeError:
        return batch[0] if isinstance(batch, (tuple, list)) and batch else batch


def standardize(inputs: torch.Tensor) -> Scale:
    """Return each channel's mean and deviation; 1 where it is constant."""
    axis = scaled_axis(inputs.shape)
    flat = inputs.reshape(1, -1) if axis is None else inputs.movedim(axis, 0).flatten(1)
    mean, std = flat.mean(1), flat.std(1, correction=0)
    std = torch.where(std > 1e-12 * flat.abs().amax(1), std, 1.0)
    if axis is None:
        return Scale(float(mean), float(std))
    return Scale(tuple(mean.tolist()), tuple(std.tolist()))


_SCALE = '''\
def scale_inputs(module, given):
    """Return what the model is called with, scaled."""
    inputs = given[0].float() if given[0].dtype == torch.uint8 else given[0]
    return given if input_mean is None else ((inputs - input_mean) / input_std, *given[1:])'''


class InputScalingWriter(Writer):
    """Writes a forward pre-hook, and the numbers that it scales by."""

    def begin(self) -> None:
        if all(scale is None for scale in self.ever):
            return
        script = self.script
        script.definitions.append(_SCALE)
        lines = [*self._numbers(self.at_first), "model.register_forward_pre_hook(scale_inputs)"]
        script.setup.append("# The inputs are scaled before the model.\n" + "\n".join(lines))

    def change(self, entry: Entry) -> list[str]:
        return self._numbers(entry.applied)

    def _numbers(self, scale: Any) -> list[str]:
        if scale is None:
            return ["input_mean = input_std = None"]
        script, lines = self.script, []
        example = script.opened.example
        kind = example.dtype if example.is_floating_point() else torch.float32
        dtype = "" if kind == torch.float32 else f", dtype={kind}"
        for name, numbers in zip(("input_mean", "input_std"), Scale(*scale)):
            text = f"torch.tensor({list(numbers) if isinstance(numbers, tuple) else numbers!r}{dtype})"
            if isinstance(numbers, tuple) and len(numbers) > _FEW:
                what = f"{name.removeprefix('input_')}{len(script.files)}"
                path = script.save_beside(what, torch.tensor(numbers, dtype=kind), "what the inputs are scaled by")
                text = f"torch.load({path}, weights_only=True)"
            view = view_of(example.shape, Scale(*scale))
            shaped = f".reshape({', '.join(map(str, view))})" if view and isinstance(numbers, tuple) else ""
            lines.append(f"{name} = {text}{shaped}{script.to_device}")
        return lines


class InputScalingControl(Control):
    """How inputs are scaled before the model: None, a mode, (mean, std)."""

    name = "input_scaling"
    aliases = ("normalise_inputs", "normalize_inputs", "scale_inputs", "standardize", "standardise")
    at_rest = True
    writer = InputScalingWriter
    rows = (
        PanelRow(
            "run", "Scale inputs", "choice",
            lambda value: "as given" if value is None else value if isinstance(value, str) else "mean, std",
            lambda panel, word: {"as given": None, "mean, std": panel.asked.get("input_scaling")}.get(word, word),
            choices=lambda panel: ("as given", *MODES)
            + (("mean, std",) if isinstance(panel.asked.get("input_scaling"), tuple) else ()),
            fact=lambda panel, value: None if value is None else "mean, std",
            hint="Each channel, or column, to mean 0 and standard deviation 1; or 0..255 to 0..1",
        ),
    )  # fmt: skip

    def __init__(self, steering: Any = None) -> None:
        self._wish: str | Scale | None = None
        super().__init__(steering)

    def read(self, value: Any) -> str | Scale | None:
        return read_scale(value)

    def now(self) -> Scale | None:
        return self.loop.scaling.scale

    def wish(self) -> str | Scale | None:
        return self._wish

    def put(self, value: str | Scale | None) -> str | None:
        if value == self._wish:
            return None
        scale = self._find(value)
        self._wish = value
        self.loop.scaling.put(scale)
        if isinstance(value, str) and isinstance(scale.mean, tuple):  # type: ignore[union-attr]
            return f"measured for {pluralize(len(scale.mean), 'channel')}"  # type: ignore[union-attr]
        return None

    def _find(self, value: str | Scale | None) -> Scale | None:
        """Return the numbers of a wish, or refuse the inputs."""
        if value is None:
            return None
        loop = self.loop
        inputs, model = loop.objective.tried[0], loop.model
        if holds_targets(batch := loop.batches.peek(1)) and not isinstance(batch[0], torch.Tensor):
            raise ValueError(_LISTED)
        if not isinstance(inputs, torch.Tensor):
            raise ValueError(f"the inputs are of type {type(inputs).__name__}, and a tensor alone can be scaled")
        if not (inputs.is_floating_point() or inputs.dtype == torch.uint8):
            kind = str(inputs.dtype).removeprefix("torch.")
            raise ValueError(f"the inputs are {kind}, as numbers of words are: real numbers and uint8 can be scaled")
        if uncompiled(model) is not model or any(m._compiled_call_impl is not None for m in model.modules()):
            raise ValueError("a compiled model takes no hook: pass the model without torch.compile")
        if not isinstance(value, str):
            axis = scaled_axis(inputs.shape)
            wanted = 1 if axis is None else inputs.shape[axis]
            if odd := [len(one) for one in value if isinstance(one, tuple) and len(one) != wanted]:
                raise ValueError(f"there are {odd[0]} numbers for {pluralize(wanted, 'channel')}")
            return value
        measured = measure_inputs(loop.batches, loop.objective.target)
        if value == "standardize":
            return standardize(measured)
        low, high = float(measured.min()), float(measured.max())
        if not (low >= 0 and 1 < high <= 255):
            raise ValueError(f"the inputs go from {low:.4g} to {high:.4g}, not from 0 to 255")
        return Scale(0.0, 255.0)

    def redo(self, entry: Entry) -> None:
        asked, scale = entry.asked, entry.applied
        self._wish = asked if asked is None or isinstance(asked, str) else Scale(*asked)
        self.loop.scaling.put(None if scale is None else Scale(*scale))

    def state(self) -> Any:
        scale, wish = self.loop.scaling.scale, self._wish
        return {
            "wish": wish if isinstance(wish, str) or wish is None else tuple(wish),
            "scale": None if scale is None else tuple(scale),
        }

    def install(self, state: Any) -> None:
        wish, scale = state["wish"], state["scale"]
        self._wish = wish if wish is None or isinstance(wish, str) else Scale(*wish)
        self.loop.scaling.put(None if scale is None else Scale(*scale))

    @classmethod
    def headline(cls, panel: Panel) -> str:
        return "inputs scaled" if panel.applied.get("input_scaling") else ""
