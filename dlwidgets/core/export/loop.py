"""The training loop of a script: epochs, batches, changes, one step."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from .data import BatchLines
from .draft import Draft
from .sources import Unwritable
from .text import format_table, indent


def write_loop(
    draft: Draft, data: BatchLines, changes: dict[int, list[str]], loss: tuple[list[str], str, list[str]]
) -> str:
    """Return the loop over epochs and batches.

    Parameters
    ----------
    changes : step -> the lines of the changes that are made after it.
    loss : lines that make the loss, the expression of a batch's loss, and lines after that.
    """
    breaks = draft.loop.epochs < draft.loop.epoch
    early, late = _split_changes(changes, data.resized)
    early = _move_to_tables(draft, early)
    counts = bool(changes) or breaks or bool(draft.after_count) or bool(draft.changed("skip"))
    body: list[str] = []
    data = _group_batches(draft, data) if draft.accumulates else data
    if early:
        body += ["# What was changed after so many steps.", *_write_ifs(early), ""]
    if data.take:
        body += _write_skips(draft, data.take.splitlines())
    made = [loss[1].format(inputs=data.inputs, targets=data.targets, batch=data.batch), *loss[2]]
    made = [draft.context, *(f"    {line}" for line in made)] if draft.context else made
    if draft.accumulates:
        body += ["optimizer.zero_grad()", *_write_accumulation(draft, data, made)]
    else:
        body += [*made, "optimizer.zero_grad()", "loss.backward()"]
    body += [*draft.before, "optimizer.step()", *draft.after]
    if counts:
        body.append("step += 1")
    body += draft.after_count
    if late:
        body += _write_ifs(late)
    if breaks:
        body += [f"if step == {draft.steps}:", "    break  # the run ended in mid-epoch"]
    inner = "\n".join([data.loop, indent("\n".join(body))])
    epoch = [data.opening] if data.opening else []
    epoch += [inner, *draft.epoch_end, 'print(f"epoch {epoch}: loss {loss.item():.4f}")']
    head = "for epoch in range(1, epochs + 1):"
    return ("step = 0\n" if counts else "") + head + "\n" + indent("\n".join(epoch))


def _group_batches(draft: Draft, data: BatchLines) -> BatchLines:
    """Return the supply of a step that has several batches."""
    if data.cut is None:
        draft.sources.imports.add("import itertools")
        name = data.loop.rstrip(":").rpartition(" in ")[2]
        return replace(
            data, opening=f"rest = iter({name})",
            loop="while group := list(itertools.islice(rest, accumulate)):",
            each=data.loop.replace(f" in {name}:", " in group:"), take="", inside=data.take,
        )  # fmt: skip
    order, count = data.cut
    take = [
        "group = []", f"while len(group) < accumulate and start < {count}:",
        "    group.append(order[start : start + batch_size])", "    start += batch_size",
    ]  # fmt: skip
    return replace(
        data, opening=f"order = {order}\nstart = 0", loop=f"while start < {count}:",
        each="for index in group:",
        take="\n".join(take), inside=data.fetch,
    )  # fmt: skip


def _write_accumulation(draft: Draft, data: BatchLines, made: list[str]) -> list[str]:
    """Return the lines of a step over batches, samples counted alike."""
    inside = [*data.inside.splitlines(), *made]
    if draft.loop._summed:
        return [data.each, *(f"    {line}" for line in inside), "    loss.backward()"]
    if data.cut is not None:
        samples, length = "sum(len(index) for index in group)", "len(index)"
    elif data.each.startswith("for inputs, targets"):
        samples, length = "sum(len(targets) for _, targets in group)", "len(targets)"
    else:
        raise Unwritable("gradients of batches that are no pairs were accumulated")
    lines = [f"samples = {samples}", data.each, *(f"    {line}" for line in inside)]
    return [*lines, f"    (loss / (samples / {length})).backward()"]


def _split_changes(
    changes: dict[int, list[str]], resized: str | None
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Split changes into those before and, for a loader, after a step."""
    if resized is None:
        return changes, {}
    head = resized.partition(" = ")[0]
    early = {step: [one for one in lines if not one.startswith(head)] for step, lines in changes.items()}
    late = {step: [one for one in lines if one.startswith(head)] for step, lines in changes.items()}
    return tuple({step: lines for step, lines in part.items() if lines} for part in (early, late))  # type: ignore[return-value]


#: A line that sets a number and nothing else.
_SETS = re.compile(r"^(.* = |schedule\.set\()(-?[\d.e-]+)(\)?)$")


def _move_to_tables(draft: Draft, changes: dict[Any, list[str]]) -> dict[Any, list[str]]:
    """Move numbers that were often set, as by a slider, to tables.

    The keys are steps; that of a table is its name.
    """
    often: dict[tuple[str, str], dict[int, str]] = {}
    for step, lines in changes.items():
        for line in lines:
            if found := _SETS.match(line):
                often.setdefault((found[1], found[3]), {})[step] = found[2]
    left = {step: list(lines) for step, lines in changes.items()}
    for (before, after), numbers in often.items():
        if len(numbers) < 7:
            continue
        name = re.findall(r"[a-z_]+", "lr" if before.startswith("schedule") else before)[-1] + "_after"
        draft.settings.append(f"# What was set after so many steps.\n{format_table(name, numbers)}")
        for step, number in numbers.items():
            left[step].remove(f"{before}{number}{after}")
        left[name] = [f"{before}{name}[step]{after}"]
    return {key: lines for key, lines in left.items() if lines}


def _write_ifs(changes: dict[Any, list[str]]) -> list[str]:
    lines = []
    steps = {key: inside for key, inside in changes.items() if isinstance(key, int)}
    for number, (step, inside) in enumerate(sorted(steps.items())):
        lines.append(f"{'if' if number == 0 else 'elif'} step == {step}:")
        lines += [indent(line) for line in inside]
    for name in (key for key in changes if isinstance(key, str)):
        lines += [f"if step in {name}:", *(indent(line) for line in changes[name])]
    return lines


def _write_skips(draft: Draft, take: list[str]) -> list[str]:
    """Return the lines that cut a batch out, skipped samples left out."""
    skipped = [(entry.step, entry.applied) for entry in draft.changed("skip")]
    if not skipped:
        return take
    draft.settings.append(f"left_out = {skipped!r}  # (after so many steps, so many samples)")
    return [
        "if left_out and left_out[0][0] == step:",
        "    start += left_out.pop(0)[1]",
        "    continue",
        *take,
    ]
