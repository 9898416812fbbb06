"""The command `dlwidgets demo`: what it copies, what it leaves alone, what it says, what it opens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dlwidgets.__main__ import main
from dlwidgets.demo import MANIFEST, TOUR, copy_notebooks, notebooks_folder
from tests.browser.server import private_environment, wait_for_answer


@pytest.fixture
def source(tmp_path):
    """A course of two notebooks and a data file, as a version of the package would bring it."""
    folder = tmp_path / "source"
    (folder / "data").mkdir(parents=True)
    (folder / TOUR).write_text("tour, first edition")
    (folder / "01_layers.ipynb").write_text("layers, first edition")
    (folder / "data" / "grades.csv").write_text("a,b\n")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "00_tour-checkpoint.ipynb").write_text("left by an editor")
    return folder


@pytest.fixture
def mine(tmp_path):
    return tmp_path / "mine" / "course"


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


def test_a_new_folder_gets_every_notebook_and_what_belongs_to_it(source, mine):
    copied = copy_notebooks(source, mine)
    assert contents(mine) == {
        TOUR: "tour, first edition",
        "01_layers.ipynb": "layers, first edition",
        "data/grades.csv": "a,b\n",
    }
    assert set(copied.new) == set(contents(mine))


def test_a_second_copy_changes_nothing(source, mine):
    copy_notebooks(source, mine)
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*") if path.name != MANIFEST}
    copied = copy_notebooks(source, mine)
    after = {path: path.stat().st_mtime_ns for path in mine.rglob("*") if path.name != MANIFEST}
    assert before.keys() == after.keys()
    assert all(before[path] == after[path] for path in before if path.is_file())
    assert len(copied.current) == 3 and not copied.new and not copied.renewed


def test_a_changed_notebook_is_kept_and_named(source, mine):
    copy_notebooks(source, mine)
    (mine / TOUR).write_text("my answers")
    copied = copy_notebooks(source, mine)
    assert (mine / TOUR).read_text() == "my answers"
    assert copied.kept == [TOUR]
    assert f"{TOUR}: kept, since you changed it" in str(copied)


def test_a_changed_notebook_is_kept_when_a_newer_edition_comes_however_often(source, mine):
    copy_notebooks(source, mine)
    (mine / TOUR).write_text("my answers")
    (source / TOUR).write_text("tour, second edition")
    for _ in range(3):
        copied = copy_notebooks(source, mine)
        assert (mine / TOUR).read_text() == "my answers"
        assert copied.kept_older == [TOUR]


def test_an_unchanged_notebook_is_renewed_by_a_newer_edition(source, mine):
    copy_notebooks(source, mine)
    for edition in ("second", "third"):
        (source / TOUR).write_text(f"tour, {edition} edition")
        copied = copy_notebooks(source, mine)
        assert (mine / TOUR).read_text() == f"tour, {edition} edition"
        assert copied.renewed == [TOUR]


def test_a_notebook_that_was_thrown_away_comes_back(source, mine):
    copy_notebooks(source, mine)
    (mine / TOUR).unlink()
    assert copy_notebooks(source, mine).new == [TOUR]


def test_a_persons_own_file_of_the_same_name_is_kept(source, mine):
    mine.mkdir(parents=True)
    (mine / TOUR).write_text("my own tour, of Venice")
    copy_notebooks(source, mine)
    copy_notebooks(source, mine)
    assert (mine / TOUR).read_text() == "my own tour, of Venice"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"files": 3}', '{"files": null}'])
def test_a_damaged_manifest_costs_no_notebook(source, mine, damage):
    copy_notebooks(source, mine)
    (mine / TOUR).write_text("my answers")
    (mine / MANIFEST).write_text(damage)
    (source / TOUR).write_text("tour, second edition")
    copy_notebooks(source, mine)
    assert (mine / TOUR).read_text() == "my answers"


def test_the_originals_are_left_as_they_are(source):
    before = contents(source)
    copy_notebooks(source, source)
    assert contents(source) == before and not (source / MANIFEST).exists()


def test_the_notebooks_of_this_installation_are_found():
    assert (notebooks_folder() / TOUR).is_file()


def test_every_notebook_of_the_course_is_copied_and_reads_as_json(mine, capsys):
    assert main(["demo", str(mine), "--copy-only"]) == 0
    notebooks = sorted(path.name for path in mine.glob("*.ipynb"))
    assert notebooks == sorted(path.name for path in notebooks_folder().glob("*.ipynb"))
    for name in notebooks:
        assert json.loads((mine / name).read_text("utf-8"))["nbformat"] == 4
    assert f"The notebooks are in {mine}" in capsys.readouterr().out


def test_the_folder_may_start_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert main(["demo", "~/course", "--copy-only"]) == 0
    assert (tmp_path / "course" / TOUR).is_file()


def test_without_a_folder_they_go_to_one_below_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--copy-only"]) == 0
    assert (tmp_path / "dlwidgets-notebooks" / TOUR).is_file()


def test_a_file_in_the_way_is_said_in_one_sentence(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    assert main(["demo", str(tmp_path / "taken"), "--copy-only"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("dlwidgets: the notebooks could not be copied to") and said.count("\n") == 1


def test_without_jupyterlab_one_sentence_says_what_to_install(mine, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", None)
    assert main(["demo", str(mine), "--no-browser"]) == 1
    assert 'pip install "dlwidgets[demo]"' in capsys.readouterr().err
    assert (mine / TOUR).is_file()


@pytest.mark.slow
def test_the_command_starts_jupyterlab_on_the_tour(mine, tmp_path):
    pytest.importorskip("jupyterlab", reason="JupyterLab comes with dlwidgets[demo]")
    command = [sys.executable, "-m", "dlwidgets", "demo", str(mine), "--no-browser", "--port=0"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=private_environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as lab:
        try:
            address = next(
                found[0] for line in lab.stdout if (found := re.search(r"http://127\S+token=\S+", line))
            )
            assert f"/lab/tree/{TOUR}?" in address
            listing = address.replace(f"/lab/tree/{TOUR}", f"/api/contents/{TOUR}") + "&content=0"
            assert json.loads(wait_for_answer(listing, lab))["name"] == TOUR
        finally:
            lab.terminate()
