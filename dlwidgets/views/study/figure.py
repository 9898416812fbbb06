"""The traits of a study as a Figure and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_FOLDED = "The study is folded: open_study() opens 'touch', 'excites', 'where' or 'time'."


def figure_of(section: str, values: dict[str, Any], image: np.ndarray | None = None) -> Figure:
    """Return the Figure of a section from what `Study.values` returned.

    Parameters
    ----------
    image : uint8, H x W x 3: the input under the map of "where"; None where it is no image.
    """
    from ...core.figures import study

    if section == "touch":
        touching = values["touching"]
        if touching["reason"] or not touching["rows"]:
            return study.sentence_figure(touching["reason"] or "Nothing was computed yet.", "touch")
        list_ = [f"{path or 'model'} {number} ×{factor:g}" for path, number, factor in touching["list"]]
        title = ", ".join(list_) or "no channel is touched"
        return study.ablation_figure(touching["rows"], title, share=touching["measure"] == "probability")
    if section == "excites" and values["exciting"].get("tiles"):
        found, images = values["exciting"], None
        if found["size"]:
            images = np.frombuffer(values["excited"], np.uint8).reshape(-1, *found["size"], 3)
        title = f"{found['layer']}, channel {found['channel']}"
        return study.top_samples_figure(images, found["tiles"], title)
    if section == "where" and "peak" in values["where"]:
        found = values["where"]
        name = next((row[1] for row in found["classes"] if row[0] == found["target"]), found["target"])
        word = "Grad-CAM" if found["method"] == "grad_cam" else "gradient × input"
        return study.attribution_figure(
            _numbers(values["where_map"], found["size"], found["peak"]),
            image if found["form"] == "map" else None, f"{word} for {name}",
        )  # fmt: skip
    if section == "time" and values["spread"]:
        found = values["spread"]
        return study.spread_figure(
            _shares(values), found["steps"], found["reach"], found["mean"], values["film"]["layer"]
        )
    name = {"excites": "exciting", "where": "where", "time": "film"}.get(section)
    reason = values[name].get("reason", "") if name is not None else _FOLDED
    return study.sentence_figure(reason or "Nothing was computed yet.", section)


def frame_of(section: str, values: dict[str, Any]) -> pd.DataFrame:
    """Return a section as a table.

    touch : a row a class, with `before` and `after`. excites : a row a sample, with `value` and where the
    largest one lies, as shares of the input's axes. where : the map, as large as it is. time : a row a look,
    with `mean`, `std` and `zeros` of the layer's values.
    """
    import pandas as pd

    if section == "touch":
        rows = [row[:3] for row in values["touching"]["rows"]]
        return pd.DataFrame(rows, columns=["class", "before", "after"]).set_index("class")
    if section == "excites":
        tiles = values["exciting"].get("tiles", [])
        rows = [(one["sample"], one["value"], *_padded(one["box"])) for one in tiles]
        names = ["sample", "value", "left", "top", "width", "height"]
        return pd.DataFrame(rows, columns=names).set_index("sample")
    if section == "where":
        found = values["where"]
        if "peak" not in found:
            return pd.DataFrame()
        return pd.DataFrame(_numbers(values["where_map"], found["size"], found["peak"]))
    if section == "time":
        found = values["spread"]
        if not found:
            return pd.DataFrame(columns=["mean", "std", "zeros"])
        index = pd.Index([last for _, last in found["steps"]], name="step")
        return pd.DataFrame({name: found[name] for name in ("mean", "std", "zeros")}, index=index)
    raise ValueError(_FOLDED)


def _numbers(codes: bytes, size: list[int], peak: float) -> np.ndarray:
    values = np.frombuffer(codes, np.uint8).reshape(size).astype(np.float64)
    return np.where(values == 0, np.nan, (values - 128) * peak / 127)


def _shares(values: dict[str, Any]) -> np.ndarray:
    shades = np.frombuffer(values["spread_shades"], np.uint8).reshape(-1, values["spread"]["bins"])
    return np.where(shades == 0, 0.0, 10.0 ** (4 * ((shades.astype(float) - 1) / 254 - 1)))


def _padded(box: list[float] | None) -> list[float | None]:
    if box is None:
        return [None] * 4
    return list(box) if len(box) == 4 else [box[0], None, box[1], None]
