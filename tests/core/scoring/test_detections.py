"""Detections: against COCO's rules in plain loops, pycocotools, and hand-made pictures."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch

import dlwidgets as dlw
from dlwidgets.core.scoring.detections import IOUS, UNSAID, Detections
from dlwidgets.core.scoring.past_scores import PastScores, ScoreHistory
from tests.core.scoring.boxed import average_plainly, draw_boxes, match_plainly

BOX = [[10.0, 10.0, 30.0, 30.0]]


def one(true=BOX, label=(0,), said=BOX, said_label=(0,), score=(0.9,), **more):
    truth = {"boxes": torch.tensor(true), "labels": torch.tensor(label), **more.pop("truth", {})}
    found = {"boxes": torch.tensor(said), "labels": torch.tensor(said_label), "scores": torch.tensor(score)}
    return Detections([truth], [found], **more)


@pytest.mark.parametrize("crowd", [0.0, 0.4])
@pytest.mark.parametrize("iou", [0.3, 0.5, 0.75])
def test_boxes_are_matched_as_in_plain_loops(iou, crowd):
    truth, found = draw_boxes(seed=3, crowd=crowd, levels=5)
    scores = Detections(truth, found, list("abc")).scores(iou)
    for cls in range(3):
        label = scores.y_true[:, cls]
        mine = [(s, int(y)) for s, y in zip(scores.y_score[label >= 0, cls].tolist(), label[label >= 0].tolist())]
        plain = [row for t, f in zip(truth, found) for row in match_plainly(t, f, cls, iou)]
        assert sorted(mine) == sorted(plain)


@pytest.mark.parametrize("points", [101, 11, None])
def test_average_precision_is_that_of_plain_loops(points):
    truth, found = draw_boxes(seed=5, crowd=0.2)
    mine = Detections(truth, found).average_precision(0.5, points)
    assert mine == pytest.approx([average_plainly(truth, found, cls, 0.5, points) for cls in range(3)], abs=1e-12)


@pytest.mark.parametrize("levels", [0, 4])
def test_precision_is_that_of_pycocotools(levels):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truth, found = draw_boxes(images=25, seed=7, crowd=0.2, levels=levels)
    data = {"images": [{"id": n} for n in range(25)], "categories": [{"id": c} for c in range(3)], "annotations": []}

    def plain(box):
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    for n, picture in enumerate(truth):
        for box, label, crowd in zip(picture["boxes"], picture["labels"], picture["iscrowd"]):
            x, y, w, h = plain(box.tolist())
            data["annotations"].append({
                "id": len(data["annotations"]) + 1, "image_id": n, "category_id": int(label), "bbox": [x, y, w, h],
                "area": w * h, "iscrowd": int(crowd),
            })  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        base = coco.COCO()
        base.dataset = data
        base.createIndex()
        said = base.loadRes([
            {"image_id": n, "category_id": int(label), "bbox": plain(box.tolist()), "score": float(score)}
            for n, picture in enumerate(found)
            for box, label, score in zip(picture["boxes"], picture["labels"], picture["scores"])
        ])  # fmt: skip
        judge = cocoeval.COCOeval(base, said, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    mine = Detections(truth, found)
    theirs = judge.eval["precision"][:, :, :, 0, -1].mean(axis=1)
    assert np.array([mine.average_precision(iou) for iou in IOUS]) == pytest.approx(theirs, abs=1e-9)
    assert (mine.map, mine.map50) == pytest.approx(judge.stats[:2], abs=1e-9)


def test_a_missed_box_is_missed_at_every_threshold():
    scores = one(said=[[50.0, 50.0, 60.0, 60.0]]).scores()
    for threshold in (-1.0, 0.0, 0.5):
        assert scores.confusion(threshold)[0].tolist() == [[0, 1], [1, 0]]


def test_there_are_no_true_negatives_and_no_measure_that_needs_them():
    scores = one(score=[0.2]).scores()
    assert scores.confusion(0.5)[0].tolist() == [[0, 0], [1, 0]]
    for table in (scores.metrics(), scores.averages(), scores.metrics(interval="wilson")):
        assert {"precision", "recall", "f1", "jaccard"} <= set(table)
        assert not {"accuracy", "specificity", "matthews", "kappa", "balanced_accuracy"} & set(table)


def test_a_notebook_shows_the_table_of_boxes():
    html = one().scores()._repr_html_()
    assert "1 true box of 1 class" in html and "precision" in html
    assert "specificity" not in html and "unknown" not in html


def test_a_second_box_on_the_same_true_one_is_false():
    found = one(said=BOX * 2, said_label=(0, 0), score=[0.6, 0.9])
    assert found.to_frame()[["kind", "score"]].to_numpy().tolist() == [
        ["found", pytest.approx(0.9)], ["false", pytest.approx(0.6)],
    ]  # fmt: skip


def test_the_iou_decides_what_is_found():
    found = one(said=[[10.0, 10.0, 30.0, 24.0]])  # it covers 0.7 of the true box
    assert [int(found.counts(iou=iou)["found"].sum()) for iou in (0.5, 0.65, 0.75)] == [1, 1, 0]
    assert found.counts(iou=0.75).loc["class 0"].to_dict() == {"true": 1, "found": 0, "missed": 1, "false": 1}


@pytest.mark.parametrize("mark", [{"difficult": [1]}, {"iscrowd": [1]}])
def test_what_is_marked_counts_neither_as_missed_nor_as_found(mark):
    assert one(truth=mark).counts().loc["class 0"].sum() == 0
    assert one(truth=mark, said=[[50.0, 50.0, 60.0, 60.0]]).counts()["missed"].sum() == 0


def test_a_box_of_unknown_class_is_left_out_of_each_class():
    found = one(label=[-1], said=BOX * 2, said_label=(0, 1), score=[0.9, 0.8], classes=["cat", "dog"])
    assert found.counts().to_numpy().sum() == 0


def test_pictures_without_any_box():
    found = Detections([None, {"boxes": [], "labels": []}], [{"boxes": [], "labels": [], "scores": []}] * 2, ["cat"])
    assert found.counts().loc["cat"].tolist() == [0, 0, 0, 0]
    assert np.isnan(found.map50) and len(found.to_frame()) == 0


def test_the_background_is_no_class_that_is_judged():
    found = one(label=[1], said_label=[1], classes=["__background__", "cat"])
    assert found.classes == ("cat",) and found.map50 == 1.0


def test_classes_by_number_as_coco_has_them():
    assert one(label=[18], said_label=[18], classes={1: "person", 18: "dog"}).counts()["found"].to_dict() == {
        "person": 0, "dog": 1,
    }  # fmt: skip


def test_boxes_beyond_the_hundredth_of_a_class_are_not_judged():
    far = [[50.0, 50.0, 60.0, 60.0]] * 100
    many = {"said": far + BOX, "said_label": [0] * 101, "score": [*np.linspace(0.9, 0.5, 100), 0.1]}
    assert one(**many).counts(0.0).loc["class 0"].tolist() == [1, 0, 1, 100]
    assert one(**many, most=None).counts(0.0).loc["class 0"].tolist() == [1, 1, 0, 100]


def test_samples_are_the_pictures():
    truth, found = draw_boxes(images=4, seed=1)
    scores = Detections(truth, found, image_ids=["a", "b", "c", "d"], numbers=[10, 20, 30, 40]).scores()
    assert set(scores.numbers) <= {10, 20, 30, 40}
    assert (np.array(["a", "b", "c", "d"])[scores.groups] == scores.sample_ids).all()


def test_intervals_draw_whole_pictures():
    truth, found = draw_boxes(images=30, seed=2)
    table = Detections(truth, found).scores().metrics(interval="wilson")
    assert (table["recall_low"] <= table["recall"]).all() and (table["recall"] <= table["recall_high"]).all()


def test_best_thresholds_lie_above_what_nothing_was_said_of():
    truth, found = draw_boxes(images=30, seed=2)
    scores = Detections(truth, found).scores()
    best = scores.best_thresholds("f1", "recall >= 1.0")
    assert (np.asarray(best) > UNSAID).all()


def test_measures_that_need_true_negatives_are_refused():
    scores = one().scores()
    for ask in (scores.roc, scores.ranking, scores.suspicious, lambda: scores.best_thresholds("accuracy")):
        with pytest.raises(ValueError, match="empty place in a picture"):
            ask()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (([{"boxes": BOX, "labels": [0]}], []), "truth is of 1 pictures, found of 0"),
        (([{"boxes": BOX}], [None]), "has no 'labels'"),
        (([{"boxes": [1.0, 2.0], "labels": [0]}], [None]), r"shape \(2,\): n x 4 is wanted"),
        (([{"boxes": BOX, "labels": [0, 1]}], [None]), r"shape \(2,\) for 1 box"),
        (([{"boxes": BOX, "labels": [2]}], [None], ["cat", "dog"]), "background"),
        (([None], [{"boxes": BOX, "labels": [0], "scores": [float("nan")]}]), "output finite"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(given, words):
    with pytest.raises(ValueError, match=words):
        Detections(*given)


@pytest.mark.parametrize("iou", [0.5, 0.85])
def test_counts_at_an_iou_are_those_of_its_scores(iou):
    truth, found = draw_boxes(seed=4, crowd=0.2, levels=9)
    made = Detections(truth, found)
    totals, counts = made.counts_at(iou)
    scores = made.scores(iou)
    assert np.array_equal(totals, np.stack([scores.positives, scores.negatives], axis=1))
    assert np.array_equal(counts, scores.counts_at(1001))


def test_past_scores_are_judged_at_each_iou():
    truth, found = draw_boxes(seed=4)
    made = Detections(truth, found)
    past = PastScores.of(made.scores(0.5), 7, 1, "main")
    for iou in (0.5, 0.75, 0.95):
        assert np.array_equal(past.at(iou).confusion(0.4), made.scores(iou).confusion(0.4))
    history = ScoreHistory()
    history.install(ScoreHistory().state([past]), "main")
    assert np.array_equal(history.all[0].at(0.75).counts, past.at(0.75).counts)


def test_the_marks_of_a_picture_are_its_boxes_at_the_thresholds():
    far = [50.0, 50.0, 60.0, 60.0]
    made = one(said=[BOX[0], far], said_label=(0, 0), score=[0.4, 0.9], classes=["cat"])

    def marks(threshold):
        return [(mark["true"], mark["kind"], mark["box"]) for mark in made.marks(0, threshold)]

    assert marks(0.3) == [(True, "found", BOX[0]), (False, "false", far), (False, "found", BOX[0])]
    assert marks(0.5) == [(True, "missed", BOX[0]), (False, "false", far)]


def test_it_is_public():
    assert dlw.Detections is Detections
