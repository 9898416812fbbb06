"""Weights loaded into a model: what fits, what does not, and why."""

import contextlib
import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import dlwidgets as dlw
from tests.core.layers.test_split import Parts, Residual


def seven():
    return Residual(fc=nn.Linear(4, 7))


def equal(model, other, but=()):
    mine, theirs = model.state_dict(), other.state_dict()
    return {name for name, one in mine.items() if not torch.equal(one, theirs[name])} == {*but}


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(4)
    return seven()


def pt(path, value, **options):
    torch.save(value, path, **options)
    return path


@pytest.mark.parametrize("kind", ["safetensors", "pt", "old pt", "folder", "parts", "arrays", "model", "state dict"])
def test_it_does_what_load_state_dict_does_from_each_kind_of_source(source, kind, tmp_path):
    weights, path = source.state_dict(), tmp_path / "w.pt"
    arrays = {name: one.numpy() for name, one in weights.items()}
    given = {"arrays": arrays, "model": source, "state dict": weights}.get(kind, path)
    if kind in ("pt", "old pt"):
        pt(path, weights, _use_new_zipfile_serialization=kind == "pt")
    elif kind in ("safetensors", "folder"):
        save_file(weights, given := tmp_path / "model.safetensors")
        given = tmp_path if kind == "folder" else str(given)
    elif kind == "parts":
        names = [*weights]
        files = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(names)}
        for file in {*files.values()}:
            save_file({name: weights[name] for name in names if files[name] == file}, tmp_path / file)
        given = tmp_path / "model.safetensors.index.json"
        given.write_text(json.dumps({"weight_map": files}))
    model, twin = seven(), seven()
    twin.load_state_dict(weights)
    report = dlw.load_weights(model, given)
    assert report.complete and not report.left and equal(model, twin)


def test_a_head_of_another_size_stays_and_is_said(source):
    model, before = Residual(), Residual()
    before.load_state_dict(model.state_dict())
    report = dlw.load_weights(model, source)
    assert report.left == ("fc.weight", "fc.bias") and not report.complete
    assert torch.equal(model.fc.weight, before.fc.weight) and equal(model, source, ["fc.weight", "fc.bias"])
    assert str(report) == (
        "14 of 16 tensors of the Residual loaded from the Residual.\n"
        "  The head 'fc' is for other classes: what differs is as it was, to be trained.\n"
        "As they were, since the shape differs:\n"
        "  fc.weight: 7×4 in the file, 10×4 in the model\n"
        "  fc.bias: 7 in the file, 10 in the model"
    )


@pytest.mark.parametrize(
    ("off", "model"),
    [("module.", seven()), ("_orig_mod.", seven()), ("module._orig_mod.", seven()), ("model.net.", seven()),
     ("", nn.DataParallel(seven())), ("", Parts(backbone=seven(), more=nn.Linear(2, 2))),
     ("encoder_q.", Parts(trunk=seven())), ("", torch.compile(seven(), backend="eager"))],
)  # fmt: skip
def test_what_names_begin_with_is_found_on_both_sides(source, off, model):
    report = dlw.load_weights(model, {off + name: one for name, one in source.state_dict().items()})
    inner = next(one for one in model.modules() if isinstance(one, Residual))
    assert equal(inner, source) and all(row.outcome in ("loaded", "missing") for row in report.rows)
    assert all(part in str(report.notes) for part in off.split("."))


def test_a_layer_that_was_compiled_inside_has_the_names_of_before(source):
    model = seven()
    model.layer1 = torch.compile(model.layer1, backend="eager")
    assert dlw.load_weights(model, source).complete
    assert torch.equal(model.layer1._orig_mod[0].weight, source.layer1[0].weight)


def test_the_entry_that_fits_is_taken_and_others_are_named(source):
    other = {name: one + 1 for name, one in source.state_dict().items()}
    moments = {"state": {0: {"exp_avg": torch.zeros(3)}}}
    held = {"epoch": 3, "optimizer": moments, "model": source.state_dict(), "ema": other}
    model = seven()
    report = dlw.load_weights(model, held)
    assert report.notes == ("Taken was its entry 'model'.", "'ema' would fit as well: entry='ema' takes it.")
    dlw.load_weights(model, held, entry="ema")
    assert torch.equal(model.conv1.weight, other["conv1.weight"])
    with pytest.raises(ValueError, match="has no entry 'teacher': there are"):
        dlw.load_weights(model, held, entry="teacher")


def test_parts_that_were_saved_apart_come_together(source):
    model = Parts(body=nn.Linear(2, 3), top=nn.Linear(3, 2))
    twin = copy.deepcopy(model)
    for one in twin.parameters():
        one.data += 1
    report = dlw.load_weights(model, {"body": twin.body.state_dict(), "top": twin.top.state_dict()})
    assert report.complete and equal(model, twin)


def test_numbers_of_another_kind_are_converted_and_said(source):
    model = seven().double()
    halves = {name: one.half() if one.ndim else one for name, one in source.state_dict().items()}
    report = dlw.load_weights(model, halves)
    assert report.notes == ("float16 became float64 in 14 tensors.",) and model.fc.weight.dtype == torch.float64
    assert torch.equal(model.fc.weight, source.fc.weight.half().double())
    report = dlw.load_weights(nn.Linear(2, 2), {"weight": torch.ones(2, 2, dtype=torch.cfloat), "bias": torch.ones(2)})
    assert [(row.name, row.outcome, row.why) for row in report.rows][0] == (
        "weight", "kind", "complex64 in the file, float32 in the model"
    )  # fmt: skip


def test_a_name_that_is_close_is_named_and_counters_may_be_missing(source):
    weights = {name: one for name, one in source.state_dict().items() if "tracked" not in name}
    weights["fc.wieght"] = weights.pop("fc.weight")
    report = dlw.load_weights(seven(), weights)
    assert report.left == ("bn1.num_batches_tracked", "layer1.1.num_batches_tracked", "fc.weight")
    assert "fc.wieght: 'fc.weight' of the model is close to it and has that shape" in str(report)
    frame = report.to_frame()
    assert frame.outcome.tolist().count("loaded") == 13
    assert frame[frame.outcome == "unknown"].source.tolist() == ["fc.wieght"]
    weights["fc.weight"] = weights.pop("fc.wieght")
    assert dlw.load_weights(seven(), weights, strict=True).complete


def test_weights_that_are_not_there_yet_are_made():
    with torch.device("meta"):
        bare = seven()
    source = seven()
    assert dlw.load_weights(bare, source).complete and equal(bare, source)
    lazy = nn.Sequential(nn.LazyLinear(3))
    dlw.load_weights(lazy, {"0.weight": torch.ones(3, 2), "0.bias": torch.zeros(3)})
    assert lazy(torch.ones(1, 2)).tolist() == [[2, 2, 2]]


def test_tied_weights_are_loaded_once():
    model = Parts(embed=nn.Embedding(9, 4), head=nn.Linear(4, 9, bias=False))
    model.head.weight = model.embed.weight
    report = dlw.load_weights(model, {"embed.weight": torch.ones(9, 4)})
    assert report.complete and report.loaded == ("embed.weight", "head.weight") and bool((model.head.weight == 1).all())
    report = dlw.load_weights(model, {"embed.weight": torch.ones(9, 4), "head.weight": torch.zeros(9, 4)})
    assert "'head.weight': tied to another in the model" in report.notes[0] and bool((model.head.weight == 1).all())


def test_a_split_weight_is_loaded_by_its_older_names():
    model = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    made = {"weight_g": torch.ones(3, 1), "weight_v": torch.ones(3, 2), "bias": torch.zeros(3)}
    assert dlw.load_weights(model, made).complete
    assert torch.allclose(model.weight, torch.full((3, 2), 0.5**0.5))


class Anything:
    """What a file of tensors does not hold."""


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path, source: None, "There is no file"),
        (lambda path, source: path.write_bytes(b""), "w.pt is empty"),
        (lambda path, source: path.write_text("<!DOCTYPE html>"), "w.pt is a web page or XML"),
        (lambda path, source: path.write_text("version https://git-lfs.github.com/spec/v1"), "is a pointer of Git LFS"),
        (lambda path, source: path.write_text("1, 2, 3"), "w.pt is no file of weights: torch.save("),
        (lambda path, source: path.write_bytes(b"\x89HDF\r\n"), "w.pt is an HDF5 file"),
        (lambda path, source: pt(path, nn.Linear(2, 3)), "holds an object of torch.nn.modules.linear.Linear"),
        (lambda path, source: pt(path, {"args": Anything(), "w": source.state_dict()}), "test_load_weights.Anything"),
        (lambda path, source: pt(path, [1, 2]), "w.pt holds a list, no weights by name"),
        (lambda path, source: pt(path, {"epoch": 3}), "w.pt holds no tensors by name, but 'epoch'"),
        (lambda path, source: torch.jit.save(torch.jit.script(nn.Linear(2, 3)), str(path)), "w.pt is TorchScript"),
        (lambda path, source: np.savez(path.open("wb"), a=np.ones(3)), "w.pt holds numpy arrays"),
        (lambda path, source: path.write_bytes(pt(path, source.state_dict()).read_bytes()[:-300]), "w.pt is damaged"),
        (lambda path, source: path.mkdir(), "is a folder with no file of weights."),
        (lambda path, source: pt(path, {"conv1.weight": torch.ones(2)}), "'conv1.weight': 2 in the file, 4×3×3×3 in"),
        (lambda path, source: pt(path, {"a.b": torch.ones(2)}), "its names, as 'a.b', are not those of the Residual"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_loaded_is_said_in_a_sentence_and_the_model_stays(source, write, said, tmp_path):
    model, twin = seven(), seven()
    twin.load_state_dict(model.state_dict())
    write(tmp_path / "w.pt", source)
    with pytest.raises(ValueError) as caught:
        dlw.load_weights(model, tmp_path / "w.pt")
    assert said in str(caught.value) and equal(model, twin)


@pytest.mark.parametrize(
    ("given", "said"),
    [("https://x.org/w.pt", "is an address: download the file first"), (3, "weights is of type int")],
)
def test_an_address_or_a_number_is_no_file(given, said):
    with pytest.raises((ValueError, TypeError), match=said):
        dlw.load_weights(seven(), given)


def test_a_part_of_a_parted_file_that_is_missing_is_named(source, tmp_path):
    place = tmp_path / "model.safetensors.index.json"
    place.write_text(json.dumps({"weight_map": {"fc.weight": "../model-2.safetensors"}}))
    with pytest.raises(ValueError, match="names 'model-2.safetensors', not in its folder"):
        dlw.load_weights(seven(), place)


def test_strict_loads_all_or_nothing(source):
    model, twin = Residual(), Residual()
    twin.load_state_dict(model.state_dict())
    with pytest.raises(ValueError, match="(?s)strict: not all fits, and nothing was loaded.*fc.weight: 7×4"):
        dlw.load_weights(model, source, strict=True)
    assert equal(model, twin)


@pytest.mark.filterwarnings("ignore")
def test_packed_weights_are_refused():
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)), {nn.Linear}, torch.qint8)
    with pytest.raises(ValueError, match="'0' holds its weights packed: load them before the model is quantised"):
        dlw.load_weights(model, {"0.weight": torch.ones(4, 4)})


X, Y = torch.rand(32, 3, 5, 5, generator=torch.Generator().manual_seed(1)), torch.arange(32) % 7


def test_a_session_begins_with_weights_that_were_loaded_before_its_first_step(source, tmp_path):
    begun = seven()
    begun.load_state_dict(source.state_dict())
    options = {"lr": 0.1, "optimizer": "sgd", "seed": 3, "threads": 1}
    with contextlib.closing(dlw.Session(seven(), (X, Y), **options)) as session:
        session.momentum = 0.5  # a state is kept before it
        assert session.load_weights(source).complete
        session.step(2)
        with contextlib.closing(dlw.Session(begun, (X, Y), **options)) as twin:
            twin.momentum = 0.5
            twin.step(2)
            assert equal(session.model, twin.model)
            session.rewind(0)
            assert equal(session.model, source)
            session.step(2)
            twin.rewind(0)
            twin.step(2)
            assert equal(session.model, twin.model)


def test_weights_that_are_loaded_in_mid_run_leave_no_way_back_and_say_so(source):
    with contextlib.closing(dlw.Session(seven(), (X, Y), threads=1)) as session:
        session.step(2)
        session.load_weights(source)
        assert equal(session.model, source) and session.notes[-1] == (
            "16 of 16 tensors of the Residual loaded from the Residual. There is no way back to before it."
        )
        with pytest.raises(ValueError, match="Nothing is kept from before step 2"):
            session.rewind(0)
        with pytest.raises(ValueError, match="Weights were loaded after step 2: no script can repeat that"):
            session.to_script("run.py")


def test_a_model_that_trains_is_not_torn(source):
    model = seven()
    with contextlib.closing(dlw.Session(model, (X, Y), threads=1, epochs=10**6)) as session:
        session.start()
        with pytest.raises(RuntimeError, match="A session trains this model just now: session.load_weights"):
            dlw.load_weights(nn.Sequential(model), source)
        session.load_weights(source)
        session.pause()
        dlw.load_weights(model, source)
        assert equal(model, source)
