"""The magic `%dlw` in a real IPython shell: what it does, to which session, what it says, and what completes it."""

from __future__ import annotations

import contextlib
import gc
import time
import weakref

import pytest
import torch
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.utils.capture import capture_output
from torch import nn

import dlwidgets as dlw
from dlwidgets import magics
from dlwidgets.session import numbered_sessions


def new_session(**options) -> dlw.Session:
    torch.manual_seed(0)
    X = torch.randn(64, 4)
    model = options.pop("model", None) or nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    return dlw.Session(model, train=(X, (X.sum(1) > 0).long()), **{"batch_size": 8, "epochs": 1000} | options)


@pytest.fixture
def alone():
    """No session of another test is left, nor one of this test afterwards."""
    _close_all()
    yield
    _close_all()


def _close_all() -> None:
    for session in numbered_sessions().values():
        session.close()


@pytest.fixture
def session(shell, alone):
    """A session of that name in the shell, which has no other."""
    made = new_session()
    shell.user_ns["session"] = made
    return made


@pytest.fixture
def other(shell, session):
    """A second session in the shell."""
    made = new_session(model=nn.Linear(4, 2))
    shell.user_ns["other"] = made
    return made


@pytest.fixture
def say(shell, capsys):
    """Say a line to `%dlw`; return what it prints."""

    def told(line: str) -> str:
        capsys.readouterr()
        shell.run_line_magic("dlw", line)
        return capsys.readouterr().out.strip()

    return told


@pytest.fixture
def refused(shell):
    """Say a line that cannot be obeyed; return why, which is one sentence or two and no traceback."""

    def why(line: str) -> str:
        with pytest.raises(UsageError) as raised:
            shell.run_line_magic("dlw", line)
        assert "\n" not in str(raised.value) and raised.value.__suppress_context__ is not None
        return str(raised.value)

    return why


def completions(shell, text: str) -> list[str]:
    with provisionalcompleter():
        return [text[: one.start] + one.text for one in shell.Completer.completions(text, len(text))]


# -- a model


def test_summary_returns_the_table_with_shapes_of_an_input_or_a_shape(shell):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    shell.user_ns |= {"model": model, "X": torch.zeros(2, 3, 5, 6)}
    wanted = dlw.summary(model, input_shape=(3, 5, 6))
    for line in ("model --shape 3,5,6", "model --shape=(3, 5, 6)", "model --shape 3x5x6", "$model --shape 3,5,6"):
        assert str(shell.run_line_magic("dlw", f"summary {line}")) == str(wanted)
    for line in ("model, X", "model --input X", "(model, X)", "{model}, X;", "model, X  # as it is"):
        assert shell.run_line_magic("dlw", f"summary {line}")[""].output_shape == (2, 48)


def test_summary_without_an_input_says_how_to_give_one_and_that_line_works(shell):
    shell.user_ns |= {"model": nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)), "X": torch.zeros(3, 4)}
    (note,) = shell.run_line_magic("dlw", "summary model").notes
    for line, size in (("summary model --shape 4", 1), ("summary model, X[:1]", 1)):
        assert f"%dlw {line}" in note
        assert shell.run_line_magic("dlw", line)[""].output_shape == (size, 2)


def test_summary_takes_any_expression_and_the_names_of_a_function(shell):
    shell.user_ns |= {"nn": nn}
    shell.run_cell(
        "def f():\n    inner = [nn.Linear(5, 1)]\n    return get_ipython().run_line_magic('dlw', 'summary inner[0]')\n"
        "found = f()"
    )
    assert shell.user_ns["found"].total_parameters == 6


def test_summary_of_a_session_and_of_nothing_is_that_of_its_layers(shell, session):
    for line in ("summary session", "summary"):
        assert shell.run_line_magic("dlw", line)[""].output_shape == (1, 2)


NO_SUMMARY = [
    ("modle", "There is no 'modle' here. Did you mean 'model'?"),
    ("X", "A torch.nn.Module is wanted, not Tensor."),
    ("model(", "'model(' is no Python expression"),
    ("model --shpe 4", "no --shpe. Did you mean 'shape'?"),
    ("model --shape four", "--shape four: the shape of one sample is wanted"),
    ("model --shape", "--shape wants a value"),
    ("model.nothing", "model.nothing: AttributeError: "),
    ("", "There is no session yet"),
]


def test_what_has_no_summary_is_said_in_a_sentence(shell, alone, refused):
    shell.user_ns |= {"model": nn.Linear(2, 1), "X": torch.zeros(2)}
    for line, said in NO_SUMMARY:
        assert said in refused(f"summary {line}")


# -- a session is told


def test_a_session_is_started_paused_gone_on_with_and_stopped(session, say):
    for word, status in (("start", "running"), ("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        assert say(word).startswith(f"session (Sequential): {status}, step ")
        assert session.status == status


def test_steps_are_counted_and_epochs_too(session, say):
    assert "paused, step 3 of 8,000, epoch 1 of 1,000" in say("step 3")
    say("step")
    assert session.steps == 4
    say("start 1")
    session.wait()
    assert session.steps == 8


def test_a_pause_of_what_does_not_run_and_a_resume_of_what_is_done_are_said(session, say):
    assert "nothing runs that could pause; it is ready" in say("pause")
    session.fit(1, progress=False)
    session.stop()
    done = new_session(epochs=1).fit(progress=False)
    assert "%dlw start 3 trains three epochs more" in say(f"resume {dlw.sessions().index(done)}")


def test_a_rate_is_set_in_the_name_of_the_magic_and_taken_back(session, say):
    session.lr = 0.01
    session.step()
    assert say("lr 1e-3") == "session (Sequential): lr is 0.01, and 0.001 from its next step on."
    assert say("lr") == "session (Sequential): lr is 0.01, and 0.001 from its next step on."
    say("step 2")
    assert say("lr") == "session (Sequential): lr is 0.001."
    entry = session.changes[-1]
    assert (entry.name, entry.applied, entry.by) == ("lr", 0.001, "magic")
    assert "; lr is 0.01" in say("undo")
    assert session.steps == 1 and session.applied["lr"] == 0.01


def test_while_it_trains_a_wish_is_told_once_it_is_in_force(session, say, monkeypatch):
    monkeypatch.setattr(magics, "_PATIENCE", 60)
    say("start")
    assert say("batch_size 4") == "session (Sequential): batch_size is 4; it was 8."
    session.stop()


WISHES = [
    ("lr = 0.5", "lr", 0.5),
    ("lr=0.5", "lr", 0.5),
    ("clip 1.0", "clip", ("norm", 1.0)),
    ("clip norm 2", "clip", ("norm", 2.0)),
    ('clip "value", 2', "clip", ("value", 2.0)),
    ("clip none", "clip", None),
    ("schedule cosine", "schedule", ("cosine", {})),
    ("schedule cosine restarts", "schedule", ("cosine restarts", {})),
    ("on_divergence go on", "on_divergence", "go on"),
    ("evaluate_every 30 s", "evaluate_every", "30 s"),
    ('trainable {"0": False}', "trainable", {"0": False}),
    ("lr {rate}", "lr", 0.25),
    ("lr $rate", "lr", 0.25),
    ("weight_decay {rate / 2}", "weight_decay", 0.125),
]


def test_each_control_takes_literals_words_and_variables(shell, session, say):
    shell.user_ns["rate"] = 0.25
    for line, name, wish in WISHES:
        say(line)
        assert (line, getattr(session, name)) == (line, session._read(name, wish))


def test_a_wish_that_could_not_be_met_is_said_with_its_reason(session, say, monkeypatch):
    monkeypatch.setattr(magics, "_PATIENCE", 60)
    say("start")
    assert say("momentum 0.9").startswith("session (Sequential) did not take momentum = 0.9: AdamW has no momentum")
    session.stop()
    assert "AdamW has no momentum" in say("momentum")


REFUSED = [
    ("lr fast", "lr='fast': a learning rate is a number"),
    ("lr rate", "{rate} is the value of the variable"),
    ("lr 1e-3 sesion", "Did you mean 'session'?"),
    ("schedule cosin", "Did you mean 'cosine'?"),
    ("puase", "Did you mean 'pause'?"),
    ("learning_rate 1", "Did you mean 'lr'?"),
    ("fit", "In Python there is session.fit()."),
    ("pause it now", "%dlw pause takes one session: 'it now'"),
    ("pause it", "'it' is no session here. There is [0] session (Sequential)."),
    ("pause 7", "There is no session 7. There is [0] session (Sequential)."),
    ("step 0", "1 or more"),
    ("sessions all", "%dlw sessions takes nothing"),
    ("undo", "Nothing was changed yet."),
    ("stop", "There is no run to stop."),
]


def test_what_cannot_be_done_is_said_in_a_sentence(shell, session, refused):
    shell.user_ns["rate"] = 0.25
    for line, said in REFUSED:
        assert said in refused(line)


def test_a_model_that_fails_is_said_in_a_sentence(shell, alone, refused):
    class Tires(nn.Linear):
        def forward(self, x):
            if self.training:
                raise RuntimeError("I am tired.\nVery.")
            return super().forward(x)

    with contextlib.closing(new_session(model=Tires(4, 2))):
        assert refused("step") == "I am tired."


def test_without_a_session_a_line_says_how_to_make_one(shell, alone, say, refused):
    for line in ("pause", "lr 1", "status"):
        assert "session = dlwidgets.Session(model, train=(X, y)) makes one" in refused(line)
    assert "dlwidgets.Session(model, train=(X, y)) makes one" in say("sessions")


def test_save_writes_the_weights_beside_the_notebook(session, say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session.step()
    assert "The weights of step 1 were saved as Sequential-step-1.pt." in say("save")
    assert torch.load(tmp_path / "Sequential-step-1.pt").keys() == session.model.state_dict().keys()


# -- which session


def test_a_session_is_meant_by_its_name_number_model_or_place(shell, session, other, say):
    shell.user_ns |= {"runs": {"a": other}, "net": other.model}
    for number, meant in enumerate(("other", "1", "[1]", "runs['a']", "net")):
        assert say(f"lr 0.{number + 1} {meant}").startswith("other (Linear): ")
        assert other.lr == (number + 1) / 10
    assert say("step 2 other") and say("step other 2") and other.steps == 4
    assert session.steps == 0


def test_of_several_the_newest_that_trains_is_taken_and_said(session, other, say, refused):
    assert refused("pause") == (
        "There are 2 sessions, and none is running: say which. There are [0] session (Sequential), [1] other (Linear)."
    )
    session.start()
    assert say("pause").startswith("session (Sequential), the newest that trains: paused, ")
    assert say("resume").startswith("session (Sequential), the newest that is paused: running, ")
    session.stop()


def test_a_name_in_the_notebook_wins_over_a_word_of_a_control(shell, session, other, say):
    shell.user_ns["cosine"] = other
    assert say("schedule cosine") == "other (Linear): schedule is constant."


# -- a session is asked


def test_status_is_a_table_in_a_notebook_and_text_elsewhere(shell, session):
    session.step(2)
    session.momentum = 0.9
    session.step()
    with capture_output() as captured:
        shell.run_line_magic("dlw", "status")
    data = captured.outputs[0].data
    for words in ("session (Sequential): paused, step 3 of 8,000", f"{session.loss:.4g}", "AdamW has no momentum"):
        assert words in data["text/plain"] and words in data["text/html"]


def test_sessions_are_a_table_in_a_notebook_and_text_elsewhere(shell, session, other):
    with capture_output() as captured:
        shell.run_line_magic("dlw", "sessions")
    data = captured.outputs[0].data
    assert data["text/plain"] == repr(dlw.sessions())
    assert data["text/html"].count("<tr>") == 3 and "other" in data["text/html"]


def test_no_session_is_kept_by_having_been_spoken_of(shell, alone):
    def speak() -> weakref.ref:
        made = new_session()
        with capture_output(), contextlib.closing(made):
            shell.user_ns["made"] = made
            for line in ("status", "sessions", "lr 0.1", "step"):
                shell.run_line_magic("dlw", line)
            del shell.user_ns["made"]
        return weakref.ref(made)

    gone, until = speak(), time.monotonic() + 30
    while gone() is not None and time.monotonic() < until:  # its thread ends
        gc.collect()
    assert gone() is None


def test_help_is_printed_and_shown_by_a_question_mark(shell, say):
    text = say("")
    assert text == say("help") == say("--help") and "%dlw summary model" in text
    with capture_output() as captured:
        shell.run_line_magic("pinfo", "%dlw")
    assert "%dlw summary model" in captured.stdout
    for word in magics.WORDS:
        assert word in text or word == "help"


# -- completion


COMPLETED = [
    ("%dlw su", ["%dlw summary"]),
    ("x = 1\n%dlw pau", ["x = 1\n%dlw pause"]),
    ("for i in range(3):\n    %dlw pau", ["for i in range(3):\n    %dlw pause"]),
    ("%dlw batch", ["%dlw batch_size"]),
    ("%dlw schedule cos", ["%dlw schedule cosine", "%dlw schedule cosine restarts"]),
    ("%dlw schedule cosine r", ["%dlw schedule cosine restarts"]),
    ("%dlw precision ", [f"%dlw precision {word}" for word in ("full", "bf16", "fp16", "session")]),
    ("%dlw pause ", ["%dlw pause session"]),
    ("%dlw lr 1e-3 ", ["%dlw lr 1e-3 session"]),
    ("%dlw summary my", ["%dlw summary my_model"]),
    ("t = %dlw summary my", ["t = %dlw summary my_model"]),
    ("%dlw summary my_model --", ["%dlw summary my_model --input", "%dlw summary my_model --shape"]),
]  # fmt: skip


@pytest.mark.parametrize("jedi", [False, True])
def test_words_controls_names_and_values_are_completed(shell, session, jedi):
    shell.Completer.use_jedi = jedi
    shell.user_ns |= {"my_model": nn.Linear(2, 1), "my_number": 3}
    for before, after in COMPLETED:
        assert completions(shell, before) == after


def test_values_and_both_names_are_completed_of_two_sessions(shell, session, other):
    assert completions(shell, "%dlw schedule cosine r") == ["%dlw schedule cosine restarts"]
    assert completions(shell, "%dlw pause ") == ["%dlw pause session", "%dlw pause other"]


def test_other_lines_are_completed_as_before(shell, session):
    shell.user_ns["dlw"] = dlw
    shell.Completer.use_jedi = False
    lines = ("dlw.Sess", "dlw = su", "%dlw summary session.lo")
    found = [completions(shell, line) for line in lines]
    shell.run_line_magic("unload_ext", "dlwidgets")
    assert found == [completions(shell, line) for line in lines] and any(found)


def test_an_older_shell_completes_by_its_hook(bare, session, monkeypatch):
    monkeypatch.setattr(magics, "_matchers", lambda shell: None)
    bare.run_line_magic("unload_ext", "dlwidgets")
    before = registered(bare)
    magics.load_magic(bare)
    for line, found in (("%dlw su", "summary"), ("%dlw optimizer RM", "RMSprop"), ("%dlw pause ", "session")):
        assert bare.complete("", line, len(line))[1] == [found]
    magics.unload_magic(bare)
    assert registered(bare) == before


# -- coming and going


def registered(shell) -> tuple:
    """Return all that an extension can leave behind in a shell."""
    return (
        {kind: dict(known) for kind, known in shell.magics_manager.magics.items()},
        dict(vars(shell.magics_manager.user_magics)),
        list(shell.Completer.custom_matchers),
        {key: list(chain) for key, chain in shell.strdispatchers["complete_command"].strs.items()},
        {name: dict(one.type_printers) for name, one in shell.display_formatter.formatters.items()},
        {name: dict(one.deferred_printers) for name, one in shell.display_formatter.formatters.items()},
        {name: list(calls) for name, calls in shell.events.callbacks.items()},
        set(shell.user_ns), list(shell.input_transformers_post), list(shell.input_transformers_cleanup),
    )  # fmt: skip


def test_unloading_leaves_nothing_behind(bare, alone):
    bare.run_line_magic("load_ext", "IPython.extensions.storemagic")  # so that the list of extensions is there
    before = registered(bare)
    for _ in range(2):
        bare.run_line_magic("load_ext", "dlwidgets")
        dlw.load_ipython_extension(bare)
        assert len(bare.Completer.custom_matchers) == len(before[2]) + 1
        completions(bare, "%dlw s")
        bare.run_line_magic("unload_ext", "dlwidgets")
        assert registered(bare) == before
    with pytest.raises(UsageError, match="not found"):
        bare.run_line_magic("dlw", "sessions")


def test_a_magic_of_that_name_comes_back(bare):
    bare.register_magic_function(lambda line: "theirs", "line", "dlw")
    bare.run_line_magic("load_ext", "dlwidgets")
    bare.run_line_magic("unload_ext", "dlwidgets")
    assert bare.run_line_magic("dlw", "") == "theirs"
