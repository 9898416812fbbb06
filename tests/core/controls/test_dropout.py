"""Rates of dropout: set, and given back."""

from __future__ import annotations

import pytest

from tests.core.controls.by_hand import net, plain, same, session


def test_dropout_rates_are_set_and_given_back():
    def with_rate(rate):
        model = net()
        model[4].p = rate
        return model

    made = session(dropout=0.6).fit()
    same(made.model, plain(with_rate(0.6)))
    made.dropout = {"4": 0.1}
    made.step()
    assert made.model[4].p == 0.1 and made.applied["dropout"] == {"4": 0.1}
    made.dropout = None
    made.step()
    assert made.model[4].p == 0.3
    assert made.ledger().note.tolist() == ["4 0.6 to 0.1", "4 0.1 to 0.3"]


@pytest.mark.parametrize(("wish", "sentence"), [
    (1.0, "dropout has the rate 1.0: a share of what is dropped, 0 or more and below 1, is wanted."),
    ({"5": 0.1}, "dropout has '5', which means no dropout layer. There are '4'."),
])  # fmt: skip
def test_dropout_that_cannot_be_is_refused(wish, sentence):
    with pytest.raises(ValueError) as caught:
        session(dropout=wish)
    assert str(caught.value) == sentence
