"""`%load_ext dlwidgets` in a real IPython shell: what a model shows, its cost, and what it leaves alone."""

from __future__ import annotations

import copy
import gc
import os
import subprocess
import sys
import weakref
from html.parser import HTMLParser
from pathlib import Path

import ipywidgets
import pytest
import torch
from IPython.display import HTML
from IPython.utils.capture import capture_output
from torch import nn

import dlwidgets as dlw
from dlwidgets.teaching.models import SmallCNN

CHECKOUT = Path(__file__).resolve().parents[1]


def shown(shell, thing) -> dict[str, str]:
    """Return what a notebook gets to show, by format."""
    return shell.display_formatter.format(thing)[0]


class Words(HTMLParser):
    """The words of a page, joined."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def __str__(self) -> str:
        return " ".join(self.parts)


class Own(nn.Module):
    def _repr_html_(self):
        return "<b>mine</b>"


class Bundled(nn.Module):
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "mine", "application/json": {"mine": 1}}


class ShowsItself(nn.Module):
    def _ipython_display_(self):
        print("I show myself")


class Unwilling(nn.Module):
    """Cannot be walked, though its repr is fine."""

    @property
    def _modules(self):
        raise RuntimeError("No walk\nhere.")

    @_modules.setter
    def _modules(self, value):
        pass

    def __repr__(self):
        return "Unwilling()"


# -- what is shown


def test_a_model_shows_its_table_and_prints_as_torch_prints_it(shell):
    model = SmallCNN(10)
    bundle = shown(shell, model)
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == repr(model)
    words = str(Words(bundle["text/html"]))
    for name, _ in model.named_children():
        assert name in words
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in words


def test_display_and_the_last_line_of_a_cell_show_it(shell, monkeypatch):
    last = []
    monkeypatch.setattr(shell.displayhook, "write_format_data", lambda data, metadata: last.append(data))
    with capture_output() as captured:
        shell.run_cell("import torch; display(torch.nn.Linear(3, 2)); torch.nn.Linear(4, 5)")
    assert not captured.stderr
    for data in (captured.outputs[0].data, last[0]):
        assert "<table" in data["text/html"] and data["text/plain"].startswith("Linear(in_features=")


def test_a_line_says_how_to_give_an_input_and_that_line_works(shell):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    words = str(Words(shown(shell, model)["text/html"]))
    call = "dlwidgets.summary(model, input_shape=(4,))"
    assert call in words
    table = eval(call, {"dlwidgets": dlw, "model": model})
    assert table.complete and table[""].output_shape == (1, 2)


def test_a_table_without_shapes_has_no_empty_columns(shell):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    assert "MACs" not in str(Words(shown(shell, model)["text/html"]))
    followed = dlw.summary(model, torch.zeros(1, 4))
    assert "MACs" in str(Words(shown(shell, followed)["text/html"]))


@pytest.mark.filterwarnings("ignore")  # of torch, on what it no longer likes
@pytest.mark.parametrize(
    "make",
    [
        lambda: SmallCNN(10),
        lambda: nn.LazyLinear(3),
        lambda: nn.Sequential(nn.LazyConv2d(3, 3), nn.Flatten(), nn.LazyLinear(2)),
        lambda: nn.DataParallel(nn.Linear(3, 2)),
        lambda: torch.jit.script(nn.Sequential(nn.Linear(3, 2), nn.ReLU())),
        lambda: torch.jit.trace(nn.Linear(3, 2), torch.zeros(1, 3)),
        lambda: torch.compile(nn.Linear(3, 2)),
        lambda: nn.ModuleList([nn.Linear(1, 1)]),
        lambda: nn.ModuleDict({"a": nn.Linear(1, 1)}),
        lambda: nn.ParameterList([nn.Parameter(torch.zeros(3))]),
        lambda: nn.Module(),
        lambda: nn.Transformer(8, 2, 1, 1),
        lambda: nn.MSELoss(),
        lambda: nn.Linear(3, 2, device="meta"),
        lambda: torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 2))),
    ],
)
def test_any_module_has_a_table(shell, capsys, make):
    bundle = shown(shell, make())
    assert "<table" in bundle["text/html"]
    assert capsys.readouterr().err == ""


def test_a_summary_shows_as_it_does_without_the_extension(bare):
    table = dlw.summary(nn.Linear(3, 2), torch.zeros(1, 3))
    before = shown(bare, table)
    bare.run_line_magic("load_ext", "dlwidgets")
    assert shown(bare, table) == before
    assert before["text/html"] == table._repr_html_()


@pytest.mark.parametrize("make", [Own, Bundled, ShowsItself])
def test_a_model_that_shows_itself_goes_on_doing_so(bare, capsys, make):
    model = make()
    before, said = shown(bare, model), capsys.readouterr().out
    bare.run_line_magic("load_ext", "dlwidgets")
    assert shown(bare, model) == before
    assert capsys.readouterr().out == said


def test_what_is_no_model_shows_as_before(bare):
    things = [nn.Linear, torch.zeros(2), [nn.Linear(1, 1)], HTML("<i>x</i>"), 3]
    before = [shown(bare, thing) for thing in things]
    bare.run_line_magic("load_ext", "dlwidgets")
    assert [shown(bare, thing) for thing in things] == before


@pytest.mark.keras
def test_a_keras_model_shows_its_table_with_the_shapes_that_it_knows(shell):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu", name="hidden")])
    words = str(Words(shown(shell, model)["text/html"]))
    assert "hidden" in words and "relu" in words and "15 parameters" in words and "1×3" in words


@pytest.mark.keras
def test_an_unbuilt_keras_model_shows_what_it_has_and_what_it_wants(shell):
    keras = pytest.importorskip("keras")
    words = str(Words(shown(shell, keras.Sequential([keras.layers.Dense(3, name="hidden")]))["text/html"]))
    assert "hidden" in words and "keras.Input(" in words


# -- what cannot be shown


def test_a_model_without_a_table_prints_and_a_line_says_why(shell, capsys):
    assert shown(shell, Unwilling()) == {"text/plain": "Unwilling()"}
    said = capsys.readouterr().err
    assert said == "dlwidgets has no layer table of this Unwilling: RuntimeError: No walk here.\n"


def in_a_terminal(tmp_path, *lines) -> str:
    """Return what an IPython of a terminal prints for some lines."""
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner"],
        input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "IPYTHONDIR": str(tmp_path), "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    return done.stdout


def test_a_terminal_prints_the_table_as_text(tmp_path):
    made = "from torch import nn; model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())"
    lines = ("model", "[model]", "%dlw summary model", "%dlw sessions", "%unload_ext dlwidgets", "model")
    printed = in_a_terminal(tmp_path, "%load_ext dlwidgets", made, *lines)
    assert printed.count("8 parameters") == 2  # 3 x 2 weights and 2 biases; of the model and by the magic
    assert "There is no session yet" in printed
    assert printed.count("(0): Linear(in_features=3, out_features=2, bias=True)") == 2


@pytest.mark.slow
def test_a_view_in_a_terminal_says_what_it_is_and_what_to_do(tmp_path):
    made = "import dlwidgets, torch; view = dlwidgets.LayerTable(torch.nn.Linear(3, 2))"
    printed = in_a_terminal(tmp_path, made, "view", "print(view)")
    assert printed.count("LayerTable: a live view, which a notebook shows") == 2
    assert printed.count("savefig") == 2


def test_showing_a_model_touches_nothing_of_it(shell):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.LSTM(4, 4))
    model[1].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    calls = []
    for module in model.modules():
        module.register_forward_hook(lambda *args: calls.append(args))

    def everything():
        return (
            copy.deepcopy(model.state_dict()),
            [module.training for module in model.modules()],
            [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()],
            [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
            torch.get_rng_state(),
        )

    before = everything()
    assert "<table" in shown(shell, model)["text/html"]
    torch.testing.assert_close(everything(), before, rtol=0, atol=0)
    assert not calls


def test_no_widget_is_left_behind_and_no_model_kept(shell):
    before = len(ipywidgets.widgets.widget._instances)
    model = SmallCNN(10)
    for _ in range(3):
        shown(shell, model)
    assert len(ipywidgets.widgets.widget._instances) == before
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.slow
def test_ten_thousand_layers_are_a_page_of_moderate_size(shell):
    layers = [nn.Linear(1 + i % 50, 1 + i % 61, device="meta") for i in range(10_000)]
    bundle = shown(shell, nn.Sequential(*layers))
    assert len(bundle["text/html"]) < 300_000
    words = str(Words(bundle["text/html"]))
    assert "more lines are left out" in words
    assert f"{sum(p.numel() for layer in layers for p in layer.parameters()):,} parameters" in words


def test_loading_imports_neither_torch_nor_widgets(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'dlwidgets')\n"
        "print(sorted({'torch', 'ipywidgets', 'keras', 'numpy'} & set(sys.modules)))\n"
        "shell.display_formatter.active_types = ['text/plain', 'text/html']\n"
        "import torch\n"
        "print('text/html' in shell.display_formatter.format(torch.nn.Linear(2, 2))[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split("\n")[:2] == ["[]", "True"], done.stdout + done.stderr


# -- coming and going


def formatters(shell) -> tuple[dict, dict]:
    printers = shell.display_formatter.formatters["text/html"]
    return dict(printers.type_printers), dict(printers.deferred_printers)


@pytest.mark.parametrize("used", [False, True])
def test_unloading_puts_things_back(bare, used):
    before = formatters(bare)
    bare.run_line_magic("load_ext", "dlwidgets")
    if used:
        shown(bare, nn.Linear(2, 2))
    bare.run_line_magic("unload_ext", "dlwidgets")
    assert formatters(bare) == before
    assert set(shown(bare, nn.Linear(2, 2))) == {"text/plain"}


def test_it_can_be_loaded_again_and_reloaded(shell):
    for line in ("load_ext dlwidgets", "reload_ext dlwidgets", "unload_ext dlwidgets", "load_ext dlwidgets"):
        shell.run_line_magic(*line.split())
        assert ("text/html" in shown(shell, nn.Linear(2, 2))) == (not line.startswith("unload"))


def test_loading_twice_by_hand_is_harmless(bare):
    before = formatters(bare)
    dlw.load_ipython_extension(bare)
    shown(bare, nn.Linear(2, 2))
    dlw.load_ipython_extension(bare)
    assert shown(bare, nn.Linear(2, 2))["text/html"].count("<table") == 1
    dlw.unload_ipython_extension(bare)
    assert formatters(bare) == before
    dlw.unload_ipython_extension(bare)
    assert formatters(bare) == before


def test_what_a_person_registered_before_comes_back_and_what_came_since_stays(bare):
    printers = bare.display_formatter.formatters["text/html"]
    printers.for_type(nn.Module, lambda model: "theirs")
    bare.run_line_magic("load_ext", "dlwidgets")
    assert "<table" in shown(bare, nn.Linear(2, 2))["text/html"]
    bare.run_line_magic("unload_ext", "dlwidgets")
    assert shown(bare, nn.Linear(2, 2))["text/html"] == "theirs"
    bare.run_line_magic("load_ext", "dlwidgets")
    printers.for_type(nn.Module, lambda model: "newer")
    bare.run_line_magic("unload_ext", "dlwidgets")
    assert shown(bare, nn.Linear(2, 2))["text/html"] == "newer"


def test_the_printer_of_a_more_special_type_goes_first(shell):
    shell.display_formatter.formatters["text/html"].for_type(SmallCNN, lambda model: "special")
    assert shown(shell, SmallCNN(10))["text/html"] == "special"


def test_the_hooks_of_ipython_are_no_public_names():
    names: dict = {}
    exec("from dlwidgets import *", names)
    assert "load_ipython_extension" not in names and "Session" in names
