"""The proposed split of a model into backbone and head."""

import contextlib
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import dlwidgets as dlw
from dlwidgets.core.layers.split import propose_split


class Residual(nn.Module):
    """A small ResNet, with torchvision's names."""

    def __init__(self, **heads):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        for name, head in (heads or {"fc": nn.Linear(4, 10)}).items():
            setattr(self, name, head)

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        return self.fc((x + self.layer1(x)).mean((2, 3)))


class Parts(nn.Module):
    """Holds what it is given, in order."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def dense(*sizes):
    return nn.Sequential(*(layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.ReLU())))


def convs():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


def aux():
    return nn.Sequential(nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(4, 10))


@pytest.mark.parametrize(
    ("model", "head"),
    [
        (Residual(), ["fc"]),
        (Residual(AuxLogits=aux(), fc=nn.Linear(4, 10)), ["AuxLogits", "fc"]),
        (Parts(features=convs(), classifier=dense(4, 8, 3)), ["classifier"]),
        (Parts(conv_proj=nn.Conv2d(3, 4, 3), encoder=dense(4, 4), heads=dense(4, 3)), ["heads"]),
        (Parts(features=convs(), norm=nn.LayerNorm(4), head=nn.Linear(4, 3)), ["head"]),
        (Parts(backbone=convs(), neck=nn.Conv2d(4, 4, 1), head=nn.Conv2d(4, 24, 1)), ["neck", "head"]),
        (Parts(backbone=convs(), rpn=nn.Conv2d(4, 4, 1), roi_heads=dense(4, 3)), ["rpn", "roi_heads"]),
        (Parts(trunk=convs(), age=nn.Linear(4, 1), sex=nn.Linear(4, 2)), ["age", "sex"]),
        (Parts(conv1=convs(), conv2=convs(), fc1=nn.Linear(4, 4), fc2=nn.Linear(4, 3)), ["fc1", "fc2"]),
        (Parts(fc1=nn.Linear(4, 4), fc2=nn.Linear(4, 4), fc3=nn.Linear(4, 3)), ["fc3"]),
        (Parts(_conv_head=nn.Conv2d(3, 4, 1), _bn1=nn.BatchNorm2d(4), _fc=nn.Linear(4, 3)), ["_fc"]),
        (Parts(embed=nn.Embedding(9, 4), lstm=nn.LSTM(4, 4), said=nn.Linear(4, 9)), ["said"]),
        (nn.Transformer(8, 2, 1, 1, 8), ["decoder"]),
        (nn.Sequential(*convs(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), *dense(4, 4, 3)), ["5", "7"]),
        (nn.Sequential(*convs(), nn.Sequential(nn.Flatten(), nn.Linear(4, 3))), ["3"]),
        (nn.Sequential(convs(), dense(4, 8, 3)), ["1"]),
        (nn.Sequential(nn.Flatten(), *dense(4, 8, 3)), ["3"]),
        (nn.Sequential(*convs(), nn.Conv2d(4, 3, 1)), ["3"]),
        (nn.Sequential(Residual(), nn.Softmax(1)), ["0.fc"]),
        (nn.DataParallel(Residual()), ["module.fc"]),
        (torch.compile(Residual(), backend="eager"), ["fc"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else type(value).__name__,
)
def test_the_head_is_the_part_that_people_would_exchange(model, head):
    found = propose_split(model)
    assert list(found.head) == head and found.because


def test_backbone_and_head_have_each_parameter_once():
    model = Parts(features=convs(), head=Parts(norm=nn.LayerNorm(4), fc=nn.Linear(4, 3)))
    model.class_token, model.default_cfg = nn.Parameter(torch.zeros(4)), {"classifier": "head.fc"}
    found = propose_split(model)
    assert found.head == ("head.fc",) and found.backbone == ("class_token", "features", "head.norm")
    names = [name for name, _ in model.named_parameters()]
    below = [name for name in names for path in (*found.backbone, *found.head) if f"{name}.".startswith(f"{path}.")]
    assert sorted(below) == sorted(names)


def test_layers_count_in_the_order_of_their_calls_where_an_example_is_there():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.middle, self.first = nn.Linear(4, 3), nn.Linear(8, 4), nn.LSTM(2, 8)

        def forward(self, x):
            return self.last(self.middle(self.first(x)[0]).relu())

    assert propose_split(Turned()).head == ("first",)
    assert propose_split(Turned(), torch.rand(5, 2, 2)).head == ("middle", "last")


def test_a_list_of_modules_with_a_plan_is_split_where_the_plan_says():
    model = Parts(model=nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(5))))
    model.yaml = {"backbone": [None] * 3, "head": [None] * 2}
    found = propose_split(model)
    assert found.backbone == ("model.0", "model.1", "model.2") and found.head == ("model.3", "model.4")


def test_tied_weights_are_said():
    model = Parts(transformer=nn.Embedding(9, 4), lm_head=nn.Linear(4, 9, bias=False))
    model.lm_head.weight, model.base_model_prefix = model.transformer.weight, "transformer"
    found = propose_split(model)
    assert found.head == ("lm_head",) and "'lm_head.weight' is one tensor with 'transformer.weight'" in found.because


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.ReLU(), "The ReLU has no parameters: there is nothing to split."),
        (nn.LSTM(2, 3), "The LSTM has no head beside a backbone: it is one layer."),
        (nn.Sequential(nn.Linear(2, 3)), "The Sequential has no head beside a backbone: all its parameters are in "
         "'0', one Linear."),
    ],
)  # fmt: skip
def test_where_there_is_nothing_to_split_it_says_so(model, said):
    found = propose_split(model)
    assert not found and not found.backbone and found.because == said


def test_what_else_could_be_chosen_is_said():
    assert propose_split(Residual()).because == "'fc' is named as heads are. 'layer1' could train along with it."
    model = nn.Sequential(OrderedDict(features=convs(), classifier=dense(4, 8, 3)))
    assert propose_split(model).because.endswith("Its last layer alone, 'classifier.2', could be chosen as well.")


def test_a_plan_that_is_none_is_passed_over():
    model = Residual()
    model.default_cfg, model.yaml, model.base_model_prefix = SimpleNamespace(), "yolo.yaml", "nothing"
    assert propose_split(model).head == ("fc",)


def test_a_session_has_its_split_in_the_order_of_the_calls():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.top, self.below = nn.Linear(8, 3), nn.Linear(4, 8)

        def forward(self, x):
            return self.top(self.below(x).relu())

    with contextlib.closing(dlw.Session(Turned(), (torch.rand(8, 4), torch.arange(8) % 3))) as session:
        assert (session.split.backbone, session.split.head) == (("below",), ("top",))
