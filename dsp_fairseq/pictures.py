"""What all pictures share: checks, figures and PNG files of matplotlib, which is an optional dependency."""

import importlib.util
import logging

from .atomic import check_target, writing
from .errors import BadInput

DOTS_PER_INCH = 150


def problems(path: str, force: bool) -> list[str]:
    """Reasons why ``--plot path`` cannot be drawn, one line each."""
    found = []
    if importlib.util.find_spec("matplotlib") is None:
        found.append(f"--plot {path}: needs matplotlib, which is not installed; pip install matplotlib")
    if not path.lower().endswith(".png"):
        found.append(f"--plot {path}: must be a name that ends in .png")
    try:
        check_target(path, force)
    except BadInput as problem:
        found.append(f"--plot {problem}")
    return found


def new_figure(width: float, height: float, **options):
    """An empty matplotlib figure of ``width`` x ``height`` inches, drawn by Agg, which needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq's settings would print its INFO lines
    figure = Figure(figsize=(width, height), **options)
    FigureCanvasAgg(figure)
    return figure


def save(figure, path: str, force: bool) -> None:
    """Write a figure as PNG, whole or not at all. Raises BadInput or Failed as :func:`.atomic.writing` does."""
    with writing(path, force) as beside:
        figure.savefig(beside, format="png", dpi=DOTS_PER_INCH)
