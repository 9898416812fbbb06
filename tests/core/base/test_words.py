"""Names in the room that there is, as a page of fixed columns counts it."""

from __future__ import annotations

import re

import pytest

from dlwidgets.core.base.words import check_options, cut_names, cut_text, measure_text, refuse_texts

wcswidth = pytest.importorskip("wcwidth", reason="it comes with IPython").wcswidth


@pytest.mark.parametrize("text", ["lung", "肺部间质性改变", "निमोनिया", "경화증", "ملف طبي", "ไส้เลื่อน", "🙂 cat"])
def test_a_text_takes_the_columns_that_a_terminal_gives_it(text):
    assert measure_text(text) == wcswidth(text)
    assert wcswidth(cut_text(text, 6)) <= 6


def test_names_that_would_be_cut_alike_keep_their_ends():
    names = ["lung lesion, left", "lung lesion, right", "heart", "a long name of its own"]
    assert cut_names(names, 12) == ["lung…, left", "lung…right", "heart", "a long name…"]


class Taking:
    def __init__(self, source, *show, sort="tree"): ...


@pytest.mark.parametrize(
    ("name", "hint"), [("srot", "Did you mean 'sort'?"), ("session", "Did you mean 'source'?"), ("x", "*show, sort.")]
)
def test_a_keyword_that_there_is_not_is_refused_with_what_was_meant(name, hint):
    with pytest.raises(TypeError, match=rf"^Taking has no option '{name}'\..*{re.escape(hint)}$"):
        check_options(Taking, [name])


def test_a_text_where_a_number_is_the_default_is_refused():
    with pytest.raises(ValueError, match=r"^SGD has momentum='0\.9': a number is wanted\.$"):
        refuse_texts({"mode": "min", "momentum": "0.9"}, {"mode": "max", "momentum": 0}, "SGD")
