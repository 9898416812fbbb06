"""The truth of the scripts: run alone, without the package, each gives the session's weights, bit for bit."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.core.export.script_runs import Runs, X, Y, check_weights, net, session

RUNS = Runs()


def optimizer(name, **options):
    made = getattr(torch.optim, name)
    RUNS[f"{name.lower()}_{'_'.join(options) or 'plain'}"] = lambda: session(
        optimizer=lambda p: made(p, **options)
    ).fit()


optimizer("SGD", lr=0.1)
optimizer("SGD", lr=0.05, momentum=0.9)
optimizer("SGD", lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
optimizer("Adam", lr=0.01)
optimizer("Adam", lr=0.01, amsgrad=True, betas=(0.8, 0.95))
optimizer("AdamW", lr=0.01, weight_decay=0.1)
optimizer("RMSprop", lr=0.01, momentum=0.5)
optimizer("Adagrad", lr=0.05)
optimizer("NAdam", lr=0.01)

for _task in Y:
    RUNS[f"task_{_task}"] = lambda task=_task: session(task, loss=None).fit()

for _name, _clip in {"norm": 0.1, "value": ("value", 0.01), "adaptive": "adaptive", "each": ("each", 0.05)}.items():
    RUNS[f"clipped_by_{_name}"] = lambda clip=_clip: session(clip=clip).fit()


_WEIGHT = torch.tensor([0.3, 1.0, 2.5, 20.0])
_IGNORED = Y["multiclass"].masked_fill(torch.arange(50) % 7 > 2, -100)
_IGNORED[:10] = -100
for _name, _loss in {
    "class_weights": nn.CrossEntropyLoss(weight=_WEIGHT), "ignored_labels": nn.CrossEntropyLoss()
}.items():  # fmt: skip
    for _source, _data in {
        "rows": (X, _IGNORED), "list": [(X[i : i + 5], _IGNORED[i : i + 5]) for i in range(0, 50, 5)],
        "loader": DataLoader(TensorDataset(X, _IGNORED), 5, shuffle=True),
    }.items():  # fmt: skip
        RUNS[f"accumulated_{_name}_{_source}"] = lambda loss=_loss, data=_data: session(
            None, model=nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 4)), data=data, loss=loss,
            accumulate=2, batch_size=5 if isinstance(data, tuple) else None,
        ).fit()  # fmt: skip


_UNKNOWN = Y["multilabel"].masked_fill(torch.rand(50, 4, generator=torch.Generator().manual_seed(5)) < 0.4, -1)
_UNKNOWN[:10] = -1
for _name, _y in {"minus_one": _UNKNOWN, "nan": _UNKNOWN.float().masked_fill(_UNKNOWN < 0, torch.nan)}.items():
    RUNS[f"unknown_labels_as_{_name}"] = lambda y=_y: session("multilabel", data=(X, y), accumulate=2).fit()
    RUNS[f"unknown_weighed_labels_as_{_name}"] = lambda y=_y: session(
        "multilabel", data=(X, y), loss=nn.BCEWithLogitsLoss(pos_weight=_WEIGHT)
    ).fit()
RUNS["unknown_classes"] = lambda: session(
    "multiclass", data=(X, Y["multiclass"].float().masked_fill(torch.arange(50) % 7 == 0, torch.nan))
).fit()


class Tempered(nn.Module):
    """A loss that learns a scale for each class, and keeps a running mean."""

    def __init__(self, classes=4):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(classes))
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, output, target):
        loss = nn.functional.cross_entropy(output * self.scale, target)
        self.mean.mul_(0.9).add_(0.1 * loss.detach())
        return loss + 0.1 * self.mean


@RUNS.add
def a_loss_with_parameters():
    loss = Tempered()
    loss.scale.data *= 1.5  # it does not begin as it was made
    made = session(loss=loss, valid=(X[:8], Y["multiclass"][:8])).step(3)
    made.optimizer, made.lr = "sgd", 0.2
    return made.fit()


@RUNS.add
def a_loss_with_parameters_in_a_group_of_its_own():
    model, loss = net(), Tempered()
    groups = [{"params": model.parameters()}, {"params": loss.parameters(), "lr": 0.01}]
    return session(model=model, loss=loss, optimizer=torch.optim.SGD(groups, 0.1, momentum=0.9)).fit()


@RUNS.add
def sparse_gradients_clipped_adaptively():
    torch.manual_seed(7)
    model = nn.Sequential(nn.EmbeddingBag(20, 6, mode="sum", sparse=True), nn.Linear(6, 4))
    tokens = torch.randint(0, 20, (50, 5), generator=torch.Generator().manual_seed(4))
    return session(
        model=model, data=(tokens, Y["multiclass"]), optimizer="sgd", lr=0.5, clip=("adaptive", 0.01)
    ).fit()


@RUNS.add
def clip_changes():
    made = session(optimizer="sgd", lr=0.3).step(2)
    for clip in (0.05, ("value", 0.001), "adaptive", ("adaptive", 0.5), None, 0.01):
        made.clip = clip
        made.step(2)
    return made


@RUNS.add
def batch_size_changes_in_mid_epoch():
    made = session().step(2)
    made.batch_size = 5
    made.step(3)
    made.batch_size = 40
    return made.step(4)


@RUNS.add
def everything_before_the_first_step():
    made = session(optimizer="sgd")
    made.lr, made.batch_size, made.clip, made.weight_decay = 0.2, 6, 0.5, 0.01
    made.freeze("0.bias")
    return made.fit(1)


@RUNS.add
def rates_and_decays():
    made = session().step(3)
    made.lr = 1 / 3
    made.step(2)
    made.weight_decay = 0.3
    made.step()
    made.lr = 1e-4
    made.weight_decay = None
    return made.step(5)


@RUNS.add
def freezes_with_batchnorm_and_momentum():
    made = session(optimizer=lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01)).step(3)
    made.freeze("0", "1")
    made.step(4)
    made.unfreeze("0.weight")
    made.step(2)
    made.unfreeze()
    return made.step(3)


@RUNS.add
def frozen_from_the_beginning():
    made = session(trainable=["4"]).step(5)
    made.trainable = None
    return made.step(5)


@RUNS.add
def frozen_by_hand_and_unfrozen():
    model = net()
    model[0].requires_grad_(False)
    made = session(
        model=model, optimizer=lambda p: torch.optim.Adam([q for q in p if q.requires_grad], lr=0.01)
    )
    made.step(4)
    made.unfreeze("0")
    made.clip = 0.5
    made.step(4)
    made.trainable = None
    return made.step(3)


@RUNS.add
def frozen_by_lines_between_two_runs():
    made = session(optimizer=lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)).step(3)
    for parameter in made.model[:2].parameters():
        parameter.requires_grad = False
    made.step(3).freeze(nn.BatchNorm1d).step(3)  # the button: its statistics are held, too
    for parameter in made.model[0].parameters():
        parameter.requires_grad = True
    return made.step(3).freeze_to(1).step(3)


@RUNS.add
def a_frozen_embedding_with_a_largest_norm():
    torch.manual_seed(7)
    model = nn.Sequential(nn.Embedding(9, 6, max_norm=0.5), nn.Flatten(), nn.Linear(18, 4))
    words = torch.randint(0, 9, (len(X), 3), generator=torch.Generator().manual_seed(4))
    made = session(model=model, data=(words, Y["multiclass"]), lr=0.1).step(3)
    return made.freeze(nn.Embedding).step(4).unfreeze().step(2)


@RUNS.add
def a_head_swapped_after_its_optimizer_was_made():
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model[4] = nn.Linear(16, 4)
    return session(model=model, optimizer=optimizer).step(5)


@RUNS.add
def groups_of_their_own():
    def make(parameters):
        parameters = list(parameters)
        return torch.optim.SGD(
            [{"params": parameters[:4], "lr": 0.01}, {"params": parameters[4:], "weight_decay": 0.1}],
            lr=0.1, momentum=0.9,
        )  # fmt: skip

    made = session(optimizer=make).step(3)
    made.lr = 0.07
    return made.step(5)


@RUNS.add
def several_runs_and_a_broken_epoch():
    made = session(epochs=1).fit()
    made.step(2)
    made.stop()
    made.batch_size = 6
    made.fit(2)
    return made.step(3)


@RUNS.add
def rewound():
    made = session(optimizer="adam", lr=0.01).step(3)
    made.lr = 0.1
    made.step(5)
    made.batch_size = 4
    made.step(5)
    made.rewind(5)
    made.lr = 0.02
    return made.step(6)


@RUNS.add
def rewound_to_the_beginning():
    made = session(optimizer="sgd", lr=0.1)
    made.lr = 0.2
    made.freeze("0")
    made.step(3)
    made.clip = 0.1
    made.step(2)
    made.rewind(0)
    made.lr = 0.05
    return made.step(4)


@RUNS.add
def undone():
    made = session().step(3)
    made.batch_size = 5
    made.step(2)
    made.undo()
    return made.step(3)


@RUNS.add
def switched_back_to_a_line_that_was_left():
    made = session(optimizer="sgd", lr=0.1).step(3)
    made.lr = 0.2
    made.step(3)
    made.rewind(2)
    made.lr = 0.9
    made.step(4)
    made.switch("main")
    made.clip = 0.5
    return made.step(3)


@RUNS.add
def the_better_of_two_tries():
    made = session(optimizer="sgd", lr=0.1).step(3)
    made.try_each(4, {"lr": 0.01}, {"lr": 0.3, "batch_size": 8}, keep=1)
    return made.step(2)


@RUNS.add
def a_batch_left_out():
    made = session().step(2)
    made.skip()
    made.step(3)
    made.batch_size = 10
    made.skip()
    return made.step(4)


@RUNS.add
def many_changes():
    made = session()
    for number in range(40):
        made.lr = 1e-3 * (number + 1)
        made.step()
    return made


for _schedule in (
    "step", "exponential", "cosine", "cosine restarts", "one-cycle", "linear", "polynomial", "plateau",
    ("cosine", {"warmup": 3}), ("step", {"unit": "epoch", "step_size": 1}), ("linear", {"over": 5}),
    ("plateau", {"metric": "loss", "patience": 0}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3}),
):  # fmt: skip
    _label = _schedule if isinstance(_schedule, str) else "_".join([_schedule[0], *_schedule[1]])

    def _scheduled(schedule=_schedule, **options):
        return session(
            optimizer="sgd", lr=0.1, schedule=schedule, valid=(X[:10], Y["multiclass"][:10]), **options
        )

    RUNS[f"schedule_{_label}"] = lambda make=_scheduled: make().fit()

    def _slid(make=_scheduled):
        made = make().step(4)
        made.lr = 0.03
        made.step(3)
        made.lr = 1 / 7
        return made.fit()

    RUNS[f"slider_over_{_label}"] = _slid


@RUNS.add
def a_schedule_by_a_lambda():
    return session(
        optimizer="adam", schedule=lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda k: 0.9**k)
    ).fit()


@RUNS.add
def schedules_come_and_go():
    made = session(optimizer="adam", lr=0.01).step(2)
    made.schedule = "one-cycle"
    made.step(3)
    made.schedule = ("cosine", {"warmup": 2})
    made.step(4)
    made.schedule = None
    made.step()
    made.lr = 0.02
    return made.fit()


@RUNS.add
def a_schedule_switched_off():
    made = session(optimizer="adam", lr=0.01, schedule="one-cycle").step(3)
    made.schedule = None
    made.clip = 1.0
    made.step(2)
    made.clip = 0.1
    return made.fit()


@RUNS.add
def one_schedule_after_another():
    made = session(optimizer="sgd", lr=0.1, schedule=("step", {"unit": "step", "step_size": 2})).step(3)
    made.schedule = "one-cycle"
    made.step(2)
    made.schedule = "linear"
    return made.fit()


@RUNS.add
def a_schedule_that_the_run_shortens_before_its_first_step():
    made = session(optimizer="sgd", lr=0.1)
    made.schedule = "one-cycle"
    made.accumulate = 2
    return made.fit()


@RUNS.add
def a_schedule_for_two_runs():
    return session(schedule="cosine", epochs=1).fit().fit(2)


@RUNS.add
def optimizers_swapped():
    made = session(optimizer="adamw", lr=0.01).step(3)
    made.optimizer = "sgd"
    made.step(2)
    made.momentum = 0.9
    made.step(2)
    made.optimizer = ("rmsprop", {"alpha": 0.9})
    made.weight_decay = 0.01
    made.step(2)
    made.momentum = 0.5
    made.step(2)
    made.optimizer = ("adam", {"lr": 0.05})
    made.step()
    made.betas = (0.5, 0.9)
    return made.step(3)


@RUNS.add
def an_optimizer_swapped_under_a_schedule():
    made = session(optimizer="sgd", lr=0.1, schedule=("cosine", {"warmup": 2})).step(4)
    made.optimizer = ("adam", {"lr": 0.01})
    made.step(3)
    made.lr = 0.02
    return made.fit()


@RUNS.add
def accumulated():
    made = session(accumulate=3).step(2)
    made.accumulate = 2
    made.step(2)
    made.batch_size = 8
    made.clip = 0.5
    made.step(3)
    made.accumulate = 1
    return made.fit()


@RUNS.add
def accumulated_from_a_loader():
    loader = DataLoader(
        TensorDataset(X, Y["multiclass"], X), batch_size=16, shuffle=True, collate_fn=first_two
    )
    return session(data=loader, batch_size=None, accumulate=2).fit()


def first_two(samples):
    return torch.stack([one[0] for one in samples]), torch.stack([one[1] for one in samples])


@RUNS.add
def dropout_changes():
    made = session(dropout=0.6).step(3)
    made.dropout = 0.1
    made.step(3)
    made.dropout = None
    return made.step(3)


@RUNS.add
def projected_weights():
    made = session(normalise={"0": "unit"}).step(3)
    made.normalise = {"4": "max_norm", "0": ("max_norm", 0.5)}
    made.step(3)
    made.normalise = {"*": "unit_dim1"}
    made.step(2)
    made.freeze("0")
    made.step(2)
    made.normalise = None
    return made.step(2)


@RUNS.add
def weight_norm_from_the_beginning():
    return session(normalise={"0": "weight_norm"}, clip=0.5, optimizer="sgd", lr=0.1).fit()


@RUNS.add
def weight_norm_comes_and_goes():
    made = session(optimizer="adam", lr=0.01, clip=0.5).step(3)
    made.normalise = {"0": "weight_norm", "4": "unit"}
    made.step(3)
    made.normalise = {"4": "weight_norm"}
    made.step(3)
    made.normalise = None
    return made.step(3)


@RUNS.add
def smoothed_labels():
    made = session(loss=nn.CrossEntropyLoss(label_smoothing=0.2)).step(3)
    made.label_smoothing = 0.05
    made.step(3)
    made.label_smoothing = None
    return made.step(3)


@RUNS.add
def smoothed_from_the_beginning():
    return session(label_smoothing=0.1).fit()


@RUNS.add
def averaged_weights():
    made = session(ema=0.9).step(4)
    made.ema = 0.5
    return made.step(4)


@RUNS.add
def averaged_later():
    made = session().step(4)
    made.ema = 0.5
    return made.step(4)


@RUNS.add
def in_bfloat16():
    made = session(precision="bf16").step(3)
    made.precision = "full"
    made.step(2)
    made.precision = "bf16"
    return made.step(3)


@RUNS.add
def stopped_early_and_restored():
    rule = {"metric": "valid_loss", "patience": 2, "restore": True}
    return session(
        optimizer="sgd", lr=3.0, epochs=30, early_stopping=rule, valid=(X[:10], Y["multiclass"].roll(1)[:10])
    ).fit()


@RUNS.add
def best_weights_put_back_at_the_end_and_again():
    rule = {"metric": "valid_loss", "patience": 99, "restore": True}
    made = session(
        optimizer="sgd", lr=0.5, epochs=8, early_stopping=rule, valid=(X[:10], Y["multiclass"].roll(1)[:10])
    ).fit()
    made.step(4)
    return made.stop()


WISHES = {
    "lr": [0.3, 1e-3, 0.02, 0.0], "batch_size": [3, 8, 21, 50],
    "clip": [None, 0.05, ("value", 0.01), "adaptive"],
    "weight_decay": [None, 0.1], "momentum": [0.0, 0.9],
    "trainable": [None, {"0": False}, ["4"], {"1": False, "4.bias": False}],
    "schedule": [None, "cosine", "one-cycle", ("linear", {"warmup": 2}),
                 ("step", {"unit": "step", "step_size": 3})],
    "optimizer": ["sgd", "adam", ("sgd", {"momentum": 0.5}), "adamw"], "accumulate": [1, 2],
    "dropout": [None, 0.0, {"3": 0.7}], "label_smoothing": [None, 0.1], "precision": ["full", "bf16"],
    "normalise": [None, {"0": "unit"}, {"*": ("max_norm", 1.0)}], "ema": [None, 0.9],
    "reinitialise": ["4", ("0", "kaiming"), ["0", "1"]], "loss_function": [None, "multi_margin", "cross_entropy"],
    "input_scaling": [None, "standardize", (0.5, 2.0)],
    "lr_scale": [None, {"0": 0.3}, {"1": 0, "4.bias": 2}, ("layer_decay", 0.6)],
    "unfreeze_at": [None, {"0": 7}, {"0.bias": 9, "1": "2 epochs"}, ("gradual", 2)],
}  # fmt: skip


def at_random(number):
    """Return a session that was steered at random, as by a class that tries what there is."""
    choose = random.Random(number)
    made = session(optimizer=choose.choice(["sgd", "adamw"]), lr=0.05, seed=number)
    for _ in range(12):
        act = choose.random()
        if act < 0.55:
            name = choose.choice([*WISHES])
            setattr(made, name, choose.choice(WISHES[name]))
        elif act < 0.65 and made.steps:
            made.rewind(choose.randrange(made.steps + 1))
        else:
            made.step(choose.randint(1, 5))
    return made.step(2)


for _number in range(16):
    RUNS[f"at_random_{_number}"] = lambda number=_number: at_random(number)


@pytest.mark.parametrize("name", RUNS)
def test_a_script_gives_the_weights_of_the_run_bit_for_bit(done, name):
    check_weights(done, name)


@pytest.mark.parametrize("name", ["averaged_weights", "averaged_later"])
def test_a_script_gives_the_averaged_weights_bit_for_bit(done, name):
    folder, sessions, failed = done
    assert name not in failed, failed[name]
    ours = sessions[name]._run.loop.weights(averaged=True)
    theirs = torch.load(folder / f"{name}.averaged.pt", weights_only=True)
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
