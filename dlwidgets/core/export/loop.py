"""The training loop of a script: epochs, batches, changes, one step."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from ..base.ledger import Entry
from .data import BatchLines
from .draft import Draft
from .sources import Unwritable
from .text import format_table, indent

#: A line that sets a number and nothing else.
_SETS = re.compile(r"^(.* = |schedule\.set\()(-?[\d.e-]+)(\)?)$")


def write_loop(
    draft: Draft, data: BatchLines, changes: dict[int, list[str]], loss: tuple[list[str], str, list[str]]
) -> str:
    """Return the loop over epochs and batches.

    `changes` has, for steps, the lines of the changes made after them; `loss` is what `write_loss` returned.
    """
    breaks = draft.loop.epochs < draft.loop.epoch
    skips = draft.changed("skip")
    counts = bool(changes or breaks or draft.after_count or skips)
    late: dict[int, list[str]] = {}
    if data.resized is not None:
        # A loader is told its batch size when the step is over: before the next batch is fetched.
        head = data.resized.partition(" = ")[0]
        late = _select(changes, lambda line: line.startswith(head))
        changes = _select(changes, lambda line: not line.startswith(head))
    # What draws random numbers does so before the next batch, which may draw some as well.
    draws = re.compile(r"draw_layers\(|.*\nexchange_parameters\(", re.DOTALL).match
    drawing = _select(changes, lambda line: bool(draws(line)))
    changes = _select(changes, lambda line: not draws(line))
    late = {step: [*late.get(step, ()), *drawing.get(step, ())] for step in {**late, **drawing}}
    cuts: dict[Any, list[str]] = {}
    if draft.accumulates and data.cut is None:
        # How many batches a step has is changed before they are drawn.
        cuts = _move_to_tables(draft, _select(changes, lambda line: line.startswith("accumulate = ")))
        changes = _select(changes, lambda line: not line.startswith("accumulate = "))
    if draft.accumulates and (one := "losses_of_epoch.append(loss.item())") in draft.after:
        draft.after[draft.after.index(one)] = "losses_of_epoch.append(value)"
    made = [loss[1].format(inputs=data.inputs, targets=data.targets, batch=data.batch), *loss[2]]
    if draft.context:
        made = [draft.context, *map(indent, made)]
    opening, loop, take = data.opening, data.loop, data.take
    if draft.accumulates:
        opening, loop, take, learn = _accumulate(draft, data, made)
    else:
        learn = [*made, "optimizer.zero_grad()", "loss.backward()"]

    body: list[str] = []
    if cuts:
        group, loop = loop.removeprefix("while ").removesuffix(":"), "while True:"
        body += [*_write_ifs(cuts), f"if not ({group}):", "    break"]
    early = _move_to_tables(draft, changes)
    changing = ["# What was changed after so many steps.", *_write_ifs(early), ""] if early else []
    skipping = _write_skips(draft, data, skips)
    # What cannot be made twice is not made before a batch that is left out as well.
    beside = [line for entry in skips for line in changes.get(entry.step, ())]
    once = data.cut is None or not all(map(_SETS.match, beside))
    body += [*skipping, *changing] if once else [*changing, *skipping]
    body += [*take.splitlines(), *learn, *draft.before, "optimizer.step()", *draft.after]
    body += ["step += 1"] if counts else []
    body += [*draft.after_count, *_write_ifs(late)]
    if breaks:
        body += [f"if step == {draft.steps}:", "    break  # the run ended in mid-epoch"]
    if skips and data.cut is None:
        body.append(kept := "state = torch.get_rng_state()")
        opening = f"{kept}\n{opening}".rstrip("\n")
    epoch = [opening] if opening else []
    epoch += [loop, indent("\n".join(body)), *draft.epoch_end]
    # All of the first epoch may be left out.
    printing = "if step:\n    " if skips and draft.loop.history.columns["epoch"].values[0] > 1 else ""
    epoch.append(printing + 'print(f"epoch {epoch}: loss {loss.item():.4f}")')
    head = ("step = 0\n" if counts else "") + "for epoch in range(1, epochs + 1):"
    return f"{head}\n" + indent("\n".join(epoch))


def _write_skips(draft: Draft, data: BatchLines, skips: list[Entry]) -> list[str]:
    """Return the lines that leave batches out."""
    if not skips:
        return []
    if data.cut is not None:
        skipped = [(entry.step, entry.applied) for entry in skips]
        draft.settings.append(f"left_out = {skipped!r}  # (after so many steps, so many samples)")
        return ["if left_out and left_out[0][0] == step:", "    start += left_out.pop(0)[1]", "    continue"]
    cutting = [one for one in draft.changes if one.name in ("skip", "accumulate", "batch_size")]
    for one, then in pairwise(cutting):
        if one.name != "skip" == then.name and one.step == then.step in draft.after_skips:
            raise Unwritable("how batches are cut was changed between two that were left out by skip()")
    steps = [entry.step for entry in skips]
    draft.settings.append(f"left_out = {steps!r}  # after so many steps")
    after = _write_ifs(draft.after_skips)
    if any(steps.count(step) > 1 for step in draft.after_skips):
        after = ["if step not in left_out:", *map(indent, after)]
    return [
        "if left_out and left_out[0] == step:", "    left_out.pop(0)",
        "    torch.set_rng_state(state)  # what is left out draws no random numbers",
        *map(indent, after), "    continue",
    ]  # fmt: skip


def _accumulate(draft: Draft, data: BatchLines, made: list[str]) -> tuple[str, str, str, list[str]]:
    """Return an epoch's opening, loop, what cuts out a group, and learns."""
    if data.cut is not None:
        order, count = data.cut
        opening, loop, each = f"order = {order}\nstart = 0", f"while start < {count}:", "for index in gathered:"
        take = (
            f"gathered = []\nwhile len(gathered) < accumulate and start < {count}:\n"
            "    gathered.append(order[start : start + batch_size])\n    start += batch_size"
        )
        samples, length, fetch = "sum(len(index) for index in gathered)", "len(index)", data.fetch
        if data.draws and fetch.startswith("inputs, targets = "):
            # All batches of a step are fetched before the first is learnt from.
            first, _, fetch = fetch.removeprefix("inputs, targets = ").partition("\n")
            samples, length, each = (
                "sum(len(targets) for _, targets in gathered)",
                "len(targets)",
                "for inputs, targets in gathered:",
            )
            take = take.replace(
                "    gathered.append(order[start : start + batch_size])",
                f"    index = order[start : start + batch_size]\n    gathered.append({first})",
            )
    else:
        draft.sources.imports.add("import itertools")
        names, _, source = data.loop.removesuffix(":").rpartition(" in ")
        opening, each, take, fetch = f"rest = iter({source})", f"{names} in gathered:", "", data.take
        loop = "while gathered := list(itertools.islice(rest, accumulate)):"
        samples, length = "sum(len(targets) for _, targets in gathered)", "len(targets)"
    inside = [*fetch.splitlines(), *made]
    # A schedule that waits for the loss gets that of all batches of a step.
    valued = "losses_of_epoch.append(value)" in draft.after
    begun = ["value = 0.0"] if valued else []
    if draft.loop.accumulation.uneven:
        targets = _write_weigh(draft, data)
        inside += ["if weight:", "    (loss / (sum(weights) / weight)).backward()"]
        inside += ["    value += loss.item() / (sum(weights) / weight)"] if valued else []
        names = each.removeprefix("for ").rpartition(" in ")[0]
        names = f"({names})" if "," in names else names
        learn = [
            "optimizer.zero_grad()", *begun, f"weights = [weigh({targets}) {each.removesuffix(':')}]",
            "weights = weights if any(weights) else [1.0] * len(gathered)  # all empty: the gradients are 0",
            f"for {names}, weight in zip(gathered, weights):", *map(indent, inside),
        ]  # fmt: skip
        return opening, loop, take, learn
    if draft.loop.objective.summed:
        inside += ["loss.backward()", *(["value += loss.item()"] if valued else [])]
        return opening, loop, take, ["optimizer.zero_grad()", *begun, each, *map(indent, inside)]
    if data.cut is None and not each.startswith("for inputs, targets"):
        raise Unwritable("gradients of batches that are no pairs were accumulated")
    inside.append(f"(loss / (samples / {length})).backward()")
    inside += [f"value += loss.item() / (samples / {length})"] if valued else []
    begun += [f"samples = {samples}", each]
    return opening, loop, take, ["optimizer.zero_grad()", *begun, *map(indent, inside)]


def _write_weigh(draft: Draft, data: BatchLines) -> str:
    """Define `weigh(targets)` of a script; return the expression of a batch's targets."""
    loss, reduction = draft.tasks[0].loss, draft.tasks[0].reduction
    words, lines = "how many values the targets are", ["return targets.numel()"]
    if draft.masks:
        words, lines = "how many labels are known", ["return float((targets >= 0).sum())"]
    if reduction.of_classes:
        known = f"known = targets.long() != {reduction.ignored}"
        words, lines = "how many targets are not ignored", [known, "return float(known.sum())"]
    if reduction.weight is not None:
        words, weight = "the weights of the targets that are not ignored", "loss_function.weight.cpu()"
        if getattr(loss, "weight", None) is not reduction.weight:
            draft.settings.append(f"class_weights = torch.tensor({reduction.weight.tolist()})")
            weight = "class_weights"
        each = f"{weight}[targets.long().masked_fill(~known, 0)]"
        lines = [known, f"return float(torch.where(known, {each}, 0.0).sum())"]
    head = f'def weigh(targets):\n    """Return what the mean of the loss divides by: {words}."""\n'
    draft.definitions.append(head + "\n".join(map(indent, lines)))
    if data.cut is None or data.draws:
        return "targets"
    return "default_collate([dataset[i][1] for i in index.tolist()])" if data.fetch else data.targets


def _select(
    changes: dict[Any, list[str]], wanted: Callable[[str], bool] = lambda line: True
) -> dict[Any, list[str]]:
    """Return the lines that are wanted, and the steps that have any."""
    picked = {step: [*filter(wanted, lines)] for step, lines in changes.items()}
    return {step: lines for step, lines in picked.items() if lines}


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
    return _select(left)


def _write_ifs(changes: dict[Any, list[str]]) -> list[str]:
    lines = []
    steps = sorted(key for key in changes if isinstance(key, int))
    for number, step in enumerate(steps):
        lines += [f"{'if' if number == 0 else 'elif'} step == {step}:", *map(indent, changes[step])]
    for name in (key for key in changes if isinstance(key, str)):
        lines += [f"if step in {name}:", *map(indent, changes[name])]
    return lines
