"""Draws the units of a checkpoint as a heat map: a panel per kind, a row per layer, a column per original unit."""

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from .. import pictures
from ..pictures import DARK, LIGHT, QUIET, Box, axes
from ..structures.heads import HEADS
from ..structures.structure import STRUCTURES
from .report import BlockUnits, Report

COLOURS = "viridis"  # its lightness grows with the value, also for colour-blind readers and in grey
SAMPLE = "#2c728e"  # colour of the squares in the legend, from the middle of the colour scale

# lengths in inches
CELL = 0.45  # side of the square of one unit
LEFT, TOP, BOTTOM, RIGHT = 0.75, 0.95, 1.1, 1.7  # margins around the panels; the colour scale is in the right one
GAP = 1.15  # between two panels, with room for axis labels and titles
WIDEST = 30  # number of columns; panels with more columns together are drawn one below another
LEAST = 1.9  # least width of a panel, so that its title fits
LEAST_SCALE = 1.3  # least height of the colour scale


def draw(report: Report):
    """The matplotlib figure of a report."""
    panels = {
        kind: [found for found in report.blocks if found.block.kind == kind] for kind in report.kept.inventory.kinds
    }
    boxes = _boxes(list(panels.values()))
    right = max(max(box.left + max(box.width, LEAST) for box in boxes), 5.6)
    bottom = max(max(box.top + box.height for box in boxes), TOP + LEAST_SCALE)
    figure = pictures.new_figure(right + RIGHT, bottom + BOTTOM)
    scale = _colour_scale(report.blocks)
    for box, (kind, blocks) in zip(boxes, panels.items(), strict=True):
        _draw_panel(axes(figure, box), kind, blocks, scale)
    if not report.scored:  # where blocks of weights have scores, units have no logits
        bar = Box(right + 0.65, TOP, 0.2, bottom - TOP)
        figure.colorbar(scale, cax=axes(figure, bar), label=report.origin.words.replace(" (", "\n("))
    _explain(figure, report)
    return figure


def _boxes(panels: list[list[BlockUnits]]) -> list[Box]:
    """The box of each panel: side by side, or one below another when they have more than ``WIDEST`` columns."""
    stacked = sum(map(_columns, panels)) > WIDEST
    left, top, boxes = LEFT, TOP, []
    for blocks in panels:
        box = Box(left, top, min(CELL, WIDEST * CELL / _columns(blocks)) * _columns(blocks), CELL * len(blocks))
        boxes.append(box)
        if stacked:
            top += box.height + GAP
        else:
            left += max(box.width, LEAST) + GAP
    return boxes


def _columns(blocks: list[BlockUnits]) -> int:
    return max(found.block.original_units for found in blocks)


def _colour_scale(blocks: list[BlockUnits]) -> ScalarMappable:
    """The colour scale from the lowest to the highest logit in the checkpoint."""
    logits = [logit for found in blocks for logit in found.logits if logit is not None] or [0.0]
    lowest, highest = min(logits), max(logits)
    return ScalarMappable(Normalize(lowest, highest if highest > lowest else lowest + 1.0), COLOURS)


def _draw_panel(panel, kind: str, blocks: list[BlockUnits], scale: ScalarMappable) -> None:
    """Draw the units of one kind.

    In the coordinates of the panel a unit is a square of side 1, and unit 0 of layer 0 has its centre at (0, 0), at
    the top left.
    """
    for block, kept, _, logits in blocks:
        for unit, logit in enumerate(logits):
            if logit is None:
                _draw_removed(panel, unit, block.layer)
            else:
                colour = scale.to_rgba(logit)  # type: ignore[arg-type]  # declared for arrays only
                _draw_cell(panel, unit, block.layer, colour, pruned=unit not in kept)
    panel.set(xlim=(-0.5, _columns(blocks) - 0.5), ylim=(len(blocks) - 0.5, -0.5))
    count = blocks[0].block.count
    stack = STRUCTURES[blocks[0].block.structure].nests
    group = "hidden unit" if count == 1 else f"group of {count} hidden units"
    noun = "head" if blocks[0].block.structure == HEADS.name else group
    panel.set(xlabel=f"{'layer' if stack else noun} (original index)", ylabel="" if stack else "layer")
    panel.set_xticks(range(0, _columns(blocks), 1 if _columns(blocks) <= WIDEST else 10))
    panel.set_yticks([] if stack else range(len(blocks)))
    counts = [(len(found.kept) * count, found.block.original_units * count) for found in blocks]
    all_kept, all_there = map(sum, zip(*counts, strict=True))
    panel.set_title(f"{kind}: {all_kept} of {all_there}", fontsize="medium", loc="left")
    labels = [f"{kept}/{original}" for kept, original in counts]
    pictures.count_rows(panel, range(len(blocks)), labels)


def _draw_cell(panel, unit: int, layer: int, colour, pruned: bool) -> None:
    panel.add_patch(Rectangle((unit - 0.46, layer - 0.46), 0.92, 0.92, facecolor=colour, edgecolor="none"))
    if pruned:
        for slope in (1, -1):
            ys = [layer - 0.44 * slope, layer + 0.44 * slope]
            panel.plot([unit - 0.44, unit + 0.44], ys, color=_readable_on(colour), linewidth=1.2)


def _draw_removed(panel, unit: int, layer: int) -> None:
    corner = (unit - 0.42, layer - 0.42)
    panel.add_patch(Rectangle(corner, 0.84, 0.84, facecolor=LIGHT, edgecolor=QUIET, linestyle=":", linewidth=1.2))


def _readable_on(colour) -> str:
    """``DARK`` or ``LIGHT``, whichever is easier to see on this colour, judged by its luma (ITU-R BT.601)."""
    red, green, blue = colour[:3]
    return DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.6 else LIGHT


def _explain(figure, report: Report) -> None:
    """Add the title, and below the panels a legend of the sorts of unit (kept, pruned, removed) in this checkpoint."""
    fates = {name: report.fates_of(name) for name in report.kept.inventory.structures}
    pictures.head(figure, f"{', '.join(map(report.kept_in_words, fates))} kept")
    square = Line2D([], [], color=SAMPLE, marker="s", markersize=13, linestyle="")
    cross = Line2D([], [], color=LIGHT, marker="x", markersize=11, linestyle="")
    frame = Patch(facecolor=LIGHT, edgecolor=QUIET, linestyle=":", linewidth=1.2)
    entries = {
        "kept": (square, "kept"),
        "pruned": ((square, cross), "pruned: in the file, not computed"),
        "removed": (frame, "removed from the file"),
    }
    handles, labels = zip(
        *(entry for fate, entry in entries.items() if any(of[fate] for of in fates.values())), strict=True
    )
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
