"""Logged scalars over the updates: panels one below another, with one axis of updates."""

from typing import NamedTuple

from ..families import known_kinds
from ..gates.scalars import ENTROPY, MEAN, SPREAD
from ..pictures import BLUE, DARK, GREEN, OLIVE, ORANGE, PINK, QUIET, RED, SKY, Box, axes, open_frame
from .events import FFN, HEADS, KEPT, LAYERS, OF_FFN, OF_LAYERS, TEMPERATURE, Curve

# colours and lines of kinds of block, by their place among the kinds of all families
COLOURS, LINES = (BLUE, ORANGE, GREEN, PINK, RED, SKY, OLIVE), ("-", "--", "-.", ":")
# inches
LEFT, WIDTH, RIGHT, BOTTOM = 0.8, 4.6, 1.75, 0.6
PANEL, GAP = 1.35, 0.45
_MANY = 20.0  # ratio of the highest to the lowest temperature from which on the axis is logarithmic


class Panel(NamedTuple):
    title: str
    unit: str
    lines: dict[str, tuple[str, str, str]]  # by tag: label, colour, line


def look_of(kind: str) -> tuple[str, str]:
    """Colour and line of a kind of block."""
    place = known_kinds().index(kind)
    return COLOURS[place % len(COLOURS)], LINES[place % len(LINES)]


PANELS = (
    Panel(
        "heads that would decode, by kind",
        "heads",
        {HEADS: ("all open in training", DARK, ":")}
        | {tag: (kind, *look_of(kind)) for kind, tag in KEPT.items() if kind not in {**OF_FFN, **OF_LAYERS}},
    ),
    Panel(
        "hidden units that would decode, by kind",
        "hidden units",
        {FFN: ("all open in training", DARK, ":")} | {tag: (kind, *look_of(kind)) for kind, tag in OF_FFN.items()},
    ),
    Panel(
        "layers that would decode, by stack",
        "layers",
        {LAYERS: ("all open in training", DARK, ":")}
        | {tag: (kind, *look_of(kind)) for kind, tag in OF_LAYERS.items()},
    ),
    Panel("how undecided the choice is (0: settled)", "bits", {ENTROPY: ("entropy", DARK, "-")}),
    Panel("temperature of the sampling", "in logits", {TEMPERATURE: ("temperature", DARK, "-")}),
    Panel("importance logits of all units", "logit", {MEAN: ("mean", DARK, "-")}),
)


def size(curves: dict[str, Curve]) -> tuple[float, float]:
    """Width and height that :func:`draw` needs."""
    panels = len(_logged(curves))
    return LEFT + WIDTH + RIGHT, panels * PANEL + (panels - 1) * GAP + BOTTOM


def draw(figure, left: float, top: float, curves: dict[str, Curve]) -> None:
    """At this place, in inches from the top left of the figure."""
    first = None
    for place, (title, unit, lines) in enumerate(_logged(curves)):
        box = Box(left + LEFT, top + place * (PANEL + GAP), WIDTH, PANEL)
        panel = axes(figure, box, sharex=first)
        first = first or panel
        open_frame(panel)
        for tag, (label, colour, line) in lines.items():
            # there is nothing between two numbers of heads
            steps = {"drawstyle": "steps-mid"} if tag in (HEADS, FFN, LAYERS, *KEPT.values()) else {}
            panel.plot(
                *curves[tag], color=colour, linestyle=line, linewidth=1.2 if line == ":" else 1.6, label=label, **steps
            )
        if MEAN in lines:
            _draw_spread(panel, curves)
        elif TEMPERATURE in lines and 0 < _MANY * min(curves[TEMPERATURE].values) < max(curves[TEMPERATURE].values):
            panel.set_yscale("log")
        else:
            panel.set_ylim(bottom=0)
        panel.set_title(title, fontsize="small", loc="left", pad=4)
        panel.set_ylabel(unit)
        panel.tick_params(labelbottom=False)
        if len(panel.get_legend_handles_labels()[1]) > 1:
            panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False, fontsize="small")
    panel.tick_params(labelbottom=True)
    panel.set_xlabel("update")


def _logged(curves: dict[str, Curve]) -> list[Panel]:
    """The panels for which something was logged, with the lines that they have."""
    found = [
        panel._replace(lines={tag: look for tag, look in panel.lines.items() if tag in curves}) for panel in PANELS
    ]
    return [panel for panel in found if panel.lines]


def _draw_spread(panel, curves: dict[str, Curve]) -> None:
    """A band of one standard deviation on both sides of the mean."""
    spread = dict(zip(*curves.get(SPREAD, Curve([], [])), strict=True))
    both = [(update, mean, spread[update]) for update, mean in zip(*curves[MEAN], strict=True) if update in spread]
    if both:
        updates, means, spreads = zip(*both, strict=True)
        low, high = ([mean + sign * own for mean, own in zip(means, spreads, strict=True)] for sign in (-1, 1))
        panel.fill_between(updates, low, high, color=QUIET, alpha=0.3, linewidth=0, label="± standard deviation")
