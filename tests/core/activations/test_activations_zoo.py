"""Every layer of many architectures is seen and drawn, or says in words why not; and none is left changed."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlwidgets.core.activations.activations import Activations, activations
from dlwidgets.core.activations.layer_choice import layer_paths
from dlwidgets.core.base.outputs import layer_path
from dlwidgets.core.pictures.picture import make_picture
from dlwidgets.teaching.models import MLP, ChestNet, SmallCNN
from tests.core.layers.zoo import SPECIMENS, Specimen

pytestmark = pytest.mark.filterwarnings("ignore")

#: name -> what makes the model and its inputs.
ARCHITECTURES: dict[str, Callable[[], tuple[nn.Module, Any]]] = {}

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
GREY = IMAGES[:, :1]
STEPS = torch.rand(2, 7, 8, generator=torch.Generator().manual_seed(1))
TOKENS = torch.tensor([[1, 5, 3, 2], [4, 4, 0, 1]])


class Made(nn.Module):
    """A model of layers by name, with a forward that is given as a function of them and the inputs."""

    def __init__(self, run: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = run

    def forward(self, *inputs: Any) -> Any:
        return self.run(self, *inputs)


def architecture(name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def add(make: Callable[[], Any]) -> Callable[[], Any]:
        ARCHITECTURES[name] = make
        return make

    return add


def conv(inputs: int, outputs: int, step: int = 1, groups: int = 1, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, step, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


# -- convolutions

ARCHITECTURES["SmallCNN"] = lambda: (SmallCNN(4, channels=3), IMAGES)
ARCHITECTURES["ChestNet"] = lambda: (ChestNet(4), torch.rand(2, 1, 28, 28))
ARCHITECTURES["LeNet"] = lambda: (
    nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(32, 10), nn.LogSoftmax(-1),
    ),
    IMAGES,
)  # fmt: skip
ARCHITECTURES["VGG"] = lambda: (
    nn.Sequential(
        *(conv(3, 8), conv(8, 8), nn.MaxPool2d(2), conv(8, 16), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 3)),
    ),
    IMAGES,
)
ARCHITECTURES["ResNet"] = lambda: (
    Made(
        lambda m, x: m.head(F.relu(m.second(m.first(m.stem(x))) + m.skip(m.stem(x))).mean((2, 3))),
        stem=conv(3, 8), first=conv(8, 16, 2), second=nn.Conv2d(16, 16, 3, padding=1),
        skip=nn.Conv2d(8, 16, 1, 2), head=nn.Linear(16, 3),
    ),
    IMAGES,
)  # fmt: skip
ARCHITECTURES["DenseNet"] = lambda: (
    Made(lambda m, x: m.b(torch.cat([x, m.a(x)], 1)), a=conv(3, 4), b=conv(7, 4)),
    IMAGES,
)
ARCHITECTURES["Inception"] = lambda: (
    Made(
        lambda m, x: torch.cat([branch(x) for branch in m.branches], 1),
        branches=nn.ModuleList([conv(3, 2, size=1), conv(3, 2), conv(3, 2, size=5), nn.MaxPool2d(3, 1, 1)]),
    ),
    IMAGES,
)
ARCHITECTURES["MobileNet"] = lambda: (
    nn.Sequential(conv(3, 8, 2), conv(8, 8, groups=8), conv(8, 16, size=1), nn.Hardswish(), nn.ReLU6()),
    IMAGES,
)
ARCHITECTURES["squeeze and excite"] = lambda: (
    Made(
        lambda m, x: (y := m.conv(x)) * m.gate(y),
        conv=conv(3, 8),
        gate=nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.SiLU(), nn.Conv2d(2, 8, 1), nn.Sigmoid()
        ),
    ),
    IMAGES,
)  # fmt: skip


class LastNorm(nn.Module):
    """ConvNeXt's block: norm and dense layers over channels that come last."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(3, 3, 7, padding=3, groups=3)
        self.norm, self.wide, self.act, self.back = (
            nn.LayerNorm(3),
            nn.Linear(3, 12),
            nn.GELU(),
            nn.Linear(12, 3),
        )
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.back(self.act(self.wide(y)))).permute(0, 3, 1, 2)


ARCHITECTURES["ConvNeXt"] = lambda: (LastNorm(), IMAGES)
ARCHITECTURES["U-Net"] = lambda: (
    Made(
        lambda m, x: m.out(torch.cat([a := m.down(x), m.up(m.deep(m.pool(a)))], 1)),
        down=conv(3, 4), pool=nn.MaxPool2d(2), deep=conv(4, 8), up=nn.ConvTranspose2d(8, 4, 2, 2),
        out=nn.Conv2d(8, 1, 1),
    ),
    IMAGES,
)  # fmt: skip
ARCHITECTURES["autoencoder"] = lambda: (
    nn.Sequential(
        conv(3, 4, 2), conv(4, 2, 2), nn.Upsample(scale_factor=2), nn.ConvTranspose2d(2, 3, 4, 2, 1)
    ),
    IMAGES,
)
ARCHITECTURES["variational autoencoder"] = lambda: (
    Made(
        lambda m, x: (q := m.latent(m.encode(x.flatten(1)))) and m.decode(q.rsample()),
        encode=nn.Linear(768, 8),
        latent=Made(
            lambda m, h: torch.distributions.Normal(m.mean(h), m.log(h).exp()),
            mean=nn.Linear(8, 2), log=nn.Linear(8, 2),
        ),
        decode=nn.Linear(2, 768),
    ),
    IMAGES,
)  # fmt: skip
ARCHITECTURES["super resolution"] = lambda: (nn.Sequential(conv(3, 12), nn.PixelShuffle(2)), IMAGES)
ARCHITECTURES["generator"] = lambda: (
    nn.Sequential(nn.Unflatten(1, (8, 1, 1)), nn.ConvTranspose2d(8, 4, 4), nn.InstanceNorm2d(4), nn.Tanh()),
    torch.randn(2, 8),
)
ARCHITECTURES["1-D convolutions"] = lambda: (
    nn.Sequential(
        nn.Conv1d(8, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2), nn.AdaptiveAvgPool1d(1),
        nn.Flatten(), nn.Linear(6, 2),
    ),
    torch.rand(2, 8, 20),
)  # fmt: skip
ARCHITECTURES["3-D convolutions"] = lambda: (
    nn.Sequential(
        nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), nn.LazyLinear(2),
        nn.Softmax(1),
    ),
    torch.rand(2, 1, 8, 8, 8),
)  # fmt: skip
ARCHITECTURES["channels last in memory"] = lambda: (
    conv(3, 5).to(memory_format=torch.channels_last), IMAGES.contiguous(memory_format=torch.channels_last)
)  # fmt: skip
ARCHITECTURES["bfloat16"] = lambda: (conv(3, 5).bfloat16(), IMAGES.bfloat16())

# -- attention


class Block(nn.Module):
    """A transformer's block, its attention computed in one of the ways there are."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.norm, self.how = nn.LayerNorm(8), how
        if how == "layer":
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        else:
            self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x):
        y = self.norm(x)
        if self.how == "layer":
            return x + self.mlp(self.attention(y, y, y, need_weights=False)[0])
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.qkv(y).chunk(3, -1))
        if self.how == "function":
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = F.dropout((q @ k.mT / 2).softmax(-1), 0.1, self.training) @ v
        return x + self.mlp(self.out(mixed.transpose(1, 2).flatten(2)))


class ViT(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.cls, self.places = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 17, 8))
        self.blocks, self.head = nn.Sequential(Block(how), Block(how)), nn.Linear(8, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.blocks(x)[:, 0])


ATTENDS = ("vision transformer, layer", "vision transformer, function", "vision transformer, written out")
for _how, _name in zip(("layer", "function", "written"), ATTENDS):
    ARCHITECTURES[_name] = lambda how=_how: (ViT(how), IMAGES)
ARCHITECTURES["transformer encoder"] = lambda: (
    nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 2), STEPS
)  # fmt: skip
ARCHITECTURES["transformer, time first"] = lambda: (
    nn.Transformer(8, 2, 1, 1, 12), (STEPS.transpose(0, 1), STEPS[:, :4].transpose(0, 1))
)  # fmt: skip
ARCHITECTURES["causal language model"] = lambda: (
    Made(
        lambda m, t: F.linear(m.block(m.embed(t)), m.embed.weight),
        embed=nn.Embedding(9, 8), block=Block("function"), head=nn.Linear(8, 9),
    ),
    TOKENS,
)  # fmt: skip

# -- recurrences

ARCHITECTURES["LSTM"] = lambda: (
    Made(lambda m, t: m.out(m.lstm(m.embed(t))[0][:, -1]), embed=nn.Embedding(9, 8),
         lstm=nn.LSTM(8, 6, 2, batch_first=True), out=nn.Linear(6, 2)),
    TOKENS,
)  # fmt: skip
ARCHITECTURES["GRU, both ways"] = lambda: (nn.GRU(8, 4, bidirectional=True, batch_first=True), STEPS)
ARCHITECTURES["RNN, time first"] = lambda: (nn.RNN(8, 4), STEPS.transpose(0, 1))
ARCHITECTURES["packed sequences"] = lambda: (
    Made(
        lambda m, x: m.lstm(nn.utils.rnn.pack_padded_sequence(x, [7, 4], batch_first=True))[1][0],
        lstm=nn.LSTM(8, 4),
    ),
    STEPS,
)


@architecture("cells in a loop")
def _cells() -> Any:
    def run(m, x):
        state = None
        for step in x.unbind(1):
            state = m.cell(step, state)
        return m.out(state[0])

    return Made(run, cell=nn.LSTMCell(8, 4), out=nn.Linear(4, 1)), STEPS


# -- detectors


@architecture("single-shot detector")
def _ssd() -> Any:
    def run(m, x):
        found = []
        for stage, boxes, classes in zip(m.stages, m.boxes, m.classes):
            x = stage(x)
            found.append({"boxes": boxes(x).flatten(2), "scores": classes(x).flatten(2).sigmoid()})
        return found

    return Made(
        run,
        stages=nn.ModuleList([conv(3, 8, 2), conv(8, 8, 2)]),
        boxes=nn.ModuleList([nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1)]),
        classes=nn.ModuleList([nn.Conv2d(8, 3, 1), nn.Conv2d(8, 3, 1)]),
    ), IMAGES


@architecture("YOLO-like detector")
def _yolo() -> Any:
    def run(m, x):
        deep = m.deep(shallow := m.shallow(x))
        joined = torch.cat([shallow, F.interpolate(m.lateral(deep), scale_factor=2)], 1)
        heads = m.small(joined), m.large(deep)
        return tuple(y.unflatten(1, (3, 7)).permute(0, 1, 3, 4, 2) for y in heads)

    act = nn.LeakyReLU(0.1)
    return Made(
        run, shallow=nn.Sequential(conv(3, 4, 2), act), deep=nn.Sequential(conv(4, 8, 2), act),
        lateral=nn.Conv2d(8, 4, 1), small=nn.Conv2d(8, 21, 1), large=nn.Conv2d(8, 21, 1),
    ), IMAGES  # fmt: skip


@architecture("two-stage detector")
def _two_stages() -> Any:
    """Of as many regions as are sure enough: none, with these weights."""

    def run(m, x):
        sure = m.ask(y := m.backbone(x)).flatten(1) > 1e6
        return m.judge(y.flatten(2).transpose(1, 2)[sure])

    return Made(run, backbone=conv(3, 8, 2), ask=nn.Conv2d(8, 1, 1), judge=nn.Linear(8, 3)), IMAGES


# -- others

ARCHITECTURES["MLP"] = lambda: (MLP(8, 3), torch.rand(2, 8))
ARCHITECTURES["siamese"] = lambda: (
    Made(lambda m, a, b: m.out((m.twin(a) - m.twin(b)).abs()), twin=nn.Sequential(nn.Linear(8, 4), nn.ReLU()),
         out=nn.Linear(4, 1)),
    (STEPS[0], STEPS[1]),
)  # fmt: skip
ARCHITECTURES["tied weights"] = lambda: (
    Made(lambda m, x: F.linear(m.encode(x), m.encode.weight.T), encode=nn.Linear(8, 3)),
    STEPS,
)
ARCHITECTURES["heads in a ModuleDict"] = lambda: (
    Made(
        lambda m, x: {name: head(m.trunk(x)) for name, head in m.heads.items()},
        trunk=nn.Linear(8, 4), heads=nn.ModuleDict({"age": nn.Linear(4, 1), "kind": nn.Linear(4, 3)}),
    ),
    STEPS[:, 0],
)  # fmt: skip


@dataclass
class Said:
    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...] = ()
    loss: torch.Tensor | None = None


@architecture("dataclass output")
def _dataclass() -> Any:
    inner = Made(
        lambda m, x: Said(m.out(h := m.inside(x)), (h,)), inside=nn.Linear(8, 4), out=nn.Linear(4, 2)
    )
    return Made(lambda m, x: m.inner(x), inner=inner), STEPS


ARCHITECTURES["bag of words"] = lambda: (
    Made(lambda m, t: m.out(m.bag(t)), bag=nn.EmbeddingBag(9, 4), out=nn.Linear(4, 2)),
    TOKENS,
)
ARCHITECTURES["mixture of experts"] = lambda: (
    Made(
        lambda m, x: m.experts[int(m.gate(x).sum() > 1e6)](x),
        gate=nn.Linear(8, 2), experts=nn.ModuleList([nn.Linear(8, 3), nn.Linear(8, 3)]),
    ),
    STEPS[:, 0],
)  # fmt: skip
ARCHITECTURES["graph convolution"] = lambda: (
    Made(lambda m, x, near: m.b(near @ F.relu(m.a(near @ x))), a=nn.Linear(8, 4), b=nn.Linear(4, 2)),
    (STEPS, torch.eye(7).expand(2, 7, 7)),
)
ARCHITECTURES["normed weights"] = lambda: (
    nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(8, 4)), nn.ReLU(),
                  nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))),
    STEPS,
)  # fmt: skip
ARCHITECTURES["gates"] = lambda: (nn.Sequential(nn.Linear(8, 8), nn.GLU(), nn.PReLU(), nn.Softsign()), STEPS)
ARCHITECTURES["complex numbers"] = lambda: (
    nn.Sequential(Made(lambda m, x: torch.fft.rfft(x)), Made(lambda m, x: x.abs()), nn.Linear(5, 2)),
    STEPS,
)
ARCHITECTURES["TorchScript inside"] = lambda: (
    nn.Sequential(torch.jit.trace(nn.Sequential(nn.Linear(8, 4), nn.ReLU()), STEPS), nn.Linear(4, 2)),
    STEPS,
)
ARCHITECTURES["one number"] = lambda: (
    Made(lambda m, x: m.loss(m.out(x), x[..., :2]), out=nn.Linear(8, 2), loss=nn.MSELoss()),
    STEPS,
)
ARCHITECTURES["sparse products"] = lambda: (
    Made(lambda m, x: m.out(torch.sparse.mm(m.thin(x), torch.ones(8, 8))),
         thin=Made(lambda m, x: x.to_sparse()), out=nn.Linear(8, 2)),
    STEPS[0],
)  # fmt: skip


def made(name: str) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    model, inputs = ARCHITECTURES[name]()
    if any(isinstance(module, nn.LazyLinear) for module in model.modules()):
        model(inputs)
    return model.train(), inputs


def assert_in_words(reason: str) -> None:
    """A reason is a clause or a sentence for a person, never what an exception is to a program."""
    assert len(reason.split()) >= 3, reason
    assert not re.search(r"\w(Error|Exception)\b|Traceback|0x[0-9a-f]{4}|<\w|\w\('", reason), reason


def assert_each_layer_shows(model: nn.Module, found: Activations) -> None:
    modules = layer_paths(model)
    first = {id(module): path for path, module in reversed(modules.items())}
    for path, module in modules.items():
        if next(module.children(), None) is not None or first[id(module)] != path:
            continue
        if path in found.missing:
            assert path not in found
            assert_in_words(found.missing[path])
        else:
            assert path in found, f"{path} neither shows nor says why"
    for key, tensor in found.items():
        try:
            drawn = make_picture(tensor, modules.get(layer_path(key)))
        except ValueError as error:
            assert tensor.numel() == 0
            assert_in_words(str(error))
        else:
            assert (drawn.tiles is not None and drawn.tiles.total > 0) or len(drawn.bars) > 0


def test_there_are_thirty_architectures_and_more():
    assert len(ARCHITECTURES) >= 30


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_layer_shows_or_says_why_and_is_left_as_it_was(name):
    model, inputs = made(name)
    found = activations(model, inputs)
    assert_each_layer_shows(model, found)
    assert_the_spread_is_told(found)
    assert_each_layer_shows(model, activations(model, inputs, of="inputs"))
    found = activations(model, inputs, functional=True)
    assert_each_layer_shows(model, found)
    if found.untraced:
        assert_in_words(found.untraced)
    assert_nothing_is_left_changed(model, inputs)


def assert_the_spread_is_told(found: Activations) -> None:
    frame = found.to_frame()
    assert list(frame.index) == list(found)
    full = [key for key, tensor in found.items() if tensor.numel()]
    assert frame.loc[full, "mean"].notna().all()
    counts = found.channels().groupby("layer").size()
    assert all(counts[key] == found[key].shape[found.axes[key]] for key in counts.index)


def hooks_of(modules: list[nn.Module]) -> list[list[int]]:
    return [list(value) for m in modules for key, value in vars(m).items() if key.endswith("_hooks")]


def assert_nothing_is_left_changed(model: nn.Module, inputs: Any) -> None:
    plain = [m for m in model.modules() if not isinstance(m, torch.jit.ScriptModule)]
    before = copy.deepcopy(model.state_dict())
    kept = [{key: id(value) for key, value in vars(module).items()} for module in plain]
    hooks = hooks_of(plain)
    generator = torch.get_rng_state()
    activations(model, inputs, ["*", "*[attention]"], cap=3_000, functional=True)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [{key: id(value) for key, value in vars(module).items()} for module in plain] == kept
    assert torch.equal(torch.get_rng_state(), generator)
    assert hooks_of(plain) == hooks and all(module.training for module in plain)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("which", ATTENDS)
def test_heads_of_a_transformer_are_reached_however_they_are_computed(which):
    model, inputs = made(which)
    found = activations(model, inputs, "*[attention]")
    assert len(found) == 2
    for key, weights in found.items():
        assert weights.shape == (2, 2, 17, 17)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 17))
        assert make_picture(weights).kind == "attention", key


# -- of other packages

#: One of each kind of architecture, where several differ in their sizes alone.
KINDS = {
    "BertForMaskedLM", "AlbertForMaskedLM", "DistilBertForSequenceClassification",
    "DebertaV2ForSequenceClassification", "FNetModel", "ConvBertModel", "FunnelModel", "XLNetModel",
    "NystromformerModel", "LongformerModel", "GPT2LMHeadModel", "BloomForCausalLM",
    "LlamaForCausalLM, eager attention", "MistralForCausalLM", "MixtralForCausalLM", "MambaForCausalLM",
    "Mamba2ForCausalLM", "RwkvForCausalLM", "T5 v1.1 (gated)", "BartForConditionalGeneration",
    "ViTForImageClassification", "SwinForImageClassification", "ConvNextV2ForImageClassification",
    "ResNetForImageClassification", "MobileNetV2ForImageClassification", "MobileViTForImageClassification",
    "SegformerForSemanticSegmentation", "LevitForImageClassification", "YolosForObjectDetection",
    "DetrForObjectDetection", "DeformableDetrForObjectDetection", "MaskFormerForInstanceSegmentation",
    "WhisperForConditionalGeneration", "WavLMModel", "EncodecModel", "CLIPModel", "PatchTSTForPrediction",
    "DecisionTransformerModel", "PerceiverForMaskedLM", "EfficientNet-B0", "U-Net 2-D", "U-Net 3-D",
    "UNet2DConditionModel", "DiTTransformer2DModel",
}  # fmt: skip


def test_the_kinds_are_all_there():
    assert {specimen.name for specimen in SPECIMENS} >= KINDS


@pytest.mark.slow
@pytest.mark.parametrize(
    "specimen", [one for one in SPECIMENS if one.name in KINDS], ids=lambda specimen: specimen.name
)
def test_every_layer_of_others_models_shows_or_says_why(specimen: Specimen):
    pytest.importorskip(specimen.package, reason=f"{specimen.package} comes with dlwidgets[zoo]")
    torch.manual_seed(0)
    model, inputs = specimen.make(), specimen.inputs()
    found = activations(model, inputs)
    assert_each_layer_shows(model, found)
    again = activations(model, inputs, "*[attention]")
    for weights in again.values():
        sums = weights.sum(-1)
        # A query that is masked everywhere looks at nothing.
        assert bool((torch.isclose(sums, torch.ones_like(sums), atol=1e-4) | (sums == 0)).all())
