"""See a PyTorch model, steer its training live, understand what went wrong."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Where each public name lives. Nothing is imported before it is used: `import dlwidgets` stays cheap.
_HOMES = {
    "Session": "session",
    "sessions": "session",
    "summary": "core.layers.summary",
    "Summary": "core.layers.summary",
    "with_head": "core.layers.head",
    "load_weights": "core.layers.load_weights",
    "activations": "core.activations.activations",
    "Scores": "core.scoring.scores",
    "Detections": "core.scoring.detections",
    "LayerTable": "views.layers.view",
    "TrainingPanel": "views.training.view",
    "Curves": "views.curves.view",
    "ConfusionGrid": "views.confusion.view",
    "ActivationBrowser": "views.activations.view",
    "Doctor": "views.doctor.view",
    "FineTunePanel": "views.finetune.view",
    "Dashboard": "views.dashboard",
    "Experiment": "views.experiment",
}
#: What IPython calls for `%load_ext dlwidgets`.
_HOOKS = {"load_ipython_extension": "extension", "unload_ipython_extension": "extension"}

if TYPE_CHECKING:
    from . import teaching
    from .core.activations.activations import activations
    from .core.layers.head import with_head
    from .core.layers.load_weights import load_weights
    from .core.layers.summary import Summary, summary
    from .core.scoring.detections import Detections
    from .core.scoring.scores import Scores
    from .session import Session, sessions
    from .views.activations.view import ActivationBrowser
    from .views.confusion.view import ConfusionGrid
    from .views.curves.view import Curves
    from .views.dashboard import Dashboard
    from .views.doctor.view import Doctor
    from .views.experiment import Experiment
    from .views.finetune.view import FineTunePanel
    from .views.layers.view import LayerTable
    from .views.training.view import TrainingPanel

__all__ = [*_HOMES, "teaching"]


def __getattr__(name: str) -> Any:
    if name == "teaching":
        return import_module(".teaching", __name__)
    home = _HOMES.get(name) or _HOOKS.get(name)
    if home is not None:
        value = getattr(import_module(f".{home}", __name__), name)
        globals()[name] = value
        if home == "session" or home.startswith("views."):
            _accompany()
        return value
    from .core.base.words import did_you_mean

    raise AttributeError(f"dlwidgets has no {name!r}.{did_you_mean(name, __all__)}")


def _accompany() -> None:
    """Tell a notebook's page of the sessions from now on."""
    from .core.base.frontend import in_notebook

    if in_notebook():
        from .views.companion import accompany

        accompany()


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
