"""BLEU against heads, and against decoding speed: a colour per method, the seeds as a band or as dots."""

from statistics import mean
from typing import Callable, Dict, List, Tuple

from .. import pictures
from .labels import Label, write
from .results import Results, Row

# Okabe and Ito's colours, which everybody can tell apart, and a shape of its own for each
LOOKS = {
    "dsp": ("#0072B2", "o"),
    "uniform": ("#000000", "s"),
    "ste": ("#009E73", "^"),
    "dsp-published": ("#E69F00", "D"),
    "l0": ("#CC79A7", "v"),
}
OTHERS = [("#56B4E9", "P"), ("#F0E442", "X")]  # for methods to come
ALL = "#D55E00"  # the unpruned model
QUIET = "#808080"
_WIDE = 8  # times as many heads at one end as at the other: then the axis counts in ratios


def looks(methods: List[str]) -> Dict[str, Tuple[str, str]]:
    """Colour and shape of every method."""
    unknown = [method for method in methods if method not in LOOKS]
    return {**LOOKS, **{method: OTHERS[i % len(OTHERS)] for i, method in enumerate(unknown)}}


def draw_heads(results: Results):
    """curve.png: the mean over the seeds as a line, the lowest to the highest as a band, unpruned across."""
    figure = pictures.new_figure(7.5, 4.8, layout="constrained")
    panel = figure.subplots()
    several = len({row.cell.seed for row in results.rows}) > 1
    _draw_unpruned(panel, results.unpruned)
    for method in results.methods:
        _draw_method(panel, results, method)
    total = results.rows[0].original_heads
    _count_heads(panel, sorted({row.heads for row in results.rows if row not in results.unpruned}))
    panel.set(xlabel=f"heads kept of {total}", ylabel="BLEU")
    _clean(panel)
    _legend(panel)
    note = "lines: mean over the seeds; bands: lowest to highest" if several else "one seed"
    _explain(figure, "BLEU against heads", f"{note}\n{results.signature}")
    return figure


def _draw_unpruned(panel, rows: List[Row]) -> None:
    if not rows:
        return
    scores = [row.bleu for row in rows]
    panel.axhline(mean(scores), color=ALL, linestyle="--", linewidth=1.3, label=f"all {rows[0].heads} heads")
    if len(scores) > 1:
        panel.axhspan(min(scores), max(scores), color=ALL, alpha=0.12, linewidth=0)


def _draw_method(panel, results: Results, method: str) -> None:
    colour, shape = looks(results.methods)[method]
    groups = list(results.of(method).values())
    heads = [mean(row.heads for row in rows) for rows in groups]
    scores = [[row.bleu for row in rows] for rows in groups]
    panel.plot(heads, list(map(mean, scores)), color=colour, marker=shape, linewidth=1.6, label=method)
    if max(map(len, scores)) > 1:
        panel.fill_between(heads, list(map(min, scores)), list(map(max, scores)), color=colour, alpha=0.18, linewidth=0)
        if len(heads) == 1:  # a band without width
            panel.vlines(heads, list(map(min, scores)), list(map(max, scores)), color=colour, linewidth=1.2)


def _count_heads(panel, counts: List[int]) -> None:
    if not counts:
        panel.set_xticks([])
        return
    if counts[0] > 0 and counts[-1] >= _WIDE * counts[0]:
        panel.set_xscale("log")
        panel.set_xticks([], minor=True)
    panel.set_xticks(_apart(panel, counts))
    panel.xaxis.set_major_formatter("{x:.0f}")


def _apart(panel, counts: List[int], least: float = 0.04) -> List[int]:
    """The counts whose labels do not touch: the largest first, then those far enough from it and from each other."""
    places = [panel.transData.transform((count, 0))[0] for count in counts]
    chosen: List[int] = []
    last = float("inf")
    for count, place in reversed(list(zip(counts, places))):
        if last - place >= least * (places[-1] - places[0]):
            chosen.append(count)
            last = place
    return chosen


def draw_speed(results: Results):
    """speed.png: every cell as a small dot, the mean over the seeds as a large one with its number of heads."""
    figure = pictures.new_figure(7.5, 4.8, layout="constrained")
    panel = figure.subplots()
    numbers: List[Label] = []
    for method in results.methods:
        colour, shape = looks(results.methods)[method]
        groups = list(results.of(method).values())
        numbers += _draw_points(panel, groups, colour, shape, method)
        speeds = [_mean(rows, _speed) for rows in groups]
        panel.plot(speeds, [_mean(rows, _bleu) for rows in groups], color=colour, linewidth=0.8, linestyle=":")
    if results.unpruned:
        numbers += _draw_points(panel, [results.unpruned], ALL, "*", "all heads")
    panel.set(xlabel="sentences/s, as fairseq-generate says", ylabel="BLEU")
    panel.margins(0.12)
    _clean(panel)
    _legend(panel)
    jobs = sorted({row.record.jobs for row in results.rows})
    beside = "one cell at a time" if jobs == [1] else f"up to {jobs[-1]} cells at a time, which slow each other down"
    dots = "large: mean over the seeds, small: each seed; " if len({row.cell.seed for row in results.rows}) > 1 else ""
    note = f"{dots}numbers: heads kept of {results.rows[0].original_heads}"
    _explain(figure, "BLEU against decoding speed", f"{note}\n{beside}\n{results.signature}")
    write(figure, panel, numbers, [(_speed(row), row.bleu) for row in results.rows])
    return figure


def _draw_points(panel, groups: List[List[Row]], colour: str, shape: str, label: str) -> List[Label]:
    for rows in groups:
        if len(rows) > 1:
            panel.plot(list(map(_speed, rows)), list(map(_bleu, rows)), shape, color=colour, alpha=0.4, markersize=4)
    size = 13 if shape == "*" else 8
    means = [(_mean(rows, _speed), _mean(rows, _bleu)) for rows in groups]
    panel.plot(*zip(*means), shape, color=colour, markersize=size, label=label)
    return [Label(str(rows[0].heads), point, colour) for point, rows in zip(means, groups)]


def _speed(row: Row) -> float:
    return row.speed.sentences_per_second


def _bleu(row: Row) -> float:
    return row.bleu


def _mean(rows: List[Row], measure: Callable[[Row], float]) -> float:
    return mean(map(measure, rows))


def _clean(panel) -> None:
    panel.grid(color="#e0e0e0", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(length=0)
    panel.spines[["top", "right"]].set_visible(False)


def _legend(panel) -> None:
    """Beside the panel, where it covers nothing."""
    panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _explain(figure, title: str, note: str) -> None:
    figure.suptitle(title, fontsize="x-large", fontweight="bold")
    figure.supxlabel(note, fontsize="small", color=QUIET)
