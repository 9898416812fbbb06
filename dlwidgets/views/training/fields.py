"""The controls that fold away in the training panel, as a table: one entry a control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.nn.modules.dropout import _DropoutNd

from ...core.controls.schedule.plan import NAMES
from ...session import Session

#: The sections in their order: name -> label.
SECTIONS = {
    "optimizer": "Optimizer", "schedule": "Schedule", "regularisation": "Regularisation", "run": "Run",
}  # fmt: skip

#: Optimizers by name; one that is in force and not among them is offered as well.
_OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam")
_METRICS = {"multiclass": ("accuracy", "macro_f1"), "multilabel": ("macro_f1",), "binary": ("macro_f1",)}


@dataclass(frozen=True)
class State:
    """A session as the fields read it: what is asked for and what is in force, by control."""

    session: Session
    asked: Mapping[str, Any]
    applied: Mapping[str, Any]

    def shown(self, control: str) -> Any:
        """Return what a control shows: what was asked for; without that, what is in force."""
        asked = self.asked.get(control)
        return self.applied.get(control) if asked is None else asked


@dataclass(frozen=True)
class Field:
    """A row of a section: a control, or a part of one.

    Attributes
    ----------
    kind : "choice", "text" or "flag".
    show : what of a control's value the row shows; None for nothing. A choice is shown by its word.
    wish : what is wished for once a person chose a word, typed a text, or set a flag.
    choices : the words of a choice.
    there : whether the row is of use now.
    why_not : why it is not to be had, a few words; "" where it is.
    """

    section: str
    control: str
    label: str
    kind: str
    show: Callable[[Any], Any]
    wish: Callable[[State, Any], Any]
    part: str = ""
    unit: str = ""
    hint: str = ""
    choices: Callable[[State], Sequence[str]] = lambda state: ()
    there: Callable[[State], bool] = lambda state: True
    why_not: Callable[[State], str] = lambda state: ""
    empty: str = ""

    @property
    def key(self) -> str:
        """Its name on the page."""
        return f"{self.control}.{self.part}" if self.part else self.control


def _number(text: Any) -> Any:
    """Return what was typed as a number; None where nothing was; else as it is, for the session to refuse."""
    text = str(text).strip().replace("\N{MINUS SIGN}", "-")
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text or None


def _numbers(text: Any) -> Any:
    parts = str(text).replace("(", " ").replace(")", " ").replace(",", " ").split()
    return tuple(map(_number, parts)) or None


def _same(value: Any) -> Any:
    return value


def _typed(_state: State, text: Any) -> Any:
    return _number(text)


# -- schedule


def _options(state: State) -> dict[str, Any]:
    """Return the options that the schedule was asked for with."""
    asked = state.asked.get("schedule")
    return dict(asked[1]) if asked else {}


def _schedule_name(value: Any) -> str:
    if value is None:
        return "constant"
    return value[0] if isinstance(value[0], str) else getattr(value[0], "__name__", type(value[0]).__name__)


def _schedule_choices(state: State) -> list[str]:
    return [*dict.fromkeys(("constant", *NAMES, _schedule_name(state.shown("schedule"))))]


def _choose_schedule(state: State, word: Any) -> Any:
    now = state.asked.get("schedule")
    if word == "constant":
        return None
    if now and word == _schedule_name(now):
        return now
    kept = {name: value for name, value in _options(state).items() if name in ("warmup", "unit")}
    if word in ("one-cycle", "plateau"):
        kept = {}
    return word, kept


def _option(name: str, label: str, only: Sequence[str] = (), **more: Any) -> Field:
    """Return the row of an option of the schedules named in `only`."""

    def wish(state: State, text: Any) -> Any:
        now, value = state.asked.get("schedule"), _number(text)
        options = {key: one for key, one in _options(state).items() if key != name}
        return now and (now[0], options if value is None else {**options, name: value})

    def there(state: State) -> bool:
        now = state.asked.get("schedule")
        return bool(now) and isinstance(now[0], str) and (not only or now[0] in only)

    return Field(
        "schedule", "schedule", label, more.pop("kind", "text"), lambda value: value and value[1].get(name),
        wish, part=name, there=there, **more,
    )  # fmt: skip


_LASTING = tuple(name for name in NAMES if name != "plateau")


# -- optimizer


def _optimizer_name(value: Any) -> Any:
    if value is None:
        return None
    return value[0] if isinstance(value[0], str) else getattr(value[0], "__name__", type(value[0]).__name__)


def _choose_optimizer(state: State, word: Any) -> Any:
    now = state.shown("optimizer")
    return now if now and word == _optimizer_name(now) else (word, {})


def _nesterov(state: State, on: Any) -> Any:
    name, options = state.shown("optimizer")
    return name, {**options, "nesterov": bool(on)}


# -- regularisation


def _single(value: Any) -> Any:
    """Return the setting that holds for the whole model, "by layer" where there are several."""
    if value is None:
        return None
    return value["*"] if len(value) == 1 and "*" in value else "by layer"


_RULES = {
    None: "off", "unit": "unit", "unit_dim1": "unit, dim 1", "max_norm": "max-norm",
    "weight_norm": "weight_norm",
}  # fmt: skip


def _rule(value: Any) -> Any:
    rule = _single(value)
    return _RULES.get(rule[0] if isinstance(rule, tuple) else rule, rule)


def _most(value: Any) -> Any:
    rule = _single(value)
    return rule[1] if isinstance(rule, tuple) else None


def _choose_rule(state: State, word: Any) -> Any:
    if word == "by layer":
        return state.asked.get("normalise")
    return next((rule for rule, said in _RULES.items() if said == word), word)


def _drops(state: State) -> str:
    layers = [one for one in state.session.model.modules() if isinstance(one, _DropoutNd)]
    return "" if layers else "no dropout layer"


def _smooths(state: State) -> str:
    return "" if state.applied.get("label_smoothing") is not None else "the loss has none"


# -- run

_EVERY = {
    "each epoch": "epoch",
    "10 steps": 10,
    "50 steps": 50,
    "100 steps": 100,
    "500 steps": 500,
    "10 s": "10 s",
    "1 min": "60 s",
    "never": None,
}


def _every(value: Any) -> str:
    other = value if isinstance(value, str) else f"{value} steps"
    return next((word for word, one in _EVERY.items() if one == value), other)


def _metrics(state: State) -> tuple[str, ...]:
    return ("never", "valid_loss", *_METRICS.get(state.session.task, ()))


def _stopping(state: State, name: str, value: Any) -> Any:
    now = state.asked.get("early_stopping")
    return {**(now._asdict() if now else {}), name: value}


def _stops(state: State) -> bool:
    return state.asked.get("early_stopping") is not None


FIELDS: tuple[Field, ...] = (
    Field(
        "optimizer", "optimizer", "Kind", "choice", _optimizer_name, _choose_optimizer,
        choices=lambda state: [*dict.fromkeys((*_OPTIMIZERS, _optimizer_name(state.shown("optimizer"))))],
        hint="A new optimizer begins with empty state, at the rate in force",
    ),
    Field(
        "optimizer", "momentum", "Momentum", "text", _same, _typed,
        there=lambda state: state.applied.get("momentum") is not None,
    ),
    Field(
        "optimizer", "optimizer", "Nesterov", "flag", lambda value: bool(value and value[1].get("nesterov")),
        _nesterov, part="nesterov", there=lambda state: _optimizer_name(state.shown("optimizer")) == "SGD",
    ),
    Field(
        "optimizer", "betas", "Betas", "text",
        lambda value: value and ", ".join(f"{one:g}" for one in value), lambda _, text: _numbers(text),
        there=lambda state: state.applied.get("betas") is not None,
    ),
    Field(
        "optimizer", "weight_decay", "Weight decay", "text", _same, _typed,
        hint="Plain L2; of AdamW decoupled from the gradient",
    ),
    Field(
        "schedule", "schedule", "Kind", "choice", _schedule_name, _choose_schedule,
        choices=_schedule_choices, hint="How the rate goes on; it begins anew from the rate in force",
    ),
    _option(
        "warmup", "Warm-up", tuple(name for name in NAMES if name != "one-cycle"), unit="steps",
        hint="Steps in which the rate grows to where the schedule begins; below 1: a share of the run",
        empty="0",
    ),
    _option(
        "over", "Length", _LASTING, hint="How many steps or epochs it takes; empty: the run's", empty="the run",
    ),
    _option("gamma", "Factor", ("step", "exponential"), hint="What the rate is multiplied with"),
    _option("eta_min", "Lowest rate", ("cosine", "cosine restarts")),
    _option("max_lr", "Highest rate", ("one-cycle",)),
    _option("power", "Power", ("polynomial",)),
    _option("end_factor", "Ends at ×", ("linear",)),
    _option("patience", "Patience", ("plateau",), unit="evaluations"),
    _option("factor", "Factor", ("plateau",), hint="What the rate is multiplied with"),
    Field(
        "regularisation", "dropout", "Dropout", "text", _single, _typed, why_not=_drops,
        hint="The rate of all dropout layers; empty: as the model was made", empty="as made",
    ),
    Field(
        "regularisation", "label_smoothing", "Label smoothing", "text", _same, _typed, why_not=_smooths,
    ),
    Field(
        "regularisation", "normalise", "Normalise", "choice", _rule, _choose_rule,
        choices=lambda state: [*dict.fromkeys((*_RULES.values(), _rule(state.asked.get("normalise"))))],
        hint="Weights of each filter or row: scaled to norm 1 after each step, held below a norm, or split",
    ),
    Field(
        "regularisation", "normalise", "Largest norm", "text", _most,
        lambda _, text: ("max_norm", _number(text)), part="most",
        there=lambda state: _most(state.asked.get("normalise")) is not None,
    ),
    Field("run", "epochs", "Epochs", "text", _same, _typed),
    Field(
        "run", "evaluate_every", "Evaluate", "choice", _every,
        lambda state, word: _EVERY.get(word, state.asked.get("evaluate_every")),
        choices=lambda state: [*dict.fromkeys((*_EVERY, _every(state.asked.get("evaluate_every"))))],
        why_not=lambda state: "" if state.session.has_valid else "no validation data",
    ),
    Field(
        "run", "evaluate_samples", "on", "text", _same, _typed, unit="samples", empty="all",
        hint="How many validation samples to evaluate, always the same ones; empty: all",
        why_not=lambda state: "" if state.session.has_valid else "no validation data",
    ),
    Field(
        "run", "accumulate", "Accumulate", "text", _same, _typed, unit="batches",
        hint="Batches whose gradients a step adds up",
    ),
    Field(
        "run", "ema", "Average (EMA)", "text", _same, _typed, unit="decay", empty="off",
        hint="Decay of the moving average that is evaluated, as 0.999; empty: off",
    ),
    Field(
        "run", "precision", "Precision", "choice", _same, lambda _, word: word,
        choices=lambda _: ("full", "bf16", "fp16"),
    ),
    Field(
        "run", "early_stopping", "Stop early", "choice", lambda value: value.metric if value else "never",
        lambda state, word: None if word == "never" else _stopping(state, "metric", word), choices=_metrics,
        why_not=lambda state: "" if state.session.has_valid else "no validation data",
        hint="Once this has not become better for some evaluations",
    ),
    Field(
        "run", "early_stopping", "Patience", "text", lambda value: value and value.patience,
        lambda state, text: _stopping(state, "patience", _number(text)), part="patience", there=_stops,
        unit="evaluations",
    ),
    Field(
        "run", "early_stopping", "Restore best", "flag", lambda value: bool(value and value.restore),
        lambda state, on: _stopping(state, "restore", bool(on)), part="restore", there=_stops,
    ),
    Field(
        "run", "threads", "Threads", "text", _same, _typed,
        hint="Threads that torch computes with; empty: as many as there are CPUs to be had",
    ),
)  # fmt: skip


def fields_of(session: Session) -> list[Field]:
    """Return the rows for those controls that a session has."""
    return [field for field in FIELDS if session.has_trait(field.control)]


def text_of(value: Any) -> str:
    """Return what a row shows as text: 0.01, 1e-05, 64."""
    if value is None or value is False:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def word_of(field: Field, value: Any) -> str:
    """Return what stands beside a row as being in force: "0.01", "on", "off"."""
    shown = field.show(value)
    if field.kind == "flag":
        return "on" if shown else "off"
    if field.part == "over" and value and value[1].get("at"):
        return "to the end"  # of the run; drawn out: its whole length is no number of steps that are taken
    if isinstance(shown, int) and not isinstance(shown, bool):
        return f"{shown:,}"
    return text_of(shown) or "off"


def summed_up(section: str, state: State) -> str:
    """Return what a closed section says of itself."""
    applied = state.applied
    if section == "optimizer":
        decay = applied.get("weight_decay")
        return f"{_optimizer_name(state.shown('optimizer'))}" + (f" · decay {decay:.3g}" if decay else "")
    if section == "schedule":
        return str(applied.get("schedule_in_words") or _schedule_name(state.asked.get("schedule")))
    if section == "regularisation":
        found = [
            f"dropout {text_of(_single(applied['dropout']))}" if applied.get("dropout") else "",
            f"smoothing {applied['label_smoothing']:g}" if applied.get("label_smoothing") else "",
            _rule(applied["normalise"]) if applied.get("normalise") else "",
        ]
        return " · ".join(filter(None, found)) or "off"
    found = [f"{state.asked.get('epochs')} epochs"]
    if (applied.get("accumulate") or 1) > 1:
        found.append(f"{applied.get('effective_batch')} samples a step")
    if applied.get("ema"):
        found.append(f"average {applied['ema']:g}")
    if applied.get("precision", "full") != "full":
        found.append(applied["precision"])
    if applied.get("early_stopping"):
        found.append("stops early")
    return " · ".join(found)
