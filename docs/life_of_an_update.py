"""Draws the picture of life-of-an-update.md: ``python docs/life_of_an_update.py``."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

TRAINER, TASK, CRITERION, MODEL, GATES = 0.0, 3.3, 6.6, 10.2, 13.8  # where the line of each object is
OBJECTS = {
    TRAINER: ("Trainer", "of fairseq"),
    TASK: ("PruningTask", "training/task.py"),
    CRITERION: ("PruningCriterion", "training/criterion.py"),
    MODEL: ("GatedModel", "models/gated_model.py"),
    GATES: ("Gates", "gates/gates.py"),
}
LEFT, RIGHT, TOP, BOTTOM = -2.2, 16.6, 0.3, 16.9
CALL, DRAW, APPLY, LEARN = "#444444", "#b34a00", "#0060a0", "#00694f"


def column(axes: Axes, x: float) -> None:
    """An object: its name and file at the top, and the line on which its calls begin and end."""
    name, file = OBJECTS[x]
    axes.plot([x, x], [TOP, BOTTOM], color="#aaaaaa", linewidth=1, zorder=0)
    box = {"boxstyle": "round,pad=0.5", "facecolor": "#eef3f7", "edgecolor": CALL}
    axes.text(x, 0, f"$\\bf{{{name}}}$\n{file}", ha="center", va="center", fontsize=11, bbox=box)


def stage(axes: Axes, top: float, bottom: float, title: str, colour: str) -> None:
    """A shaded band with its title at the left."""
    axes.add_patch(Rectangle((LEFT, top), RIGHT - LEFT, bottom - top, facecolor=colour, alpha=0.07, zorder=-1))
    place = (LEFT + 0.4, (top + bottom) / 2)
    axes.text(*place, title, rotation=90, ha="center", va="center", fontsize=12, weight="bold", linespacing=1.5)


def call(axes: Axes, y: float, start: float, end: float, text: str, colour: str = CALL) -> None:
    """An arrow from one object to another, and above it what is called or returned."""
    axes.annotate("", (end, y), (start, y), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.8})
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85}
    axes.text((start + end) / 2, y - 0.13, text, ha="center", va="bottom", fontsize=11, color=colour, bbox=behind)


def note(axes: Axes, y: float, x: float, text: str, colour: str) -> None:
    """A box with what an object does; y is its middle."""
    box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": colour, "linewidth": 1.6}
    axes.text(x, y, text, ha="center", va="center", fontsize=11, color=colour, bbox=box, linespacing=1.4)


def begin(axes: Axes) -> None:
    stage(axes, 0.9, 2.3, "begin", CALL)
    call(axes, 1.8, TRAINER, CRITERION, "train(): once an update")
    note(axes, 1.6, 8.2, "1  The next forward\nbegins an update.", CALL)


def batches(axes: Axes) -> None:
    stage(axes, 2.5, 11.3, "for each batch of the update\n(several with --update-freq)", APPLY)
    call(axes, 3.2, TRAINER, TASK, "train_step(batch)")
    call(axes, 3.8, TASK, GATES, "set_num_updates(u): the number of the update, through the model")
    call(axes, 4.5, TASK, CRITERION, "forward(batch)")
    call(axes, 5.1, CRITERION, GATES, "2  begin_update(), for the first batch only: forget what is left", DRAW)
    call(axes, 5.8, CRITERION, MODEL, "forward(batch)")
    call(axes, 6.4, MODEL, GATES, "of_update()", DRAW)
    note(axes, 7.3, GATES, "3  First batch: draw a sample\nfrom logits, seed and u.\nOther batches: the same.", DRAW)
    call(axes, 8.6, GATES, MODEL, "4  leaf: detached copy", DRAW)
    note(axes, 9.25, MODEL, "5  Multiply each\nhead by its gate.", APPLY)
    call(axes, 10.4, CRITERION, GATES, "6  add_sample_size(n)", LEARN)
    call(axes, 11.05, TASK, GATES, "7  backward of the loss: the gradient of the gates adds up in leaf.grad", LEARN)


def step(axes: Axes) -> None:
    stage(axes, 11.5, 16.9, "step\n(none on overflow)", LEARN)
    call(axes, 12.2, TRAINER, TASK, "optimizer_step()")
    note(axes, 13.0, TASK, "8  fairseq's optimiser\nmoves the weights.", APPLY)
    call(axes, 14.1, TASK, GATES, "step(loss scale, sum over processes)", LEARN)
    lines = (
        "9  leaf.grad goes back through the sample to the logits;",
        "gradient and sample size are summed over processes,",
        "the one divided by the other and by the loss scale.",
        "LogitAdam moves the logits; the stored mask follows.",
    )
    note(axes, 15.5, 12.8, "\n".join(lines), LEARN)


def main() -> None:
    figure = Figure(figsize=(13, 11.5))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(LEFT - 0.1, RIGHT + 0.1), ylim=(BOTTOM + 0.1, -0.8))
    axes.axis("off")
    for x in OBJECTS:
        column(axes, x)
    begin(axes)
    batches(axes)
    step(axes)
    figure.savefig(Path(__file__).with_name("life-of-an-update.png"), dpi=80)


if __name__ == "__main__":
    main()
