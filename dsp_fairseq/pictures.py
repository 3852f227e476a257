"""PNG files drawn with matplotlib, which is an extra: what all pictures share."""

import importlib.util
import logging

from .atomic import check_target, writing
from .errors import BadInput

DOTS_PER_INCH = 150
# Okabe and Ito's colours, which people with any colour vision can tell apart, in the order in which pictures use them
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#F0E442")


def problems(path: str, force: bool) -> list[str]:
    """Everything that keeps ``--plot path`` from being drawn, one line each."""
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
    """An empty matplotlib figure, inches, drawn by Agg: it needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq shows what others whisper
    figure = Figure(figsize=(width, height), **options)
    FigureCanvasAgg(figure)
    return figure


def save(figure, path: str, force: bool) -> None:
    """Write the picture, whole or not at all."""
    with writing(path, force) as beside:
        figure.savefig(beside, format="png", dpi=DOTS_PER_INCH)
