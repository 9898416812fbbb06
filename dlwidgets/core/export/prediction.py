"""Prediction in a script, at the thresholds in force, with counts."""

from __future__ import annotations

from collections.abc import Mapping

from ..base.trees import tree_map, tree_tensors
from ..data.batches import IndexedBatches
from ..data.source import Rows
from .draft import Draft

#: Validation data of more bytes is not saved beside a script.
_MOST = 256 * 2**20


def write_prediction(draft: Draft) -> str:
    """Return the definition of `predict` and its use on the validation data.

    It is empty for tasks that have no thresholds; for validation data that is no rows in memory, is large, or
    is to be left out, the definition stands alone.
    """
    task = draft.opened.task
    if task.name not in ("multilabel", "binary") or draft.loop.objective.custom is not None:
        return ""
    return "\n".join([_write_thresholds(draft), "", "", _write_predict(draft), *_write_counts(draft)])


def _class_names(draft: Draft) -> tuple[str, ...]:
    task = draft.opened.task
    if task.name == "binary":
        return (task.classes[-1] if task.classes else "positive",)
    return task.classes or tuple(f"class {number}" for number in range(task.outputs or 0))


def _write_thresholds(draft: Draft) -> str:
    given = draft.thresholds
    head = "# What is predicted: a class whose probability reaches its threshold."
    if not isinstance(given, (list, tuple)):
        return f"{head}\nthresholds = torch.tensor({float(given)!r}, dtype=torch.float64)  # for all classes"
    names = _class_names(draft)
    lines = [
        f"    {float(value)!r},  # {' '.join(str(name).split())}" for name, value in zip(names, given)
    ] if len(names) == len(given) else [f"    {float(value)!r}," for value in given]  # fmt: skip
    return "\n".join([head, "thresholds = torch.tensor([", *lines, "], dtype=torch.float64)"])


def _write_predict(draft: Draft) -> str:
    task, example = draft.opened.task, draft.opened.example
    model = "averaged" if draft.loop.average.on else "model"
    if isinstance(example, Mapping):
        arguments = "**inputs"
    else:
        arguments = "*inputs" if isinstance(example, (tuple, list)) else "inputs"
    if draft.device != "cpu" and arguments == "inputs":
        arguments = "inputs.to(device)"
    output = f"{model}({arguments}).float().cpu()"
    output += ".reshape(-1)" if task.name == "binary" else ""
    what = "for each sample" if task.name == "binary" else "for each sample and class"
    made = output if task.probabilities else f"torch.sigmoid({output})"
    return "\n".join([
        "def predict(inputs):",
        f'    """Return 1 or 0 {what}: whether the probability reaches the threshold."""',
        f"    {model}.eval()",
        "    with torch.no_grad():",
        f"        probabilities = {made}",
        "    return (probabilities.double() >= thresholds).long()",
    ])  # fmt: skip


def _write_counts(draft: Draft) -> list[str]:
    """Return the lines that count hits and misses on validation data."""
    check = draft.opened.valid
    rows = check.source if isinstance(check, IndexedBatches) and isinstance(check.source, Rows) else None
    if (
        rows is None
        or not draft.data
        or sum(t.nbytes for t in tree_tensors((rows.inputs, rows.targets))) > _MOST
    ):
        return []
    valid = {"inputs": rows.inputs, "targets": rows.targets}
    saved = tree_map(lambda tensor: tensor.detach().cpu().contiguous().clone(), valid)
    path = draft.save_beside("valid", saved, "the validation data")
    binary = draft.opened.task.name == "binary"
    shape = ".reshape(-1, 1)" if binary else ""
    names = ", ".join(repr(str(name)) for name in _class_names(draft))
    line = f"classes = [{names}]"
    if len(line) > 100:
        line = "classes = [\n" + "".join(f"    {str(name)!r},\n" for name in _class_names(draft)) + "]"
    return [
        "", "", "# What it finds and misses on the validation data.", line,
        f"valid = torch.load({path}, weights_only=True)",
        f'predicted, true = predict(valid["inputs"]){shape}, valid["targets"]{shape}',
        "for name, said, so in zip(classes, predicted.T, true.T):",
        "    found, missed = int(((said == 1) & (so == 1)).sum()), int(((said == 0) & (so == 1)).sum())",
        "    wrong = int(((said == 1) & (so == 0)).sum())",
        '    print(f"{name}: {found} found, {missed} missed, {wrong} false alarms")',
    ]  # fmt: skip
