"""PNG files drawn with matplotlib, which is an extra: colours, places and marks that all pictures share."""

import importlib.util
import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .atomic import check_target, writing
from .errors import BadInput

# fairseq's settings of logging would print matplotlib's INFO lines, such as that its first import has looked for fonts
logging.getLogger("matplotlib").setLevel(logging.WARNING)

DOTS_PER_INCH = 150
DARK, LIGHT, QUIET, GRID = "#202020", "#ffffff", "#808080", "#e0e0e0"
NOT_KEPT = "#eeeeee"  # colour of heads that are not kept; not white, so that they can be seen
# pairs of a colour and the shape of a marker; the first colours are those of Okabe and Ito, safe for the colour-blind
BLUE, BLACK, GREEN, ORANGE, PINK, RED = "#0072B2", "#000000", "#009E73", "#E69F00", "#CC79A7", "#D55E00"
SKY, OLIVE = "#56B4E9", "#999933"
LOOKS = [
    (BLUE, "o"), (ORANGE, "D"), (GREEN, "^"), (PINK, "v"), (BLACK, "s"), ("#56B4E9", "P"), ("#F0E442", "d"),
    ("#999933", "X"), ("#882255", "<"), ("#808080", "*"), ("#C0C0C0", "h"),
]  # fmt: skip


class Box(NamedTuple):
    """A rectangle, in inches from the top left of the figure."""

    left: float
    top: float
    width: float
    height: float


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

    figure = Figure(figsize=(width, height), **options)
    FigureCanvasAgg(figure)
    return figure


def axes(figure, box: Box, **options):
    """Add axes without a frame in the given box, in inches from the top left of the figure."""
    width, height = figure.get_size_inches()
    place = (box.left / width, 1 - (box.top + box.height) / height, box.width / width, box.height / height)
    panel = figure.add_axes(place, **options)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return panel


def write(figure, left: float, top: float, text: str, **options) -> None:
    """Write text at ``left`` and ``top``, in inches from the top left of the figure."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - top / height, text, **options)


def head(figure, title: str, note: str = "") -> None:
    """The title at the top of the figure, in its middle, and a quieter line below it."""
    height = figure.get_size_inches()[1]
    figure.suptitle(title, y=1 - 0.15 / height, va="top", fontsize="x-large", fontweight="bold")
    figure.text(0.5, 1 - 0.48 / height, note, ha="center", va="top", color=QUIET)


def open_frame(panel, axis: str = "both", without: Sequence[str] = ("top", "right")) -> None:
    """A pale grid behind the data, no tick marks, and no frame at some sides."""
    panel.grid(axis=axis, color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(length=0)
    panel.spines[list(without)].set_visible(False)


def draw_heads(panel, cells, colours: Sequence, line: float = 1.0, xs=None, ys=None) -> None:
    """A map of heads: ``cells`` [rows, columns] are places in ``colours``; a nan has no cell.

    ``xs`` [columns + 1] and ``ys`` [rows + 1] are the edges of the cells (default: whole numbers from 0).
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap

    edges = () if xs is None else (xs, ys)
    norm = BoundaryNorm([place - 0.5 for place in range(len(colours) + 1)], len(colours))
    border = "white" if line else "none"
    panel.pcolormesh(*edges, cells, cmap=ListedColormap(list(colours)), norm=norm, edgecolor=border, linewidth=line)


def count_rows(panel, rows: Iterable[float], labels: Iterable[str], **options) -> None:
    """At the right of rows of a map of heads, how many heads are kept there."""
    counts = panel.secondary_yaxis("right")
    counts.set_yticks(list(rows), list(labels), color=QUIET, **options)
    counts.tick_params(length=0)
    counts.spines[:].set_visible(False)


def save(figure, path: str, force: bool) -> None:
    """Write a figure as PNG, whole or not at all. Raises BadInput or Failed as :func:`.atomic.writing` does."""
    with writing(path, force) as beside:
        figure.savefig(beside, format="png", dpi=DOTS_PER_INCH)
