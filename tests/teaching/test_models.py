"""The models of the course: their shapes, names and sizes, and what a few dozen steps teach them."""

from __future__ import annotations

import re

import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score
from torch import nn

from dlwidgets import teaching
from dlwidgets.teaching import MLP, ChestNet, SmallCNN, TinyTransformer
from dlwidgets.teaching.models import Residual


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def train(model: nn.Module, data: teaching.Data, steps: int, lr: float = 2e-3) -> torch.Tensor:
    """Return the validation scores after some steps of a plain loop."""
    X, y = data.train
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0)).repeat(50)
    for step in range(steps):
        rows = order[step * 64 : (step + 1) * 64]
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(X[rows]), y[rows]).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return model(data.valid[0]).sigmoid()


@pytest.mark.parametrize("size", [8, 28, 32, 40, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_cnn_takes_images_of_any_size(size, channels):
    assert SmallCNN(10, channels=channels)(torch.rand(2, channels, size, size)).shape == (2, 10)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_a_chest_net_takes_images_of_any_size(size):
    assert ChestNet()(torch.rand(2, 1, size, size)).shape == (2, 14)


@pytest.mark.parametrize("shape", [(103,), (1, 8, 8)])
@pytest.mark.parametrize("hidden", [(), (16,), (32, 16, 8)])
def test_an_mlp_takes_tables_and_flattens_images(shape, hidden):
    inputs = int(torch.tensor(shape).prod())
    assert MLP(inputs, 14, hidden=hidden)(torch.rand(5, *shape)).shape == (5, 14)


def test_an_mlp_without_hidden_layers_is_logistic_regression():
    model = MLP(7, 3, hidden=())
    X = torch.rand(5, 7)
    assert torch.equal(model(X), nn.functional.linear(X, model.head.weight, model.head.bias))


@pytest.mark.parametrize(("kind", "classes"), [(SmallCNN, 10), (ChestNet, 14), (TinyTransformer, 5)])
def test_the_documented_number_of_parameters_is_the_real_one(kind, classes):
    documented = re.search(r"([\d,]+)\s+parameters", kind.__doc__).group(1)
    assert f"{parameters(kind(classes)):,}" == documented


def test_the_small_cnn_is_small():
    assert 25_000 <= parameters(SmallCNN(10)) <= 60_000


def test_classes_may_be_given_by_their_names():
    assert SmallCNN(["a", "b", "c"]).head.linear.out_features == 3
    assert ChestNet(tuple("ab")).head.linear.out_features == 2
    assert MLP(4, ["a", "b"]).head.out_features == 2


def test_modules_have_names_that_say_what_they_are():
    assert list(dict(SmallCNN(10).named_children())) == ["stage1", "stage2", "stage3", "head"]
    assert list(dict(SmallCNN(10).stage1.named_children())) == ["conv", "norm", "relu", "pool"]
    assert list(dict(ChestNet().named_children())) == ["stem", "blocks", "head"]
    assert list(dict(TinyTransformer().named_children())) == ["words", "places", "blocks", "norm", "head"]
    assert list(dict(MLP(4, 2).named_children())) == ["flatten", "hidden", "head"]


@pytest.mark.parametrize("build", [SmallCNN, ChestNet, lambda classes: MLP(1024, classes)])
def test_each_activation_is_a_module_of_its_own_that_overwrites_nothing(build):
    model = build(10)
    activations = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    calls = []
    for module in activations:
        assert not module.inplace
        module.register_forward_hook(lambda module, inputs, output: calls.append(module))
    model.eval()(torch.rand(1, 1, 32, 32))
    assert len(calls) == len(set(calls)) == len(activations)


def test_a_residual_block_whose_change_is_zero_passes_its_input_on():
    block = Residual(4, 4).eval()
    nn.init.zeros_(block.norm2.weight)
    maps = torch.rand(2, 4, 8, 8)
    assert torch.equal(block(maps), maps)


def test_a_residual_block_with_a_stride_halves_the_maps():
    assert Residual(4, 8, stride=2)(torch.rand(2, 4, 8, 8)).shape == (2, 8, 4, 4)


def test_a_transformer_looks_neither_at_what_fills_a_sentence_up_nor_at_other_sentences():
    model, tokens = TinyTransformer().eval(), torch.randint(1, 48, (3, 16))
    tokens[0, 9:] = 0
    alone = model(tokens[:1, :9])
    torch.testing.assert_close(model(tokens)[:1], alone)


def test_a_transformer_tells_the_order_of_words():
    model, tokens = TinyTransformer().eval(), torch.arange(1, 9)[None]
    assert not torch.allclose(model(tokens), model(tokens.flip(1)))


@pytest.mark.parametrize(
    ("build", "error", "sentence"),
    [
        (lambda: SmallCNN(0), ValueError, "classes is 0; give a whole number of at least 1"),
        (lambda: SmallCNN("cat"), TypeError, "classes is the single string 'cat'; give the names as a list"),
        (lambda: SmallCNN(10, channels=0), ValueError, "channels is 0; give a whole number of at least 1"),
        (lambda: MLP(10.5, 2), TypeError, "inputs is 10.5; give a whole number"),
        (lambda: MLP(10, 2, hidden=(8, 0)), ValueError, "hidden is 0; give a whole number of at least 1"),
        (lambda: TinyTransformer(words=1), ValueError, "words is 1; give a whole number of at least 2"),
        (lambda: ChestNet(width=-1), ValueError, "width is -1; give a whole number of at least 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused_with_one_sentence(build, error, sentence):
    with pytest.raises(error, match=sentence):
        build()


@pytest.mark.slow
def test_a_few_dozen_steps_on_collages_rank_digits_better_than_chance():
    data = teaching.collages(2000, 400)
    torch.manual_seed(0)
    scores = train(SmallCNN(10), data, 80)
    chance = data.valid[1].mean().item()
    assert average_precision_score(data.valid[1], scores, average="macro") > 1.5 * chance


def test_a_few_dozen_steps_on_yeast_beat_always_saying_the_commonest_labels():
    pytest.importorskip("river", minversion="0.26")
    data = teaching.yeast()
    torch.manual_seed(0)
    scores = train(MLP(103, 14), data, 150)
    y = data.valid[1]
    always = (data.train[1].mean(0) > 0.5).float().expand_as(y)
    assert f1_score(y, scores >= 0.5, average="micro") > f1_score(y, always, average="micro") + 0.02


@pytest.mark.slow
def test_a_few_dozen_steps_on_findings_rank_most_of_them_better_than_chance():
    data = teaching.findings(1000, 600)
    torch.manual_seed(0)
    scores = train(ChestNet(), data, 60)
    y = data.valid[1].numpy()
    lift = average_precision_score(y, scores, average=None) / y.mean(0)
    assert (lift > 1.5).sum() >= 8


@pytest.mark.slow
def test_some_hundred_steps_on_sentences_find_even_the_verbs_that_do_not_agree():
    data = teaching.sentences()
    (X, y), (Xv, yv) = data.train, data.valid
    torch.manual_seed(0)
    model = TinyTransformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(700):
        rows = torch.randint(len(X), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X[rows]), y[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        right = model.eval()(Xv).argmax(1) == yv
    assert right.float().mean() > 0.9 and right[yv == 4].float().mean() > 0.7
