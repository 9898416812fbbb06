"""summary(): the rows and sums of a model, against what torch says of it."""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import dlwidgets as dlw
from dlwidgets.teaching.models import MLP, ChestNet, SmallCNN

ZOO = {
    "mlp": lambda: (MLP(12, 3), torch.rand(5, 12)),
    "cnn": lambda: (SmallCNN(10), torch.rand(2, 1, 28, 28)),
    "residual": lambda: (ChestNet(), torch.rand(2, 1, 64, 64)),
    "lstm": lambda: (nn.LSTM(4, 6, 2, batch_first=True, bidirectional=True), torch.rand(3, 7, 4)),
    "gru": lambda: (nn.GRU(4, 6), torch.rand(7, 3, 4)),
    "rnn": lambda: (nn.RNN(4, 6, nonlinearity="relu"), torch.rand(7, 3, 4)),
    "projected lstm": lambda: (nn.LSTM(4, 6, proj_size=3), torch.rand(7, 3, 4)),
    "transformer": lambda: (nn.Transformer(8, 2, 2, 2, 16), (torch.rand(5, 3, 8), torch.rand(4, 3, 8))),
    "encoder": lambda: (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3), torch.rand(2, 5, 8)
    ),
    "attention": lambda: (nn.MultiheadAttention(8, 2), (torch.rand(5, 2, 8),) * 3),
    "volumes": lambda: (
        nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.Upsample(None, 2)), torch.rand(1, 1, 6, 6, 6)
    ),
    "sequence": lambda: (nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 5)), torch.randint(0, 9, (6, 2))),
    "bilinear": lambda: (nn.Bilinear(3, 4, 5), (torch.rand(2, 3), torch.rand(2, 4))),
}  # fmt: skip


def shapes_of(output):
    """The shapes of the tensors of an output, written apart from the code under test."""
    if isinstance(output, torch.Tensor):
        return [tuple(output.shape)]
    if isinstance(output, (tuple, list)):
        return [shape for part in output for shape in shapes_of(part)]
    return []


@pytest.mark.parametrize("name", ZOO)
def test_shapes_and_calls_are_those_that_hooks_see_in_a_real_forward(name):
    model, inputs = ZOO[name]()
    table = dlw.summary(model, inputs)
    seen: dict[str, list] = {}
    handles = [
        module.register_forward_hook(
            lambda _m, _a, out, path=path: seen.setdefault(path, []).append(shapes_of(out))
        )
        for path, module in model.named_modules()
    ]
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            model.eval()(*(inputs if isinstance(inputs, tuple) else (inputs,)))
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
        for handle in handles:
            handle.remove()
    assert table.complete and table.error is None
    assert {row.path: row.calls for row in table.rows if row.calls} == {
        path: len(outs) for path, outs in seen.items()
    }
    assert {row.path: [shape for _, shape in row.outputs] for row in table.rows if row.calls} == {
        path: outs[0] for path, outs in seen.items()
    }


@pytest.mark.parametrize("name", ZOO)
def test_parameters_are_those_that_torch_counts(name):
    model, inputs = ZOO[name]()
    table = dlw.summary(model, inputs)
    assert table.total_parameters == sum(p.numel() for p in model.parameters())
    for row in table.rows:
        module = model.get_submodule(row.path)
        assert row.parameters == sum(p.numel() for p in module.parameters())
        assert row.own_parameters == sum(p.numel() for p in module.parameters(recurse=False))
        assert row.parameter_bytes == sum(p.nbytes for p in module.parameters())
        assert row.buffer_bytes == sum(b.nbytes for b in module.buffers())


def test_rows_stand_in_the_order_of_the_calls():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused, self.last, self.first = nn.Linear(1, 1), nn.Linear(4, 5), nn.Linear(3, 4)
            self.middle = nn.ModuleList([nn.Linear(4, 4)])

        def forward(self, x):
            return self.last(self.middle[0](self.first(x)))

    table = dlw.summary(Backwards(), torch.rand(2, 3))
    assert [row.path for row in table.rows] == ["", "first", "middle", "middle.0", "last", "unused"]
    assert table["unused"].calls == 0 and table["unused"].note == "not called"
    assert table["unused"].output_shape is None


def test_tied_weights_are_counted_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(50, 8), nn.Linear(8, 50, bias=True)
            self.head.weight = self.embed.weight

        def forward(self, x):
            return self.head(self.embed(x))

    model = Tied()
    table = dlw.summary(model, torch.zeros(2, 3, dtype=torch.long))
    assert (
        table.total_parameters
        == sum(p.numel() for p in {id(p): p for p in model.parameters()}.values())
        == 450
    )
    assert table["head"].tied_to == "embed" and table["head"].tied_parameters == 400
    assert sum(row.own_parameters - row.tied_parameters for row in table.rows) == table.total_parameters


def test_a_layer_called_twice_counts_its_work_twice_and_its_weights_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.layer(x))

    row = dlw.summary(Twice(), torch.rand(3, 4))["layer"]
    assert (row.calls, row.macs, row.parameters, row.activation_bytes) == (2, 2 * 3 * 16, 20, 2 * 3 * 4 * 4)


def test_an_activation_that_two_places_share_ran_once_in_each():
    relu = nn.ReLU()
    table = dlw.summary(nn.Sequential(nn.Linear(2, 3), relu, nn.Linear(3, 4), relu), torch.rand(1, 2))
    assert [table[path].calls for path in "0123"] == [1, 1, 1, 1]
    assert [table[path].output_shape for path in "0123"] == [(1, 3), (1, 3), (1, 4), (1, 4)]
    assert table["3"].same_as == "1"


def test_a_layer_whose_forward_is_called_directly_is_seen():
    class Direct(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 5)

        def forward(self, x):
            return self.layer.forward(x)

    assert dlw.summary(Direct(), torch.rand(3, 4))["layer"].macs == 60


def test_trainable_says_yes_no_or_partly():
    model = nn.Sequential(OrderedDict(a=nn.Linear(2, 2), b=nn.Linear(2, 2), c=nn.ReLU()))
    model.a.requires_grad_(False)
    table = dlw.summary(model, torch.rand(1, 2))
    assert [table[path].trainable for path in ("", "a", "b", "c")] == ["partly", "no", "yes", ""]
    assert table.trainable_parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_parameters_that_a_module_holds_beside_others_are_its_own():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.layer = nn.Parameter(torch.ones(7)), nn.Linear(7, 7)

        def forward(self, x):
            return self.scale * self.layer(x)

    row = dlw.summary(Scaled(), torch.rand(1, 7)).rows[0]
    assert (row.own_parameters, row.parameters) == (7, 7 + 56)


def test_activation_bytes_are_those_of_what_the_layers_put_out():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 2))
    table = dlw.summary(model, torch.rand(4, 1, 8, 8))
    kept, x = [], torch.rand(4, 1, 8, 8)
    for layer in model:
        x = layer(x)
        kept.append(x)
    memory = {out.untyped_storage().data_ptr(): out.nbytes for out in kept}
    assert table.activation_bytes == sum(memory.values())
    assert table["3"].activation_bytes == 0  # a view
    assert table["1"].activation_bytes == kept[1].nbytes


def test_what_works_in_place_adds_no_memory():
    table = dlw.summary(nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True)), torch.rand(2, 3))
    assert (table["0"].activation_bytes, table["1"].activation_bytes) == (24, 0)


def test_half_precision_halves_the_bytes():
    model = nn.Linear(8, 8)
    full, half = dlw.summary(model, input_shape=(8,)), dlw.summary(model.half(), input_shape=(8,))
    assert (
        half.parameter_bytes * 2 == full.parameter_bytes
        and half.activation_bytes * 2 == full.activation_bytes
    )
    assert (full.rows[0].dtype, half.rows[0].dtype) == ("float32", "float16")


def test_holders_have_the_sums_of_what_they_hold():
    table = dlw.summary(MLP(12, 3, hidden=(5, 6)), torch.rand(2, 12))
    inner = [row for row in table.rows if row.path.startswith("hidden.") and row.depth == 2]
    assert table["hidden"].calls == 0 and table["hidden"].note == "" and table["hidden"].holder
    assert table["hidden"].macs == sum(row.macs for row in inner) == 2 * (12 * 5 + 5 * 6)
    assert table["hidden"].activation_bytes == sum(row.activation_bytes for row in inner)


# -- inputs and outputs of every form


class Two(nn.Module):
    """Takes two inputs, the second by name only where `scale` is meant."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(5, 4)

    def forward(self, a, b, *, scale=None):
        out = self.left(x) if (x := a) is not None and b is None else self.left(a) + self.right(input=b)
        return out if scale is None else out * scale


@pytest.mark.parametrize(
    "inputs",
    [
        (torch.rand(2, 3), torch.rand(2, 5)),
        {"a": torch.rand(2, 3), "b": torch.rand(2, 5)},
        {"b": torch.rand(2, 5), "a": torch.rand(2, 3), "scale": torch.rand(2, 1)},
        UserDict(a=torch.rand(2, 3), b=torch.rand(2, 5)),
        [torch.rand(2, 3), torch.rand(2, 5), torch.zeros(2)],
        (torch.rand(2, 3).numpy(), torch.rand(2, 5).double().numpy()),
        {"a": torch.rand(2, 3), "b": torch.rand(2, 5), "labels": torch.zeros(2)},
    ],
    ids=["tuple", "dict", "dict with a keyword", "mapping", "batch", "arrays", "dict with labels"],
)
def test_several_inputs_are_taken_in_any_form(inputs):
    table = dlw.summary(Two(), inputs)
    assert table.complete, table.error
    assert (table["left"].input_shape, table["right"].input_shape) == ((2, 3), (2, 5))
    assert table.rows[0].output_shape == (2, 4)


def test_a_batch_of_a_data_loader_is_taken_without_its_targets():
    data = TensorDataset(torch.rand(8, 12), torch.zeros(8))
    table = dlw.summary(MLP(12, 3), next(iter(DataLoader(data, batch_size=4))))
    assert table.complete and table.inputs == ((4, 12),) and table.batch == 4
    assert any("target" in note for note in table.notes)


def test_a_pair_of_inputs_and_targets_is_taken_as_a_batch_where_forward_takes_one():
    assert dlw.summary(MLP(12, 3), (torch.rand(4, 12), torch.zeros(4))).inputs == ((4, 12),)


def test_a_batch_whose_inputs_are_a_dict_is_unpacked():
    assert dlw.summary(Two(), [{"a": torch.rand(2, 3), "b": torch.rand(2, 5)}]).complete


def test_a_shape_is_that_of_one_sample():
    table = dlw.summary(SmallCNN(10), input_shape=(1, 28, 28))
    assert table.inputs == ((1, 1, 28, 28),) and table.rows[0].output_shape == (1, 10)


@pytest.mark.parametrize("batch", [None, -1])
def test_a_shape_may_name_its_batch_axis(batch):
    assert dlw.summary(MLP(12, 3), input_shape=(batch, 12)).inputs == ((1, 12),)


def test_a_shape_with_its_batch_axis_is_understood_where_nothing_else_fits():
    table = dlw.summary(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), input_shape=(8, 3, 16, 16))
    assert table.complete and table.inputs == ((8, 3, 16, 16),)
    assert "first axis as the batch" in table.notes[0]


def test_several_shapes_and_shapes_by_name():
    assert dlw.summary(Two(), input_shape=[(3,), (5,)]).inputs == ((1, 3), (1, 5))
    assert dlw.summary(Two(), input_shape={"a": (3,), "b": (5,)}).complete


def test_an_embedding_gets_whole_numbers_unless_told_otherwise():
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 2))
    found = dlw.summary(model, input_shape=(5,))
    assert found.complete and "torch.long" in found.notes[0]
    assert dlw.summary(model, input_shape=(5,), dtype=torch.long).notes == ()
    assert not dlw.summary(model, input_shape=(5,), dtype=torch.float32).complete


def test_an_array_takes_the_dtype_of_the_weights():
    assert dlw.summary(MLP(12, 3), np.zeros((2, 12))).complete
    assert dlw.summary(MLP(12, 3).double(), np.zeros((2, 12), np.float32)).complete


@dataclass
class Answer:
    logits: torch.Tensor
    hidden: tuple


Pair = namedtuple("Pair", ["first", "second"])


@pytest.mark.parametrize(
    ("form", "names"),
    [
        (lambda x: x, [""]),
        (lambda x: (x, [x, None]), ["[0]", "[1][0]"]),
        (lambda x: {"a": x, "b": {"c": x}}, ["[a]", "[b][c]"]),
        (lambda x: Answer(x, (x,)), ["[logits]", "[hidden][0]"]),
        (lambda x: Pair(x, x), ["[first]", "[second]"]),
        (lambda x: torch.distributions.Normal(x, x.exp(), validate_args=False), ["[loc]", "[scale]"]),
        (lambda x: None, []),
    ],
    ids=["tensor", "tuple", "dict", "dataclass", "namedtuple", "distribution", "nothing"],
)
def test_outputs_of_every_form_are_told(form, names):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 4)

        def forward(self, x):
            return form(self.layer(x))

    row = dlw.summary(Model(), torch.rand(2, 3)).rows[0]
    assert [name for name, _ in row.outputs] == names
    assert all(shape == (2, 4) for _, shape in row.outputs)
    assert row.output_shape == ((2, 4) if names == [""] else None)


def test_calls_of_different_shapes_are_noted():
    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return self.conv(x), self.conv(F.avg_pool2d(x, 2))

    row = dlw.summary(Pyramid(), torch.rand(1, 1, 8, 8))["conv"]
    assert row.calls == 2 and row.output_shape == (1, 1, 8, 8) and "different shapes" in row.note
    assert row.activation_bytes == 4 * (64 + 16)


@pytest.mark.parametrize("given", [None, "text", 3, [], object()])
def test_what_is_no_input_is_refused_or_asked_for(given):
    if given is None:
        assert "No input was given" in dlw.summary(MLP(2, 2), given).error
        return
    with pytest.raises((TypeError, ValueError), match="wanted"):
        dlw.summary(MLP(2, 2), given)


@pytest.mark.parametrize("shape", ["(3, 4)", (3, -2), (2.5,), (), (True,)])
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises((TypeError, ValueError), match="input_shape"):
        dlw.summary(MLP(2, 2), input_shape=shape)


def test_input_and_shape_together_are_refused():
    with pytest.raises(ValueError, match="one of them"):
        dlw.summary(MLP(2, 2), torch.rand(1, 2), input_shape=(2,))


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="Module is wanted"):
        dlw.summary("model", torch.rand(1, 2))


# -- special models


def test_a_model_on_the_meta_device_is_summed_up_without_weights():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(50_000, 50_000), nn.ReLU(), nn.Linear(50_000, 10))
    table = dlw.summary(model, input_shape=(50_000,))
    assert table.complete and table.total_macs == 50_000 * 50_010
    assert table.parameter_bytes == 4 * sum(p.numel() for p in model.parameters())


def test_lazy_layers_are_shown_as_not_built_and_stay_so():
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(10))
    table = dlw.summary(model, torch.rand(2, 1, 8, 8))
    assert model[0].has_uninitialized_params() and model[3].has_uninitialized_params()
    assert table.complete and table.total_parameters == 0
    assert table.rows[0].output_shape == (2, 10)
    built = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 10))
    for path in "0123":
        count = sum(p.numel() for p in built[int(path)].parameters())
        assert (f"{count:,} parameters" in table[path].note) == bool(count)
    assert table.total_macs == dlw.summary(built, torch.rand(2, 1, 8, 8)).total_macs


def test_lazy_layers_need_no_input_to_be_shown():
    table = dlw.summary(nn.Sequential(nn.LazyLinear(3)))
    assert table["0"].note == "not built yet" and "not built yet" in table.error


def test_a_compiled_model_is_summed_up_as_what_it_was_compiled_from():
    model = MLP(12, 3)
    assert str(dlw.summary(torch.compile(model), torch.rand(2, 12))) == str(
        dlw.summary(model, torch.rand(2, 12))
    )


def test_parametrised_weights_are_counted_as_they_are_kept():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.ReLU())
    table = dlw.summary(model, torch.rand(2, 4))
    assert table.complete and table.total_parameters == sum(p.numel() for p in model.parameters())
    assert table.total_macs == 24


def test_a_torchscript_model_is_run_for_real_and_the_table_says_so():
    model = torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    table = dlw.summary(model, torch.rand(2, 4))
    assert table.complete and table.total_macs == 24 and table.rows[0].output_shape == (2, 3)
    assert "run once for real" in table.notes[0]


@pytest.mark.filterwarnings("ignore")
def test_a_dynamically_quantised_layer_has_macs_and_tells_of_its_packed_weights():
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("This build of torch has no quantised kernels.")
    whole = nn.Sequential(nn.Linear(4, 3), nn.LSTM(3, 5))
    model = torch.ao.quantization.quantize_dynamic(whole, {nn.Linear, nn.LSTM})
    table = dlw.summary(model, torch.rand(7, 2, 4))
    assert table["0"].output_shape == (7, 2, 3) and table["0"].macs == 7 * 2 * 4 * 3
    assert "12 weights are packed as qint8" in table["0"].note
    assert f"{3 * 20 + 5 * 20} weights are packed as qint8" in table["1"].note
    assert table.total_parameters == sum(p.numel() for p in model.parameters())
    assert set(table.uncounted) == {"aten.quantized_lstm"}  # named, not taken for zero


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("input_size", "input_shape"),
        ("input_data", "input"),
        ("imput_shape", "input_shape"),
        ("depth", "dtype"),
    ],
)
def test_a_keyword_of_another_tool_or_misspelt_gets_a_sentence(name, meant):
    with pytest.raises(TypeError, match=f"takes no {name}.*{meant}"):
        dlw.summary(MLP(2, 2), **{name: (2,)})


def test_a_mixture_of_experts_is_followed_without_values():
    if not hasattr(torch, "_grouped_mm"):
        pytest.skip("This torch has no grouped products.")

    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(3, 4, 6))

        def forward(self, x, ends):
            return torch._grouped_mm(x, self.weight, offs=ends)

    ends = torch.tensor([2, 5, 8], dtype=torch.int32)
    table = dlw.summary(Experts(), (torch.rand(8, 4), ends))
    assert table.rows[0].output_shape == (8, 6) and table.notes == ()
    assert table.total_macs == 8 * 4 * 6  # each row meets one expert
    assert not dlw.summary(Experts(), (torch.rand(8, 5), ends)).complete


# -- properties


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    batch=st.integers(0, 5),
    bias=st.booleans(),
)
def test_a_stack_of_linear_layers_adds_up(widths, batch, bias):
    model = nn.Sequential(*(nn.Linear(a, b, bias=bias) for a, b in zip(widths, widths[1:])))
    table = dlw.summary(model, torch.zeros(batch, widths[0]))
    assert table.complete
    assert table.total_macs == batch * sum(a * b for a, b in zip(widths, widths[1:]))
    assert table.activation_bytes == 4 * batch * sum(widths[1:])
    assert table.total_parameters == sum(p.numel() for p in model.parameters())


def test_the_frame_has_a_row_for_each_layer_and_a_column_for_each_fact():
    table = dlw.summary(ChestNet(), input_shape=(1, 64, 64))
    frame = table.to_frame()
    assert list(frame["path"]) == [row.path for row in table.rows]
    assert frame.loc[frame.path == "head.linear", "parameters"].item() == 64 * 14 + 14
    assert int((frame.own_parameters - frame.tied_parameters).sum()) == table.total_parameters
    assert int(frame.own_macs.sum()) == table.total_macs


def test_a_row_is_found_by_its_path():
    table = dlw.summary(MLP(2, 2))
    assert table["head"].kind == "Linear" and len(table) == len(list(table))
    with pytest.raises(KeyError, match="no layer 'tail'"):
        table["tail"]


# -- layers met before


def test_equal_layers_are_told_alike_whether_followed_or_recalled():
    """The second of two equal layers is recalled; alone, it is followed."""
    for make, shape in [
        (lambda: nn.Linear(6, 6), (3, 6)),
        (lambda: nn.Conv2d(6, 6, 3, padding=1), (2, 6, 8, 8)),
        (lambda: nn.Conv2d(6, 6, 3, padding=1).to(memory_format=torch.channels_last), (2, 6, 8, 8)),
        (lambda: nn.BatchNorm1d(6), (3, 6)),
        (lambda: nn.MaxPool2d(3, 1, 1), (2, 6, 8, 8)),
        (lambda: nn.ReLU(inplace=True), (3, 6)),
    ]:
        alone = dlw.summary(make(), torch.rand(shape)).rows[0]
        table = dlw.summary(nn.Sequential(make(), make(), make()), torch.rand(shape))
        for row in table.rows[1:]:
            assert (row.macs, row.output_shape, row.activation_bytes, row.dtype, row.calls) == (
                alone.macs, alone.output_shape, alone.activation_bytes, alone.dtype, alone.calls,
            )  # fmt: skip


def test_layers_that_differ_in_anything_are_not_taken_for_one_another():
    x = torch.rand(1, 4, 9, 9)
    kinds = [
        nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Conv2d(4, 4, 3, stride=1),
        nn.Conv2d(4, 4, 3, padding=1, dilation=1, bias=False), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, 2),
    ]  # fmt: skip
    table = dlw.summary(nn.Sequential(*kinds), x)
    for row, kind in zip(table.rows[1:], kinds, strict=True):
        alone = dlw.summary(kind, x).rows[0]
        x = kind(x)
        assert (row.macs, row.output_shape) == (alone.macs, tuple(x.shape))


def test_a_replaced_forward_is_followed():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].forward = lambda x: torch.cat([x, x], -1)
    table = dlw.summary(model, torch.rand(2, 4))
    assert table["1"].output_shape == (2, 8) and table["1"].macs == 0


def test_under_autocast_the_dtypes_are_those_of_a_real_forward():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    with torch.autocast("cpu", torch.bfloat16):
        table = dlw.summary(model, torch.rand(2, 4))
        kept = model[0](torch.rand(2, 4))
    assert kept.dtype == torch.bfloat16 and table["0"].activation_bytes == kept.nbytes


def test_a_summary_walks_over_the_model_once(monkeypatch):
    walked = []
    monkeypatch.setattr("dlwidgets.core.layers.walk.uncompiled", lambda model: walked.append(model) or model)
    dlw.summary(SmallCNN(10), input_shape=(1, 28, 28))
    assert len(walked) == 1
