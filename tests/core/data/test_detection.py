"""Detectors in torchvision's convention: trained, evaluated, asked, gone back with and written as a script."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from dlwidgets.core.data.detection import collate_detection
from dlwidgets.core.scoring.detections import Detections
from dlwidgets.session import Session
from tests.core.data.detectors import ToyDetector, pictures
from tests.core.export.script_runs import Runs, check_weights

CLASSES = ("red", "green", "blue")
RUNS = Runs()


def detector():
    torch.manual_seed(0)
    return ToyDetector()


def session(data=None, model=None, **options):
    options = {"classes": CLASSES, "batch_size": 5, "optimizer": "sgd", "lr": 0.1, "seed": 3, "threads": 1, **options}
    return Session(model or detector(), pictures() if data is None else data, **options)


def unzip(samples):
    return tuple(zip(*samples))


class Drawn(Dataset):
    """Pictures that are changed by chance each time, as augmentation does."""

    def __init__(self):
        self.images, self.targets = pictures()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index] + torch.rand(1), self.targets[index]


def plain(data, steps, collate, size=5):
    """Return the weights of the loop that anybody would write."""
    model = detector()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(3)
    generator, done = torch.Generator().manual_seed(3), 0
    while done < steps:
        for index in torch.randperm(len(data), generator=generator).split(size):
            if done == steps:
                break
            images, targets = collate([data[i] for i in index.tolist()])
            loss = sum(model(images, targets).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
    return model.state_dict()


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("sizes", [(16,), (16, 20)], ids=["of one size", "of two sizes"])
@pytest.mark.parametrize("form", ["images and dicts", "pairs", "Dataset"])
def test_it_trains_as_the_plain_loop(form, sizes):
    images, targets = pictures(sizes=sizes)
    pairs = [*zip(images, targets)]
    data = {"images and dicts": (images, targets), "pairs": pairs, "Dataset": Drawn()}[form]
    made = session(data).step(4)
    assert made.task == "detection"
    expected = plain(data if form == "Dataset" else pairs, 4, collate_detection)
    assert same(expected, made.model.state_dict())


def test_a_loader_s_batches_are_given_as_they_are():
    pairs = [*zip(*pictures())]

    def loader():
        return DataLoader(pairs, batch_size=5, shuffle=True, collate_fn=unzip, generator=torch.Generator())

    made, model = session(loader(), batch_size=None).step(2), detector()
    optimizer, theirs = torch.optim.SGD(model.parameters(), lr=0.1), loader()
    torch.manual_seed(3)
    for _, (images, targets) in zip(range(2), theirs):
        optimizer.zero_grad()
        sum(model(images, targets).values()).backward()
        optimizer.step()
    assert same(model.state_dict(), made.model.state_dict())


def test_an_evaluation_has_losses_and_detections_and_leaves_no_trace():
    images, targets = pictures(seed=1)
    made = session(valid=(images, targets)).step(3)
    before, drawn = copy.deepcopy(made.model.state_dict()), torch.get_rng_state()
    found = made.evaluate()
    assert same(before, made.model.state_dict()) and torch.equal(drawn, torch.get_rng_state())
    assert made.model.training and made.model.dropout.training

    model = copy.deepcopy(made.model).eval()
    with torch.no_grad():
        said = model(images)
        model.training = True  # what BatchNorm and dropout do not see
        losses = model(images, targets)
    assert found.parts == pytest.approx({name: float(one) for name, one in losses.items()})
    assert found.loss == pytest.approx(float(sum(losses.values())))
    expected = Detections(targets, said, CLASSES)
    assert found.metrics == {"map50": expected.map50}
    assert np.array_equal(found.scores.confusion(0.1), expected.scores().confusion(0.1))
    assert made.history().loc[3, "valid_loss_box"] == found.parts["loss_box"]


def test_a_part_of_the_data_is_evaluated():
    images, targets = pictures(seed=1)
    made = session(valid=(images, targets), evaluate_samples=4)
    found = made.evaluate()
    numbers = sorted(torch.randperm(12, generator=torch.Generator().manual_seed(3))[:4].tolist())
    assert found.note == "Evaluated on 4 of 12 validation samples, drawn at random once and the same each time."
    assert found.detections.n_images == 4 and found.detections.numbers.tolist() == numbers
    assert found.detections.true_boxes.tolist() == torch.cat([targets[n]["boxes"] for n in numbers]).tolist()


@pytest.mark.parametrize("form", ["tensor", "list", "of two sizes", "Dataset"])
def test_it_says_what_it_finds(form):
    images, targets = pictures(4, sizes=(16, 20) if form == "of two sizes" else (16,))
    made = session()
    X = {"tensor": torch.stack(images) if form == "tensor" else 0, "Dataset": [*zip(images, targets)]}.get(form, images)
    X = DataLoader(X, batch_size=3, collate_fn=unzip) if form == "Dataset" else X
    model = copy.deepcopy(made.model).eval()
    with torch.no_grad():
        expected = model(images)
    said = made.predict(X)
    assert len(said) == 4
    for one, other in zip(said, expected):
        assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in ("boxes", "scores", "labels"))


def test_it_stops_by_the_mean_average_precision():
    rule = {"metric": "map50", "patience": 2}
    made = session(valid=pictures(seed=1), early_stopping=rule, lr=1e-9).fit(9)
    assert made.epoch == 3 and "map50" in made.history()


def test_it_stops_by_a_named_loss_and_a_plateau_waits_for_precision():
    rule = {"metric": "valid_loss_box", "patience": 3}
    schedule = ("plateau", {"metric": "map50", "patience": 0})
    made = session(valid=pictures(seed=1), early_stopping=rule, schedule=schedule)
    with pytest.raises(ValueError, match="evaluations have valid_loss, map50, valid_loss_box, valid_loss_objectness"):
        made.early_stopping = {"metric": "valid_box"}
    made.fit(3)
    assert made.history()["lr"].iloc[-1] == pytest.approx(0.01)  # nothing was found in two evaluations


def test_going_back_and_replaying_give_the_same_weights():
    made = session()
    made.step(2)
    made.batch_size = 3
    made.step(4)
    last, ledger = copy.deepcopy(made.model.state_dict()), made.ledger()
    assert same(last, session().replay(ledger).step(6).model.state_dict())
    made.rewind(1).step(1)
    made.batch_size = 3
    assert same(last, made.step(4).model.state_dict())


def test_a_step_of_one_s_own_may_give_the_losses_of_a_detector():
    def step(model, batch):
        return {name: 2 * loss for name, loss in model(*batch).items()}

    images, targets = pictures(seed=1)
    made = session(valid=(images, targets), training_step=step)
    assert made.task == "detection"
    assert made.evaluate().loss == pytest.approx(2 * session(valid=(images, targets)).evaluate().loss)


def test_images_in_a_list_are_not_scaled_in_part():
    made = session(DataLoader([*zip(*pictures())], batch_size=5, collate_fn=unzip), batch_size=None)
    made.input_scaling = "standardize"
    made.step()
    assert made.rejected["input_scaling"].startswith("the images come in a list, and a tensor alone can be scaled")
    images, targets = pictures()
    stacked = session((torch.stack(images), targets), input_scaling="standardize").step()
    assert len(stacked.applied["input_scaling"].mean) == 3 and stacked.rejected == {}


def test_it_is_described_in_words():
    said = repr(session(valid=0.25))
    assert "task       detection, 3 classes (the targets are boxes with labels)" in said
    assert "loss       the model's own" in said


def changed(**values):
    images, targets = pictures()
    return images, [*targets[:4], {**targets[4], **values}, *targets[5:]]


NO_LOSS = (
    "The targets are boxes, and Conv2d gives no loss for them: a detector is called as model(images, targets) and "
    "returns a dict of losses in train mode; for any other pass training_step=(model, batch) -> loss."
)


OF_FOUR = "n x 4 is wanted, x1 y1 x2 y2 in pixels for each."
BACKGROUND = " Where 0 is the background, as in torchvision's detectors, classes= begins with \"background\"."
BOTH = 'a dict with "boxes", n x 4, and "labels", n, is wanted.'
ONE_EACH = "one dict of boxes and labels for each image is wanted."
AXES = "a tensor of 3 axes is wanted, channels x height x width."
FLAT, LAST = [one[0] for one in pictures()[0]], [one.permute(1, 2, 0) for one in pictures()[0]]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (changed(boxes=torch.ones(1, 5)), f"Sample 4 of train: boxes has shape (1, 5); {OF_FOUR}"),
        (
            changed(boxes=torch.ones(0)),
            f"Sample 4 of train: boxes has shape (0,); {OF_FOUR} An image without any has torch.zeros(0, 4).",
        ),
        (
            changed(labels=torch.ones(3)),
            "Sample 4 of train: 1 box and labels of shape (3,): one label for each box is wanted.",
        ),
        (
            changed(labels=torch.tensor([3])),
            "Sample 4 of train: the label 3 is the number of no class: labels are from 0 to 2, the numbers of "
            f"classes=.{BACKGROUND}",
        ),
        (
            (pictures()[0], [{"labels": torch.ones(1)}, *pictures()[1][1:]]),
            f"Sample 0 of train: the target lacks 'boxes', which has 'labels': {BOTH}",
        ),
        ((FLAT, pictures()[1]), f"Sample 0 of train: the image has shape (16, 16); {AXES}"),
        (
            (LAST, pictures()[1]),
            "Sample 0 of train: the image has shape (16, 16, 3), with the channels last: pass "
            "image.permute(2, 0, 1), channels first.",
        ),
        ((pictures()[0][:5], pictures()[1]), f"train has 5 images but 12 targets: {ONE_EACH}"),
    ],
)
def test_targets_that_do_not_fit_are_said_in_a_sentence(data, sentence):
    with pytest.raises(ValueError) as caught:
        session(data)
    assert str(caught.value) == sentence


def test_a_model_that_detects_nothing_is_said_in_a_sentence():
    with pytest.raises(ValueError) as caught:
        session(model=nn.Conv2d(3, 4, 3))
    assert str(caught.value) == NO_LOSS


@RUNS.add
def of_one_size():
    made = session(valid=0.25).step(3)
    made.batch_size = 3
    return made.fit(1)


@RUNS.add
def of_a_loader():
    pairs = [*zip(*pictures(sizes=(16, 20)))]
    return session(DataLoader(pairs, batch_size=5, shuffle=True, collate_fn=unzip), batch_size=None).step(4)


@RUNS.add
def with_a_step():
    return session(training_step=lambda model, batch: model(*batch)).step(4)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return RUNS.write(tmp_path_factory.mktemp("scripts"))


@pytest.mark.parametrize("name", RUNS)
def test_a_script_gives_the_same_weights(written, name):
    check_weights(written, name)
