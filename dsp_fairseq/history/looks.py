"""Colours, lines and places that the panels of the picture share."""

from typing import NamedTuple

from ..families import known_kinds
from ..pictures import COLOURS

LINES = ("-", "--", "-.", ":")
DARK, QUIET, GRID = "#202020", "#808080", "#e0e0e0"


def look_of(kind: str) -> tuple[str, str]:
    """Colour and line of a kind of block, by its place among the kinds of all families."""
    place = known_kinds().index(kind)
    return COLOURS[place % len(COLOURS)], LINES[place % len(LINES)]


class Box(NamedTuple):
    """A rectangle, in inches from the top left of the figure."""

    left: float
    top: float
    width: float
    height: float


def axes(figure, box: Box, **options):
    """Axes at a place in inches, without a frame."""
    width, height = figure.get_size_inches()
    place = (box.left / width, 1 - (box.top + box.height) / height, box.width / width, box.height / height)
    panel = figure.add_axes(place, **options)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return panel
