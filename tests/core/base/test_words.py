"""Names in the room that there is, as a page of fixed columns counts it."""

from __future__ import annotations

import pytest

from dlwidgets.core.base.words import cut_names, cut_text, measure_text

wcswidth = pytest.importorskip("wcwidth", reason="it comes with IPython").wcswidth


@pytest.mark.parametrize("text", ["lung", "肺部间质性改变", "निमोनिया", "경화증", "ملف طبي", "ไส้เลื่อน", "🙂 cat"])
def test_a_text_takes_the_columns_that_a_terminal_gives_it(text):
    assert measure_text(text) == wcswidth(text)
    assert wcswidth(cut_text(text, 6)) <= 6


def test_names_that_would_be_cut_alike_keep_their_ends():
    names = ["lung lesion, left", "lung lesion, right", "heart", "a long name of its own"]
    assert cut_names(names, 12) == ["lung…, left", "lung…right", "heart", "a long name…"]
