"""The magic `%dlw`: sessions told and asked in one line."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import re
import sys
import time
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import needs_local_scope, no_var_expand
from IPython.display import display

from .core.base.fact_table import FactTable
from .core.base.words import describe_error, did_you_mean, quote_error, quote_value

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .session import Session

#: The classes of models by name, so that neither torch nor Keras is imported for them.
MODEL_CLASSES = ("torch.nn.modules.module.Module", "keras.src.layers.layer.Layer")
#: What can be said beside the names of controls.
WORDS = ("summary", "status", "sessions", "start", "pause", "resume", "stop", "step", "undo", "save", "info", "help")
#: Words that a session is told, or asked.
_OF_A_SESSION = ("status", "start", "pause", "resume", "stop", "step", "undo", "save")
#: Seconds that a wish is waited for, while steps are taken.
_PATIENCE = 2.0
_NAME = re.compile(r"[^\W\d]\w*(\.\w+|\[[^\[\]\s]+\])*")
_NUMBER = re.compile(r"\d+|\[\d+\]")


class LineMagic:
    """`%dlw` in one shell, with what completes it."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        #: The names that a line may use, and the sessions there are, while it is read.
        self._scope: Mapping[str, Any] = {}
        self._every: Sequence[Session] = ()
        #: What stood in the place of the magic until it was loaded; None for nothing.
        self.before: Any = None

    @needs_local_scope
    @no_var_expand
    def dlw(self, line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Tell a session what to do, or ask how it stands.

        %dlw summary model                   its layers as a table; with shapes:
        %dlw summary model, X                  for a batch of inputs
        %dlw summary model --shape 1,28,28     for one sample of that shape
        %dlw sessions                        all sessions, with their numbers
        %dlw status                          how a session stands
        %dlw start | pause | resume | stop   train it, hold it, go on, end it
        %dlw start 3                         train three epochs
        %dlw step 10                         take ten steps, then pause
        %dlw undo                            go to right before the last change
        %dlw save                            write a checkpoint, or the weights
        %dlw lr                              the learning rate in force
        %dlw lr 1e-3                         another one, from the next step on
        %dlw batch_size 64, clip 1.0, schedule cosine, ...   so with each control of a session
        %dlw info                            versions, extension, machine, and what is wrong there

        Last in a line may stand which session is meant, by its name or number: %dlw lr 1e-3 session. Without
        that it is the only one, or the newest that trains. $name and {name} stand for a variable's value.
        """
        with self._reading(local_ns):
            try:
                return self._obey(re.sub(r"\s+#\s.*$", "", line).strip().rstrip(";").rstrip())
            except UsageError:
                raise
            except Exception as error:  # noqa: BLE001 - a magic answers in a sentence
                plain = isinstance(error, (ValueError, TypeError, RuntimeError)) and str(error)
                raise UsageError(quote_error(error) if plain else describe_error(error)) from None

    @contextlib.contextmanager
    def _reading(self, local_ns: Mapping[str, Any] | None = None, sure: bool = True) -> Iterator[None]:
        """Look at names and sessions inside `with`, and keep none of them."""
        self._scope, self._every = ChainMap(dict(local_ns or {}), self._shell.user_ns), _list_sessions(sure)
        try:
            yield
        finally:
            self._scope, self._every = {}, ()

    def _obey(self, line: str) -> Any:
        if re.match(r"\w+\s*=", line):
            line = line.replace("=", " ", 1)  # a control, as in Python
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word in ("", "help", "-h", "--help"):
            return print(inspect.getdoc(self.dlw))
        if word == "summary":
            return self._summarize(rest)
        if word in ("sessions", "info") and rest:
            raise UsageError(f"%dlw {word} takes nothing: what is {rest!r}?")
        if word == "info":
            from .info import find_info, tabulate_info

            return display(tabulate_info(find_info(live=True)))
        if word == "sessions":
            return display(self._every or FactTable((), title=_no_session()))
        if word in _OF_A_SESSION:
            return self._order(word, rest)
        if word not in _control_names():
            raise UsageError(_unknown(word, bool(self._every)))
        self._steer(word, rest)

    # -- models

    def _summarize(self, rest: str) -> Any:
        """Return a model's table, which the shell shows as it does."""
        from .core.layers.summary import outline, summary

        expression, *options = re.split(r"(?:^|\s+)--([\w-]*)(?:\s+|=|$)", rest)
        given = {}
        for name, value in zip(options[::2], options[1::2]):
            if name not in ("input", "shape"):
                raise UsageError(f"%dlw summary has no --{name}.{did_you_mean(name, ['input', 'shape'], _SHAPES)}")
            if not value.strip():
                raise UsageError(f"%dlw summary --{name} wants a value.{_SHAPES}")
            given[name] = value.strip()
        if not expression.strip():
            session, _ = self._choose()
            return session.layers()
        model, *inputs = self._evaluate(expression.strip())
        if "input" in given:
            inputs += self._evaluate(given["input"])
        shape = _read_shape(given["shape"]) if "shape" in given else None
        if (session := self._session_of(model)) is not None:
            if model is session and not inputs and shape is None:
                return session.layers()
            model = session.model
        if inputs or shape is not None:
            return summary(model, *inputs, input_shape=shape)
        found = outline(model, "%dlw summary")
        return dataclasses.replace(found, notes=tuple(map(_as_magic, found.notes)))

    def _evaluate(self, text: str) -> list[Any]:
        """Return the values of expressions, parted by commas."""
        text = re.sub(r"\$(\w+)|\{(\w+)\}", r"\1\2", text)
        try:
            tree = ast.parse(text, mode="eval").body
        except SyntaxError:
            raise UsageError(f"{text!r} is no Python expression: a model is wanted, as %dlw summary model.") from None
        parts = tree.elts if isinstance(tree, ast.Tuple) else [tree]
        names = dict(self._scope)
        try:
            return [eval(compile(ast.Expression(part), "<%dlw>", "eval"), names) for part in parts]
        except NameError as error:
            missing = error.name or text
            raise UsageError(f"There is no {missing!r} here.{did_you_mean(missing, self._names())}") from None
        except Exception as error:  # noqa: BLE001 - of the expression
            raise UsageError(f"{text}: {describe_error(error)}") from None

    # -- sessions

    def _choose(self, name: str = "", status: str = "") -> tuple[Session, str]:
        """Return the session that is meant, and words for it.

        The only one, or the one of that name or number; else the newest with `status`; else the newest that trains.
        """
        every = self._every
        if name:
            if (session := self._find(name)) is None:
                known = self._names(sessions_only=True)
                raise UsageError(f"{name!r} is no session here.{did_you_mean(name, known)}{_listed(every)}")
            return session, _label(session)
        if not every:
            raise UsageError(_no_session())
        if len(every) == 1:
            return every[0], _label(every[0])
        wanted = (status,) if status else ("running", "trying")
        going = [one for one in every if one.status in wanted]
        if not going:
            raise UsageError(f"There are {len(every)} sessions, and none is {wanted[0]}: say which.{_listed(every)}")
        return going[-1], f"{_label(going[-1])}, the newest that {'trains' if not status else f'is {status}'}"

    def _find(self, word: str) -> Session | None:
        """Return the session of a name in the namespace, or a number."""
        if _NAME.fullmatch(word):
            try:
                return self._session_of(eval(word, {"__builtins__": {}}, self._scope))
            except Exception:  # noqa: BLE001 - it names nothing
                return None
        if not _NUMBER.fullmatch(word):
            return None
        number = int(word.strip("[]"))
        if number >= len(self._every):
            raise UsageError(f"There is no session {number}.{_listed(self._every)}")
        return self._every[number]

    def _session_of(self, value: Any) -> Session | None:
        """Return the session that a value is, or whose model it is."""
        return next((one for one in reversed(self._every) if one is value or one.model is value), None)

    def _order(self, word: str, rest: str) -> None:
        """Have a session do what one word says; tell how it stands."""
        words, count = rest.split(), None
        if word in ("step", "start"):
            first = next((one for one in words if re.fullmatch(r"[+-]?\d+", one)), None)
            if first is not None:
                words.remove(first)
                count = int(first)
        if len(words) > 1:
            raise UsageError(f"%dlw {word} takes one session{' and a number' * (word in ('step', 'start'))}: {rest!r}.")
        session, label = self._choose("".join(words), "paused" if word == "resume" else "")
        if word == "status":
            return display(tabulate_session(session, label))
        with session.by("magic"):
            said = _act(session, word, count)
        print(f"{label}: {said or _headline(session)}.")

    # -- controls

    def _steer(self, name: str, rest: str) -> None:
        """Set a control, or say what is in force of it."""
        value, session, label = self._part(rest)
        before = _in_force(session, name)
        if not value:
            return print(f"{label}: {name} is {before}{_not_yet(session, name)}.")
        wish = self._read(session, name, value)
        try:
            with session.by("magic"):
                setattr(session, name, wish)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{quote_error(error)}{self._meant(value)}") from None
        _await_news(session, name)
        after = _in_force(session, name)
        if session.waits(name):
            print(f"{label}: {name} is {after}{_not_yet(session, name)}.")
        elif why := session.rejected.get(name):
            print(f"{label} did not take {name} = {quote_value(wish)}: {why.rstrip('.')}.")
        else:
            print(f"{label}: {name} is {after}{'' if after == before else f'; it was {before}'}.")

    def _part(self, rest: str) -> tuple[str, Session, str]:
        """Part a value from the session that may stand behind it."""
        value, _, last = rest.rpartition(" ")
        named = bool(_NAME.fullmatch(last)) and self._find(last) is not None
        # A number alone is a value; behind one it is a session's.
        if named or (_NUMBER.fullmatch(last) and _is_literal(value) and not value.endswith(",")):
            return value.strip(), *self._choose(last)
        return rest, *self._choose()

    def _read(self, session: Session, name: str, text: str) -> Any:
        """Read a literal, a word, or words; variables are filled in."""
        text = text if _is_literal(text) else self._shell.var_expand(text)
        wish = _literal(text)
        if wish == text and " " in text and not _reads(session, name, text):
            several = tuple(map(_literal, text.split()))
            return several if _reads(session, name, several) else text
        return wish

    def _meant(self, value: str) -> str:
        """Say what may be meant by a value that no control reads."""
        if value in self._scope:
            return f" {{{value}}} is the value of the variable."
        head, _, last = value.rpartition(" ")
        return did_you_mean(last, self._names(sessions_only=True)) if head else ""

    # -- completion

    def complete(self, before: str) -> tuple[str, list[tuple[str, str]]]:
        """Return the fragment before the cursor, and (text, kind) for it."""
        found = re.match(r"\s*(?:[\w\s,.\[\]]+=\s*)?%dlw\s+(.*)$", before.split("\n")[-1])
        if found is None:
            return "", []
        with self._reading(sure=False):  # the page waits a second for it at most
            return self._complete(*found[1].partition(" "))

    def _complete(self, word: str, more: str, rest: str) -> tuple[str, list[tuple[str, str]]]:
        last, controls = rest.rpartition(" ")[2], _control_names() if self._every else ()
        if not more:
            return word, _starting(word, keyword=WORDS, param=controls)
        if word == "summary":
            first = rest.lstrip() == last
            return last, _starting(last, instance=self._names() if first else (), param=("--input", "--shape"))
        if word not in (*_OF_A_SESSION, *controls):
            return "", []
        choices = _starting(rest, value=self._choices(word) if word in controls else ())
        if choices and rest:
            return rest, choices  # which may be several words, as "cosine restarts"
        return last, choices + _starting(last, instance=self._names(sessions_only=True))

    def _choices(self, name: str) -> list[str]:
        """Return the panel's words for a control that it reads."""
        from .core.controls.control import Panel
        from .core.controls.steering import CONTROLS

        session = self._every[-1]  # any will do: they differ in little but the task
        rows = next(one.rows for one in CONTROLS if one.name == name)
        rows = [row for row in rows if row.kind == "choice" and not row.part and not row.control]
        panel = Panel(session, session.applied, session.applied)
        return [word for row in rows for word in row.choices(panel) if _reads(session, name, word)]

    def _names(self, sessions_only: bool = False) -> list[str]:
        """Return the names of sessions, and of models, in the namespace."""

        def is_meant(value: Any) -> bool:
            if sessions_only:
                return any(value is one for one in self._every)
            classes = {f"{one.__module__}.{one.__qualname__}" for one in type(value).__mro__}
            return not classes.isdisjoint(MODEL_CLASSES) or self._session_of(value) is not None

        return [name for name, value in [*self._scope.items()] if not name.startswith("_") and is_meant(value)]

    def match(self, context: Any) -> dict[str, Any]:
        """Complete a line, for the completer of IPython 8.6 and later."""
        from IPython.core.completer import SimpleCompletion

        fragment, found = self.complete(context.text_until_cursor)
        return {
            "completions": [SimpleCompletion(text, type=kind) for text, kind in found],
            "matched_fragment": fragment, "suppress": bool(found), "ordered": True,
        }  # fmt: skip

    match.matcher_api_version = 2  # type: ignore[attr-defined]
    match.matcher_identifier = "dlwidgets"  # type: ignore[attr-defined]

    def hook(self, shell: Any, event: Any) -> list[str]:
        """Complete a line, for the completer of earlier ones."""
        fragment, found = self.complete(event.text_until_cursor)
        return [text[len(fragment) - len(event.symbol) :] for text, _ in found]


def load_magic(shell: InteractiveShell) -> None:
    """Add `%dlw` and its completion, once however often called."""
    manager = shell.magics_manager
    before = manager.magics["line"].get("dlw")
    if isinstance(getattr(before, "__self__", None), LineMagic):
        return
    magic = LineMagic(shell)
    magic.before = before
    manager.register_function(magic.dlw, "line", "dlw")
    if (matchers := _matchers(shell)) is not None:
        matchers.append(magic.match)
    else:
        shell.set_hook("complete_command", magic.hook, str_key="%dlw")


def unload_magic(shell: InteractiveShell) -> None:
    """Take `%dlw` and its completion away."""
    manager = shell.magics_manager
    magic = getattr(manager.magics["line"].get("dlw"), "__self__", None)
    if not isinstance(magic, LineMagic):
        return
    del manager.magics["line"]["dlw"]
    vars(manager.user_magics).pop("dlw", None)
    if magic.before is not None:
        manager.register_function(magic.before, "line", "dlw")
    if (matchers := _matchers(shell)) is not None:
        matchers[:] = [one for one in matchers if one != magic.match]
    else:
        shell.strdispatchers["complete_command"].strs.pop("%dlw", None)


def tabulate_session(session: Session, label: str) -> FactTable:
    """Return how a session stands, as a table."""
    rows = []
    if session.steps:
        rows.append(("loss", f"{session.loss:.4g}"))
    if (found := session.evaluation) is not None:
        told = {"loss": found.loss, **found.metrics}
        rows.append(("validation", ", ".join(f"{name} {value:.4g}" for name, value in told.items())))
    names = ["lr", "schedule", "batch_size", "clip", "trainable"]
    facts = {name: _in_force(session, name) + _not_yet(session, name) for name in ["optimizer", *names]}
    rows += [(name, words) for name, words in facts.items() if words not in ("None", "constant")]
    rows += [(f"{name}, refused", why) for name, why in session.rejected.items() if name not in facts]
    lasting = [one for one in session.findings if one.until is None]
    rows += [(f"doctor, {one.severity}", one.title) for one in lasting]
    rows += [(name, words) for name, words in (("error", session.error), ("host", session.host)) if words]
    return FactTable(rows, title=f"{label}: {_headline(session)}")


_SHAPES = " Shapes come with --input X, or with --shape 1,28,28, that of one sample."
_CONSTANTS = {"none": None, "true": True, "false": False}


def _matchers(shell: InteractiveShell) -> list[Any] | None:
    """Return the completer's added matchers; None before IPython 8.6."""
    return getattr(shell.Completer, "custom_matchers", None)


def _list_sessions(sure: bool) -> list[Session]:
    """Return the kernel's sessions, without importing what makes them.

    What nobody holds any more is left out where it would count, and `sure`: to find it may take a second.
    """
    if (module := sys.modules.get(f"{__package__}.session")) is None:
        return []
    numbered = module.numbered_sessions()
    return module.sessions() if sure and len(numbered) > 1 else module.Sessions(numbered.values())


def _no_session() -> str:
    return "There is no session yet: session = dlwidgets.Session(model, train=(X, y)) makes one."


def _listed(every: Sequence[Session]) -> str:
    names = ", ".join(f"[{number}] {_label(one)}" for number, one in enumerate(every))
    return f" There {'is' if len(every) == 1 else 'are'} {names}." if every else f" {_no_session()}"


def _label(session: Session) -> str:
    from .session import bound_name

    return f"{bound_name(session) or 'the session'} ({type(session.model).__name__})"


def _control_names() -> tuple[str, ...]:
    """Return the names of all controls, where any can be there."""
    steering = sys.modules.get(f"{__package__}.core.controls.steering")
    return tuple(one.name for one in steering.CONTROLS) if steering is not None else ()


def _unknown(word: str, made: bool) -> str:
    """Say that there is no such word, and what may be meant."""
    if hint := did_you_mean(word, WORDS):
        return f"%dlw knows no {word!r}.{hint}"
    if not made:
        return f"{_no_session()} %dlw alone says what can be said without one."
    from .core.controls.near_names import name_hint
    from .session import Session

    hint = name_hint(word, _control_names())
    if not hint and inspect.isfunction(getattr(Session, word, None)):
        hint = f" In Python there is session.{word}()."
    return f"%dlw knows no {word!r}.{hint or ' %dlw alone says what can be said.'}"


def _await_news(session: Session, name: str) -> None:
    """Wait a while until it is told what came of a wish."""
    until, settled = time.monotonic() + _PATIENCE, None
    while session.status == "running" and time.monotonic() < until:
        if settled is None and not session.waits(name):
            settled = session.pulse
        if settled not in (None, session.pulse):
            return  # what is told next was so when the wish was dealt with
        time.sleep(0.01)


def _act(session: Session, word: str, count: int | None) -> str:
    """Do what a word says; return what is to be said."""
    from .views.buttons import begin, refusals, save_run
    from .views.limits import Restrictions

    if why := refusals(session, Restrictions()).get("resume" if word == "start" else word):
        raise UsageError(why)
    if word == "pause" and session.status not in ("running", "trying"):
        return f"nothing runs that could pause; it is {_headline(session)}"
    if word in ("start", "resume") and session.status == "done" and count is None:
        return f"{_headline(session)}; %dlw start 3 trains three epochs more"
    if word == "undo":
        before = {name: _in_force(session, name) for name in _control_names()}
        session.undo()
        now = {name: _in_force(session, name) for name in before}
        return "; ".join([_headline(session), *(f"{name} is {now[name]}" for name in now if now[name] != before[name])])
    if word == "save":
        return save_run(session).rstrip(".")
    if word == "step":
        session.step(1 if count is None else count)
    elif count is not None:
        session.start(count)
    elif word in ("start", "resume"):
        begin(session)
    else:
        getattr(session, word)()
    return ""


def _headline(session: Session) -> str:
    """Say how far a session is, in a line."""
    far = session.progress()
    said = [session.status, f"step {far['steps']:,}" + (f" of {far['total']:,}" if far["total"] else "")]
    if far["epoch"]:
        said.append(f"epoch {far['epoch']:,} of {far['epochs']:,}")
    if session.status == "running" and far["left"]:
        hours, minutes, seconds = int(far["left"] // 3600), int(far["left"] // 60 % 60), round(far["left"] % 60)
        said.append(
            (f"{hours:,} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds} s") + " left"
        )
    return ", ".join(said)


def _in_force(session: Session, name: str) -> str:
    """Say what is in force of a control."""
    applied = session.applied
    if name in ("schedule", "loss_function"):
        return applied[f"{name.removesuffix('_function')}_in_words"]
    value = applied[name] if name in applied else getattr(session, name)
    return _shown(value)


def _not_yet(session: Session, name: str) -> str:
    """Say what is asked for and not in force, or was refused."""
    if session.waits(name):
        # Read, it is the optimizer in force.
        asked = "another" if name == "optimizer" else _shown(getattr(session, name))
        return f", and {asked} from its next step on" if asked != _in_force(session, name) else ""
    why = session.rejected.get(name)
    return f"; refused: {why.rstrip('.')}" if why else ""


def _shown(value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 2 and value[1] == {}:
        value = value[0]  # a schedule or an optimizer without options
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else quote_value(value)


def _reads(session: Session, name: str, value: Any) -> bool:
    """Say whether a control reads a value."""
    from .core.controls.steering import names_of, read_alone

    try:
        session.read_wish(name, value) if name in names_of(steers=True) else read_alone(name, value)
    except (ValueError, TypeError):
        return False
    return True


def _literal(text: str) -> Any:
    """Return a Python literal's value, or the word."""
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    return ast.literal_eval(text) if _is_literal(text) else text


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return True


def _read_shape(text: str) -> Any:
    """Read the shape of one sample: 1,28,28 or 1x28x28."""
    if re.fullmatch(r"\d+(\s*[x×]\s*\d+)+", text):
        text = re.sub("[x×]", ",", text)
    if not _is_literal(text):
        raise UsageError(f"--shape {text}: the shape of one sample is wanted, as --shape 1,28,28.")
    shape = ast.literal_eval(text)
    return (shape,) if isinstance(shape, int) else shape


def _as_magic(note: str) -> str:
    """Write the calls in a hint as one types the magic."""
    note = re.sub(
        r"%dlw summary\(model, input_shape=\((.*?),?\)(, dtype=[\w.]+)?\)", r"%dlw summary model --shape \1", note
    )
    return re.sub(r"%dlw summary\(model, (\(.*?\)|.*?)\)(?=[,.])", r"%dlw summary model, \1", note)


def _starting(fragment: str, **kinds: Sequence[str]) -> list[tuple[str, str]]:
    """Return (text, kind) of the texts that begin so."""
    return [(text, kind) for kind, texts in kinds.items() for text in texts if text.startswith(fragment)]
