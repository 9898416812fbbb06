"""Groups split by factors move each parameter as groups made so by hand do."""

from __future__ import annotations

import copy

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlwidgets.core.controls.scaled_groups import ScaledGroups

KINDS = {
    "SGD": {"momentum": 0.9, "nesterov": True}, "Adam": {"amsgrad": True}, "AdamW": {"weight_decay": 0.1},
    "RMSprop": {"momentum": 0.5}, "Adagrad": {"lr_decay": 0.1}, "NAdam": {}, "RAdam": {}, "Adadelta": {}, "ASGD": {},
    "Adamax": {}, "Rprop": {},
}  # fmt: skip
COUNT = 5
FACTORS = st.lists(st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.5]), min_size=COUNT, max_size=COUNT)


def parameters():
    drawn = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(2, 3, generator=drawn)) for _ in range(COUNT)]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.lists(st.integers(0, 1), min_size=COUNT, max_size=COUNT),
       st.lists(FACTORS, min_size=1, max_size=4))  # fmt: skip
def test_each_parameter_goes_the_way_of_one_in_a_group_of_its_own(kind, homes, splits):
    ours, theirs, kind, options = parameters(), parameters(), getattr(torch.optim, kind), KINDS[kind]
    own = [[p for p, home in zip(ours, homes) if home == number] for number in (0, 1)]
    own = [{"params": group, "lr": 0.1 / (1 + number)} for number, group in enumerate(own) if group]
    optimizer = kind(own, **options)
    by_hand = kind([{"params": [p], "lr": 0.1 / (1 + home)} for p, home in zip(theirs, homes)], **options)
    made = [id(p) for group in optimizer.param_groups for p in group["params"]]
    groups, drawn = ScaledGroups(optimizer), torch.Generator().manual_seed(1)
    for factors in splits:
        groups.split({id(p): factor for p, factor in zip(ours, factors)})
        for group, home, factor in zip(by_hand.param_groups, homes, factors):
            group["lr"] = 0.1 / (1 + home) * factor
        for _ in range(2):
            for p, q in zip(ours, theirs):
                p.grad = torch.randn(2, 3, generator=drawn)
                q.grad = p.grad.clone()
            optimizer.step()
            by_hand.step()
            assert all(map(torch.equal, ours, theirs))
    groups.split({})
    assert [id(p) for group in optimizer.param_groups for p in group["params"]] == made


def test_what_others_write_into_a_group_is_kept():
    ours = parameters()
    optimizer = torch.optim.SGD(ours, lr=0.1, momentum=0.5)
    groups = ScaledGroups(optimizer)
    groups.split({id(ours[0]): 0.5})
    optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["momentum"] = 0.2, 0.9
    optimizer.param_groups[1]["params"].append(late := torch.nn.Parameter(torch.zeros(1)))
    optimizer.add_param_group({"params": [more := torch.nn.Parameter(torch.zeros(1))], "lr": 7.0})
    groups.split({id(ours[1]): 0.5})
    assert [group["lr"] for group in optimizer.param_groups] == [0.4, 0.2, 7.0]
    assert [group["momentum"] for group in optimizer.param_groups] == [0.9, 0.9, 0.5]
    assert [len(group["params"]) for group in optimizer.param_groups] == [5, 1, 1]
    assert optimizer.param_groups[0]["params"][-1] is late and optimizer.param_groups[2]["params"] == [more]


def test_names_and_a_rate_in_a_tensor_stay_with_their_groups():
    ours, rate = parameters(), torch.tensor(0.5)
    optimizer = torch.optim.Adam([(f"p{number}", p) for number, p in enumerate(ours)], lr=rate, foreach=False)
    before, groups = copy.copy(optimizer.param_groups[0]), ScaledGroups(optimizer)
    groups.split({id(ours[3]): 0.5})
    assert [group["param_names"] for group in optimizer.param_groups] == [["p0", "p1", "p2", "p4"], ["p3"]]
    assert [float(group["lr"]) for group in optimizer.param_groups] == [0.5, 0.25]
    groups.split({})
    assert optimizer.param_groups == [before] and optimizer.param_groups[0]["lr"] is rate
