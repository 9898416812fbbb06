"""Prediction in a script, at the thresholds in force, with counts."""

from __future__ import annotations

import torch

from ..base.isolation import differentiates
from ..base.trees import tree_map, tree_tensors
from ..data.batches import IndexedBatches
from ..data.source import Rows
from ..layers.framework import framework_of
from .draft import Draft
from .text import indent

#: Validation data of more bytes is not saved beside a script.
_MOST = 256 * 2**20


def write_prediction(draft: Draft) -> str:
    """Return `predict` and its use on the validation data; "" without thresholds.

    It stands alone where that data is no rows in memory, is large, or is to be left out.
    """
    task, given, example = draft.loop.objective.task, draft.thresholds, draft.opened.example
    if task.name not in ("multilabel", "binary") or draft.loop.objective.custom is not None:
        return ""
    binary = task.name == "binary"
    if binary:
        classes = task.classes[-1:] if task.classes else ("positive",)
    else:
        classes = task.classes or tuple(f"class {number}" for number in range(task.outputs or 0))

    lines = ["# What is predicted: a class whose probability reaches its threshold."]
    if isinstance(given, (list, tuple)):
        words = [f"  # {' '.join(str(name).split())}" for name in classes]
        words = words if len(words) == len(given) else [""] * len(given)
        each = [f"    {float(value)!r},{word}" for value, word in zip(given, words)]
        lines += ["thresholds = torch.tensor([", *each, "], dtype=torch.float64)"]
    else:
        lines.append(f"thresholds = torch.tensor({float(given)!r}, dtype=torch.float64)  # for all classes")

    model = "averaged" if draft.loop.average.on and not draft.foreign else "model"
    if draft.loop.average.on and draft.foreign:
        lines += [
            "for parameter, value in zip(parameters, averaged):", "    parameter.data.copy_(value)  # saved above",
        ]  # fmt: skip
    arguments = f"inputs{draft.to_device}"
    if not isinstance(example, torch.Tensor):
        arguments = f"{framework_of(draft.model).stars_of(draft.model, example)}inputs"
    output = f"{draft.call(arguments, False, model)}.cpu().double()" + (".reshape(-1)" if binary else "")
    what = "for each sample" if binary else "for each sample and class"
    lines += [
        "", "",
        "def predict(inputs):",
        f'    """Return 1 or 0 {what}: whether the probability reaches the threshold."""',
        *([] if draft.foreign else [f"    {model}.eval()"]),
        # A forward that differentiates needs gradients to follow.
        f"    with torch.{'enable_grad' if differentiates(draft.model) else 'no_grad'}():",
        f"        probabilities = {output if task.probabilities else f'torch.sigmoid({output})'}",
        "    return (probabilities >= thresholds).long()",
    ]  # fmt: skip

    check = draft.opened.valid
    rows = check.source if isinstance(check, IndexedBatches) else None
    valid = {"inputs": rows.inputs, "targets": rows.targets} if isinstance(rows, Rows) else {}
    if valid and task.signed:
        valid["targets"] = (rows.targets > 0).long()
    if not draft.data or not valid or sum(t.nbytes for t in tree_tensors(valid)) > _MOST:
        return "\n".join(lines)
    saved = tree_map(lambda tensor: tensor.detach().cpu().contiguous().clone(), valid)
    path = draft.save_beside("valid", saved, "the validation data")
    shape = ".reshape(-1, 1)" if binary else ""
    names = [repr(str(name)) for name in classes]
    listed = f"classes = [{', '.join(names)}]"
    if len(listed) > 100:
        listed = "classes = [\n" + indent(",\n".join(names)) + ",\n]"
    return "\n".join([
        *lines,
        "", "", "# What it finds and misses on the validation data.", listed,
        f"valid = torch.load({path}, weights_only=True)",
        f'predicted, true = predict(valid["inputs"]){shape}, valid["targets"]{shape}',
        "for name, said, so in zip(classes, predicted.T, true.T):",
        "    found, missed = int(((said == 1) & (so == 1)).sum()), int(((said == 0) & (so == 1)).sum())",
        "    wrong = int(((said == 1) & (so == 0)).sum())",
        '    print(f"{name}: {found} found, {missed} missed, {wrong} false alarms")',
    ])  # fmt: skip
