"""Facts of a model: read without a trace, and anew where it changes."""

from __future__ import annotations

from tests.core.doctor.rules.broken import normed, run


def test_facts_of_a_model_are_read_without_a_trace_and_anew_where_it_changes():
    made = run(normed())
    attendant = made._run.attendant
    facts, state = attendant.model, {k: v.clone() for k, v in made.model.state_dict().items()}
    attendant._read_model()
    assert attendant.model is facts and facts.parameters == sum(p.numel() for p in made.model.parameters())
    made.freeze("0")
    made.step(1)
    attendant._read_model()
    assert attendant.model.trainable == facts.parameters - 8 * 16 - 16
    assert state.keys() == made.model.state_dict().keys()
