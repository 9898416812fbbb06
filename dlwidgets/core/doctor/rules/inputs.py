"""Rules on the inputs: scale, constants, order of channels, NaN."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...base.words import pluralize
from ..data_facts import ArrayFacts, DataFacts
from ..evidence import Evidence
from ..finding import Chart, Finding
from ..rule import Rule

#: Root mean squares beyond which inputs are not scaled. UMLAUT's bound, any number outside -1..1, is broken by every
#: standardised table; digits from 0 to 16 (7.7) train as well as scaled ones, wine in its units (230) does not.
_LARGE, _SMALL = 10.0, 0.02
#: The largest scale of a column over the median one, and least, from which columns are far apart.
_APART, _TALL = 100.0, 30.0
#: How far the scales of train and valid may lie apart, and their means in deviations; random halves: 1.1 and 0.1.
_RATIO, _SHIFT = 2.0, 1.0
_WHY_SCALE = (
    "The weights begin at sizes that suit inputs around 0 with a deviation around 1. Other scales give outputs and "
    "gradients that are far too large or too small, and no one rate suits all of them."
)


def missing_data(evidence: Evidence) -> str:
    """Say why nothing is known of the data."""
    if evidence.data is not None:
        return ""
    if evidence.data_elsewhere:
        return "another loop takes the steps, on data that it alone has"
    return "the data was not looked at: it is when the first step is taken"


def _missing_inputs(evidence: Evidence) -> str:
    if why := missing_data(evidence):
        return why
    return "" if evidence.data.train.inputs is not None else "the inputs are no tensors of numbers"


def _entering(data: DataFacts) -> ArrayFacts | None:
    """Return what enters the first weights, where its scale counts."""
    if (entrance := data.entrance) is not None:
        numbers = entrance.kind.startswith("Embedding") or not entrance.values.dtype.startswith(("float", "bfloat"))
        return None if entrance.normalises or numbers else entrance.values
    inputs = data.train.inputs
    # What becomes of whole numbers is for the model to say.
    return inputs if inputs is not None and inputs.dtype.startswith(("float", "bfloat")) else None


def find_unscaled_inputs(evidence: Evidence) -> Iterator[Finding]:
    """Find inputs far from mean 0 and deviation 1."""
    values = _entering(evidence.data)
    if values is None or values.same:
        return
    scales = values.scales
    largest, usual = float(scales.max()), float(np.median(scales[scales > 0])) if scales.any() else 0.0
    apart = len(scales) > 2 and largest > _TALL and largest > _APART * usual > 0
    if not apart and _SMALL <= values.scale <= _LARGE:
        return
    numbers = f"They have mean {values.mean:.3g} and deviation {values.deviation:.3g}"
    pixels = values.whole and values.lows.min() >= 0 and 127 < values.highs.max() <= 255
    title, cure = f"The inputs are not scaled: {values.range}", "Subtract the mean and divide by the deviation."
    if pixels:
        title, cure = f"The inputs are pixels from {values.range}", "Divide them by 255, or standardise them."
    elif apart:
        column = int(scales.argmax())
        title = f"The columns have very different scales: {largest:.3g} beside {usual:.3g}"
        numbers = f"The root mean square of column {column} is {largest:.3g}, that of the median one {usual:.3g}"
    entrance = evidence.data.entrance
    where = "" if entrance is None else f", where they enter {entrance.layer or 'the model'}"
    chart = _chart(scales) if apart else None
    yield Finding(
        "inputs_not_scaled", "medium", title, f"{numbers}{where}. {cure}", why=_WHY_SCALE, chart=chart,
        evidence={"mean": values.mean, "deviation": values.deviation, "scale": values.scale, "largest": largest},
        remedies=("scale_inputs",),
    )  # fmt: skip


def _chart(scales: np.ndarray) -> Chart:
    return Chart(tuple(float(one) for one in scales[:60]), "root mean square of each column", None, "bars")


def find_constant_inputs(evidence: Evidence) -> Iterator[Finding]:
    """Find inputs, or columns, that never vary."""
    inputs: ArrayFacts = evidence.data.train.inputs
    if inputs.samples < 8:
        return
    if inputs.same:
        yield Finding(
            "inputs_constant", "high", "All inputs are the same",
            f"{pluralize(inputs.samples, 'sample')} that were looked at hold the same numbers ({inputs.range}).",
            why="Where samples do not differ, nothing can be learnt but the mean of the targets. As a rule something "
            "goes wrong where the data is read.", evidence={"samples": inputs.samples},
        )  # fmt: skip
    elif len(inputs.fixed) > len(inputs.means) / 2 and inputs.samples >= 256:
        share = len(inputs.fixed) / len(inputs.means)
        yield Finding(
            "inputs_constant", "low", f"{share:.0%} of the columns never vary",
            f"{len(inputs.fixed):,} of {pluralize(len(inputs.means), 'column')} are the same in all "
            f"{inputs.samples:,} samples that were looked at, the first is column {inputs.fixed[0]}.",
            why="A column that is always the same tells no sample from another.", evidence={"share": share},
        )  # fmt: skip


def find_channels_last(evidence: Evidence) -> Iterator[Finding]:
    """Find pictures whose channels stand last before a convolution."""
    entrance = evidence.data.entrance
    if entrance is None or entrance.channels is None or len(entrance.values.shape) != 3:
        return
    first, _, last = entrance.values.shape
    if last in (1, 3, 4) and first == entrance.channels and first > 4:
        shape = " × ".join(map(str, entrance.values.shape))
        yield Finding(
            "channels_last", "high", f"The channels stand last: {shape}",
            f"{entrance.layer or 'The model'} takes axis 1 for {first} channels; it looks like the height of pictures "
            f"with {last} channels. Pass X.permute(0, 3, 1, 2).",
            why="PyTorch's convolutions want N × channels × height × width. In another order they mix rows of the "
            "picture as if these were colours.", layer=entrance.layer, evidence={"channels": first, "last": last},
        )  # fmt: skip


def find_bad_numbers(evidence: Evidence) -> Iterator[Finding]:
    """Find samples that hold NaN or infinity."""
    for name, part in (("train", evidence.data.train), ("valid", evidence.data.valid)):
        if part is None or part.inputs is None or not part.inputs.bad:
            continue
        inputs = part.inputs
        where = "the first batch" if not part.whole else name
        yield Finding(
            "inputs_not_finite", "high" if evidence.failure else "medium",
            f"{pluralize(inputs.bad, 'sample')} of {where} hold NaN or infinity",
            f"The first is sample {inputs.first_bad:,}; {inputs.samples:,} were looked at. Fill them in, or leave "
            "them out.",
            why="A NaN in a sample makes its loss NaN, and with it every gradient of its batch, unless the model "
            "deals with it.", evidence={"samples": inputs.bad, "first": inputs.first_bad},
        )  # fmt: skip
        return


def _missing_valid(evidence: Evidence) -> str:
    if why := _missing_inputs(evidence):
        return why
    if not evidence.has_valid:
        return "there is no validation data"
    valid = evidence.data.valid
    return "" if valid is not None and valid.inputs is not None else "the validation data does not lie in memory"


def find_scaled_otherwise(evidence: Evidence) -> Iterator[Finding]:
    """Find validation inputs on another scale than train's."""
    train, valid = evidence.data.train.inputs, evidence.data.valid.inputs
    real = train.dtype.startswith(("float", "bfloat"))
    if not real or min(train.samples, valid.samples) < 16 or not train.deviation or not valid.deviation:
        return
    ratio = valid.deviation / train.deviation
    shift = abs(valid.mean - train.mean) / max(train.deviation, valid.deviation)
    if 1 / _RATIO <= ratio <= _RATIO and shift <= _SHIFT:
        return
    yield Finding(
        "valid_scaled_otherwise", "high",
        f"Train and valid are on different scales: deviation {train.deviation:.3g} and {valid.deviation:.3g}",
        f"The inputs of train have mean {train.mean:.3g} and go from {train.range}, those of valid have mean "
        f"{valid.mean:.3g} and go from {valid.range}. Scale both by the numbers of train.",
        why="What the model learnt holds for inputs as it was trained on. One part was scaled, as it seems, and the "
        "other not, or each by numbers of its own.", evidence={"ratio": ratio, "shift": shift},
    )  # fmt: skip


RULES = (
    Rule(
        "inputs_not_scaled", "inputs that are not scaled, pixels from 0 to 255", find_unscaled_inputs,
        f"a root mean square over {_LARGE:g} or under {_SMALL:g}, or one column over {_APART:g} times the median and "
        f"over {_TALL:g}, where the inputs enter the first weights (measured: digits from 0 to 16 train well; UMLAUT "
        "wants -1 to 1)", _missing_inputs, "start",
    ),
    Rule(
        "inputs_constant", "inputs or columns that never vary", find_constant_inputs,
        "all samples equal; or over half of the columns of a table", _missing_inputs, "start",
    ),
    Rule(
        "channels_last", "channels last before a convolution", find_channels_last,
        "1, 3 or 4 on the last axis, and the height taken for channels",
        lambda evidence: _missing_inputs(evidence) or (
            "" if evidence.data.entrance is not None else "the model was not run yet, or is compiled"
        ), "start",
    ),
    Rule("inputs_not_finite", "NaN or infinity in the inputs", find_bad_numbers, "any", _missing_inputs, "start"),
    Rule(
        "valid_scaled_otherwise", "train and valid on different scales", find_scaled_otherwise,
        f"deviations that differ by more than a factor of {_RATIO:g}, or means by more than {_SHIFT:g} of them "
        "(random halves of the teaching sets: 1.1 and 0.1)", _missing_valid, "start",
    ),
)  # fmt: skip
