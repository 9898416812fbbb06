"""LayerTable without a browser: what it sends, once or live, what it takes from the page, what it refuses."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import dlwidgets.views
from dlwidgets.core.doctor.finding import Finding
from dlwidgets.core.layers import columns
from dlwidgets.core.layers.columns import COLUMNS
from dlwidgets.core.layers.dead_units import DeadUnits
from dlwidgets.core.layers.probes import LayerStats
from dlwidgets.core.layers.summary import summary
from dlwidgets.core.layers.summary_text import first_lines, fold_repeats
from dlwidgets.session import Session
from dlwidgets.views.layers.view import LayerTable


class Net(nn.Module):
    """A stem, three blocks alike, and a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(4, 6)
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Linear(6, 6), nn.ReLU()) for _ in range(3)))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)))


@pytest.fixture
def session():
    """A session of a small net that has not begun."""
    torch.manual_seed(0)
    X = torch.randn(64, 4)
    return Session(Net(), train=(X, (X[:, :3] > 0).float()), batch_size=16, epochs=1000)


@pytest.fixture
def said(monkeypatch):
    """What views send to the page beside their traits."""
    messages = []
    monkeypatch.setattr(LayerTable, "send", lambda self, message, buffers=None: messages.append(message))
    return messages


@pytest.fixture
def sent(monkeypatch):
    """The names of the traits of each message from a view to the page."""
    messages = []
    send_state = LayerTable.send_state

    def note(self, key=None):
        messages.append({key} if isinstance(key, str) else set(key or self.keys))
        return send_state(self, key)

    monkeypatch.setattr(LayerTable, "send_state", note)
    return messages


def page_says(view, **message):
    """Do what the page does when it sends a message."""
    view._handle_custom_msg(message, [])


def open_page(view):
    """Open a page on the view, which draws what it gets."""
    page_says(view, hello=view.frame)
    page_says(view, drawn=view.frame)


def measured(paths, step=1, ratio=1e-3, finite=True):
    """Return statistics of layers by path, all the same."""
    same = np.full(len(paths), ratio, np.float32)
    ones = np.ones_like(same)
    return LayerStats(step, list(paths), ones, ones, same, np.full(len(paths), finite))


def publish(session, stats):
    """Write the fact, as the training loop does."""
    session.set_trait("layer_stats", stats)


def paths_of(view):
    """Read the paths of the rows as the page does: from names and depths."""
    above, paths = [], []
    for name, depth, *_ in view.rows:
        above[depth:] = [name]
        paths.append(".".join(above[1:]))
    return paths


def sizes_of(view):
    """Read parameters, MACs, activation bytes, own parameters and bytes of parameters as the page does."""
    return np.frombuffer(view.sizes, np.float64).reshape(-1, 5)


def stats_of(view):
    """Read the live numbers as the page does: path -> weight norm, gradient norm, ratio, finite."""
    rows = np.frombuffer(view.measured, np.int32)
    numbers = np.frombuffer(view.stats, np.float32).reshape(-1, 4)
    return {paths_of(view)[row]: values for row, values in zip(rows, numbers)}


def test_a_table_walks_over_the_model_once(session, monkeypatch):
    walked = []
    monkeypatch.setattr("dlwidgets.core.layers.walk.uncompiled", lambda model: walked.append(model) or model)
    LayerTable(Net(), input_shape=(4,))
    LayerTable(session)
    assert len(walked) == 2


def test_the_page_knows_every_layer_with_its_path_and_its_parameters():
    model = Net()
    view = LayerTable(model, input_shape=(4,))
    assert paths_of(view) == [path for path, _ in model.named_modules()]
    counted = [sum(p.numel() for p in module.parameters()) for module in model.modules()]
    np.testing.assert_array_equal(sizes_of(view)[:, 0], counted)
    assert view.about["parameters"] == sum(p.numel() for p in model.parameters())
    assert view.problem == ""


def test_shapes_come_without_the_batch_axis():
    view = LayerTable(nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten()), input_shape=(1, 10, 12))
    assert [row[4] for row in view.rows] == ["640", "8×8×10", "640"]


def test_a_module_with_an_input_a_module_with_a_shape_and_a_summary_show_the_same():
    model = Net()
    views = [
        LayerTable(model, input=torch.zeros(1, 4)),
        LayerTable(model, input_shape=(4,)),
        LayerTable(summary(model, input_shape=(4,))),
    ]
    assert views[0].rows == views[1].rows == views[2].rows
    assert views[0].sizes == views[1].sizes == views[2].sizes
    assert not any(view.about["live"] for view in views)


def test_without_an_input_the_table_says_what_is_wanted_and_still_counts_parameters():
    view = LayerTable(Net())
    assert "input_shape" in view.about["error"]
    assert sizes_of(view)[0, 0] == sum(p.numel() for p in Net().parameters())


def test_a_model_that_fails_is_shown_up_to_where_it_fails():
    view = LayerTable(nn.Sequential(nn.Linear(4, 6), nn.Linear(5, 3)), input_shape=(4,))
    assert "5" in view.about["error"] and "6" in view.about["error"]
    assert [row[4] for row in view.rows[1:]] == ["6", ""]
    assert "fail" in view.rows[2][5]


@pytest.mark.parametrize("source", [Net, Session])
def test_a_class_in_place_of_an_instance_is_refused_with_what_to_do(source):
    with pytest.raises(TypeError, match=rf"class {source.__name__}.*{source.__name__}\(\.\.\.\)"):
        LayerTable(source)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="ndarray given"):
        LayerTable(np.zeros(3))


def test_an_input_beside_a_session_or_a_summary_is_refused(session):
    for source in (session, summary(Net(), input_shape=(4,))):
        with pytest.raises(ValueError, match="has its own input"):
            LayerTable(source, input_shape=(4,))


def test_a_session_is_shown_with_the_shapes_of_its_data_before_it_begins(session):
    view = LayerTable(session)
    assert view.problem == "" and view.about["live"]
    assert [row[4] for row in view.rows][0] == "3"
    assert view.moment == {
        "status": "ready", "step": None, "points": 0, "since": None, "every": None, "between": None,
        "share": None, "asked": False, "refused": "", "why_not": "",
    }  # fmt: skip
    assert view.stats == b"" and view.sparks == b""


def test_training_fills_the_live_numbers_of_each_layer_that_has_weights(session):
    view = LayerTable(session)
    session.step(2)
    open_page(view)
    named = {path.rpartition(".")[0] for path, _ in session.model.named_parameters()}
    assert set(stats_of(view)) == named
    layers = {path: session.model.get_submodule(path) for path in named}
    weights = {path: torch.cat([p.flatten() for p in layer.parameters()]) for path, layer in layers.items()}
    for path, (weight, grad, ratio, finite) in stats_of(view).items():
        assert grad > 0 and ratio > 0 and finite == 1
        # Measured in the first step, the last one that was due; the second moved them a little.
        assert weight == pytest.approx(weights[path].norm().item(), rel=0.05)
    assert view.moment["step"] in (1, 2)


def test_the_live_numbers_are_those_that_the_session_published(session):
    view = LayerTable(session)
    open_page(view)
    stats = LayerStats(
        7, ["head", "blocks.1.0"], np.float32([2, 3]), np.float32([0.5, np.nan]), np.float32([1e-3, 5e-2]),
        np.array([True, False]),
    )  # fmt: skip
    publish(session, stats)
    found = stats_of(view)
    np.testing.assert_array_equal(found["head"], np.float32([2, 0.5, 1e-3, 1]))
    np.testing.assert_array_equal(found["blocks.1.0"], np.float32([3, np.nan, 5e-2, 0]))
    assert view.moment["step"] == 7 and view.moment["points"] == 1


def test_the_table_itself_is_sent_once_and_not_with_each_live_picture(session, sent):
    view = LayerTable(session)
    open_page(view)
    paths = ["stem", "head"]
    publish(session, measured(paths, step=1))
    page_says(view, drawn=view.frame)
    sent.clear()
    for step in (2, 3, 4):
        publish(session, measured(paths, step=step, ratio=1e-3 / step))
        page_says(view, drawn=view.frame)
    names = set().union(*sent)
    assert {"stats", "sparks", "moment", "frame"} <= names
    assert not names & {"rows", "sizes", "trains", "about", "measured", "look", "selected_layer"}


def test_the_history_is_kept_while_no_page_is_open(session):
    view = LayerTable(session)
    for step in range(1, 6):
        publish(session, measured(["stem"], step=step))
    assert view.moment["points"] == 0
    open_page(view)
    assert view.moment["points"] == 5 and view.moment["since"] == 1
    assert len(view.sparks) == 5 and 0 not in view.sparks


@pytest.mark.parametrize("layers", [1, 300, 1500])
def test_a_live_picture_stays_small_however_many_layers_there_are(layers):
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(layers)))
    session = Session(model, train=(torch.zeros(8, 1), torch.zeros(8, 1)))
    view = LayerTable(session)
    view.to_frame()  # waits for the layers, however long these take
    open_page(view)
    for step in range(130):
        publish(session, measured([f"{i}" for i in range(layers)], step=step + 1))
    open_page(view)
    assert len(stats_of(view)) == layers
    assert len(view.stats) + len(view.sparks) <= 64_000
    assert view.moment["points"] > 0


def test_layers_of_which_something_is_found_are_marked_while_it_lasts(session):
    view = LayerTable(session)
    over = Finding("dead_relu", "low", "was dying", "", layer="1", step=1, until=3)
    session.set_trait("findings", (Finding("dead_relu", "high", "is dying", "", layer="0", step=2), over))
    assert view.project()["found"] == [["0", "high", "is dying"]]
    view.close()


def test_a_click_selects_the_layer_for_the_session_and_the_other_views(session):
    one, other = LayerTable(session), LayerTable(session)
    open_page(one), open_page(other)
    page_says(one, wish="selected_layer", value="blocks.1")
    assert session.selected_layer == "blocks.1"
    assert other.selected_layer == "blocks.1"


def test_the_table_follows_a_selection_made_elsewhere(session):
    view = LayerTable(session)
    open_page(view)
    session.selected_layer = "head"
    assert view.selected_layer == "head"


def test_without_a_session_a_selection_is_the_views_own():
    view = LayerTable(Net(), input_shape=(4,))
    open_page(view)
    page_says(view, wish="selected_layer", value="stem")
    assert view.selected_layer == "stem"


def test_a_layer_that_does_not_exist_is_refused_with_a_sentence(session, said):
    view = LayerTable(session)
    page_says(view, wish="selected_layer", value="nose")
    assert said[-1]["refused"] == "selected_layer" and "'nose'" in said[-1]["because"]
    assert session.selected_layer is None


def test_sort_and_folds_are_kept_for_the_next_page():
    view = LayerTable(Net(), input_shape=(4,))
    open_page(view)
    page_says(view, wish="look", value={"sort": "-params", "turned": ["blocks"]})
    assert view.look == {"sort": "-params", "turned": ["blocks"], "columns": None}


@pytest.mark.parametrize(
    "look",
    [
        None,
        {"sort": "colour", "turned": []},
        {"sort": "params", "turned": [1]},
        {"sort": "params"},
        {"sort": "tree", "turned": [], "columns": ["colour"]},
        {"sort": "tree", "turned": [], "columns": "type"},
    ],
)
def test_a_look_that_makes_no_sense_is_refused(said, look):
    view = LayerTable(Net(), input_shape=(4,))
    page_says(view, wish="look", value=look)
    assert said[-1]["refused"] == "look" and view.look == {"sort": "tree", "turned": [], "columns": None}


def test_a_wish_that_nobody_knows_is_refused(said):
    page_says(LayerTable(Net(), input_shape=(4,)), wish="explode", value=1)
    assert said[0]["refused"] == "explode"


def test_a_closed_table_no_longer_follows_its_session(session):
    view = LayerTable(session)
    open_page(view)
    view.close()
    frame = view.frame
    publish(session, measured(["stem"]))
    session.selected_layer = "stem"
    assert view.frame == frame


def test_a_table_that_was_refused_can_be_let_go():
    view = LayerTable.__new__(LayerTable)
    with pytest.raises(TypeError):
        view.__init__(Net)
    view.close()


def test_what_trains_is_told_by_layer_all_or_part():
    model = Net()
    model.stem.requires_grad_(False)
    model.head.bias.requires_grad_(False)
    view = LayerTable(model, input_shape=(4,))
    trains = dict(zip(paths_of(view), view.trains))
    assert (trains["stem"], trains["blocks"], trains["head"], trains[""]) == ("n", "y", "p", "p")
    assert trains["blocks.0.1"] == "-"


def test_a_layer_frozen_before_a_run_is_shown_as_frozen_once_it_runs(session):
    view = LayerTable(session)
    assert set(view.trains) == {"y", "-"}
    session.model.stem.requires_grad_(False)
    session.step(1)
    open_page(view)
    assert dict(zip(paths_of(view), view.trains))["stem"] == "n"
    frozen = sum(p.numel() for p in session.model.stem.parameters())
    assert view.about["trainable"] == view.about["parameters"] - frozen
    assert "stem" not in stats_of(view)


def test_what_is_not_in_the_macs_is_named():
    class Distances(nn.Module):
        def forward(self, x):
            return torch.cdist(x, x)

    view = LayerTable(nn.Sequential(nn.Linear(4, 6), Distances()), input_shape=(3, 4))
    assert view.about["least"] and "cdist" in " ".join(view.about["remarks"])


def test_tied_weights_are_told_and_counted_once():
    one = nn.Linear(4, 4)
    other = nn.Linear(4, 4)
    other.weight = one.weight
    view = LayerTable(nn.Sequential(one, other, one), input_shape=(4,))
    assert view.about["parameters"] == 4 * 4 + 4 + 4
    assert [row[6] for row in view.rows] == [False, False, True, True]
    assert "0" in view.rows[2][5]


def test_a_model_that_cannot_be_looked_at_is_a_sentence_in_the_view(session, monkeypatch):
    def fail(*_):
        raise RuntimeError("no layers today")

    monkeypatch.setattr("dlwidgets.core.layers.summary.summary", fail)
    view = LayerTable(session)
    assert "no layers today" in view.problem and view.rows == []


def test_the_page_is_told_numbers_that_json_has(session):
    view = LayerTable(session)
    session.step(1)
    open_page(view)
    json.dumps([view.rows, view.about, view.moment, view.look], allow_nan=False)


def test_a_picture_stands_beside_the_widget():
    bundle = LayerTable(Net(), input_shape=(4,))._repr_mimebundle_()[0]
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= set(bundle)


def written(figure):
    """Return all that is written in a figure."""
    return [text.get_text().strip() for ax in figure.axes for text in ax.texts]


def test_the_figure_shows_the_table_with_alike_blocks_told_once():
    texts = written(LayerTable(Net(), input_shape=(4,)).figure())
    assert "activations" in texts and "1 – 2" in texts
    # The stem, the head and one block's: the two that are like it are told together.
    assert texts.count("Linear") == 3 and texts.count("ReLU") == 1
    assert f"{2 * (6 * 6 + 6)}" in texts


def test_the_figure_of_a_session_shows_the_live_numbers_and_marks_what_stands_out(session):
    view = LayerTable(session)
    publish(session, measured(["stem", "head"], ratio=5e-2))
    texts = written(view.figure())
    assert texts.count("▲ 5.0e-2") == 2 and "‖grad‖" in texts


def test_the_figure_of_an_incomplete_table_says_why():
    view = LayerTable(nn.Sequential(nn.Linear(4, 6), nn.Linear(5, 3)), input_shape=(4,))
    assert view.about["error"] in written(view.figure())


def test_the_figure_of_a_large_model_is_as_deep_as_there_is_room_for():
    pairs = (nn.Sequential(nn.Linear(4, 4 + i % 5), nn.Linear(4 + i % 5, 4)) for i in range(30))
    wide = nn.Sequential(*pairs)
    every = fold_repeats(summary(wide, input_shape=(4,)).rows)
    assert len(every) == 91
    assert len(first_lines(every, 91)) == 91
    assert [line.row.depth for line in first_lines(every, 90)] == [0] + 30 * [1]
    assert len(first_lines(every, 10)) == 10


# -- columns, and the table as data


def test_columns_and_sort_can_be_said_from_the_start(session):
    view = LayerTable(session, columns=["params", "dtype", "params"], sort="-params")
    assert view.look == {"sort": "-params", "turned": [], "columns": ["layer", "params", "dtype"]}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["parms"], "no column 'parms'. Did you mean 'params'?"),
        (["weight_norm"], "Did you mean 'weight'?"),
        (["flops"], "Did you mean 'macs'?"),
        (["qqqq"], "no column 'qqqq'. There are layer, type"),
    ],
)
def test_a_column_that_there_is_not_is_refused_with_what_was_perhaps_meant(session, columns, said):
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        LayerTable(session, columns=columns)


def test_a_name_in_place_of_a_list_and_a_column_of_training_without_one_are_refused():
    with pytest.raises(TypeError, match="a list of names"):
        LayerTable(Net(), input_shape=(4,), columns="params")
    with pytest.raises(ValueError, match="about training"):
        LayerTable(Net(), input_shape=(4,), columns=["grad"])
    with pytest.raises(ValueError, match="cannot be sorted by 'size'"):
        LayerTable(Net(), input_shape=(4,), sort="size")


def test_the_page_lays_out_the_columns_that_python_knows(session):
    text = (Path(dlwidgets.views.__file__).parent / "layers" / "columns.js").read_text("utf-8")
    assert re.findall(r"^  (\w+): \{ least", text, re.MULTILINE) == list(COLUMNS)
    assert [key for key, *_ in LayerTable(session).columns] == list(COLUMNS)


def units_of(known):
    """Return dead units by path: how many of six, and whether it is the activation itself."""
    dead = np.int32([dead for dead, _ in known.values()])
    return DeadUnits(list(known), dead, np.full_like(dead, 6), np.array([own for _, own in known.values()]))


def test_the_frame_has_the_columns_shown_of_every_layer(session):
    view = LayerTable(session)
    session.step(1)
    frame = view.to_frame()
    assert list(frame.columns) == [
        name for column in COLUMNS.values() if column.usual for name in column.data
    ]
    named = [path for path, _ in session.model.named_modules()]
    assert frame["layer"].tolist() == ["Net", *named[1:]]
    counted = [sum(p.numel() for p in module.parameters()) for module in session.model.modules()]
    assert frame["parameters"].tolist() == counted
    assert frame.set_index("layer")["grad_norm"].notna().tolist() == [
        any(p.numel() for p in module.parameters(recurse=False)) for module in session.model.modules()
    ]
    assert "grad_norm" not in LayerTable(Net(), input_shape=(4,)).to_frame()


def test_csv_is_read_back_as_the_frame(session):
    columns = ["type", "output", "params", "macs", "weight", "grad", "ratio", "dead"]
    view = LayerTable(session, columns=columns, sort="-params")
    session.step(1)
    read = pd.read_csv(io.StringIO(view.to_csv()))
    frame = view.to_frame()
    assert frame["parameters"].is_monotonic_decreasing and len(frame) < len(view.rows)
    for name in ("layer", "parameters", "macs"):
        assert read[name].tolist() == frame[name].tolist()
    for name in ("weight_norm", "grad_norm", "update_ratio", "dead_units"):
        np.testing.assert_allclose(read[name], frame[name].astype(float), rtol=1e-4)


_ORDERS = """
import {{ emptyPicture, listLines, lookFrom, readPicture, rowsListed }} from "{folder}/layers/tree.js";
const {{ traits, bytes, sorts }} = JSON.parse(process.argv[2]);
const read = (text) => new Uint8Array(Buffer.from(text, "base64")).buffer;
for (const [name, text] of Object.entries(bytes)) traits[name] = read(text);
const none = {{ of: "", lines: [], found: null, open: null, flat: false }};
console.log(JSON.stringify(sorts.map((sort) => {{
  const picture = emptyPicture(), look = lookFrom({{ sort }});
  readPicture(picture, look, {{ get: (name) => traits[name] }});
  return rowsListed(picture.tree, listLines(none, picture, look, ""));
}})));
"""


def test_the_page_copies_the_text_that_python_gives(session, said, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed.")
    sorts = [
        "tree", "-params", "layer", "-type", "output", "-input", "macs", "grad", "-ratio", "dead", "-weight",
        "trains", "-bytes", "calls", "dtype",
    ]  # fmt: skip
    session.model.stem.requires_grad_(False)
    view = LayerTable(session, columns=list(COLUMNS))
    paths = ["blocks.0.0", "blocks.1.0", "blocks.2.0", "head"]
    numbers = np.float32([[1.5, 3.25e-7, 1e4, 12.0], [0.5, np.nan, np.inf, 0.25], [1e-3, 2e-2, np.nan, 1e-4]])
    dead = units_of({"blocks.0.1": (2, True), "blocks.2.1": (6, True), "blocks.0.0": (2, False)})
    publish(session, LayerStats(3, paths, *numbers, np.array([True, False, False, True]), dead))
    open_page(view)
    names = ("sizes", "measured", "stats", "sparks", "dead")
    given = {
        "bytes": {name: base64.b64encode(getattr(view, name)).decode() for name in names},
        "sorts": sorts,
    }
    given["traits"] = {"rows": view.rows, "trains": view.trains, "moment": view.moment}
    script = tmp_path / "orders.mjs"
    script.write_text(_ORDERS.format(folder=Path(dlwidgets.views.__file__).parent.as_uri()))
    command = [node, "--no-warnings", script, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for number, (sort, rows) in enumerate(zip(sorts, json.loads(done.stdout), strict=True)):
        page_says(view, wish="look", value={"sort": sort, "turned": [], "columns": list(COLUMNS)})
        for kind, text in (("CSV", view.to_csv()), ("Markdown", view.to_markdown())):
            wanted = {"number": number, "kind": kind, "columns": list(COLUMNS), "rows": rows}
            page_says(view, wish="copy", value=wanted)
            assert said[-1] == {"copied": number, "text": text}


def test_text_quotes_what_needs_it_and_writes_numbers_in_full():
    model = nn.ModuleDict({'a "b", c|d': nn.Linear(617_283, 2, bias=False), "act": nn.ReLU()})
    view = LayerTable(model, columns=["type", "params", "trains"])
    assert view.to_csv() == (
        "layer,type,parameters,trainable\n"
        'ModuleDict,,1234566,yes\n"a ""b"", c|d",Linear,1234566,yes\nact,ReLU,0,\n'
    )
    assert '| a "b", c\\|d | Linear | 1234566 | yes |\n' in view.to_markdown()
    assert view.to_markdown().startswith(
        "| layer | type | parameters | trainable |\n| --- | --- | ---: | --- |\n"
    )


def test_measured_numbers_are_written_so_that_they_can_be_read_back():
    for x in (1.0, 0.1, 123456.0, 3.2e-9, 0.0, -5.0):
        assert float(columns.written(x)) == pytest.approx(x, rel=1e-4)
    assert [columns.written(x) for x in (math.nan, math.inf, -math.inf)] == ["NaN", "inf", "-inf"]


@pytest.mark.parametrize(
    "value",
    [None, {"kind": "CSV"}, {"kind": "CSV", "columns": ["layer"], "rows": [99]},
     {"kind": "PDF", "columns": ["layer"], "rows": []}, {"kind": "CSV", "columns": ["colour"], "rows": [0]}],
)  # fmt: skip
def test_a_copy_that_makes_no_sense_is_refused(said, value):
    page_says(LayerTable(Net(), input_shape=(4,)), wish="copy", value=value)
    assert said[-1]["refused"] == "copy"


# -- dead units, and what measuring costs


def test_the_page_is_told_of_dead_units_by_row(session):
    view = LayerTable(session)
    open_page(view)
    dead = units_of({"blocks.1.1": (4, True), "gone": (1, True), "blocks.1.0": (4, False)})
    publish(session, LayerStats(1, [], *4 * [np.empty(0, np.float32)], dead, 0.3, 12, 0.004))
    rows = np.frombuffer(view.dead, np.int32).reshape(-1, 4).tolist()
    found = {paths_of(view)[row]: rest for row, *rest in rows}
    assert found == {"blocks.1.1": [4, 6, 1], "blocks.1.0": [4, 6, 0]}
    assert (view.moment["every"], view.moment["between"], view.moment["share"]) == (0.3, 12, 0.004)


def test_training_counts_the_dead_units_of_its_activations(session):
    with torch.no_grad():
        session.model.blocks[1][0].bias[:2] = -1e3
    view = LayerTable(session)
    session.step(1)
    frame = view.to_frame().set_index("layer")
    assert frame.loc["blocks.1.1", "dead_units"] >= 2 and frame.loc["blocks.1.1", "units"] == 6
    assert frame.loc["blocks.1.0", "dead_units"] == frame.loc["blocks.1.1", "dead_units"]
    assert np.isnan(frame.loc["head", "dead_units"])


def test_a_run_driven_to_nan_shows_which_layers_are_not_finite(session):
    view = LayerTable(session)
    session.step(1)
    with torch.no_grad():
        session.model.head.weight[0, 0] = float("nan")
    with pytest.raises(ArithmeticError):
        session.step(1)
    open_page(view)
    finite = {path: bool(values[3]) for path, values in stats_of(view).items()}
    assert finite == {path: path != "head" for path in finite} and "head" in finite


# -- freezing


def test_a_click_freezes_a_layer_with_all_inside_and_another_lets_it_train_again(session):
    view = LayerTable(session)
    open_page(view)
    page_says(view, wish="trainable", value=["blocks", False])
    session.step(1)
    open_page(view)
    trains = dict(zip(paths_of(view), view.trains))
    assert (trains["blocks"], trains["blocks.1.0"], trains["head"], trains[""]) == ("n", "n", "y", "p")
    assert not any(p.requires_grad for p in session.model.blocks.parameters())
    last = session.changes[-1]
    assert (last.name, last.by) == ("trainable", "layers")
    page_says(view, wish="trainable", value=[["blocks"], True])
    session.step(1)
    open_page(view)
    assert set(view.trains) == {"y", "-"}


def test_frozen_layers_keep_their_weights_while_others_move(session):
    view = LayerTable(session)
    before = {name: value.clone() for name, value in session.model.state_dict().items()}
    page_says(view, wish="trainable", value=[["blocks.0", "blocks.2"], False])
    session.step(3)
    after = session.model.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if not name.startswith(("blocks.0", "blocks.2"))}


def test_a_freeze_asked_for_in_code_is_shown_too(session):
    view = LayerTable(session)
    open_page(view)
    session.freeze("stem")
    session.step(1)
    open_page(view)
    assert dict(zip(paths_of(view), view.trains))["stem"] == "n"
    assert view.moment["asked"] is False


def test_a_wish_to_freeze_that_waits_is_shown_as_waiting(session):
    view = LayerTable(session)
    open_page(view)
    with session.hold_trait_notifications():
        session.freeze("stem")
        page_says(view, drawn=view.frame)
        assert view._moment(None, 0)["asked"] is True


def test_all_up_to_a_layer_is_frozen_and_by_what_is_said(session):
    view = LayerTable(session)
    open_page(view)
    session.model.stem.requires_grad_(False)
    page_says(view, wish="freeze_to", value="blocks.1")
    open_page(view)
    trains, by = dict(zip(paths_of(view), view.trains)), dict(zip(paths_of(view), view.why))
    assert trains["blocks.0"] == trains["blocks.1"] == trains["stem"] == "n" and trains["head"] == "y"
    assert view.reasons[by["blocks.0"] - 1] == "by 'blocks.0'" and by["head"] == 0
    assert session.changes[-1].by == "layers"


def test_what_a_hand_froze_is_told_from_what_a_wish_did(session):
    session.model.stem.requires_grad_(False)
    session.freeze("blocks.0")
    why = session.why_frozen()
    assert why["stem"] == "by requires_grad alone" and why["blocks.0"] == "by 'blocks.0'"
    assert why[""] == "by requires_grad alone, by 'blocks.0'" and "head" not in why


def test_a_freeze_that_cannot_be_is_said_beside_the_table(session):
    view = LayerTable(session)
    open_page(view)
    session.freeze("")
    session.step(1)
    open_page(view)
    assert view.moment["refused"] == session.rejected["trainable"] != ""
    assert "n" not in view.trains
    # What was refused does not stand in the way of the next.
    page_says(view, wish="trainable", value=["stem", False])
    session.step(1)
    open_page(view)
    assert view.moment["refused"] == "" and dict(zip(paths_of(view), view.trains))["stem"] == "n"


@pytest.mark.parametrize(
    "value", [None, "stem", ["stem"], ["stem", "no"], ["nose", False], [[], True], [[1], True]]
)
def test_a_wish_to_freeze_that_makes_no_sense_is_refused(session, said, value):
    view = LayerTable(session)
    page_says(view, wish="trainable", value=value)
    assert said[-1]["refused"] == "trainable" and session.trainable is None


def test_without_a_session_nothing_is_frozen(said):
    model = Net()
    page_says(LayerTable(model, input_shape=(4,)), wish="trainable", value=["stem", False])
    assert "LayerTable(session)" in said[-1]["because"]
    assert all(p.requires_grad for p in model.parameters())
