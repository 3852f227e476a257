"""Logged scalars over the updates: panels one below another, with one axis of updates."""

from collections.abc import Callable

from ..gates.scalars import ENTROPY, MEAN, SPREAD
from .events import HEADS, KEPT, TEMPERATURE, Curve
from .looks import DARK, GRID, QUIET, Box, axes, look_of

# inches
LEFT, WIDTH, RIGHT, BOTTOM = 0.8, 4.6, 1.75, 0.6
PANEL, GAP = 1.35, 0.45
STEPS = {"drawstyle": "steps-mid"}  # there is nothing between two numbers of heads
_MANY = 20.0  # times as high at one end as at the other: then the axis counts in ratios


def size(curves: dict[str, Curve]) -> tuple[float, float]:
    """Width and height that :func:`draw` needs."""
    panels = len(_panels(curves))
    return LEFT + WIDTH + RIGHT, panels * PANEL + (panels - 1) * GAP + BOTTOM


def draw(figure, left: float, top: float, curves: dict[str, Curve]) -> None:
    """At this place, in inches from the top left of the figure."""
    first = None
    for place, (title, unit, draw_panel) in enumerate(_panels(curves)):
        box = Box(left + LEFT, top + place * (PANEL + GAP), WIDTH, PANEL)
        panel = axes(figure, box, sharex=first)
        first = first or panel
        panel.grid(color=GRID, linewidth=0.8)
        panel.set_axisbelow(True)
        draw_panel(panel, curves)
        panel.set_title(title, fontsize="small", loc="left", pad=4)
        panel.set_ylabel(unit)
        panel.tick_params(labelbottom=False)
        if len(panel.get_legend_handles_labels()[1]) > 1:
            panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False, fontsize="small")
    panel.tick_params(labelbottom=True)
    panel.set_xlabel("update")


def _panels(curves: dict[str, Curve]) -> list[tuple[str, str, Callable]]:
    """Title, unit and what draws it, of those for which something was logged."""
    panels = [
        ("heads that would decode, by kind", "heads", _draw_heads, (HEADS, *KEPT.values())),
        ("how undecided the choice is (0: settled)", "bits", _draw_entropy, (ENTROPY,)),
        ("temperature of the sampling", "in logits", _draw_temperature, (TEMPERATURE,)),
        ("importance logits of all heads", "logit", _draw_logits, (MEAN, SPREAD)),
    ]
    return [(title, unit, drawing) for title, unit, drawing, tags in panels if set(tags) & set(curves)]


def _draw_heads(panel, curves: dict[str, Curve]) -> None:
    """Those that would decode, by kind; and those that training runs with."""
    if HEADS in curves:
        panel.plot(*curves[HEADS], color=DARK, linewidth=1.2, linestyle=":", label="all open in training", **STEPS)
    for kind, tag in KEPT.items():
        if tag in curves:
            colour, line = look_of(kind)
            panel.plot(*curves[tag], color=colour, linestyle=line, linewidth=1.6, label=kind, **STEPS)
    panel.set_ylim(bottom=0)


def _draw_entropy(panel, curves: dict[str, Curve]) -> None:
    panel.plot(*curves[ENTROPY], color=DARK, linewidth=1.6)
    panel.set_ylim(bottom=0)


def _draw_temperature(panel, curves: dict[str, Curve]) -> None:
    curve = curves[TEMPERATURE]
    panel.plot(*curve, color=DARK, linewidth=1.6)
    if min(curve.values) > 0 and max(curve.values) > _MANY * min(curve.values):
        panel.set_yscale("log")
    else:
        panel.set_ylim(bottom=0)


def _draw_logits(panel, curves: dict[str, Curve]) -> None:
    if MEAN in curves:
        panel.plot(*curves[MEAN], color=DARK, linewidth=1.6, label="mean")
    if MEAN in curves and SPREAD in curves:
        spread = dict(zip(*curves[SPREAD], strict=True))
        both = [(update, mean, spread[update]) for update, mean in zip(*curves[MEAN], strict=True) if update in spread]
        updates, means, spreads = zip(*both, strict=True)
        low, high = ([mean + sign * own for mean, own in zip(means, spreads, strict=True)] for sign in (-1, 1))
        panel.fill_between(updates, low, high, color=QUIET, alpha=0.3, linewidth=0, label="± standard deviation")
