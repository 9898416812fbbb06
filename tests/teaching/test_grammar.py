"""`sentences()`: of five kinds, each as the grammar has it, none twice."""

from __future__ import annotations

import pytest
import torch

from dlwidgets.teaching import grammar, sentences

SINGLE, MANY = ({pair[form] for pair in grammar.NOUNS} for form in (0, 1))
FORMS = {word: form for pair in (*grammar.VERBS, grammar.DO) for form, word in enumerate(pair)}


def spoken(kind: str) -> list[list[str]]:
    X, y = sentences(400, 1).train
    rows = X[y == grammar.CLASSES.index(kind)]
    return [grammar.read_sentence(row).split() for row in rows]


def number(words: list[str]) -> int:
    """Return whether the first noun is of many."""
    return next(word for word in words if word in SINGLE | MANY) in MANY


def verb(words: list[str]) -> int:
    """Return the form of the main verb: the first, but for one in a clause that follows "that"."""
    here = [word for at, word in enumerate(words) if word in FORMS and words[at - 1] != "that"]
    return FORMS[here[0]]


def test_the_verb_agrees_with_the_subject_unless_the_sentence_is_wrong():
    assert all(number(words) == verb(words) for words in spoken("statement"))
    assert all(number(words) != verb(words) for words in spoken("wrong"))


@pytest.mark.parametrize("kind", ["question", "negation"])
def test_do_agrees_with_the_subject_in_questions_and_negations(kind):
    for words in spoken(kind):
        do = next(word for word in words if word in grammar.DO)
        assert FORMS[do] == number(words)
        assert (words[0] == do) == (kind == "question") and ("not" in words) == (kind == "negation")


def test_a_command_begins_with_the_base_of_a_verb_or_with_please():
    bases = {base for _, base in grammar.VERBS}
    assert all((words[1] if words[0] == "please" else words[0]) in bases for words in spoken("command"))


def test_there_are_as_many_of_each_kind():
    assert torch.bincount(sentences(50, 1).train[1]).tolist() == [10] * 5


def test_no_sentence_comes_twice_and_what_is_left_is_filled_with_zeros():
    data = sentences(800, 200)
    X = torch.cat([data.train[0], data.valid[0]])
    assert len(X.unique(dim=0)) == 1000
    ends = (X != 0).sum(1)
    assert all(not row[end:].any() and row[:end].all() for row, end in zip(X, ends))


def test_more_validation_sentences_leave_the_training_sentences_as_they_are():
    assert torch.equal(sentences(30, 5).train[0], sentences(30, 50).train[0])


def test_a_length_is_kept():
    assert sentences(100, 1, length=12).train[0].shape == (100, 12)


def test_too_short_a_length_is_refused_with_one_sentence():
    with pytest.raises(ValueError, match="length is 4; give a whole number of at least 12"):
        sentences(length=4)
