"""A benchmark as a picture: speed, latency and memory side by side, a row per variant."""

import os
from functools import partial

from matplotlib.lines import Line2D

from .. import pictures
from ..pictures import QUIET
from .results import Benchmark, Result
from .settings import EXPORTED, INT8, MASKED, REMOVED, STOCK
from .timing import Spread

LOOKS = {
    STOCK: (pictures.BLACK, "s"),
    MASKED: (pictures.ORANGE, "D"),
    REMOVED: (pictures.BLUE, "o"),
    EXPORTED: (pictures.GREEN, "^"),
    INT8: (pictures.PINK, "v"),
}


def draw(benchmark: Benchmark):
    """The matplotlib figure; dots are medians of the rounds, bars reach from the lowest to the highest."""
    results = benchmark.results
    figure = pictures.new_figure(12.5, 2.5 + 0.45 * len(results), layout="constrained")
    speed, latency, memory = figure.subplots(1, 3, sharey=True, width_ratios=(4, 4, 2.6))
    for row, result in enumerate(results):
        base = benchmark.base_of(result)
        _draw_speed(speed, row, result, base)
        _draw_latency(latency, row, result, base)
        _draw_memory(memory, row, result)
    decoding = benchmark.settings.decoding
    speed.set(xlabel=f"{benchmark.wording.inputs}/s", title=f"Speed, batches of {decoding.batch_size}")
    latency.set(xlabel="ms", title=f"Latency, {benchmark.wording.single}")
    memory.set(xlabel="MB", title="Peak memory")
    for panel in (speed, latency, memory):
        _clean(panel, results)
    _explain(figure, latency, benchmark)
    return figure


def _draw_speed(panel, row: int, result: Result, base: Result) -> None:
    spread = result.spread("sentences_per_second")
    _draw_spread(panel, row, spread, result.variant)
    _write(panel, row, spread.highest, _times(result, base, "sentences_per_second"))


def _draw_latency(panel, row: int, result: Result, base: Result) -> None:
    """p50 filled, p95 hollow."""
    p50, p95 = result.spread("latency_p50_ms"), result.spread("latency_p95_ms")
    panel.plot([p50.median, p95.median], [row, row], color=LOOKS[result.variant][0], linewidth=0.8, linestyle=":")
    _draw_spread(panel, row, p50, result.variant)
    _draw_spread(panel, row, p95, result.variant, hollow=True)
    _write(panel, row, p95.highest, _times(result, base, "latency_p50_ms"))


def _draw_memory(panel, row: int, result: Result) -> None:
    if result.memory_bytes is None:
        _write(panel, row, 0.0, "not measured")
        return
    megabytes = result.memory_bytes / 1e6
    panel.barh(row, megabytes, height=0.5, color=LOOKS[result.variant][0])
    _write(panel, row, megabytes, f"{megabytes:.0f}")


def _draw_spread(panel, row: int, spread: Spread, variant: str, hollow: bool = False) -> None:
    colour, shape = LOOKS[variant]
    reach = [[spread.median - spread.lowest], [spread.highest - spread.median]]
    panel.errorbar(
        [spread.median],
        [row],
        xerr=reach,
        color=colour,
        marker=shape,
        markerfacecolor="white" if hollow else colour,
        markersize=7,
        capsize=4,
        linewidth=1.4,
    )


def _times(result: Result, base: Result, measure: str) -> str:
    """How many times as fast as the base, with the spread over rounds; empty for the base itself."""
    if result is base:
        return ""
    ratio = result.ratio(base, measure)
    return f"{ratio.median:.2f}\N{MULTIPLICATION SIGN} ({ratio.lowest:.2f} to {ratio.highest:.2f})"


def _write(panel, row: int, x: float, text: str) -> None:
    """Write to the right of ``x``."""
    panel.annotate(text, (x, row), xytext=(9, 0), textcoords="offset points", va="center", fontsize="small")


def _clean(panel, results: list[Result]) -> None:
    """Let the axis start at 0, leave room for the text at the right, and put the first row on top."""
    several = len({result.checkpoint for result in results}) > 1
    names = [f"{_short(result)}\n{result.label}" if several else result.label for result in results]
    panel.set_yticks(range(len(results)), names)
    panel.set_ylim(len(results) - 0.4, -0.6)
    panel.set_xlim(0, 1.55 * panel.get_xlim()[1])
    pictures.open_frame(panel, "x", ("top", "right", "left"))


def _short(result: Result) -> str:
    """Folder and name of the checkpoint, and what it keeps."""
    name = os.sep.join(result.checkpoint.split(os.sep)[-2:])
    return f"{name}, {result.kept_in_words}"


def _explain(figure, latency, benchmark: Benchmark) -> None:
    """Title, conditions of the measurement, and a legend of filled and hollow dots."""
    settings, first = benchmark.settings, benchmark.results[0]
    kept = {result.kept_in_words for result in benchmark.results}
    told = (
        kept.pop() if len(kept) == 1 else "some heads" if not any(r.others for r in benchmark.results) else "some units"
    )
    figure.suptitle(f"Decoding with {told}", fontsize="x-large", fontweight="bold")
    conditions = (
        f"{benchmark.machine['device']}, threads: {benchmark.machine['threads']}, "
        f"{'float16' if settings.decoding.half else 'float32'}, beam {settings.decoding.beam}, "
        f"{benchmark.sentences} {benchmark.wording.inputs}; "
        f"median of {settings.rounds} rounds, bars from lowest to highest\n"
        f"\N{MULTIPLICATION SIGN}: times as fast as {benchmark.base_of(first).variant} (latency: p50)"
    )
    figure.supxlabel(conditions, fontsize="small", color=QUIET)
    dot = partial(Line2D, [], [], color=QUIET, marker="o", linestyle="")
    handles = [dot(label="p50"), dot(label="p95", markerfacecolor="white")]
    latency.legend(handles=handles, loc="upper right", frameon=False, fontsize="small")
