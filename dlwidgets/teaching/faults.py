"""Faults to plant: what goes wrong in practice, and what finds it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ..core.base.words import did_you_mean
from .broken_parts import After, Detach, ListedLayers, Root, SlowDataset, Transposed, call_twice, train_head_unzeroed
from .digits import collages
from .models import SmallCNN, TinyTransformer
from .setups import Setup, healthy

IMAGES, TEXT, TABLE = ("collages", "findings"), ("sentences",), ("yeast",)
#: In the order in which lessons take them: the table needs a package more.
ALL = (*IMAGES, *TEXT, *TABLE)
#: Those with several labels a sample, and those whose inputs are measured numbers, not tokens: the same three.
MULTILABEL = NUMBERS = (*IMAGES, *TABLE)
#: Those with one class a sample: of the collages, those of a single digit.
ONE_CLASS = ("collages", "sentences")

#: Where each model is in its middle, and what comes right before a ReLU there.
_MIDDLE = {"yeast": "hidden.0", "collages": "stage2", "findings": "blocks.2", "sentences": "blocks.0"}
_BEFORE_RELU = {
    "yeast": "hidden.0.linear", "collages": "stage2.norm", "findings": "blocks.2.norm1",
    "sentences": "blocks.0.mlp.linear1",
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One fault: what is broken, and what should find it.

    Attributes
    ----------
    name : as it is planted by.
    sentence : what is broken, for a student.
    rules : the rules of the doctor of which one should find it.
    plant : returns the broken set-up of a healthy one.
    setups : where it makes sense; the first is the one for lessons.
    unseen : why no rule on the curves of a run can see it; "" where one can.
    """

    name: str
    sentence: str
    rules: tuple[str, ...]
    plant: Callable[[Setup], Setup]
    setups: tuple[str, ...] = ALL
    unseen: str = ""


def names(setup: str | None = None) -> list[str]:
    """Return the names of all faults, or of those for one set-up."""
    return [name for name, fault in FAULTS.items() if setup is None or setup in fault.setups]


def plant(name: str, setup: str = "findings", *, optimizer: str = "adamw", seed: int = 0) -> dict[str, Any]:
    """Return the arguments of a session with a fault: `dlw.Session(**plant("rate x 100"))`.

    Parameters
    ----------
    name : of the fault; see `names()`.
    setup : "yeast", "collages", "findings" or "sentences".
    optimizer, seed : as of `setups.healthy`; some faults bring an optimizer of their own.

    Raises
    ------
    ValueError : there is no such fault or set-up, or the fault makes no sense in it.
    """
    fault, whole = _fault(name), healthy(setup, optimizer=optimizer, seed=seed)
    if setup not in fault.setups:
        raise ValueError(f"{name!r} makes no sense in {setup!r}: it does in {', '.join(fault.setups)}.")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return fault.plant(whole).arguments()


def broken(name: str, seed: int = 0) -> dict[str, Any]:
    """Return the arguments of a session with a fault, for lessons."""
    return plant(name, _fault(name).setups[0], seed=seed)


def _fault(name: str) -> Fault:
    if name not in FAULTS:
        raise ValueError(f"There is no fault {name!r}: names() lists {len(FAULTS)}.{did_you_mean(str(name), FAULTS)}")
    return FAULTS[name]


# -- the rate, the optimizer, the batches


def _rate(factor: float, setup: Setup) -> Setup:
    return setup.but(lr=setup.options["lr"] * factor)


def _options(options: dict[str, Any], setup: Setup) -> Setup:
    return setup.but(**options)


def _with(**options: Any) -> Callable[[Setup], Setup]:
    return partial(_options, options)


def _load_slowly(setup: Setup) -> Setup:
    # More of the time of a step goes by in waiting than in learning.
    dataset = SlowDataset(*setup.train, seconds=0.0012 if setup.name in IMAGES else 0.0002)
    generator = torch.Generator().manual_seed(setup.options["seed"])
    loader = DataLoader(dataset, batch_size=setup.options["batch_size"], shuffle=True, generator=generator)
    return setup.but(train=loader, batch_size=None)


def _halve(setup: Setup) -> Setup:
    # At a rate as of fine-tuning; in float32 it learns, slowly.
    half = setup.but(model=setup.model.bfloat16(), lr=5e-5)
    return half if setup.name in TEXT else half.on_data(inputs=lambda X: X.bfloat16())


# -- the layers


def _last_linear(model: nn.Module) -> tuple[nn.Module, str, nn.Linear]:
    """Return the last linear layer, after its parent and its name there."""
    path, layer = [(path, one) for path, one in model.named_modules() if isinstance(one, nn.Linear)][-1]
    parent, _, name = path.rpartition(".")
    return model.get_submodule(parent), name, layer


def _put_before_head(layers: Callable[[int], list[nn.Module]], setup: Setup) -> Setup:
    """Put layers before the last one, made for so many features."""
    parent, name, head = _last_linear(setup.model)
    before = layers(head.in_features)
    outs = [one.out_features for one in before if isinstance(one, nn.Linear)]
    setattr(parent, name, nn.Sequential(*before, nn.Linear(outs[-1], head.out_features) if outs else head))
    return setup


def _change_middle(change: type[nn.Module], setup: Setup) -> Setup:
    parent, _, name = (path := _MIDDLE[setup.name]).rpartition(".")
    setattr(setup.model.get_submodule(parent), name, After(setup.model.get_submodule(path), change()))
    return setup


def _kill_relu(setup: Setup) -> Setup:
    nn.init.constant_(setup.model.get_submodule(_BEFORE_RELU[setup.name]).bias, -10.0)
    return setup


def _initialise(fill: Callable[[Tensor], Any], setup: Setup) -> Setup:
    for module in setup.model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            fill(module.weight)
    return setup


def _sigmoids(features: int) -> list[nn.Module]:
    widths = [features] + [32] * 8
    return [part for a, b in zip(widths, widths[1:]) for part in (nn.Linear(a, b), nn.Sigmoid())]


def _saturated(features: int) -> list[nn.Module]:
    linear = nn.Linear(features, 32)
    nn.init.normal_(linear.weight, std=10.0)
    return [linear, nn.Tanh()]


def _end_with(last: Callable[[], nn.Module], setup: Setup) -> Setup:
    return setup.but(model=nn.Sequential(OrderedDict(model=setup.model, last=last())))


def _freeze(paths: tuple[str, ...] | None, setup: Setup) -> Setup:
    for path, parameter in setup.model.named_parameters():
        if paths is None or path.startswith(paths):
            parameter.requires_grad_(False)
    return setup


def _list_layers(setup: Setup) -> Setup:
    if setup.name in IMAGES:
        *layers, head = setup.model.children()
        return setup.but(model=ListedLayers(layers, head))
    name = "hidden" if setup.name == "yeast" else "blocks"
    layers = [*getattr(setup.model, name)]
    delattr(setup.model, name)
    setattr(setup.model, name, layers)
    return setup


class Shrinking(torch.optim.AdamW):
    """Decays all weights, whether or not they have a gradient."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        value = super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.mul_(1 - 1e-3)
        return value


def _shrink_frozen(setup: Setup) -> Setup:
    setup = _freeze(("stage1", "stem"), setup)
    optimizer = Shrinking(setup.model.parameters(), lr=setup.options["lr"])
    return setup.but(optimizer=optimizer, lr=None)


def _leave_head_out(setup: Setup) -> Setup:
    head = {id(one) for one in _last_linear(setup.model)[2].parameters()}
    body = [one for one in setup.model.parameters() if id(one) not in head]
    return setup.but(optimizer=torch.optim.AdamW(body, lr=setup.options["lr"]), lr=None)


def _loss(setup: Setup) -> nn.Module:
    return nn.CrossEntropyLoss() if setup.name in TEXT else nn.BCEWithLogitsLoss()


def _forward_twice(setup: Setup) -> Setup:
    return setup.but(training_step=call_twice(_loss(setup)), classes=None)


def _forget_zero_grad(setup: Setup) -> Setup:
    step = train_head_unzeroed(_loss(setup), _last_linear(setup.model)[2].out_features)
    return setup.but(training_step=step, classes=None)


# -- the inputs and the targets


def _inputs(change: Callable[[Tensor], Tensor], setup: Setup) -> Setup:
    return setup.on_data(inputs=change)


def _scale_valid(setup: Setup) -> Setup:
    X, y = setup.valid
    return setup.but(valid=(X * 100, y))


def _targets(change: Callable[[Tensor], Tensor], setup: Setup) -> Setup:
    return setup.on_data(targets=change)


def _train_targets(change: Callable[[Tensor], Tensor], setup: Setup) -> Setup:
    X, y = setup.train
    return setup.but(train=(X, change(y)))


def _one_digit(setup: Setup) -> Setup:
    """Have collages of one digit, which is the class."""
    if setup.name != "collages":
        return setup
    data = collages(len(setup.train[0]), len(setup.valid[0]), max_digits=1, seed=setup.options["seed"])
    return setup.but(train=data.train, valid=data.valid).on_data(targets=partial(torch.argmax, dim=1))


def _softmax_twice(setup: Setup) -> Setup:
    return _end_with(partial(nn.Softmax, dim=1), _one_digit(setup))


def _constant(values: Tensor) -> Tensor:
    return values[:1].expand_as(values).clone()


def _spoil_one(loaded: bool, setup: Setup) -> Setup:
    """Make one sample NaN, in tensors or `loaded` by a loader."""
    X, y = setup.train
    X = X.clone()
    X[17] = float("nan")
    if not loaded:
        return setup.but(train=(X, y))
    generator = torch.Generator().manual_seed(setup.options["seed"])
    size = setup.options["batch_size"]
    return setup.but(train=DataLoader(TensorDataset(X, y), size, shuffle=True, generator=generator), batch_size=None)


def _shuffle(values: Tensor) -> Tensor:
    return values[torch.randperm(len(values))]


def _shuffle_third(values: Tensor) -> Tensor:
    rows = torch.randperm(len(values))[: len(values) // 3]
    changed = values.clone()
    changed[rows] = values[rows[torch.randperm(len(rows))]]
    return changed


def _count_from_one(setup: Setup) -> Setup:
    # The head has a place more, so that nothing fails: class 0 never comes.
    model = SmallCNN(11, width=8) if setup.name == "collages" else TinyTransformer(6)
    return _targets(lambda y: y + 1, _one_digit(setup)).but(model=model, classes=None)


def _leave_range(targets: Tensor) -> Tensor:
    changed = targets.clone()
    changed[17] = 99
    return changed


def _few_others(setup: Setup) -> Setup:
    setup = _one_digit(setup)
    parts = []
    for X, y in (setup.train, setup.valid):
        others = (y != 1).nonzero().flatten()
        rows = torch.cat([(y == 1).nonzero().flatten(), others[: len(others) // 150]])
        parts.append((X[rows], y[rows]))
    return setup.but(train=parts[0], valid=parts[1])


def _few_samples(setup: Setup) -> Setup:
    X, y = setup.train
    return setup.but(train=(X[:32], y[:32]), batch_size=16, dropout=0.0, evaluate_every=10)


def _leak(setup: Setup) -> Setup:
    (X, y), count = setup.train, len(setup.valid[0])
    return setup.but(valid=(X[:count].clone(), y[:count].clone()))


def _boxes_in_pixels(setup: Setup) -> Setup:
    """Ask for a digit's box in pixels of a model giving shares."""
    setup = _one_digit(setup)
    parts = [(X, torch.stack([_box(image) for image in X])) for X, _ in (setup.train, setup.valid)]
    model = nn.Sequential(OrderedDict(model=SmallCNN(4, width=8), last=nn.Sigmoid()))
    return setup.but(model=model, train=parts[0], valid=parts[1], classes=None, loss="mse", task="regression")


def _box(image: Tensor) -> Tensor:
    """Return (left, top, right, bottom) of what is bright, in pixels."""
    rows, columns = ((image[0] > 0.35).any(axis).nonzero() for axis in (1, 0))
    return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


_UNLEARNABLE = (
    "the network learns how frequent each label is all the same, and then the samples by heart: the loss falls as in a "
    "healthy run, so only the labels themselves, or scores on validation data, can tell"
)

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        # The rate, the optimizer, the batches.
        Fault("rate x 100", "The learning rate is a hundred times too high.",
              ("loss_diverging", "rate_too_high", "loss_not_finite", "loss_spiking"), partial(_rate, 100)),
        Fault("rate x 1000", "The learning rate is a thousand times too high.",
              ("loss_diverging", "rate_too_high", "loss_not_finite", "loss_spiking"), partial(_rate, 1000)),
        Fault("rate 0", "The learning rate is 0: nothing moves.", ("rate_too_low",), partial(_rate, 0)),
        Fault("rate x 1e-4", "The learning rate is ten thousand times too low.", ("rate_too_low",),
              partial(_rate, 1e-4)),
        Fault("Adam with eps 1", "Adam's epsilon is 1, so that its steps are tiny.", ("rate_too_low", "adam_epsilon"),
              _with(optimizer=("adamw", {"eps": 1.0}))),
        Fault("momentum 0.999", "The momentum is 0.999: steps add up over a thousand steps, and overshoot.",
              ("momentum",), _with(optimizer=("sgd", {"momentum": 0.999}), lr=0.05)),
        Fault("clipped at 1e-4", "Gradients are clipped at a ten-thousandth: in every step, and to almost nothing.",
              ("clipping",), _with(optimizer=("sgd", {"momentum": 0.9}), lr=0.05, clip=1e-4)),
        Fault("batch of 1", "Each step looks at a single sample.", ("batch_noise",), _with(batch_size=1)),
        Fault("BatchNorm with 2 samples", "BatchNorm takes its means over two samples.", ("batch_norm",),
              _with(batch_size=2), IMAGES),
        Fault("slow loader", "Each sample takes longer to load than to learn from.", ("loader_bound",), _load_slowly,
              ("findings", "yeast")),
        Fault("weights in bfloat16", "The weights themselves are in half precision: small steps are rounded away.",
              ("half_precision",), _halve, ("sentences", "yeast")),
        # The layers.
        Fault("ReLU killed", "A bias of -10 before a ReLU: its units give 0 for every sample, and learn no more.",
              ("dead_relu",), _kill_relu),
        Fault("exploding initialisation", "The first weights have a standard deviation of 1, whatever the layer's "
              "width: numbers grow from layer to layer.", ("initial_loss", "initialisation"),
              partial(_initialise, nn.init.normal_)),
        Fault("zero initialisation", "All first weights are 0: every unit is the same, and no gradient comes through.",
              ("initialisation", "gradient_zero"), partial(_initialise, nn.init.zeros_)),
        Fault("constant initialisation", "All first weights are 0.01: every unit of a layer is the same, and stays so.",
              ("initialisation",), partial(_initialise, partial(nn.init.constant_, val=0.01))),
        Fault("stack of sigmoids", "Eight sigmoid layers in a row: each passes on a quarter of the gradient at most.",
              ("gradient_vanishing",), partial(_put_before_head, _sigmoids)),
        Fault("saturated tanh", "Weights before a tanh are so large that it gives -1 or 1 for everything, and has no "
              "slope there.", ("saturated",), partial(_put_before_head, _saturated)),
        Fault("NaN in the middle", "A layer takes the square root of negative numbers, and later ones pass the NaN on.",
              ("loss_not_finite",), partial(_change_middle, Root)),
        Fault("softmax twice", "The model ends with a softmax, and the loss takes another.", ("last_layer",),
              _softmax_twice, ONE_CLASS),
        Fault("sigmoid twice", "The model ends with a sigmoid, and the loss takes another.", ("last_layer",),
              partial(_end_with, nn.Sigmoid), MULTILABEL),
        Fault("ReLU at the end", "The model ends with a ReLU: it can never say no.", ("last_layer",),
              partial(_end_with, nn.ReLU)),
        Fault("all frozen", "No parameter is to be trained.", ("parameters_frozen",), partial(_freeze, None)),
        Fault("cut by detach", "A detach() in the middle: what comes before it never gets a gradient.",
              ("parameters_still",), partial(_change_middle, Detach)),
        Fault("BatchNorm moves while frozen", "The first stages are frozen, but their BatchNorm goes on averaging.",
              ("batch_norm_frozen",), partial(_freeze, ("stage1", "stage2", "stem")), IMAGES),
        Fault("layers in a plain list", "Layers are kept in a Python list, where PyTorch finds none of their weights.",
              ("hidden_layers",), _list_layers),
        Fault("frozen weights decay", "The first stages are frozen, and an optimizer of one's own shrinks them all the "
              "same.", ("frozen_moved",), _shrink_frozen, IMAGES),
        Fault("head left out", "The optimizer was given every layer but the head.", ("parameters_left_out",),
              _leave_head_out),
        Fault("zero_grad forgotten", "The training step moves a second head, and never zeroes its gradients.",
              ("gradients_pile_up",), _forget_zero_grad),
        Fault("model called twice", "The training step calls the model twice: BatchNorm averages twice as fast.",
              ("batch_norm_twice",), _forward_twice, IMAGES),
        Fault("samples mixed", "A reshape takes samples for features: what is said of one depends on all.",
              ("samples_mixed",), partial(_put_before_head, lambda _: [Transposed()])),
        Fault("softmax over the batch", "A softmax runs over the samples (dim=0), not over the features.",
              ("samples_mixed",), partial(_put_before_head, lambda _: [nn.Softmax(dim=0)])),
        # The inputs.
        Fault("inputs x 1000", "Inputs are in the thousands, not of the order of 1.", ("inputs_not_scaled",),
              partial(_inputs, lambda X: X * 1000), NUMBERS),
        Fault("inputs not centred", "Inputs lie about 100, with a spread of 1.", ("inputs_not_scaled",),
              partial(_inputs, lambda X: X + 100), NUMBERS),
        Fault("integers 0 to 255", "Pixels are whole numbers from 0 to 255.", ("inputs_not_scaled",),
              partial(_inputs, lambda X: (X * 255).round()), IMAGES),
        Fault("channels last", "Images come as height x width x channels.", ("channels_last",),
              partial(_inputs, lambda X: X.movedim(1, -1).contiguous()), IMAGES),
        Fault("constant inputs", "Every sample is the same.", ("inputs_constant",), partial(_inputs, _constant)),
        Fault("NaN in one sample", "One sample of the training data is NaN.", ("inputs_not_finite",),
              partial(_spoil_one, False), NUMBERS),
        Fault("NaN from a loader", "One sample that a loader brings is NaN.", ("inputs_not_finite", "loss_not_finite"),
              partial(_spoil_one, True), NUMBERS),
        Fault("validation scaled otherwise", "Validation inputs are a hundred times larger: they went another way.",
              ("valid_scaled_otherwise",), _scale_valid, NUMBERS),
        # The targets.
        Fault("shuffled labels", "The labels belong to other samples.", ("labels_shuffled", "no_better_than_chance"),
              partial(_targets, _shuffle), unseen=_UNLEARNABLE),
        Fault("a third of the labels wrong", "One label in three belongs to another sample.", ("labels_contradicted",),
              partial(_train_targets, _shuffle_third), unseen=_UNLEARNABLE),
        Fault("labels from 1", "Classes are counted from 1, where the loss counts from 0.", ("classes_missing",),
              _count_from_one, ONE_CLASS),
        Fault("label out of range", "One sample has class 99, where there are fewer.", ("targets_out_of_range",),
              lambda setup: _targets(_leave_range, _one_digit(setup)), ONE_CLASS),
        Fault("boxes in pixels", "Boxes are in pixels, and the model can only give shares of the image.",
              ("boxes_wrong", "targets_far_off"), _boxes_in_pixels, ("collages",)),
        Fault("one class only", "All samples have the same label.", ("targets_alike",), partial(_targets, _constant)),
        Fault("strong imbalance", "One class has almost all of the samples.", ("classes_unbalanced",),
              _few_others, ONE_CLASS),
        Fault("over-fitting", "There are only 32 samples: the network learns them by heart.", ("overfitting",),
              _few_samples),
        Fault("leaking validation", "The validation samples are among the training samples.",
              ("valid_in_train", "validation_too_good"), _leak),
    )
}  # fmt: skip
