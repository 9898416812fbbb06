"""Pictures with true and said boxes, and COCO's rules written out in plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np


def draw_boxes(
    images: int = 12, classes: int = 3, boxes: int = 6, seed: int = 0, crowd: float = 0.0, levels: int = 0
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw pictures of true boxes, and of said ones near them and elsewhere.

    `levels` : how many different scores there are, so that many are equal; 0: all differ.
    """
    random = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        n = int(random.integers(0, boxes + 1))
        corner, side = random.uniform(0, 60, (n, 2)), random.uniform(4, 40, (n, 2))
        true = np.concatenate([corner, corner + side], axis=1)
        label = random.integers(0, classes, n)
        near = np.repeat(true, 2, axis=0) + random.normal(0, 3, (2 * n, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        far = random.uniform(0, 60, (3, 2))
        said = np.concatenate([near, np.concatenate([far, far + 20], axis=1)])
        said_label = np.append(np.repeat(label, 2), random.integers(0, classes, 3))
        changed = random.random(len(said)) < 0.15
        said_label[changed] = random.integers(0, classes, int(changed.sum()))
        score = random.random(len(said)) if not levels else random.integers(1, levels + 1, len(said)) / (levels + 1)
        truth.append({"boxes": true, "labels": label, "iscrowd": random.random(n) < crowd})
        found.append({"boxes": said, "labels": said_label, "scores": score})
    return truth, found


def overlap(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the shared area of two boxes and that of their union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared, sum(areas) - shared


def match_plainly(truth: dict[str, Any], found: dict[str, Any], cls: int, iou: float) -> list[tuple[float, int]]:
    """Match one picture's boxes of a class: (score, 1 found, 0 false), and (-inf, 1) of each that was missed.

    What was matched with an ignored box is left out, and so is that.
    """
    true = [k for k in range(len(truth["boxes"])) if truth["labels"][k] == cls]
    crowd = {k for k in true if truth.get("iscrowd", np.zeros(len(truth["boxes"])))[k]}
    said = [k for k in range(len(found["boxes"])) if found["labels"][k] == cls]
    rows, taken = [], set()
    for d in sorted(said, key=lambda k: -found["scores"][k])[:100]:
        best, chosen = min(iou, 1 - 1e-10), None
        for g in [k for k in true if k not in crowd] + [k for k in true if k in crowd]:
            if g in taken and g not in crowd or (chosen is not None and chosen not in crowd and g in crowd):
                continue
            shared, union = overlap(found["boxes"][d], truth["boxes"][g])
            box = found["boxes"][d]
            value = shared / ((box[2] - box[0]) * (box[3] - box[1])) if g in crowd else shared / union
            if value >= best:
                best, chosen = value, g
        if chosen is not None:
            taken.add(chosen)
        if chosen not in crowd:
            rows.append((float(found["scores"][d]), int(chosen is not None)))
    return rows + [(-np.inf, 1) for g in true if g not in taken and g not in crowd]


def average_plainly(truth: list[Any], found: list[Any], cls: int, iou: float, points: int | None = 101) -> float:
    """Compute the average precision of a class, point by point."""
    rows = [row for one, said in zip(truth, found) for row in match_plainly(one, said, cls, iou)]
    positives = sum(hit for _, hit in rows)
    if not positives:
        return np.nan
    hits = [hit for score, hit in sorted(rows, key=lambda row: -row[0]) if score > -np.inf]
    curve = [(sum(hits[: k + 1]) / positives, sum(hits[: k + 1]) / (k + 1)) for k in range(len(hits))]

    def best_from(recall: float) -> float:
        return max((p for r, p in curve if r >= recall), default=0.0)

    if points is not None:
        return float(np.mean([best_from(recall) for recall in np.linspace(0, 1, points)]))
    return sum(best_from(k / positives) for k in range(1, positives + 1)) / positives
