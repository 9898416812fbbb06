"""What dlwidgets runs in: versions, host, machine, and known conflicts."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from . import __version__
from .core.base.fact_table import FactTable
from .core.base.frontend import find_frontend
from .core.base.machine import available_cpus, cpu_quota, total_memory
from .core.base.words import pluralize

#: Whose versions are told; those that matter only where they are installed come last.
NEEDED = ("torch", "ipywidgets", "anywidget")
OPTIONAL = (
    "jupyterlab", "notebook", "ipykernel", "ipython", "jupyterlab_widgets", "torchvision", "keras", "voila", "marimo",
)  # fmt: skip
#: Below so much memory torch, a kernel and a few snapshots are about all there is room for [bytes].
_LITTLE = 2 * 2**30


@dataclass(frozen=True)
class Conflict:
    """Something that is known to go wrong.

    Attributes
    ----------
    name : what it is called in reports; never another's.
    sentence, advice : what is so, and what to do.
    breaks : whether dlwidgets does not work by it.
    """

    name: str
    sentence: str
    advice: str
    breaks: bool = False


@dataclass(frozen=True)
class Surroundings:
    """The places that are looked at.

    Attributes
    ----------
    path : where Python looks for packages, as `sys.path`.
    data, config : where Jupyter looks for extensions and kernels, and for its settings, the first winning.
    package : the folder of the package in use.
    python : the interpreter.
    system : the folder in which `proc` and `sys` lie.
    """

    path: Sequence[str]
    data: Sequence[Path]
    config: Sequence[Path]
    package: Path = Path(__file__).parent
    python: Path = Path(sys.executable)
    system: Path = Path("/")

    @classmethod
    def here(cls) -> Surroundings:
        """Return those of this process."""
        data: Sequence[str] = ()
        config: Sequence[str] = ()
        with suppress(ImportError):
            from jupyter_core.paths import jupyter_config_path, jupyter_path

            data, config = jupyter_path(), jupyter_config_path()
        return cls(sys.path, [Path(one) for one in data], [Path(one) for one in config])

    def find(self, name: str) -> Distribution | None:
        """Return an installed package."""
        return next(iter(Distribution.discover(name=name, path=[*self.path])), None)

    @cached_property
    def versions(self) -> dict[str, str | None]:
        """Package -> version, None where it is not installed."""
        found = {name: self.find(name) for name in (*NEEDED, *OPTIONAL)}
        return {name: None if one is None else one.version for name, one in found.items()}

    def release(self, name: str) -> tuple[int, ...]:
        """Return a version's first numbers, () where it is not installed."""
        return tuple(int(number) for number in re.findall(r"\d+", (self.versions[name] or "").split("+")[0])[:3])


def find_info(places: Surroundings | None = None, live: bool = False) -> dict[str, Any]:
    """Return all that is told, by keys that stay.

    No path of the person's home is in it, nor any value of an environment variable.

    Parameters
    ----------
    places : where to look; None: in this process's.
    live : whether this process is the one that people work in, as a kernel is; else it is a command's.
    """
    places = places or Surroundings.here()
    extension, kernels, machine = _find_extension(places), _find_kernels(places), _measure(places, live)
    conflicts = [one for check in _CHECKS for one in check(places)]
    conflicts += [*_extension_conflicts(places, extension), *_kernel_conflicts(kernels)]
    return {
        "dlwidgets": __version__,
        "folder": _shorten(places.package),
        "python": {"version": platform.python_version(), "executable": _shorten(places.python)},
        "platform": platform.platform(),
        "host": find_frontend().name if live else "terminal",
        "versions": places.versions,
        "extension": extension,
        "kernels": kernels,
        "machine": machine,
        "conflicts": [asdict(one) for one in conflicts],
        "advice": [*_advise(machine)],
    }


def tabulate_info(info: Mapping[str, Any]) -> FactTable:
    """Return what `find_info` found as a table, with sentences below."""
    python, extension, machine = info["python"], info["extension"], info["machine"]
    versions = {name: version or "missing" for name, version in info["versions"].items() if version or name in NEEDED}
    where = f" in {extension['folder']}" if extension["folder"] else ""
    limits = f" of {machine['cpus']}" if machine["available_cpus"] != machine["cpus"] else ""
    rows = [
        ("dlwidgets", f"{info['dlwidgets']} in {info['folder']}"),
        ("Python", f"{python['version']}, {python['executable']}"),
        ("platform", info["platform"]),
        ("host", info["host"]),
        ("needed", ", ".join(f"{name} {versions[name]}" for name in NEEDED)),
        ("beside it", ", ".join(f"{name} {version}" for name, version in versions.items() if name not in NEEDED)),
        ("extension", f"{extension['state']}{where}"),
        *((f"kernel {name}", one["executable"]) for name, one in info["kernels"].items()),
        ("CPUs", f"{machine['available_cpus']}{limits}"),
        ("memory", f"{machine['memory'] / 2**30:.1f} GB"),
        ("threads", f"{machine['threads']}{'' if machine['torch_loaded'] else ', by the CPUs there are'}"),
    ]
    said = [f"{'!' if one['breaks'] else '*'} {one['sentence']} {one['advice']}" for one in info["conflicts"]]
    return FactTable(rows, remarks=[*(said or ["Nothing is known to be wrong."]), *info["advice"]])


def is_broken(info: Mapping[str, Any]) -> bool:
    """Say whether dlwidgets does not work by what was found."""
    return any(one["breaks"] for one in info["conflicts"])


# -- what is there


def _find_extension(places: Surroundings) -> dict[str, Any]:
    """Return what is installed of the JupyterLab extension, and its state."""
    folders = [one for data in places.data if (one := data / "labextensions" / "dlwidgets" / "package.json").is_file()]
    disabled = _disabled_by(places)
    found = {"state": "missing", "version": None, "folder": None, "disabled_by": disabled and _shorten(disabled)}
    if not folders:
        return found
    folder = folders[0].parent
    with suppress(ValueError, OSError):
        found["version"] = json.loads(folders[0].read_text("utf-8")).get("version")
    ours = places.package / "labextension"
    files = [file.relative_to(ours) for file in ours.rglob("*") if file.is_file()]
    same = all(_bytes(folder / file) == _bytes(ours / file) for file in files)
    found["state"] = "disabled" if disabled else "enabled" if same else "stale"
    return found | {"folder": _shorten(folder)}


def _disabled_by(places: Surroundings) -> Path | None:
    """Return the setting that disables the extension; the last one counts."""
    files = [data / "lab" / "settings" / "page_config.json" for data in reversed(places.data)]
    files += [config / "labconfig" / "page_config.json" for config in reversed(places.config)]
    by: Path | None = None
    for file in files:
        with suppress(OSError, ValueError, AttributeError):
            said = json.loads(file.read_text("utf-8")).get("disabledExtensions", {})
            said = said if isinstance(said, dict) else dict.fromkeys(said, True)
            for name in said:
                if name.partition(":")[0] == "dlwidgets":
                    by = file if said[name] else None
    return by


def _find_kernels(places: Surroundings) -> dict[str, dict[str, Any]]:
    """Return name -> interpreter of each Python kernel."""
    found: dict[str, dict[str, Any]] = {}
    for file in (file for data in places.data for file in sorted((data / "kernels").glob("*/kernel.json"))):
        with suppress(OSError, ValueError, KeyError, IndexError, TypeError):
            spec = json.loads(file.read_text("utf-8"))
            if spec.get("language", "python") != "python" or file.parent.name in found:
                continue
            # Jupyter starts its own interpreter for these words.
            plain = re.fullmatch(r"python(3(\.\d+)?)?(\.exe)?", spec["argv"][0])
            python = places.python if plain else Path(spec["argv"][0])
            # In a virtual environment the interpreter is a link to that of another.
            same = python.parent.resolve() == places.python.parent.resolve()
            found[file.parent.name] = {"executable": _shorten(python), "same": same, "there": python.exists()}
    return found


def _measure(places: Surroundings, live: bool) -> dict[str, Any]:
    """Return CPUs, memory [bytes] and the threads that torch takes."""
    cpus = available_cpus(places.system)
    torch = sys.modules.get("torch") if live else None
    return {
        "cpus": os.cpu_count() or 1, "available_cpus": cpus, "cpu_quota": cpu_quota(places.system),
        "memory": total_memory(places.system), "threads": cpus if torch is None else torch.get_num_threads(),
        "torch_loaded": torch is not None, "gpus": None if torch is None else torch.cuda.device_count(),
        "omp_num_threads_is_set": "OMP_NUM_THREADS" in os.environ,
    }  # fmt: skip


def _shorten(path: Path) -> str:
    """Return a path with ~ for the person's home."""
    home = Path.home()
    return str(Path("~") / path.relative_to(home)) if path.is_relative_to(home) else str(path)


def _bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


# -- what is known to go wrong


def _check_wanted(places: Surroundings) -> Iterator[Conflict]:
    """Compare what is installed with what dlwidgets wants."""
    mine = places.find("dlwidgets")
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return
    for wanted in map(Requirement, (mine.requires if mine is not None else None) or NEEDED):
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        found = places.find(wanted.name)
        if found is None or not wanted.specifier.contains(found.version, prereleases=True):
            have = "is not installed" if found is None else f"is {found.version}"
            name = f"{wanted.name}{wanted.specifier}"
            sentence = f"{wanted.name} {have}, and dlwidgets wants {name}."
            yield Conflict(f"wanted_{wanted.name}", sentence, f'Install it: pip install "{name}".', breaks=True)


def _check_kernel(places: Surroundings) -> Iterator[Conflict]:
    if places.release("ipykernel")[:2] == (7, 0):
        yield Conflict(
            "ipykernel_7_0",
            f"ipykernel {places.versions['ipykernel']} raises LookupError where a thread of yours updates a widget.",
            'Install a later one: pip install "ipykernel>=7.1".',
        )


def _check_page(places: Surroundings) -> Iterator[Conflict]:
    """Compare the parts of ipywidgets, and the age of what shows them."""
    lab, widgets, manager = (places.release(name) for name in ("jupyterlab", "ipywidgets", "jupyterlab_widgets"))
    if lab and lab < (4,):
        yield Conflict(
            "jupyterlab_3", f"JupyterLab {places.versions['jupyterlab']} is too old: 4.2 or later is wanted.",
            'Install it: pip install "jupyterlab>=4.2,<5".', breaks=True,
        )  # fmt: skip
    if (book := places.release("notebook")) and book < (7,):
        yield Conflict(
            "notebook_6", f"Notebook {places.versions['notebook']} knows no extensions of JupyterLab.",
            'Install a later one: pip install "notebook>=7.2".',
        )  # fmt: skip
    # 7 goes with 1, 8 with 3.
    if widgets and manager and (widgets[0] >= 8) != (manager[0] >= 3):
        both = (
            f"ipywidgets {places.versions['ipywidgets']} and jupyterlab_widgets {places.versions['jupyterlab_widgets']}"
        )
        yield Conflict(
            "jupyterlab_widgets", f"{both} do not go together: no widget is shown.",
            "Install both anew, and reload the page: pip install --upgrade ipywidgets jupyterlab_widgets.", breaks=True,
        )  # fmt: skip


def _check_torchvision(places: Surroundings) -> Iterator[Conflict]:
    vision, torch = places.find("torchvision"), places.versions["torch"]
    if vision is None or torch is None:
        return
    wanted = next(
        (found[1] for one in vision.requires or () if (found := re.match(r"torch\s*\(?==\s*([\w.]+)", one))), ""
    )
    builds = [version.partition("+")[2] for version in (torch, vision.version)]
    if (wanted and wanted != torch.partition("+")[0]) or (builds[0] != builds[1] and "cpu" in builds):
        yield Conflict(
            "torchvision", f"torchvision {vision.version} was not built for torch {torch}, and may fail at its import.",
            "Install both from one index, as the start page of PyTorch says.",
        )  # fmt: skip


def _check_installed(places: Surroundings) -> Iterator[Conflict]:
    """Look for another dlwidgets than the one in use."""
    folders = dict.fromkeys(_folder_of(one) for one in Distribution.discover(name="dlwidgets", path=[*places.path]))
    others = [_shorten(one) for one in folders if one.resolve() != places.package.resolve()]
    if others:
        yield Conflict(
            "several_dlwidgets", f"dlwidgets is in use from {_shorten(places.package)}, and installed in "
            f"{' and '.join(others)} too.", "Remove what is not meant: pip uninstall dlwidgets, once for each.",
        )  # fmt: skip


def _folder_of(found: Distribution) -> Path:
    """Return an installed dlwidgets' folder, or its checkout's."""
    with suppress(ValueError, TypeError, KeyError):
        told = json.loads(found.read_text("direct_url.json") or "")
        if told["dir_info"].get("editable"):
            return Path(unquote(urlsplit(told["url"]).path)) / "dlwidgets"
    return Path(str(found.locate_file("dlwidgets")))


_CHECKS = (_check_wanted, _check_kernel, _check_page, _check_torchvision, _check_installed)


def _extension_conflicts(places: Surroundings, extension: Mapping[str, Any]) -> Iterator[Conflict]:
    state, lost = extension["state"], "status bar, side panel and palette do without it; all else works"
    editable = (places.package.parent / "pyproject.toml").is_file()
    anew = f"pip install {'-e .' if editable else '--force-reinstall --no-deps dlwidgets'}"
    if state == "missing" and places.versions["jupyterlab"]:
        yield Conflict("extension_missing", f"The JupyterLab extension is missing: {lost}.", f"Run {anew} again.")
    if state == "disabled":
        by = f"The JupyterLab extension is disabled by {extension['disabled_by']}: {lost}."
        yield Conflict("extension_disabled", by, "Run jupyter labextension enable dlwidgets, and reload the page.")
    if state == "stale":
        which = f"The JupyterLab extension in {extension['folder']} (version {extension['version']})"
        copy = f"{which} is another than that of dlwidgets {__version__} in use."
        yield Conflict("extension_stale", copy, f"Run {anew} again, and reload the page.")


def _kernel_conflicts(kernels: Mapping[str, Mapping[str, Any]]) -> Iterator[Conflict]:
    for name, one in kernels.items():
        if not one["there"]:
            yield Conflict(
                f"kernel_{name}", f"The kernel {name!r} starts {one['executable']}, which is not there.",
                f"Remove it: jupyter kernelspec remove {name}.",
            )  # fmt: skip
        elif not one["same"] and name == "python3":
            yield Conflict(
                f"kernel_{name}", f"The kernel {name!r} starts {one['executable']}, which is another Python than this.",
                "Have it start this one: python -m ipykernel install --sys-prefix.",
            )  # fmt: skip


def _advise(machine: Mapping[str, Any]) -> Iterator[str]:
    cpus = machine["available_cpus"]
    if cpus < machine["cpus"]:
        threads = pluralize(cpus, "thread")
        yield f"Of {machine['cpus']} CPUs {cpus} may be used here: a session takes {threads} by itself."
    if cpus == 1:
        yield "A browser on the same machine shares the one CPU with the training."
    elif cpus == 2:
        yield "Where a browser shares the two CPUs, session.threads = 1 is often twice as fast."
    if machine["omp_num_threads_is_set"]:
        yield "OMP_NUM_THREADS is set: torch takes its number of threads from it."
    if machine["memory"] < _LITTLE:
        yield "There is little memory: Session(..., snapshot_memory=50_000_000) keeps less of what was."
