"""How many labels found suspicious are wrong: precision at k on labels flipped on purpose, and on real ones.

    python tests/benchmarks/bench_suspects.py            everything, some minutes
    python tests/benchmarks/bench_suspects.py yeast      14 labels of genes, 5 % of them flipped
    python tests/benchmarks/bench_suspects.py digits     6 properties of written digits, 5 % flipped
    python tests/benchmarks/bench_suspects.py nih        chest radiographs that radiologists have read again

Prints tables and fails on nothing. Scores are out of sample: five folds, each scored by a model trained on
the other four, with the labels as given, the wrong ones included. `nih` needs torchxrayvision, whose tables
are read and which holds no images: its scores come from what else the table says of a patient. cleanlab's
rows need cleanlab. Both are installed by hand.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dlwidgets.core.scoring.scores import Scores

AT = (10, 20, 50, 100, 200, 500)
RATE, SEEDS = 0.05, (0, 1, 2)

#: What each digit is besides itself.
PROPERTIES = {
    "even": (0, 2, 4, 6, 8),
    "prime": (2, 3, 5, 7),
    "five or more": (5, 6, 7, 8, 9),
    "has a loop": (0, 6, 8, 9),
    "multiple of three": (0, 3, 6, 9),
    "power of two": (1, 2, 4, 8),
}


class Case(NamedTuple):
    """Given labels N x C, their scores, and which are wrong (where that is known)."""

    given: np.ndarray
    scores: np.ndarray
    wrong: np.ndarray
    known: np.ndarray


def engines() -> dict[str, dict[str, str]]:
    """Return what is compared: our rule, and cleanlab's usual one where it is installed."""
    found = {"own, confident learning": {}}
    if importlib.util.find_spec("cleanlab"):
        found["cleanlab, confident learning"] = {"engine": "cleanlab"}
        found["cleanlab, prune by noise rate"] = {"engine": "cleanlab", "rule": "prune_by_noise_rate"}
    return found


def hits(case: Case, **options: str) -> tuple[np.ndarray, np.ndarray]:
    """Return of each suspicious label of known fate, most suspicious first, whether wrong and what given."""
    scores = Scores(case.given, case.scores, [str(c) for c in range(case.given.shape[1])])
    found = scores.suspicious(**options)
    at = found["sample"].to_numpy(int), found["class"].astype(int).to_numpy()
    known = case.known[at]
    return case.wrong[at][known], found["given"].to_numpy()[known]


def row(cases: list[tuple[np.ndarray, int, int]]) -> dict[str, float]:
    """Return the line of the table: (wrong?, all wrong ones, all labels) of each repetition, averaged."""
    line = {"found": np.mean([len(wrong) for wrong, _, _ in cases])}
    for k in AT:
        line[f"@{k}"] = (
            np.mean([wrong[:k].mean() for wrong, _, _ in cases])
            if all(len(wrong) >= k for wrong, _, _ in cases)
            else np.nan
        )
    line["all"] = np.mean([wrong.mean() if len(wrong) else np.nan for wrong, _, _ in cases])
    line["chance"] = np.mean([wrongs / labels for _, wrongs, labels in cases])
    line["of the wrong ones"] = np.mean([wrong.sum() / wrongs for wrong, wrongs, _ in cases])
    return line


def shown(title: str, lines: dict[str, dict[str, float]]) -> None:
    """Print a table."""
    frame = pd.DataFrame(lines).T
    frame["found"] = frame["found"].round().astype(int)
    print(
        f"\n{title}\nprecision at k, of all that was found, by chance; and the share of the wrong ones found"
    )
    print(frame.to_string(float_format="{:.3f}".format, na_rep="-"))


def flipped(title: str, X: np.ndarray, y: np.ndarray, model: object) -> None:
    """Flip labels, score them out of sample by models that learnt the flipped ones, and print the table."""
    results: dict[str, list] = {name: [] for name in engines()}
    areas = []
    for seed in SEEDS:
        flip = np.random.default_rng(seed).random(y.shape) < RATE
        given = np.where(flip, 1 - y, y)
        folds = KFold(5, shuffle=True, random_state=seed)
        scores = np.stack(
            [cross_val_predict(model, X, g, cv=folds, method="predict_proba")[:, 1] for g in given.T], 1
        )
        areas.append(np.mean([roc_auc_score(y[:, c], scores[:, c]) for c in range(y.shape[1])]))
        case = Case(given, scores, flip, np.ones(flip.shape, bool))
        for name, options in engines().items():
            results[name].append((hits(case, **options)[0], int(flip.sum()), flip.size))
    samples, classes = y.shape
    shown(
        f"{title}: {samples:,} x {classes} labels, {RATE:.0%} flipped at random, mean of {len(SEEDS)} draws; "
        f"macro ROC-AUC of the scores against the unflipped labels {np.mean(areas):.3f}",
        {name: row(cases) for name, cases in results.items()},
    )


def yeast() -> None:
    """Genes by logistic regression."""
    from dlwidgets.teaching import yeast

    data = yeast()
    X, y = (np.concatenate([data.train[i].numpy(), data.valid[i].numpy()]) for i in (0, 1))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
    flipped("yeast, logistic regression", X.astype(float), y.astype(int), model)


def digits() -> None:
    """Digits by a random forest."""
    X, digit = load_digits(return_X_y=True)
    y = np.stack([np.isin(digit, members) for members in PROPERTIES.values()], axis=1).astype(int)
    flipped("digits, random forest", X, y, RandomForestClassifier(200, random_state=0))


def nih() -> None:
    """NIH ChestX-ray14's text-mined labels against four radiologists' readings (Majkowska et al., 2020)."""
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None:
        print("\nnih: torchxrayvision is not installed (pip install --no-deps torchxrayvision)")
        return
    folder = Path(spec.submodule_search_locations[0]) / "data"  # type: ignore[index]
    table = pd.read_csv(gzip.open(folder / "Data_Entry_2017_v2020.csv.gz"))
    again = pd.read_csv(gzip.open(folder / "google2019_nih-chest-xray-labels.csv.gz")).set_index(
        "Image Index"
    )
    table = table.sort_values(["Patient ID", "Follow-up #"]).reset_index(drop=True)
    labels = table["Finding Labels"].str.get_dummies("|").drop(columns="No Finding")
    for name, parts in (("Pneumothorax", ["Pneumothorax"]), ("Nodule or mass", ["Nodule", "Mass"])):
        given = labels[parts].max(axis=1)
        scores = _from_the_table(table, labels.drop(columns=parts), given)
        read = table["Image Index"].map(again[name]).map({"YES": 1, "NO": 0})
        known, wrong = read.notna().to_numpy(), (read != given).to_numpy() & read.notna().to_numpy()
        case = Case(given.to_numpy()[:, None], scores[:, None], wrong[:, None], known[:, None])
        lines = {}
        for engine, options in engines().items():
            found, what = hits(case, **options)
            lines[engine] = row([(found, int(wrong.sum()), int(known.sum()))])
            if engine.startswith("own"):
                for value, word in ((1, "given"), (0, "not given")):
                    of = known & (given.to_numpy() == value)
                    line = row([(found[what == value], int(wrong[of].sum()), int(of.sum()))])
                    lines[f"    of them {word}"] = line
        shown(
            f"NIH, {name}: {len(given):,} labels given, {known.sum():,} read again, {wrong.sum()} wrong; "
            "boosted trees on age, sex, view, other findings and the patient's other images (no image seen), "
            f"folds by patient; ROC-AUC against the readings {roc_auc_score(read[known], scores[known]):.3f}",
            lines,
        )


def _from_the_table(table: pd.DataFrame, others: pd.DataFrame, given: pd.Series) -> np.ndarray:
    """Return the chance of a finding from everything but its label of that image and those of the fold."""
    patient = table["Patient ID"]
    by = given.groupby(patient)
    count = by.transform("size")
    features = others.assign(
        before=by.shift(1),
        after=by.shift(-1),
        share=(by.transform("sum") - given) / (count - 1).replace(0, np.nan),
        images=count,
        age=table["Patient Age"].clip(upper=100),
        male=table["Patient Gender"] == "M",
        lying=table["View Position"] == "AP",
        number=table["Follow-up #"],
    ).astype(float)
    model = HistGradientBoostingClassifier(random_state=0)
    folds = GroupKFold(5)
    return cross_val_predict(model, features, given, groups=patient, cv=folds, method="predict_proba")[:, 1]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parts = {"yeast": yeast, "digits": digits, "nih": nih}
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("part", nargs="?", choices=parts)
    wanted = parser.parse_args().part
    for part in [wanted] if wanted else parts:
        parts[part]()
