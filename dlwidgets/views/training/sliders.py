"""Sliders of the training panel: their ranges and rounding."""

from __future__ import annotations

import math

import ipywidgets

from ..view import answer_anywhere

#: What an arrow key moves a logarithmic slider by, in powers of ten: about 5 %, five of the slider's steps.
_NOTCH = 0.02
#: The slider's own step. The page shows values rounded to it, and two digits must survive that.
_STEP = _NOTCH / 5

#: The least and the greatest value that a panel allows; None: whatever the session takes.
Range = tuple[float, float]


def batch_sizes(size: int, allowed: Range | None = None) -> list[int]:
    """Return powers of two up to 1,024 or more, and `size`.

    Only as far as allowed.
    """
    most = max(10, math.ceil(math.log2(size)))
    found = {2**power for power in range(most + 1)}
    if allowed is not None:
        low, high = math.ceil(allowed[0]), math.floor(allowed[1])
        found = {one for one in {*found, low, high} if allowed[0] <= one <= allowed[1]}
    return sorted(found | {size})


def rounded_value(slider: ipywidgets.FloatLogSlider, allowed: Range | None = None) -> float:
    """Return a logarithmic slider's value, rounded: 3e-3 for 3.0199e-3.

    What was typed into the readout, or set from code, is between two steps and meant to the digit.
    """
    value = slider.value
    steps = (math.log10(value) - slider.min) / slider.step
    if abs(steps - round(steps)) > 1e-6:
        return value
    short = float(f"{value:.1e}")
    short = short if abs(math.log10(short / value)) <= 0.51 * _NOTCH else float(f"{value:.2e}")
    # The ends of a range are not to be rounded out of it.
    if allowed is not None and allowed[0] * (1 - 1e-9) <= value <= allowed[1] * (1 + 1e-9):
        return min(max(short, allowed[0]), allowed[1])
    return short


def log_slider(text: str, span: Range, value: float, digits: str) -> ipywidgets.FloatLogSlider:
    """Return a logarithmic slider that shows a value."""
    low, high = (math.log10(end) for end in span)
    # Not at every move of a drag, but where it ends: each would be a change of the run. And with continuous
    # updates the page reports every value that is set from code once more, rounded to the slider's step.
    slider = ipywidgets.FloatLogSlider(
        value=span[0], min=low, max=high, step=_STEP, readout_format=digits, description=text,
        continuous_update=False,
    ).add_class("dlw-log")  # fmt: skip
    show_on_log(slider, value)
    return slider


def show_on_log(slider: ipywidgets.FloatLogSlider, value: float) -> None:
    """Show a value on a logarithmic slider, widening its range if needed."""
    if value <= 0:
        return  # no place on such a scale; the line under the control says it
    power = math.log10(value)
    if power < slider.min:
        slider.min = math.floor(power)
    if power > slider.max:
        slider.max = math.ceil(power)
    slider.value = value
    answer_anywhere(slider)


def span_on_log(slider: ipywidgets.FloatLogSlider, span: Range, value: float) -> None:
    """Set the range of a logarithmic slider, and show a value."""
    low, high = (math.log10(end) for end in span)
    # Its least must stay below its greatest at any moment.
    if low > slider.max:
        slider.max, slider.min = high, low
    else:
        slider.min, slider.max = low, high
    show_on_log(slider, value)
