"""The last layer of a model for another number of classes."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import dlwidgets as dlw
from tests.core.layers.test_split import Parts, Residual, aux, convs, dense


def shapes(model):
    return {name: tuple(one.shape) for name, one in model.named_parameters()}


def changed(model, other):
    return {name: shape for name, shape in shapes(other).items() if shapes(model)[name] != shape}


def test_the_new_layer_is_the_one_that_torch_makes_and_the_rest_is_as_it_was():
    model, kept = Residual(), torch.get_rng_state()
    made = dlw.with_head(model, 3, seed=7)
    assert torch.equal(torch.get_rng_state(), kept)
    torch.manual_seed(7)
    twin = nn.Linear(4, 3)
    torch.set_rng_state(kept)
    assert torch.equal(made.fc.weight, twin.weight) and torch.equal(made.fc.bias, twin.bias)
    assert made is not model and model.fc.out_features == 10 and made.fc.out_features == 3
    mine = made.state_dict()
    assert all(torch.equal(mine[name], one) for name, one in model.state_dict().items() if "fc" not in name)
    assert made(torch.rand(2, 3, 5, 5)).shape == (2, 3)


def test_without_a_seed_it_draws_as_any_new_layer_does():
    torch.manual_seed(5)
    made = dlw.with_head(Residual(), 3).fc
    torch.manual_seed(5)
    Residual()
    assert torch.equal(made.weight, nn.Linear(4, 3).weight)


def test_a_generator_is_drawn_from():
    generator = torch.Generator().manual_seed(7)
    first, second = (dlw.with_head(Residual(), 3, seed=generator).fc.weight for _ in range(2))
    assert torch.equal(first, dlw.with_head(Residual(), 3, seed=7).fc.weight) and not torch.equal(first, second)


def test_the_model_itself_is_changed_where_that_is_asked_for():
    model = Residual()
    assert dlw.with_head(model, 3, copied=False) is model and model.fc.out_features == 3


def test_dtype_mode_and_hooks_are_kept_and_the_new_layer_trains():
    model, seen = Residual().double().eval().requires_grad_(False), []
    model.fc.register_forward_hook(lambda *_: seen.append(1))
    made = dlw.with_head(model, 3)
    made(torch.rand(1, 3, 5, 5).double())
    assert made.fc.weight.dtype == torch.float64 and not made.fc.training and seen == [1]
    assert [name for name, one in made.named_parameters() if one.requires_grad] == ["fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("model", "new"),
    [
        (Residual(AuxLogits=aux(), fc=nn.Linear(4, 10)), {"AuxLogits.2.weight": (3, 4), "AuxLogits.2.bias": (3,),
                                                          "fc.weight": (3, 4), "fc.bias": (3,)}),
        (nn.Sequential(*convs(), nn.Conv2d(4, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
         {"3.weight": (3, 4, 1, 1), "3.bias": (3,)}),
        (nn.Sequential(convs(), nn.ConvTranspose2d(4, 10, 2)), {"1.weight": (4, 3, 2, 2), "1.bias": (3,)}),
        (Parts(trunk=convs(), heads=nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 2)})),
         {"heads.a.weight": (3, 4), "heads.a.bias": (3,), "heads.b.weight": (3, 4), "heads.b.bias": (3,)}),
        (Parts(conv=convs(), fc1=nn.Linear(4, 8), fc2=nn.Linear(8, 2, bias=False)), {"fc2.weight": (3, 8)}),
        (nn.DataParallel(Residual()), {"module.fc.weight": (3, 4), "module.fc.bias": (3,)}),
        (torch.compile(Residual(), backend="eager"), {"_orig_mod.fc.weight": (3, 4), "_orig_mod.fc.bias": (3,)}),
        (nn.Linear(4, 10), {"weight": (3, 4), "bias": (3,)}),
    ],
    ids=["auxiliary", "convolution", "transposed", "several", "no bias", "parallel", "compiled", "alone"],
)  # fmt: skip
def test_each_output_layer_gets_the_new_number(model, new):
    made = dlw.with_head(model, ["a", "b", "c"])
    assert type(made) is type(model) and changed(model, made) == new


def test_a_lazy_layer_stays_one():
    made = dlw.with_head(nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(10)), 3)
    assert made(torch.rand(2, 4)).shape == (2, 3)


def test_a_detector_gets_as_many_values_for_each_class():
    scores = Parts(cls_score=nn.Linear(4, 5), bbox_pred=nn.Linear(4, 20))
    made = dlw.with_head(Parts(backbone=convs(), roi_heads=Parts(box_predictor=scores)), 3)
    assert made.roi_heads.box_predictor.cls_score.out_features == 3
    assert made.roi_heads.box_predictor.bbox_pred.out_features == 12

    class Classification(Parts):
        """As RetinaNet has it: some anchors at each place."""

    logits = Classification(cls_logits=nn.Conv2d(4, 9 * 5, 3))
    logits.num_classes = 5
    made = dlw.with_head(Parts(backbone=convs(), head=Parts(boxes=nn.Conv2d(4, 36, 3), classes=logits)), 3)
    assert (made.head.classes.cls_logits.out_channels, made.head.classes.num_classes) == (27, 3)
    assert made.head.boxes.out_channels == 36


def test_what_the_model_notes_of_its_classes_follows():
    model = Residual()
    model.num_classes, model.config = 10, SimpleNamespace(num_labels=10, id2label={}, label2id={})
    made = dlw.with_head(model, ["cat", "dog"])
    assert (model.num_classes, made.num_classes) == (10, 2)
    assert made.config.id2label == {0: "cat", 1: "dog"} and made.config.label2id == {"cat": 0, "dog": 1}


def test_a_model_that_knows_how_changes_its_head_itself():
    class Own(Residual):
        def with_classes(self, count):
            self.fc = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, count))

    made = dlw.with_head(Own().double().eval(), 3)
    assert made.fc[1].out_features == 3 and made.fc[1].weight.dtype == torch.float64 and not made.fc[1].training


def tied():
    model = Parts(embed=nn.Embedding(9, 4), head=nn.Linear(4, 9, bias=False))
    model.head.weight = model.embed.weight
    return model


class NoCopy(Residual):
    def __deepcopy__(self, memo):
        raise RuntimeError("It holds a socket.")


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (Residual(), {"classes": 0}, "classes=0: 1 or more are wanted."),
        (Residual(), {"classes": "cat"}, "classes='cat': a number of classes, or a list of their names, is wanted."),
        (Residual(), {"classes": ["a", "a"]}, "names are wanted, one for each class."),
        (Residual(), {"layer": "fcs"}, "The Residual has no layer 'fcs'. Did you mean 'fc'?"),
        (Residual(), {"layer": "bn1"}, "'bn1' (BatchNorm2d) is no layer that puts out classes"),
        (Residual(), {"seed": "x"}, "seed='x': a whole number, a torch.Generator or None is wanted."),
        (tied(), {}, "The weight of 'head' (Linear) is that of 'embed.weight' as well (tied)"),
        (nn.Transformer(8, 2, 1, 1, 8), {}, "'decoder.norm' (LayerNorm), puts out no classes"),
        (Parts(trunk=convs(), age=nn.Linear(4, 1), sex=nn.Linear(4, 2)), {},
         "several heads, 'age' (1 value), 'sex' (2 values): say which by layer='sex'."),
        (Parts(a=convs(), fc=nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))), {}, "as by weight_norm"),
        (NoCopy(), {}, "cannot be copied: It holds a socket. with_head(..., copied=False) changes it itself."),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_sentence_and_the_model_stays(model, options, said):
    before = shapes(model)
    with pytest.raises((ValueError, TypeError)) as caught:
        dlw.with_head(model, **{"classes": 3, "copied": isinstance(model, NoCopy), **options})
    assert said in str(caught.value) and shapes(model) == before


def test_it_learns_as_a_model_that_was_made_with_so_many_classes():
    torch.manual_seed(3)
    model = nn.Sequential(*dense(4, 8), nn.Linear(8, 5))
    made, twin = dlw.with_head(model, 3, seed=1), copy.deepcopy(model)
    torch.manual_seed(1)
    twin[2] = nn.Linear(8, 3)
    X, y = torch.rand(16, 4), torch.arange(16) % 3
    for one in (made, twin):
        optimizer = torch.optim.SGD(one.parameters(), 0.1)
        nn.functional.cross_entropy(one(X), y).backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), twin.parameters()))
