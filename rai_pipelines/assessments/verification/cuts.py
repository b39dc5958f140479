"""Where a comparison inside a tree cuts the numbers outside of it, through single precision and scalers before it; exact to the last bit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

LARGEST = int(np.float64(np.finfo(float).max).view(np.int64))


def largest_left(threshold: float, *, single: bool) -> float:
    """The largest number that goes left; with `single`, numbers are rounded to single precision before they are compared."""
    if not single or not math.isfinite(threshold):
        return threshold
    below = np.float32(threshold)
    below = np.nextafter(below, np.float32(-np.inf)) if float(below) > threshold else below
    with np.errstate(over="ignore"):
        above = float(np.nextafter(below, np.float32(np.inf)))
    middle = (float(below) + above) / 2
    return middle if float(np.float32(middle)) <= threshold else float(np.nextafter(middle, -np.inf))


def before_steps(threshold: float, steps: Sequence[Sequence[Any]]) -> float:
    """The largest number that the steps (see `preprocessing`) bring to at most the threshold; infinite where every number or none is.

    Steps keep the order of numbers, rounding included, so it is found by halving among the numbers of double precision, from where exact
    arithmetic would have it.
    """
    if not steps:
        return threshold
    if _after(-_LARGEST_NUMBER, steps) > threshold:
        return -math.inf
    if _after(_LARGEST_NUMBER, steps) <= threshold:
        return math.inf
    low = high = min(max(_place(_back(threshold, steps)), -LARGEST), LARGEST)
    reach = 1
    while _after(_number(low), steps) > threshold:
        low, reach = max(low - reach, -LARGEST), reach * 2
    reach = 1
    while _after(_number(high), steps) <= threshold:
        high, reach = min(high + reach, LARGEST), reach * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _after(_number(middle), steps) <= threshold else (low, middle)
    return _number(low)


_LARGEST_NUMBER = float(np.finfo(float).max)


def _after(number: float, steps: Sequence[Sequence[Any]]) -> float:
    """One number after the steps: the arithmetic of `preprocessing.stepped`, which is that of double precision in Python, too."""
    for name, by in steps:
        match name:
            case "subtract":
                number = number - by
            case "add":
                number = number + by
            case "divide":
                number = number / by
            case "multiply":
                number = number * by
            case "at_least":
                number = max(number, by)
            case "at_most":
                number = min(number, by)
    return number


def _back(number: float, steps: Sequence[Sequence[Any]]) -> float:
    """About where a number comes from."""
    inverse = {"subtract": "add", "add": "subtract", "divide": "multiply", "multiply": "divide"}
    found = _after(number, [(inverse[name], by) for name, by in reversed(steps) if name in inverse])
    return found if math.isfinite(found) else math.copysign(_LARGEST_NUMBER, found)


def _place(number: float) -> int:
    """Of a finite number among all of double precision in ascending order; 0 is at 0."""
    return int(math.copysign(1, number)) * int(np.float64(abs(number)).view(np.int64))


def _number(place: int) -> float:
    return math.copysign(float(np.int64(abs(place)).view(np.float64)), place)
