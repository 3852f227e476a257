"""heads.png: which heads are kept at which K; a map per method and K, with a row per block and a column per head."""

from typing import Any, NamedTuple

from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap

from .. import pictures
from ..pictures import NOT_KEPT, QUIET, Box, axes
from .results import Results, Row, is_tuned

# inches
CELL = 0.24
WIDEST = 16.0  # all panels together; where there are more columns the cells are smaller
LEFT, RIGHT, TOP, BOTTOM = 1.25, 1.5, 0.35, 0.6  # around the panels
GAP = 0.25  # between panels
ABOVE = 0.75  # over a row of panels, for the method and what is kept
LEAST = 0.95  # width of a panel with its title


class Grid(NamedTuple):
    """The places of the panels."""

    methods: list[str]
    budgets: list[str]  # labels of what is kept, from many heads to few
    blocks: dict[str, int]  # heads of each
    cell: float

    @property
    def across(self) -> float:
        """Width of the cells of one panel."""
        return self.cell * max(self.blocks.values())

    @property
    def width(self) -> float:
        return max(self.across, LEAST)

    @property
    def height(self) -> float:
        return self.cell * len(self.blocks)

    def left(self, column: int) -> float:
        return LEFT + column * (self.width + GAP)

    def top(self, row: int) -> float:
        return TOP + ABOVE + row * (self.height + ABOVE)


def draw(results: Results):
    """A row of panels per method, K falling from left to right; the darker, the more seeds keep the head."""
    # a tuned model keeps the heads of the one that it started from, and a dense one has blocks of its own
    groups = {method: results.of(method) for method in results.methods if not is_tuned(method)}
    groups = {method: of for method, of in groups.items() if "" not in of}
    grid = _grid(results, groups)
    seeds = max((len(rows) for of in groups.values() for rows in of.values()), default=1)
    colours = _colours(seeds)
    figure = pictures.new_figure(
        max(grid.left(len(grid.budgets)), 3.2) + RIGHT, grid.top(len(grid.methods)) - ABOVE + BOTTOM
    )
    for row, method in enumerate(grid.methods):
        pictures.write(figure, LEFT, grid.top(row) - 0.32, method, fontweight="bold")
        columns = [(column, budget) for column, budget in enumerate(grid.budgets) if budget in groups[method]]
        for column, budget in columns:
            panel = axes(figure, Box(grid.left(column), grid.top(row), grid.across, grid.height))
            _draw_panel(panel, groups[method][budget], grid.blocks, colours, seeds)
            names = list(grid.blocks) if column == columns[0][0] else []
            panel.set_yticks([row + 0.5 for row in range(len(names))], names, fontsize="small")
    _draw_colours(figure, colours, seeds, grid)
    pictures.head(figure, "Which heads survive")
    bottom = figure.get_size_inches()[1] - 0.12
    pictures.write(figure, LEFT, bottom, "columns: heads of the block, from 0", color=QUIET, fontsize="small")
    return figure


def _grid(results: Results, groups: dict[str, dict[str, list[Row]]]) -> Grid:
    heads = {budget: rows[0].heads for of in groups.values() for budget, rows in of.items()}
    blocks = next((rows[0].blocks for of in groups.values() for rows in of.values()), results.rows[0].blocks)
    columns = max(1, len(heads))
    cell = min(CELL, (WIDEST / columns - GAP) / max(blocks.values()))
    return Grid(list(groups), sorted(heads, key=lambda budget: -heads[budget]), blocks, cell)


def _colours(seeds: int) -> list[Any]:
    """A colour for each number of seeds, from none to all."""
    return [NOT_KEPT, *(colormaps["viridis_r"](0.15 + 0.8 * seed / seeds) for seed in range(1, seeds + 1))]


def _draw_panel(panel, rows: list[Row], blocks: dict[str, int], colours: list[Any], seeds: int) -> None:
    counts = [_counts(rows, block, heads, max(blocks.values())) for block, heads in blocks.items()]
    # a line per block, a column per head; where a block has fewer heads than others nothing is drawn
    pictures.draw_heads(panel, counts, colours)
    panel.set(ylim=(len(blocks), 0))
    panel.set_xticks([])
    _part_kinds(panel, list(blocks))
    kept = " to ".join(str(heads) for heads in sorted({row.heads for row in rows})[:: max(1, len(rows) - 1)])
    some = f" ({len(rows)} of {seeds} seeds)" if len(rows) < seeds else ""
    panel.set_title(f"{kept} heads{some}", fontsize="small", loc="left", pad=4)


def _counts(rows: list[Row], block: str, heads: int, columns: int) -> list[float]:
    """How many seeds keep each head; nan where the block has no such head."""
    kept = [row.kept[block] for row in rows]
    return [float(sum(head in of for of in kept)) if head < heads else float("nan") for head in range(columns)]


def _part_kinds(panel, blocks: list[str]) -> None:
    """A line between blocks of different kinds."""
    kinds = [block.rpartition(".")[0] for block in blocks]
    for row in range(1, len(kinds)):
        if kinds[row] != kinds[row - 1]:
            panel.axhline(row, color=QUIET, linewidth=1.0)


def _draw_colours(figure, colours: list[Any], seeds: int, grid: Grid) -> None:
    height = min(grid.height, 0.35 * (seeds + 1))
    scale = axes(figure, Box(max(grid.left(len(grid.budgets)), 3.2) + 0.1, grid.top(0), 0.2, height))
    norm = BoundaryNorm([number - 0.5 for number in range(seeds + 2)], len(colours))
    bar = figure.colorbar(ScalarMappable(norm, ListedColormap(colours)), cax=scale, ticks=range(seeds + 1))
    bar.ax.tick_params(which="both", length=0)
    bar.outline.set_visible(False)
    bar.set_label("seeds that keep the head" if height > 1.6 else "seeds that\nkeep it", fontsize="small")
