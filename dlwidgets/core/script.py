"""A run as a plain PyTorch script that gives the same weights, bit for bit, and that a student can read."""

from __future__ import annotations

import platform
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from .borrowed import looking
from .script_controls import Controls
from .script_data import Supply, supply
from .script_draft import Draft
from .script_modules import expression, place, texts_of
from .script_sources import Unwritable, constant
from .script_text import comment, double_quoted, indented, sections, table, tidy
from .stateful import Copier, same_state
from .trees import call
from .wording import counted

#: Variables of the script. What was written out under such a name keeps it, and the script's is changed.
_NAMES = (
    "model", "data", "dataset", "loader", "batches", "X", "y", "optimizer", "loss_function", "step", "epoch",
    "order", "start", "index", "shuffle", "inputs", "targets", "batch", "loss", "losses", "batch_size", "device",
    "load_data", "make_model", "max_norm", "max_value", "max_ratio", "head", "clipped", "group", "share", "parameter",
    "unit_norms", "clip_adaptively", "left_out", "group", "samples", "accumulate", "rest", "mixed", "averaged", "best", "projected", "schedule",
    "scheduler", "Schedule", "HERE", "seed", "epochs",
)  # fmt: skip


def write_script(draft: Draft, about: str) -> str:
    """Return the text of the script; what is to lie beside it is in `draft.files`.

    Parameters
    ----------
    about : what wrote it, with its version.

    Raises
    ------
    Unwritable : something of the run cannot be written, in a clause.
    """
    model = _model(draft)
    loss = _loss(draft)
    data = supply(draft)
    controls = Controls(draft, data.resized)
    changes = controls.begin()
    # What was done after the last step, as putting the best weights back.
    draft.ending[:0] = changes.pop(draft.steps, [])
    loop = _loop(draft, data, changes, loss)
    settings = _settings(draft, controls, data)
    path = f"{draft.path.stem}.weights.pt"
    draft.sources.imports.add("import torch")
    draft.sources.imports.add("from pathlib import Path")
    loss_was = "" if draft.accumulates else f" (it was {draft.loop.loss:.6g})"
    ending = "\n".join([
        *draft.ending,
        f'torch.save(model.state_dict(), HERE / "{path}")',
        f'print(f"step {draft.steps:,}: loss {{loss.item():.6g}}{loss_was}")',
    ])  # fmt: skip
    ours = [
        "HERE = Path(__file__).resolve().parent",
        *draft.definitions,
        settings,
        _headed("The model, with the weights it began with", model),
        _headed("The data", data.load),
        _headed("Loss and optimizer", "\n".join([*loss[0], *_together(draft.setup)])),
        _headed("Training", data.order + "\n" + loop),
        ending,
    ]
    taken = draft.sources.names
    text = sections([
        _docstring(draft, about, path), draft.sources.imports_text(), *draft.sources.definitions.values(),
        *(double_quoted(_renamed(part, taken)) for part in ours),
    ])  # fmt: skip
    return tidy(text.replace("\0", ""))


def _together(blocks: list[str]) -> list[str]:
    """Return blocks of lines, those with a heading of their own set apart by an empty line."""
    return [f"\n{block}" if block.startswith("#") and number else block for number, block in enumerate(blocks)]


def _docstring(draft: Draft, about: str, path: str) -> str:
    loop = draft.loop
    epochs = loop.epoch
    changes = counted(len(draft.changes), "change")
    lines = [
        f'"""Train {_article(type(loop.model).__name__)} for {counted(draft.steps, "step")} ({counted(epochs, "epoch")}), '
        f"with {changes} on the way." if draft.changes else
        f'"""Train {_article(type(loop.model).__name__)} for {counted(draft.steps, "step")} ({counted(epochs, "epoch")}).',
        "",
        f"The run of {time.strftime('%Y-%m-%d %H:%M')} as a plain PyTorch loop, written by {about}.",
    ]  # fmt: skip
    version = f"PyTorch {torch.__version__} and Python {platform.python_version()}"
    if draft.device == "cpu":
        lines.append(f"With {version} it gives the same weights on the CPU, bit for bit.")
    else:
        lines.append(f"With {version} it gives nearly the same weights: on {draft.device} not bit for bit.")
    files = {**draft.reads, path: "written: the weights after the last step"}
    width = max(map(len, files))
    lines += ["", "Beside it lie:", *(f"  {name:<{width}}  {words}" for name, words in files.items())]
    lines += ["", *(f"To do: {note}" for note in draft.notes)] if draft.notes else []
    return "\n".join([*lines, '"""'])


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _model(draft: Draft) -> str:
    origin = draft.origin
    if origin.weights is None:
        raise Unwritable(f"the weights that the run began with were not kept: {origin.why}")
    path = draft.beside("initial", dict(origin.weights), "the weights it began with")
    try:
        made, built = expression(
            draft.model, draft.sources, origin.structure, texts_of(type(draft.model)), lambda one: _same(draft, one)
        )  # fmt: skip
        made = f"model = {made}"
        for name, layer in built.named_modules():
            if isinstance(layer, _DropoutNd) and layer.p != origin.dropouts.get(name, layer.p):
                made += f"\n{place(draft.model, name)}.p = {origin.dropouts[name]!r}"
    except Unwritable as why:
        kind = type(draft.model).__name__
        draft.note(f"Put the line that makes the {kind} into make_model(): {why}.")
        made = (
            f'def make_model():\n    """Return the {kind} as it was made."""\n'
            f'    raise NotImplementedError("Put the line here that makes the {kind}.")\n\n\nmodel = make_model()'
        )
    for slot in draft.loop.regimen.normalising.slots():
        if slot.name in origin.split:
            layer = place(draft.model, slot.name.rpartition(".")[0])
            made += f'\nnn.utils.parametrizations.weight_norm({layer}, "{slot.key}", dim={slot.axis})'
            draft.sources.imports.add("from torch import nn")
    load = f"model.load_state_dict(torch.load({path}, weights_only=True))"
    there = f"\nmodel.to(device)" if draft.device != "cpu" else ""
    return f"{made}\n{load}{there}\nmodel.train()"


def _same(draft: Draft, built: nn.Module) -> bool:
    """Say whether a model puts out for a few samples what ours does, with the same weights."""
    model, there = draft.model, draft.loop.objective.there(draft.opened.example)
    try:
        built.load_state_dict(draft.loop.regimen.normalising.plain(model.state_dict()))
        built.to(draft.loop.objective.device)
        with looking(model), looking(built):
            built.eval()
            return same_state(Copier()(call(model, there)), Copier()(call(built, there)))
    except Exception:  # noqa: BLE001 - a guess that does not fit may raise anything
        return False


def _loss(draft: Draft) -> tuple[list[str], str, list[str]]:
    """Return the lines that make the loss, the expression of a batch's loss with {}, and lines after it."""
    objective, sources = draft.loop.objective, draft.sources
    if objective.custom is not None:
        name = _callable(draft, objective.custom, "step")
        several = any(column.startswith("loss_") for column in draft.loop.history.columns)
        after = ["loss = sum(losses.values())"] if several else []
        return [], f"{'losses' if several else 'loss'} = {name}(model, {{batch}})", after
    loss = objective.task.loss
    line = "loss = loss_function(model({inputs}), {targets})"
    if isinstance(loss, nn.Module):
        try:
            made, _ = expression(loss, sources, None, texts_of(type(loss)))
        except Unwritable as why:
            raise Unwritable(f"the loss cannot be written: {why}") from None
        there = ".to(device)" if draft.device != "cpu" and any(True for _ in loss.buffers()) else ""
        return [f"loss_function = {made}{there}"], line, []
    name = _callable(draft, loss, "loss")
    return [], line.replace("loss_function", name), []


def _callable(draft: Draft, function: Any, what: str) -> str:
    """Return the name of a function of a person's own, marked as theirs."""
    try:
        if getattr(function, "__name__", "") == "<lambda>":
            from .script_sources import lambda_source

            source = lambda_source(function)
            draft.sources._resolve(source, function)
            draft.sources.definitions[f"{what}_function"] = f"{what}_function = {source}"
            return f"\0{what}_function\0"
        return f"\0{draft.sources.use(function)}\0"
    except Unwritable as why:
        raise Unwritable(f"the {what} function cannot be written: {why}") from None


def _settings(draft: Draft, controls: Controls, data: Supply) -> str:
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


def _loop(draft: Draft, data: Supply, changes: dict[int, list[str]], loss: tuple[list[str], str, list[str]]) -> str:
    loop, breaks = draft.loop, draft.loop.epochs < draft.loop.epoch
    late = {step: lines for step, lines in changes.items() if data.resized is not None}
    changes = _tabled(draft, changes)
    late, early = (changes, {}) if late else ({}, changes)
    counts = bool(changes) or breaks or bool(draft.after_count) or bool(draft.changed("skip"))
    body: list[str] = []
    data = _in_groups(draft, data) if draft.accumulates else data
    if early:
        body += ["# What was changed after so many steps.", *_ifs(early), ""]
    if data.take:
        body += _skips(draft, data.take.splitlines())
    made = [loss[1].format(inputs=data.inputs, targets=data.targets, batch=data.batch), *loss[2]]
    made = [draft.context, *(f"    {line}" for line in made)] if draft.context else made
    if draft.accumulates:
        body += ["optimizer.zero_grad()", *_accumulated(draft, data, made)]
    else:
        body += [*made, "optimizer.zero_grad()", "loss.backward()"]
    body += [*draft.before, "optimizer.step()", *draft.after]
    if counts:
        body.append("step += 1")
    body += draft.after_count
    if late:
        body += _ifs(late)
    if breaks:
        body += [f"if step == {draft.steps}:", "    break  # the run ended in mid-epoch"]
    inner = "\n".join([data.loop, indented("\n".join(body))])
    epoch = [data.opening] if data.opening else []
    epoch += [inner, *draft.epoch_end, 'print(f"epoch {epoch}: loss {loss.item():.4f}")']
    head = "for epoch in range(1, epochs + 1):"
    return ("step = 0\n" if counts else "") + head + "\n" + indented("\n".join(epoch))


def _in_groups(draft: Draft, data: Supply) -> Supply:
    """Return the supply of a step that has several batches."""
    if data.cut is None:
        draft.sources.imports.add("import itertools")
        name = data.loop.rstrip(":").rpartition(" in ")[2]
        return replace(
            data, opening=f"rest = iter({name})", loop="while group := list(itertools.islice(rest, accumulate)):",
            each=data.loop.replace(f" in {name}:", " in group:"), take="", inside=data.take,
        )  # fmt: skip
    order, count = data.cut
    take = [
        "group = []", f"while len(group) < accumulate and start < {count}:",
        "    group.append(order[start : start + batch_size])", "    start += batch_size",
    ]  # fmt: skip
    return replace(
        data, opening=f"order = {order}\nstart = 0", loop=f"while start < {count}:", each="for index in group:",
        take="\n".join(take), inside=data.fetch,
    )  # fmt: skip


def _accumulated(draft: Draft, data: Supply, made: list[str]) -> list[str]:
    """Return the lines of a step that has several batches; each sample counts the same in it."""
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


#: A line that sets a number and nothing else.
_SETS = re.compile(r"^(.* = |schedule\.set\()(-?[\d.e-]+)(\)?)$")


def _tabled(draft: Draft, changes: dict[Any, list[str]]) -> dict[Any, list[str]]:
    """Return changes with numbers that were set again and again, as by a slider, looked up in a table.

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
        draft.settings.append(f"# What was set after so many steps.\n{table(name, numbers)}")
        for step, number in numbers.items():
            left[step].remove(f"{before}{number}{after}")
        left[name] = [f"{before}{name}[step]{after}"]
    return {key: lines for key, lines in left.items() if lines}


def _ifs(changes: dict[Any, list[str]]) -> list[str]:
    lines = []
    steps = {key: inside for key, inside in changes.items() if isinstance(key, int)}
    for number, (step, inside) in enumerate(sorted(steps.items())):
        lines.append(f"{'if' if number == 0 else 'elif'} step == {step}:")
        lines += [indented(line) for line in inside]
    for name in (key for key in changes if isinstance(key, str)):
        lines += [f"if step in {name}:", *(indented(line) for line in changes[name])]
    return lines


def _skips(draft: Draft, take: list[str]) -> list[str]:
    """Return the lines that cut a batch out, those before it that leave samples out included."""
    skipped = [(entry.step, entry.applied) for entry in draft.changed("skip")]
    if not skipped:
        return take
    draft.settings.append(f"left_out = {skipped!r}  # (after so many steps, so many samples)")
    return ["if left_out and left_out[0][0] == step:", "    start += left_out.pop(0)[1]", "    continue", *take]


def _headed(heading: str, text: str) -> str:
    return comment(heading) + "\n" + text if not text.startswith("def ") else text


def _renamed(text: str, taken: set[str]) -> str:
    """Return our own text with variables renamed that what was written out has taken."""
    for name in taken & set(_NAMES):
        text = re.sub(rf"(?<![.\w\0\"']){name}(?![\w\0=]*\0)(?![\w\"'])", f"{name}_", text)
    return text


def constant_text(value: Any) -> str:
    """Return a plain value as the expression for it."""
    text = constant(value)
    if text is None:
        raise Unwritable(f"{value!r} is no plain value")
    return text


def save(draft: Draft, text: str, path: Path) -> None:
    """Write the script, and what lies beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, thing in draft.files.items():
        torch.save(thing, path.parent / name)
    path.write_text(text, encoding="utf-8")
