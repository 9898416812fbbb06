"""What all tests share: the order they run in, and the surroundings they run in."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is imported anywhere: with two cores, one thread of arithmetic leaves one core to the browser.
# Tests of the threads themselves set their own.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_HERE = Path(__file__).parent
#: From the quick and exact to the slow and whole: what is broken below is said before what it breaks above.
_ORDER = (
    "test_house.py",
    "core",
    "teaching",
    "views",
    "front",
    "test_demo.py",
    "test_package.py",
    "notebooks",
    "benchmarks",
    "browser",
)


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.relative_to(_HERE).parts[0] if item.path.is_relative_to(_HERE) else ""
        return _ORDER.index(name) if name in _ORDER else 1

    items.sort(key=place)
