"""Colours, lines and places that the panels of the picture share."""

from typing import NamedTuple

# Okabe and Ito's colours, which everybody can tell apart, and a line of its own for each
LOOKS = {
    "encoder.self": ("#0072B2", "-"),
    "decoder.self": ("#E69F00", "--"),
    "decoder.cross": ("#009E73", "-."),
}
DARK, QUIET, GRID = "#202020", "#808080", "#e0e0e0"


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
