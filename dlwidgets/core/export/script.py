"""A run as a readable PyTorch script with the same weights."""

from __future__ import annotations

import platform
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..base.literals import Unwritable
from ..base.words import pluralize
from ..controls.early_stopping import restored_from
from ..training.replay import MOVES
from .data import BatchLines, write_data
from .draft import Draft
from .keras import BACKEND
from .loop import write_loop
from .model import write_loss, write_model
from .movement import Movement
from .prediction import write_prediction
from .text import join_sections, use_double_quotes

if TYPE_CHECKING:
    from ..training.run import Run

#: Variables of the script. What was written out under such a name keeps it, and the script's is changed.
_NAMES = frozenset(
    """FullBatches HERE Schedule X accumulate averaged batch batch_size batches best best_loss class_weights classes
    clip_adaptively clipped data dataset device draw_batches draw_layers epoch epochs exchange found gathered
    generator group head index input_mean input_std inputs items left_out load_data loader loss loss_function
    loss_of_each losses losses_of_epoch lr_after make_model max_norm max_ratio max_value missed mixed model name
    optimizer order parameter parameters parts predict predicted probabilities project projected rest said samples
    scale_inputs scales schedule scheduler seed shuffle so split start state step targets thresholds true unit_norm
    unit_norms unite valid value variable weigh weight weights wrong y""".split()
)


def export_script(run: Run, path: Path, data: bool, thresholds: Any) -> list[str]:
    """Write a run as a script; return what is left to do.

    Parameters
    ----------
    data : False: the data is left out, and the script has a marked place for it.
    thresholds : of the function `predict` at the script's end.

    Raises
    ------
    ValueError : in a sentence, why it cannot be written.
    """
    if not run.loop.steps:
        raise ValueError("No step was taken yet: there is nothing that a script could repeat.")
    origin = run.origin
    if origin is None:
        raise ValueError(run.lost or "This session did not begin this run: its first weights are not known.")
    before = [one.name for one in run.timeline.line.changes[: origin.changes]]
    cuts = [name for name in before if name in ("skip", "accumulate", "batch_size")]
    if run.loop.accumulation.recut or ("skip" in cuts and cuts[-1] != "skip"):
        raise ValueError(
            "This run cannot be written as a script: a step failed, and was taken again in batches of another "
            "size or number."
        )
    if "reinitialise" in before and "head" in before[before.index("reinitialise") :]:
        raise ValueError(
            "This run cannot be written as a script: layers were drawn anew before the first step, and a new head came "
            "after that. dlw.with_head(model, ...) before the session is written."
        )
    changes = [
        entry for number, entry in enumerate(run.timeline.line.changes)
        if (entry.step < run.loop.steps or restored_from(entry) is not None)
        and (number >= origin.changes or entry.name in ("skip", "reinitialise"))
    ]  # fmt: skip
    rewound = any(entry.name in MOVES for entry in run.steering.ledger.entries)
    draft = Draft(
        run.loop, [*run.steering.steered], run.data, origin, changes, run.seed, path, rewound, data,
        thresholds,
    )  # fmt: skip
    try:
        text = write_script(draft)
    except Unwritable as why:
        raise ValueError(f"This run cannot be written as a script: {str(why).rstrip('.')}.") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, (value, _) in draft.files.items():
        if isinstance(value, bytes):
            (path.parent / name).write_bytes(value)
        else:
            torch.save(value, path.parent / name)
    path.write_text(text, encoding="utf-8")
    return draft.notes


def write_script(draft: Draft) -> str:
    """Return the script's text; `draft.files` is to lie beside it."""
    model = write_model(draft)
    before, loss, after = write_loss(draft)
    data = write_data(draft)
    draft.resized, draft.ordered = data.resized or draft.resized, data.cut is not None
    changes = _write_changes(draft)
    # What was done after the last step, as putting the best weights back.
    draft.ending[:0] = changes.pop(draft.steps, [])
    loop = write_loop(draft, data, changes, (before, loss, after))
    settings = _write_settings(draft, data)
    weights = f"{draft.path.stem}.weights.{'h5' if draft.foreign else 'pt'}"
    saves = f'model.save_weights(HERE / "{weights}")' if draft.foreign else (
        f'torch.save(model.state_dict(), HERE / "{weights}")'
    )  # fmt: skip
    draft.sources.imports |= {"import torch", "from pathlib import Path"}
    loss_was = "" if draft.accumulates else f" (it was {draft.loop.loss:.6g})"
    ending = "\n".join([
        *draft.ending,
        saves,
        f'print(f"step {draft.steps:,}: loss {{loss.item():.6g}}{loss_was}")',
    ])  # fmt: skip
    predicting = write_prediction(draft)
    # A block with a heading is set apart by an empty line.
    setup = [f"\n{one}" if one.startswith("#") and number else one for number, one in enumerate(draft.setup)]
    ours = [
        "HERE = Path(__file__).resolve().parent",
        *draft.definitions,
        settings,
        _add_heading("The model, with the weights it began with", model),
        _add_heading("The data", data.load),
        _add_heading("Loss and optimizer" if before else "The optimizer", "\n".join([*before, *setup])),
        _add_heading("Training", "\n".join([data.order, *draft.first_draws, loop])),
        ending,
        predicting,
    ]
    if draft.foreign:
        ours = [part.replace("model.parameters()", "parameters") for part in ours]
    for name in (draft.sources.definitions.keys() | draft.sources.brought) & _NAMES:
        taken = re.compile(rf"(?<![.\w\0\"']){name}(?![\w\0=]*\0)(?![\w\"'])")
        ours = [taken.sub(f"{name}_", part) for part in ours]
    return join_sections([
        _write_docstring(draft, weights), draft.sources.imports_text(BACKEND if draft.foreign else ""),
        *draft.sources.definitions.values(),
        *(use_double_quotes(part.replace("\0", "")) for part in ours),
    ])  # fmt: skip


def _write_changes(draft: Draft) -> dict[int, list[str]]:
    """Have all controls write their lines; return step -> those of changes.

    A control without a writer raises, so that no script is silently another run.
    """
    draft.movement = Movement(draft)
    for control in draft.controls:
        if control.writer is None:
            raise Unwritable(f"the control {control.name!r} has no writer yet")
        draft.writers[control.name] = control.writer(control.name, draft)
    if unknown := sorted({entry.name for entry in draft.changes} - {*draft.writers, "skip"}):
        raise Unwritable(f"the control {unknown[0]!r} was changed, for which there is no writer yet")
    writers, lines = draft.writers.values(), dict[int, list[str]]()
    for part in (draft.movement, *writers):
        part.begin()
    for writer in writers:
        for step, before in writer.before().items():
            lines.setdefault(step, []).extend(before)
    for entry in draft.changes:
        # One at the head has the value of the first step there; a skip has a place of its own.
        after_skip = draft.follows_skip(entry)
        if entry.name == "skip" or (entry.step == 0 and not after_skip and draft.writers[entry.name].at_head):
            continue
        made = draft.writers[entry.name].change(entry)
        if after_skip:
            draft.after_skips.setdefault(entry.step, []).extend(made)
        elif entry.step == 0:
            draft.setup += made
        else:
            lines.setdefault(entry.step, []).extend(made)
    for part in (*writers, draft.movement):
        part.finish()
    return lines


def _write_docstring(draft: Draft, weights: str) -> str:
    kind = type(draft.model).__name__
    article = "an" if kind[0] in "AEIOUaeiou" else "a"
    length = f"{pluralize(draft.steps, 'step')} ({pluralize(draft.loop.epoch, 'epoch')})"
    changes = f", with {pluralize(len(draft.changes), 'change')} on the way" if draft.changes else ""
    about = f"dlwidgets {sys.modules['dlwidgets'].__version__}"
    lines = [
        f'"""Train {article} {kind} for {length}{changes}.',
        "",
        f"The run of {time.strftime('%Y-%m-%d %H:%M')} as a plain PyTorch loop, written by {about}.",
    ]
    foreign = f", Keras {sys.modules['keras'].__version__}" if draft.foreign else ""
    version = f"PyTorch {torch.__version__}{foreign} and Python {platform.python_version()}"
    if draft.origin.device != draft.device:
        lines.append(f"It was trained on {draft.origin.device} in turn: it gives nearly the same weights.")
    elif draft.device == "cpu":
        lines.append(f"With {version} it gives the same weights on the CPU, bit for bit.")
    else:
        lines.append(f"With {version} it gives nearly the same weights: on {draft.device} not bit for bit.")
    if draft.rewound:
        lines.append("Steps that were taken back are left out: it goes straight to where the run is.")
    files = {name: words for name, (_, words) in draft.files.items()}
    files[weights] = "written: the weights after the last step"
    width = max(map(len, files))
    lines += ["", "Beside it lie:", *(f"  {name:<{width}}  {words}" for name, words in files.items())]
    lines += ["", *(f"To do: {note}" for note in draft.notes)] if draft.notes else []
    return "\n".join([*lines, '"""'])


def _write_settings(draft: Draft, data: BatchLines) -> str:
    lines = [f"seed = {draft.seed}", f"epochs = {draft.loop.epoch}"]
    if draft.device != "cpu":
        lines.append(f'device = torch.device("{draft.device}")')
    if re.search(r"\bbatch_size\b|draw_batches", data.load + data.opening + data.loop + data.take):
        lines.append(f"batch_size = {draft.writers['batch_size'].first}")
    threads = f"torch.set_num_threads({draft.writers['threads'].first})"
    return "\n".join([*lines, *draft.settings, f"{threads}  # the last bits of the weights depend on it"])


def _add_heading(heading: str, text: str) -> str:
    return text if text.startswith("def ") else f"# {heading}\n{text}"
