"""Scores beside scikit-learn and torchmetrics: building, counts at new thresholds, metrics, rankings.

    python tests/benchmarks/bench_scores.py                              1,000,000 samples x 14 classes
    python tests/benchmarks/bench_scores.py --samples 100000 --classes 80

Prints a table and fails on nothing. Everything runs in one process, one after another, on the same labels and
scores (float32, every label known). For each line: the first call, the median of
the later ones, and how far the memory's peak rose. torchmetrics is installed by hand; without it its lines
are left out. It takes no threshold a label, so it is given predictions that are cut beforehand, and the
cutting is counted, as for scikit-learn.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import resource
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn import metrics as sk

from dlwidgets.core.scoring.scores import Scores

try:
    import torchmetrics.functional.classification as tm
    from torchmetrics.classification import MultilabelConfusionMatrix
except ImportError:
    tm = None


def peak() -> float:
    """Return the most memory this process has held since the peak was last reset, in MB."""
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def measured(work: Callable[[], Any], rounds: int) -> tuple[float, float, float]:
    """Return seconds of the first call, of the median later one, and the MB that the peak rose by."""
    gc.collect()
    try:
        # Memory that was freed and is still held would hide what is taken anew.
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        pass
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass
    before, times = peak(), []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - began)
        del found
    return times[0], statistics.median(times[1:] or times), max(0.0, peak() - before)


def seconds(value: float) -> str:
    """Return a time in the unit that it is read in."""
    return f"{value:8.2f} s " if value >= 1 else f"{1e3 * value:8.2f} ms"


def report(name: str, work: Callable[[], Any], rounds: int = 3) -> None:
    """Measure and print one line."""
    first, later, memory = measured(work, rounds)
    print(
        f"  {name:52} {seconds(first)} {seconds(later) if rounds else '          –':>11} {memory:8.0f} MB",
        flush=True,
    )


def batches(y: torch.Tensor, p: torch.Tensor, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the batches of a validation."""
    yield from zip(y.split(size), p.split(size))


def ours(y: np.ndarray, p: np.ndarray, thresholds: Iterator[np.ndarray], size: int) -> None:
    """Print the lines of Scores."""
    print("dlwidgets")
    scores = Scores(y, p)
    report("build: sort each class once", lambda: Scores(y, p), 2)
    report("confusion at new thresholds, one a class", lambda: scores.confusion(next(thresholds)), 50)
    report("metrics of each class", lambda: scores.metrics(next(thresholds)), 10)
    report("  with Wilson's intervals", lambda: scores.metrics(next(thresholds), interval="wilson"), 10)
    report(
        "  with bootstrap intervals, 2,000 draws",
        lambda: scores.metrics(next(thresholds), interval="bootstrap"),
    )
    report("averages: macro, micro, weighted, samples", lambda: scores.averages(next(thresholds)))
    report("counts at 1,001 positions", scores.counts_at)
    report("ROC-AUC, average precision, Brier, ECE", scores.ranking, 2)
    labels, outputs = torch.from_numpy(y), torch.from_numpy(p)

    def streamed() -> Any:
        stream = Scores.stream()
        for batch in batches(labels, outputs, size):
            stream.add(*batch)
        return stream

    report(f"stream: {-(-len(y) // size):,} batches of {size} added", streamed, 2)
    stream = streamed()
    report("  and Scores made of them", stream.scores, 1)


def scikit_learn(y: np.ndarray, p: np.ndarray, thresholds: Iterator[np.ndarray]) -> None:
    """Print the lines of scikit-learn."""
    print("scikit-learn")

    def cut() -> np.ndarray:
        return (p >= next(thresholds)).astype(np.int8)

    report("multilabel_confusion_matrix", lambda: sk.multilabel_confusion_matrix(y, cut()), 2)
    report("precision, recall, F of each class", lambda: sk.precision_recall_fscore_support(y, cut()), 1)

    def averages() -> Any:
        said = cut()
        return [
            sk.precision_recall_fscore_support(y, said, average=average)
            for average in ("macro", "micro", "weighted", "samples")
        ]

    report("precision, recall, F: four averages", averages, 0)
    report("roc_auc_score of each class", lambda: sk.roc_auc_score(y, p, average=None), 0)
    report("average_precision_score of each class", lambda: sk.average_precision_score(y, p, average=None), 0)


def torch_metrics(y: np.ndarray, p: np.ndarray, thresholds: Iterator[np.ndarray], size: int) -> None:
    """Print the lines of torchmetrics."""
    print("torchmetrics")
    labels, outputs, count = torch.from_numpy(y.astype(np.int64)), torch.from_numpy(p), y.shape[1]

    def cut() -> torch.Tensor:
        return (outputs >= torch.from_numpy(next(thresholds))).long()

    report("multilabel_confusion_matrix", lambda: tm.multilabel_confusion_matrix(cut(), labels, count), 2)
    report("precision, recall, F1 of each class", lambda: [
        judge(cut(), labels, count, average="none")
        for judge in (tm.multilabel_precision, tm.multilabel_recall, tm.multilabel_f1_score)
    ], 1)  # fmt: skip
    report(
        "multilabel_auroc of each class",
        lambda: tm.multilabel_auroc(outputs, labels, count, average="none"),
        0,
    )
    report(
        "multilabel_average_precision of each class",
        lambda: tm.multilabel_average_precision(outputs, labels, count, average="none"),
        0,
    )

    def streamed() -> Any:
        metric = MultilabelConfusionMatrix(count)
        for said, truth in batches(outputs, labels, size):
            metric.update(said, truth)
        return metric.compute()

    report(f"confusion at 0.5 alone, in batches of {size}", streamed, 0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=14)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(given.threads)
    rng = np.random.default_rng(0)
    shape = given.samples, given.classes
    y = (rng.random(shape, np.float32) < np.linspace(0.01, 0.5, given.classes)).astype(np.int8)
    p = (1 / (1 + np.exp(-(rng.standard_normal(shape, np.float32) + 1.5 * y - 1)))).astype(np.float32)

    def new_thresholds() -> Iterator[np.ndarray]:
        while True:
            yield rng.random(given.classes)

    at = rng.random(given.classes)
    same = np.array_equal(
        Scores(y, p).confusion(at), sk.multilabel_confusion_matrix(y, (p >= at).astype(int))
    )
    print(
        f"{given.samples:,} samples x {given.classes} classes, float32; {given.threads} thread(s) of torch; "
        f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs; "
        f"confusion equal to scikit-learn's: {'yes' if same else 'NO'}"
    )
    print(f"  {'':52} {'first':>11} {'later':>11} {'memory':>11}")
    ours(y, p, new_thresholds(), given.batch)
    scikit_learn(y, p, new_thresholds())
    if tm is None:
        print("torchmetrics is not installed")
    else:
        torch_metrics(y, p, new_thresholds(), given.batch)


if __name__ == "__main__":
    main()
