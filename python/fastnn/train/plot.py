"""The loss curve of a run as a PNG, from its log. matplotlib is optional: without it the answer is one clear line."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

from fastnn.train.config import UserError


def require() -> None:
    """Raises UserError before a run starts, rather than after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--plot needs matplotlib, which is not installed: pip install matplotlib")


def draw(log: Path, png: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for column, style in (("loss", {"lw": 0.5, "alpha": 0.5}), ("train", {"marker": "o"}), ("test", {"marker": "o"})):
        points = [(int(row["step"]), float(row[column])) for row in rows if row[column]]
        if points:
            axes.plot(*zip(*points, strict=True), label=column, **style)
    axes.set_xlabel("step")
    axes.set_ylabel("cross entropy (nats per character)")
    axes.legend()
    figure.tight_layout()
    figure.savefig(png, dpi=120)
    pyplot.close(figure)
