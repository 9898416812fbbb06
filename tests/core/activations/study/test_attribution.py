"""attribution: Grad-CAM and gradient x input, against captum, against paper and pencil, without a trace."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.activations.study.attribution import grad_cam, gradient_x_input


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 4),
    )  # fmt: skip


IMAGE = torch.randn(1, 3, 14, 18, generator=torch.Generator().manual_seed(1))


class Words(nn.Module):
    """Tokens and their places, an LSTM or the mean, four classes."""

    def __init__(self, recurrent: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.place = nn.Embedding(12, 5)
        self.token = nn.Embedding(30, 5)
        self.lstm = nn.LSTM(5, 5, batch_first=True) if recurrent else None
        self.head = nn.Linear(5, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        rows = self.token(tokens) + self.place(torch.arange(tokens.shape[1]))
        if self.lstm is not None:
            rows = self.lstm(rows)[0]
        return self.head(torch.tanh(rows).mean(1))


TOKENS = torch.tensor([[3, 17, 5, 5, 29, 0, 11]])


# -- against captum


@pytest.fixture(scope="module")
def attr():
    return pytest.importorskip("captum.attr")


@pytest.mark.parametrize("layer", ["0", "2", "4", "5"])
@pytest.mark.parametrize("target", range(4))
def test_grad_cam_is_captums(attr, layer, target):
    model = net().eval()
    found = grad_cam(model, IMAGE, target, layer)
    # captum would take the gradient by what an in-place layer has already changed.
    for module in model:
        if isinstance(module, nn.ReLU):
            module.inplace = False
    theirs = attr.LayerGradCam(model, model[int(layer)])
    expected = theirs.attribute(IMAGE, target=target, relu_attributions=True)[0, 0]
    torch.testing.assert_close(found.values, expected.detach())


@pytest.mark.parametrize("target", range(4))
def test_gradient_x_input_is_captums(attr, target):
    model = net().eval()
    found = gradient_x_input(model, IMAGE, target)
    expected = attr.InputXGradient(model).attribute(IMAGE.clone().requires_grad_(), target=target)
    torch.testing.assert_close(found.values, expected[0].detach())


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_attribution_of_tokens_is_captums_through_the_embedding(attr, recurrent):
    model = Words(recurrent).eval()
    found = gradient_x_input(model, TOKENS, 2)
    theirs = attr.LayerGradientXActivation(model, model.token).attribute(TOKENS, target=2)
    torch.testing.assert_close(found.values, theirs.sum(-1)[0].detach())
    assert found.layer == "token"


# -- by hand


@given(seed=st.integers(0, 2**20), target=st.integers(0, 2))
@settings(max_examples=25, deadline=None)
def test_of_a_linear_model_gradient_x_input_is_weight_times_input(seed, target):
    generator = torch.Generator().manual_seed(seed)
    model = nn.Linear(5, 3)
    with torch.no_grad():
        model.weight.copy_(torch.randn(3, 5, generator=generator))
    x = torch.randn(1, 5, generator=generator)
    found = gradient_x_input(model, x, target)
    torch.testing.assert_close(found.values, model.weight[target].detach() * x[0])
    # Its sum is the score without the bias: the attribution is complete.
    assert float(found.values.sum() + model.bias[target].detach()) == pytest.approx(found.score, abs=1e-5)


def test_grad_cam_of_a_mean_over_the_maps_is_their_weighted_sum():
    # The class's output is sum_c v_c mean(A_c), so that each map's weight is v_c / places.
    conv = nn.Conv2d(1, 3, 1, bias=False)
    head = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, 2.0, -1.0]).reshape(3, 1, 1, 1))
        head.weight.copy_(torch.tensor([[0.5, -1.0, 2.0]]))
    model = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    x = torch.tensor([[[[1.0, -2.0], [3.0, 0.0]]]])
    # 0.5 * 1 - 1 * 2 + 2 * -1 = -3.5, over four places; negative where x is positive.
    assert grad_cam(model, x, 0).values.tolist() == [[0.0, 1.75], [0.0, 0.0]]


def test_the_class_is_the_likeliest_where_none_is_given_and_its_score_is_the_output():
    model = net().eval()
    with torch.no_grad():
        output = model(IMAGE)[0]
    for found in (grad_cam(model, IMAGE), gradient_x_input(model, IMAGE)):
        assert found.target == int(output.argmax())
        assert found.score == pytest.approx(float(output.max()), abs=1e-6)


def test_the_last_convolution_that_runs_is_chosen_not_the_last_that_is_listed():
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Conv2d(2, 2, 3), nn.Conv2d(1, 2, 3)

        def forward(self, x):
            return self.second(self.first(x)).mean((2, 3))

    assert grad_cam(Turned(), torch.rand(1, 1, 8, 8)).layer == "second"


def test_signals_and_volumes_have_a_grad_cam_too():
    signal = nn.Sequential(nn.Conv1d(2, 4, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2))
    assert grad_cam(signal, torch.rand(1, 2, 20)).values.shape == (18,)
    volume = nn.Sequential(nn.Conv3d(1, 4, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))
    assert grad_cam(volume, torch.rand(1, 1, 6, 7, 8)).values.shape == (4, 5, 6)


def test_a_layer_that_puts_out_a_tuple_has_a_grad_cam():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x), None

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.both = Both()

        def forward(self, x):
            return torch.tanh(self.both(x)[0]).mean((2, 3))

    model = Whole()
    found, plain = (grad_cam(model, IMAGE, 1, layer) for layer in ("both", "both.conv"))
    assert torch.equal(found.values, plain.values) and plain.values.max() > 0


def test_a_map_of_classes_is_summed_over_its_places():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1))
    x = torch.rand(1, 1, 6, 6, requires_grad=True)
    expected = torch.autograd.grad(model(x)[0, 2].sum(), x)[0] * x
    torch.testing.assert_close(gradient_x_input(model, x.detach(), 2).values, expected[0].detach())


# -- what cannot be


def test_a_model_without_a_convolution_says_what_works_instead():
    model = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(ValueError, match="has none: gradient × input works"):
        grad_cam(model, torch.rand(1, 4))


def test_a_layer_without_maps_is_refused_in_words():
    with pytest.raises(ValueError, match="puts out none: choose a convolution"):
        grad_cam(net(), IMAGE, 0, "9")


def test_a_class_that_is_not_there_is_refused_in_words():
    with pytest.raises(ValueError, match="classes 0 to 3, not 4"):
        gradient_x_input(net(), IMAGE, 4)


def test_an_output_that_cuts_the_gradient_is_refused_in_words():
    class Cut(nn.Module):
        def forward(self, x):
            return (x > 0).float()

    with pytest.raises(ValueError, match="does not depend on the input"):
        gradient_x_input(Cut(), torch.rand(1, 4))


def test_tokens_without_an_embedding_are_refused_in_words():
    class Counts(nn.Module):
        def forward(self, x):
            return x.float()

    with pytest.raises(ValueError, match=r"no nn\.Embedding"):
        gradient_x_input(Counts(), TOKENS)


# -- without a trace


@pytest.mark.parametrize("method", [grad_cam, gradient_x_input])
def test_a_model_in_training_is_left_as_it_was(method):
    model = net().train()
    model[6].eval()
    model[0].weight.requires_grad_(False)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x, rng = IMAGE.clone(), torch.get_rng_state()
    method(model, x, 1)
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())
    assert [module.training for module in model] == [True] * 6 + [False] + [True] * 3
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * 7
    assert torch.equal(x, IMAGE) and x.grad is None and not x.requires_grad
    assert torch.equal(rng, torch.get_rng_state())
    assert not any(module._forward_hooks for module in model.modules())


def test_gradients_that_wait_for_the_optimizer_are_not_added_to():
    model = net()
    model(IMAGE).sum().backward()
    kept = [parameter.grad.clone() for parameter in model.parameters()]
    grad_cam(model, IMAGE)
    gradient_x_input(model, IMAGE)
    assert all(torch.equal(a, p.grad) for a, p in zip(kept, model.parameters(), strict=True))


def test_it_works_where_gradients_are_off_and_nothing_is_trainable():
    model = net().requires_grad_(False)
    expected = grad_cam(net(), IMAGE, 1)
    with torch.no_grad():
        assert torch.equal(grad_cam(model, IMAGE, 1).values, expected.values)
    with torch.inference_mode():
        assert torch.equal(grad_cam(model, IMAGE, 1).values, expected.values)


def test_in_eval_mode_batch_norm_uses_its_running_statistics():
    model = net().train()
    found = gradient_x_input(model, IMAGE, 0)
    assert torch.equal(found.values, gradient_x_input(net().eval(), IMAGE, 0).values)
