"""The history of a training as one figure: kept heads of every checkpoint at the left, logged scalars at the right."""

from typing import NamedTuple

from .. import pictures
from .text import History, verdict

# Okabe and Ito's colours, which everybody can tell apart, and a line of its own for each
LOOKS = {
    "encoder.self": ("#0072B2", "-"),
    "decoder.self": ("#E69F00", "--"),
    "decoder.cross": ("#009E73", "-."),
}
DARK, QUIET, GRID = "#202020", "#808080", "#e0e0e0"
# inches
TOP, BETWEEN, LEAST_WIDTH = 0.95, 0.6, 7.0


class Box(NamedTuple):
    """A rectangle, in inches from the top left of the figure."""

    left: float
    top: float
    width: float
    height: float


def draw(history: History):
    """The matplotlib figure."""
    from . import kept_grid, scalar_curves

    grid = kept_grid.size(history.snapshots) if history.snapshots else (0.0, 0.0)
    curves = scalar_curves.size(history.curves) if history.curves else (0.0, 0.0)
    width = max(LEAST_WIDTH, grid[0] + curves[0] + (BETWEEN if history.snapshots and history.curves else 0.0))
    figure = pictures.new_figure(width, TOP + max(grid[1], curves[1]))
    if history.snapshots:
        kept_grid.draw(figure, 0.0, TOP, history.snapshots)
    if history.curves:
        scalar_curves.draw(figure, width - curves[0], TOP, history.curves)
    _explain(figure, history)
    return figure


def axes(figure, box: Box, **options):
    """Axes at a place in inches, without a frame."""
    width, height = figure.get_size_inches()
    place = (box.left / width, 1 - (box.top + box.height) / height, box.width / width, box.height / height)
    panel = figure.add_axes(place, **options)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return panel


def _explain(figure, history: History) -> None:
    height = figure.get_size_inches()[1]
    figure.suptitle("How the kept heads settle", y=1 - 0.15 / height, va="top", fontsize="x-large", fontweight="bold")
    figure.text(0.5, 1 - 0.48 / height, _note(history), ha="center", va="top", color=QUIET)


def _note(history: History) -> str:
    if history.snapshots:
        return verdict(history.snapshots)
    updates = [update for curve in history.curves.values() for update in curve.updates]
    return f"logged from update {min(updates)} to {max(updates)}"
