"""The score against heads, or against parameters where models differ in more: a colour and a shape per method."""

from statistics import mean

from .. import pictures
from ..pictures import QUIET
from ..pictures import RED as ALL  # the unpruned model
from .amounts import trained_methods
from .plan import DISTILLED
from .results import Results, is_tuned, untuned

_WIDE = 8  # ratio of the largest to the smallest number of heads from which on the axis is logarithmic


def looks(methods: list[str]) -> dict[str, tuple[str, str]]:
    """Colour and shape of every method by its place in the registry, the same for its tuned and distilled models.

    Names that are not in the registry, such as ways to choose in a trained model, take the looks that follow.
    """
    names = dict.fromkeys([*trained_methods(), *map(untuned, methods)])
    look = {name: pictures.LOOKS[place % len(pictures.LOOKS)] for place, name in enumerate(names)}
    return {method: look[untuned(method)] for method in methods}


def draw_scores(results: Results):
    """curve.png: the mean over the seeds as a line, the lowest to the highest as a band, unpruned across."""
    figure = pictures.new_figure(7.5, 4.8, layout="constrained")
    panel = figure.subplots()
    several = len({row.cell.seed for row in results.rows}) > 1
    _draw_unpruned(panel, results)
    for method in results.methods:
        _draw_method(panel, results, method)
    against = "heads" if results.only_heads else "parameters"
    if results.only_heads:
        _count_heads(panel, sorted({row.heads for row in results.rows if row not in results.unpruned}))
        panel.set_xlabel(f"heads kept of {results.rows[0].original_heads}")
    else:
        panel.xaxis.set_major_formatter(lambda number, _: f"{number / 1e6:g} M")
        panel.set_xlabel("parameters of the model, embeddings included")
    panel.set_ylabel(results.evaluation.axis)
    pictures.open_frame(panel)
    if panel.get_legend_handles_labels()[0]:  # beside the panel, where it covers nothing
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, handlelength=3)
    note = "lines: mean over the seeds; bands: lowest to highest" if several else "one seed"
    figure.suptitle(f"{results.evaluation.score_name} against {against}", fontsize="x-large", fontweight="bold")
    figure.supxlabel(f"{note}\n{results.signature}", fontsize="small", color=QUIET)
    return figure


def _draw_unpruned(panel, results: Results) -> None:
    rows = results.unpruned
    if not rows:
        return
    name = f"all {rows[0].heads} heads" if results.only_heads else "unpruned"
    scores = [row.score for row in rows]
    panel.axhline(mean(scores), color=ALL, linestyle="--", linewidth=1.3, label=name)
    if len(scores) > 1:
        panel.axhspan(min(scores), max(scores), color=ALL, alpha=0.12, linewidth=0)


def _draw_method(panel, results: Results, method: str) -> None:
    colour, shape = looks(results.methods)[method]
    groups = list(results.of(method).values())
    sizes = [mean(row.heads if results.only_heads else row.parameters for row in rows) for rows in groups]
    scores = [[row.score for row in rows] for rows in groups]
    look: dict[str, object] = {"markerfacecolor": "white", "linestyle": (0, (4, 3))} if is_tuned(method) else {}
    look |= {"linestyle": ":", "fillstyle": "left"} if DISTILLED in method else {}
    panel.plot(sizes, list(map(mean, scores)), color=colour, marker=shape, linewidth=1.6, label=method, **look)
    if max(map(len, scores)) > 1:
        panel.fill_between(sizes, list(map(min, scores)), list(map(max, scores)), color=colour, alpha=0.18, linewidth=0)
        if len(sizes) == 1:  # a band without width
            panel.vlines(sizes, list(map(min, scores)), list(map(max, scores)), color=colour, linewidth=1.2)


def _count_heads(panel, counts: list[int]) -> None:
    if not counts:
        panel.set_xticks([])
        return
    if counts[0] > 0 and counts[-1] >= _WIDE * counts[0]:
        panel.set_xscale("log")
        panel.set_xticks([], minor=True)
    panel.set_xticks(_apart(panel, counts))
    panel.xaxis.set_major_formatter("{x:.0f}")


def _apart(panel, counts: list[int], least: float = 0.04) -> list[int]:
    """The counts whose labels do not touch: the largest first, then those far enough from it and from each other."""
    places = [panel.transData.transform((count, 0))[0] for count in counts]
    chosen: list[int] = []
    last = float("inf")
    for count, place in reversed(list(zip(counts, places, strict=True))):
        if last - place >= least * (places[-1] - places[0]):
            chosen.append(count)
            last = place
    return chosen
