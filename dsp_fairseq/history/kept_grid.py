"""Kept units over the checkpoints: a row per unit, a column per checkpoint, above it how many units changed."""

import itertools

from matplotlib.patches import Patch

from .. import pictures
from ..families import known_kinds
from ..pictures import DARK, NOT_KEPT, QUIET, Box, axes
from ..structures.inventory import Block
from .checkpoints import Snapshot, changes
from .scalar_curves import look_of

# inches
LEFT, RIGHT, BOTTOM = 1.6, 0.65, 1.05
CHANGES, GAP = 0.7, 0.3  # height of the bars, and what is below them
ROWS, TALLEST, LOWEST = 7.0, 0.19, 0.035  # height of all rows; of one
COLUMNS, WIDEST, THINNEST = 7.0, 0.34, 0.04
NARROWEST = 2.6  # all columns
DIGIT = 0.085  # width of a figure of a label
_SEEN = 0.09  # smaller cells have no white line between them
BETWEEN_BLOCKS, BETWEEN_KINDS = 0.09, 0.25  # in heights of the largest block


def size(history: list[Snapshot]) -> tuple[float, float]:
    """Width and height that :func:`draw` needs."""
    return LEFT + _width(history) + RIGHT, CHANGES + GAP + _height(history) + BOTTOM


def draw(figure, left: float, top: float, history: list[Snapshot]) -> None:
    """At this place, in inches from the top left of the figure."""
    width = _width(history)
    bars = axes(figure, Box(left + LEFT, top, width, CHANGES))
    panel = axes(figure, Box(left + LEFT, top + CHANGES + GAP, width, _height(history)))
    for axis in (bars, panel):
        axis.set_xlim(0, len(history))
    if len(history) > 1:
        _draw_changes(bars, history)
    else:
        bars.set_axis_off()
    _draw_heads(panel, history)
    ticks = _ticks(history, width)
    panel.set_xticks([place + 0.5 for place in ticks], [str(history[place].update) for place in ticks])
    panel.set_xlabel("checkpoint, by its update")
    panel.set_ylabel(f"block, a row for each of its {history[0].inventory.noun}")
    _explain(figure, left + LEFT, history)


def _width(history: list[Snapshot]) -> float:
    return max(NARROWEST, len(history) * min(WIDEST, max(THINNEST, COLUMNS / len(history))))


def _height(history: list[Snapshot]) -> float:
    rows = _places(history[0].inventory.blocks)[1]
    return rows * min(TALLEST, max(LOWEST, ROWS / rows))


def _places(blocks: tuple[Block, ...]) -> tuple[list[float], float]:
    """The first row of each block, and the number of all rows with the spaces between blocks."""
    places, row, largest = [], 0.0, max(1, *(block.units for block in blocks))
    for number, block in enumerate(blocks):
        if number:
            row += largest * (BETWEEN_BLOCKS if block.kind == blocks[number - 1].kind else BETWEEN_KINDS)
        places.append(row)
        row += block.units
    return places, row


def _draw_changes(panel, history: list[Snapshot]) -> None:
    counts = [sum(changes(before, own)) for before, own in itertools.pairwise(history)]
    panel.bar([place + 1.5 for place in range(len(counts))], counts, width=0.75, color=DARK)
    most = max([*counts, 1])
    panel.set_ylim(0, most)
    panel.set_yticks([0, most])
    panel.set_xticks([])
    panel.axhline(0, color=QUIET, linewidth=0.8)
    title = f"{history[0].inventory.noun} that came or went since the checkpoint before"
    panel.set_title(title, fontsize="small", loc="left", pad=4)


def _draw_heads(panel, history: list[Snapshot]) -> None:
    blocks = history[0].inventory.blocks
    places, rows = _places(blocks)
    line = 0.8 if min(_height(history) / rows, _width(history) / len(history)) > _SEEN else 0.0
    pieces = zip(*(own.inventory.split(own.mask) for own in history), strict=True)
    for block, row, masks in zip(blocks, places, pieces, strict=True):
        # [checkpoints, units] -> [units, checkpoints]
        cells = [list(map(int, head)) for head in zip(*masks, strict=True)]
        if cells:
            edges = range(len(history) + 1), [row + head for head in range(block.units + 1)]
            pictures.draw_heads(panel, cells, (NOT_KEPT, look_of(block.kind)[0]), line, *edges)
    panel.set_ylim(rows, 0)
    middles = [row + block.units / 2 for row, block in zip(places, blocks, strict=True)]
    panel.set_yticks(middles, [block.name for block in blocks], fontsize="small")
    last = history[-1].inventory.split(history[-1].mask)
    labels = [
        f"{sum(piece) * block.count}/{block.original_units * block.count}"
        for piece, block in zip(last, blocks, strict=True)
    ]
    pictures.count_rows(panel, middles, labels, fontsize="small")


def _ticks(history: list[Snapshot], width: float) -> list[int]:
    """The columns with a label: the last one, and others so far apart that labels do not touch."""
    label = DIGIT * (len(str(history[-1].update)) + 1)
    step = max(1, -int(-label // (width / len(history))))
    return sorted(range(len(history) - 1, -1, -step))


def _explain(figure, left: float, history: list[Snapshot]) -> None:
    """The legend under the grid."""
    width = figure.get_size_inches()[0]
    there = {block.kind for block in history[0].inventory.blocks if block.units}
    handles = [Patch(color=look_of(kind)[0], label=f"{kind}, kept") for kind in known_kinds() if kind in there]
    handles.append(Patch(color=NOT_KEPT, label="not kept"))
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=((left - 0.9) / width, 0.0),
        ncols=2,
        frameon=False,
        fontsize="small",
    )
