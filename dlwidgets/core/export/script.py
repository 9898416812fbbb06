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
from .controls import ControlLines
from .data import BatchLines, write_data
from .draft import Draft
from .loop import write_loop
from .model import write_loss, write_model
from .prediction import write_prediction
from .text import format_comment, join_sections, tidy_lines, use_double_quotes

if TYPE_CHECKING:
    from ..training.run import Run

#: Variables of the script. What was written out under such a name keeps it, and the script's is changed.
_NAMES = frozenset(
    """HERE Schedule X accumulate averaged batch batch_size batches best clip_adaptively clipped data
    classes dataset device epoch epochs exchange found generator group head index inputs left_out
    load_data loader loss loss_function losses losses_of_epoch lr_after make_model max_norm max_ratio
    max_value missed mixed model name optimizer order parameter predict predicted probabilities project
    projected rest said samples schedule scheduler seed shuffle so split start step targets thresholds
    true unit_norm unit_norms unite valid weight wrong y""".split()
)


def write_script(draft: Draft, about: str) -> str:
    """Return the script's text; `draft.files` is to lie beside it.

    Parameters
    ----------
    about : what wrote it, with its version.

    Raises
    ------
    Unwritable : something of the run cannot be written, in a clause.
    """
    model = write_model(draft)
    loss = write_loss(draft)
    data = write_data(draft)
    controls = ControlLines(draft, data.resized)
    changes = controls.begin()
    # What was done after the last step, as putting the best weights back.
    draft.ending[:0] = changes.pop(draft.steps, [])
    loop = write_loop(draft, data, changes, loss)
    settings = _write_settings(draft, controls, data)
    path = f"{draft.path.stem}.weights.pt"
    draft.sources.imports.add("import torch")
    draft.sources.imports.add("from pathlib import Path")
    loss_was = "" if draft.accumulates else f" (it was {draft.loop.loss:.6g})"
    ending = "\n".join([
        *draft.ending,
        f'torch.save(model.state_dict(), HERE / "{path}")',
        f'print(f"step {draft.steps:,}: loss {{loss.item():.6g}}{loss_was}")',
    ])  # fmt: skip
    predicting = write_prediction(draft)
    ours = [
        "HERE = Path(__file__).resolve().parent",
        *draft.definitions,
        settings,
        _add_heading("The model, with the weights it began with", model),
        _add_heading("The data", data.load),
        _add_heading(
            "Loss and optimizer" if loss[0] else "The optimizer",
            "\n".join([*loss[0], *_set_apart(draft.setup)]),
        ),
        _add_heading("Training", data.order + "\n" + loop),
        ending,
        predicting,
    ]
    taken = draft.sources.names
    text = join_sections([
        _write_docstring(draft, about, path), draft.sources.imports_text(),
        *draft.sources.definitions.values(),
        *(use_double_quotes(_rename_taken(part, taken).replace("\0", "")) for part in ours),
    ])  # fmt: skip
    return tidy_lines(text)


def _set_apart(blocks: list[str]) -> list[str]:
    """Set blocks with a heading apart by an empty line."""
    return [
        f"\n{block}" if block.startswith("#") and number else block for number, block in enumerate(blocks)
    ]


def _write_docstring(draft: Draft, about: str, path: str) -> str:
    length = f"{pluralize(draft.steps, 'step')} ({pluralize(draft.loop.epoch, 'epoch')})"
    changes = f", with {pluralize(len(draft.changes), 'change')} on the way" if draft.changes else ""
    lines = [
        f'"""Train {_add_article(type(draft.model).__name__)} for {length}{changes}.',
        "",
        f"The run of {time.strftime('%Y-%m-%d %H:%M')} as a plain PyTorch loop, written by {about}.",
    ]
    version = f"PyTorch {torch.__version__} and Python {platform.python_version()}"
    if draft.origin.device != draft.device:
        lines.append(f"It was trained on {draft.origin.device} in turn: it gives nearly the same weights.")
    elif draft.device == "cpu":
        lines.append(f"With {version} it gives the same weights on the CPU, bit for bit.")
    else:
        lines.append(f"With {version} it gives nearly the same weights: on {draft.device} not bit for bit.")
    if draft.rewound:
        lines.append("Steps that were taken back are left out: it goes straight to where the run is.")
    files = {**draft.reads, path: "written: the weights after the last step"}
    width = max(map(len, files))
    lines += ["", "Beside it lie:", *(f"  {name:<{width}}  {words}" for name, words in files.items())]
    lines += ["", *(f"To do: {note}" for note in draft.notes)] if draft.notes else []
    return "\n".join([*lines, '"""'])


def _add_article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _write_settings(draft: Draft, controls: ControlLines, data: BatchLines) -> str:
    lines = []
    if draft.device != "cpu":
        lines.append(f'device = torch.device("{draft.device}")')
    size = controls.first("batch_size")
    text = "".join([data.load, data.opening, data.loop, data.take])
    if re.search(r"\bbatch_size\b", text):
        lines.append(f"batch_size = {size}")
    lines.insert(0, f"seed = {draft.seed}")
    lines.insert(1, f"epochs = {draft.loop.epoch}")
    lines += draft.settings
    threads = controls.first("threads")
    lines.append(f"torch.set_num_threads({threads})  # the last bits of the weights depend on it")
    return "\n".join(lines)


def _add_heading(heading: str, text: str) -> str:
    return format_comment(heading) + "\n" + text if not text.startswith("def ") else text


def _rename_taken(text: str, taken: set[str]) -> str:
    """Rename our variables where written-out sources use their names."""
    for name in taken & _NAMES:
        text = re.sub(rf"(?<![.\w\0\"']){name}(?![\w\0=]*\0)(?![\w\"'])", f"{name}_", text)
    return text


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
    origin, line = run.origin, run.timeline.line
    if origin is None:
        raise ValueError(
            run.lost or "This session did not begin this run: its first weights are not known."
        )
    changes = [
        entry for number, entry in enumerate(line.changes)
        if (entry.step < run.loop.steps or restored_from(entry) is not None)
        and (number >= origin.changes or entry.name == "skip")
    ]  # fmt: skip
    rewound = any(entry.name in MOVES for entry in run.steering.ledger.entries)
    draft = Draft(
        run.loop, [*run.steering.steered], run.data, origin, changes, run.seed, path, rewound, data,
        thresholds,
    )  # fmt: skip
    version = getattr(sys.modules.get(__name__.partition(".")[0]), "__version__", "")
    try:
        save_script(draft, write_script(draft, f"dlwidgets {version}".rstrip()), path)
    except Unwritable as why:
        raise ValueError(f"This run cannot be written as a script: {str(why).rstrip('.')}.") from None
    return draft.notes


def save_script(draft: Draft, text: str, path: Path) -> None:
    """Write the script and its files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, value in draft.files.items():
        torch.save(value, path.parent / name)
    path.write_text(text, encoding="utf-8")
