"""`dlwidgets info` of environments in folders, and of this one: what it finds, advises, and keeps to itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from IPython.utils.capture import capture_output

import dlwidgets
from dlwidgets.__main__ import main
from dlwidgets.info import Surroundings, find_info, is_broken, tabulate_info

PACKAGE = Path(dlwidgets.__file__).parent
#: What a report may be searched for: these stay.
KEYS = {
    "dlwidgets", "folder", "python", "platform", "host", "versions", "extension", "kernels", "machine", "conflicts",
    "advice",
}  # fmt: skip
SOUND = {
    "torch": "2.13.0", "ipywidgets": "8.1.9", "anywidget": "0.11.0", "jupyterlab": "4.6.6", "ipykernel": "7.4.0",
    "jupyterlab_widgets": "3.0.17", "notebook": "7.6.5",
}  # fmt: skip


def install(site: Path, name: str, version: str, *requires: str) -> Path:
    """Write what pip writes of an installed package."""
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    wanted = "".join(f"Requires-Dist: {one}\n" for one in requires)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{wanted}")
    return folder


@pytest.fixture
def places(tmp_path):
    """An environment in which everything is well."""
    share, site = tmp_path / "share" / "jupyter", tmp_path / "site"
    shutil.copytree(PACKAGE / "labextension", share / "labextensions" / "dlwidgets")
    for name, version in SOUND.items():
        install(site, name, version)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    return Surroundings([str(site)], [tmp_path / "user", share], [tmp_path / "config"], python=python)


def add(places: Surroundings, name: str, version: str, *requires: str) -> None:
    """Have another version of a package installed."""
    site = Path(places.path[0])
    for old in site.glob(f"{name}-*"):
        shutil.rmtree(old)
    if version:
        install(site, name, version, *requires)


def configure(places: Surroundings, name: str, disabled: object) -> Path:
    file = (places.data if name == "lab/settings" else places.config)[-1] / name / "page_config.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"disabledExtensions": disabled}))
    return file


def kernel(places: Surroundings, name: str, *argv: str, language: str = "python") -> None:
    folder = places.data[-1] / "kernels" / name
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "language": language}))


def conflicts(places: Surroundings) -> dict[str, dict]:
    return {one["name"]: one for one in find_info(replace(places))["conflicts"]}  # what it had read is read anew


def test_where_all_is_well_nothing_is_found_and_said_to_be_so(places):
    info = find_info(places)
    assert info["conflicts"] == [] and not is_broken(info)
    assert info["versions"] | SOUND == info["versions"]
    assert "Nothing is known to be wrong." in str(tabulate_info(info))


@pytest.mark.parametrize(
    "name, package, breaks",
    [
        ("ipykernel_7_0", ("ipykernel", "7.0.1"), False),
        ("jupyterlab_3", ("jupyterlab", "3.6.8"), True),
        ("notebook_6", ("notebook", "6.5.7"), False),
        ("jupyterlab_widgets", ("jupyterlab_widgets", "1.1.7"), True),
        ("torchvision", ("torchvision", "0.26.0", "torch==2.11.0"), False),
        ("torchvision", ("torchvision", "0.28.0+cpu", "torch==2.13.0"), False),
        ("wanted_anywidget", ("dlwidgets", "0.1.0", "anywidget<0.11"), True),
        ("wanted_river", ("dlwidgets", "0.1.0", "river", 'voila; extra == "test"'), True),
        ("wanted_torch", ("torch", ""), True),
    ],
)
def test_each_known_conflict_is_found_with_advice(places, name, package, breaks):
    add(places, *package)
    if package[0] == "dlwidgets":
        places = replace(places, package=Path(places.path[0]) / "dlwidgets")
        shutil.copytree(PACKAGE / "labextension", places.package / "labextension")
    info = find_info(places)
    (found,) = info["conflicts"]
    assert found["name"] == name and found["breaks"] is breaks is is_broken(info)
    text = str(tabulate_info(info))
    assert found["sentence"] in text and found["advice"] in text


@pytest.mark.parametrize("version", ["7.1.0", "6.29.5"])
def test_other_kernels_are_no_conflict(places, version):
    add(places, "ipykernel", version)
    assert not conflicts(places)


def test_a_torchvision_of_the_same_build_is_no_conflict(places):
    add(places, "torch", "2.13.0+cpu")
    add(places, "torchvision", "0.28.0+cpu", "torch==2.13.0")
    assert not conflicts(places)


# -- the extension


def test_a_stale_copy_of_the_extension_is_told_from_ours(places):
    folder = places.data[-1] / "labextensions" / "dlwidgets"
    assert find_info(places)["extension"]["state"] == "enabled"
    script = folder / "static" / "remoteEntry.js"
    script.write_text(script.read_text("utf-8") + "\n")
    info = find_info(places)
    assert info["extension"]["state"] == "stale" and info["extension"]["folder"] == str(folder)
    assert "pip install -e . again" in conflicts(places)["extension_stale"]["advice"]


def test_the_first_folder_counts_as_for_jupyterlab(places):
    folder = places.data[0] / "labextensions" / "dlwidgets"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"version": "0.0.1"}')
    assert find_info(places)["extension"]["version"] == "0.0.1" and "extension_stale" in conflicts(places)


def test_a_missing_extension_matters_only_beside_jupyterlab(places):
    shutil.rmtree(places.data[-1] / "labextensions")
    assert conflicts(places).keys() == {"extension_missing"}
    add(places, "jupyterlab", "")
    assert not conflicts(places)


@pytest.mark.parametrize("disabled", [{"dlwidgets": True}, ["dlwidgets"], {"dlwidgets:beside": True}])
@pytest.mark.parametrize("name", ["labconfig", "lab/settings"])
def test_a_disabled_extension_is_found_with_what_disables_it(places, name, disabled):
    file = configure(places, name, disabled)
    assert find_info(places)["extension"]["state"] == "disabled"
    assert str(file) in conflicts(places)["extension_disabled"]["sentence"]


def test_a_persons_setting_enables_what_the_application_disables(places):
    configure(places, "lab/settings", ["dlwidgets"])
    configure(places, "labconfig", {"dlwidgets": False, "other": True})
    assert find_info(places)["extension"]["state"] == "enabled"


# -- kernels, and other copies


def test_kernels_of_another_python_and_of_none_are_found(places, tmp_path):
    other = tmp_path / "other" / "bin" / "python"
    other.parent.mkdir(parents=True)
    other.touch()
    kernel(places, "python3", str(other), "-m", "ipykernel_launcher")
    kernel(places, "gone", str(tmp_path / "gone" / "python"))
    kernel(places, "mine", str(places.python))
    kernel(places, "plain", "python")
    kernel(places, "julia", "/usr/bin/julia", language="julia")
    info = find_info(places)
    same = {name: one["same"] for name, one in info["kernels"].items()}
    assert same == {"gone": False, "mine": True, "plain": True, "python3": False}
    assert conflicts(places).keys() == {"kernel_python3", "kernel_gone"}


def test_a_second_dlwidgets_is_named(places, tmp_path):
    folder = install(Path(places.path[0]), "dlwidgets", "0.0.1")
    url = (tmp_path / "a checkout").as_uri()
    (folder / "direct_url.json").write_text(json.dumps({"url": url, "dir_info": {"editable": True}}))
    assert str(tmp_path / "a checkout" / "dlwidgets") in conflicts(places)["several_dlwidgets"]["sentence"]
    (folder / "direct_url.json").write_text(
        json.dumps({"url": PACKAGE.parent.as_uri(), "dir_info": {"editable": True}})
    )
    assert not conflicts(places)


# -- the machine


def test_cpus_and_memory_are_those_that_may_be_used(places, tmp_path):
    group = tmp_path / "system" / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("100000 100000")
    (group / "memory.max").write_text(str(2**30))
    info = find_info(replace(places, system=tmp_path / "system"))
    assert (info["machine"]["cpu_quota"], info["machine"]["threads"]) == (1.0, 1)
    assert info["machine"]["memory"] == 2**30
    assert any("snapshot_memory" in one for one in info["advice"])
    assert any("one CPU" in one for one in info["advice"])


# -- what is told, and how


def test_the_command_tells_the_same_as_json_without_importing_torch(tmp_path):
    code = (
        "import sys; from dlwidgets.__main__ import main; status = main(['info', '--json'])\n"
        "assert not {'torch', 'ipywidgets', 'numpy', 'IPython'} & set(sys.modules); sys.exit(status)"
    )
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "SECRET": "a-value"}
    environment = os.environ | home | {"PYTHONPATH": str(PACKAGE.parent), "JUPYTER_DATA_DIR": str(tmp_path / "data")}
    kernel(Surroundings([], [tmp_path / "data"], []), "mine", str(tmp_path / "bin" / "python"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    info = json.loads(done.stdout)
    assert info.keys() == KEYS and info["host"] == "terminal" and not done.stderr
    assert done.returncode == is_broken(info)
    assert str(tmp_path) not in done.stdout and "a-value" not in done.stdout
    assert info["kernels"]["mine"]["executable"] == str(Path("~") / "bin" / "python")


def test_the_exit_status_says_whether_dlwidgets_works(places, monkeypatch, capsys):
    monkeypatch.setattr(Surroundings, "here", lambda: replace(places))
    assert main(["info"]) == 0
    add(places, "jupyterlab", "3.6.8")
    assert main(["info"]) == 1
    assert "! JupyterLab 3.6.8 is too old" in capsys.readouterr().out


def test_an_unknown_word_is_answered_by_those_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["inof"])
    assert "info" in capsys.readouterr().err


def test_the_magic_tells_of_the_live_kernel(shell):
    with capture_output() as captured:
        shell.run_line_magic("dlw", "info")
    data = captured.outputs[0].data
    info = find_info(live=True)
    assert info["machine"]["threads"] == torch.get_num_threads() and info["machine"]["torch_loaded"]
    assert data["text/plain"] == str(tabulate_info(info)) and torch.__version__.partition("+")[0] in data["text/html"]
