"""The history of a training as one figure: kept units of every checkpoint at the left, logged scalars at the right."""

from .. import pictures
from . import kept_grid, scalar_curves
from .text import History, verdict

# inches
TOP, BETWEEN, LEAST_WIDTH = 0.95, 0.6, 7.0


def draw(history: History):
    """The matplotlib figure."""
    grid = kept_grid.size(history.snapshots) if history.snapshots else (0.0, 0.0)
    curves = scalar_curves.size(history.curves) if history.curves else (0.0, 0.0)
    width = max(LEAST_WIDTH, grid[0] + curves[0] + (BETWEEN if history.snapshots and history.curves else 0.0))
    figure = pictures.new_figure(width, TOP + max(grid[1], curves[1]))
    if history.snapshots:
        kept_grid.draw(figure, 0.0, TOP, history.snapshots)
    if history.curves:
        scalar_curves.draw(figure, width - curves[0], TOP, history.curves)
    noun = history.snapshots[0].inventory.noun if history.snapshots else "heads"
    pictures.head(figure, f"How the kept {noun} settle", _note(history))
    return figure


def _note(history: History) -> str:
    if history.snapshots:
        return verdict(history.snapshots)
    updates = [update for curve in history.curves.values() for update in curve.updates]
    return f"logged from update {min(updates)} to {max(updates)}"
