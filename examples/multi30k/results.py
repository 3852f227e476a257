"""Collect the runs of train.sh and prune.sh, and show them: scores.csv, results.md, bleu.png.

    python results.py [--out DIR] [--results DIR]

Scores of runs that are no longer there stay in scores.csv; table and picture are made from it alone. A run
is told by its folder's name: METHOD-K-seedN from scratch, METHOD-after-K-seedN from the unpruned model,
with -tunedE trained on for E epochs.
"""

import argparse
import csv
import re
import statistics
import sys
from pathlib import Path

import summary

from dsp_fairseq import pictures
from dsp_fairseq.atomic import writing
from dsp_fairseq.tables import mean_and_range

HERE = Path(__file__).resolve().parent
NAME = re.compile(
    r"(?P<method>all|[a-z][a-z0-9-]*?)(?P<after>-after)?(?:-(?P<heads>\d+))?-seed(?P<seed>\d+)(?:-tuned(?P<tuned>\d+))?"
)
COLUMNS = ("run", "valid_nll", "bleu", "encoder_self", "decoder_self", "decoder_cross")
HEADS = 36
TABLES = (("BLEU, test_2016_flickr", "bleu", 2), ("Validation nll, base 2 (lower is better)", "nll", 3))
# what a run is called in table and picture, in this order; its colour (Okabe and Ito's) and its shape
SERIES = {
    ("dsp", "scratch"): ("dsp", "#0072B2", "o"),
    ("uniform", "scratch"): ("uniform", "#000000", "s"),
    ("ste", "scratch"): ("ste", "#009E73", "^"),
    ("dsp-published", "scratch"): ("dsp-published", "#E69F00", "D"),
    ("any-k", "after"): ("dsp, any K of 3 to 24 from one training", "#999933", "X"),
    ("dsp", "after"): ("dsp, pipelined", "#56B4E9", "P"),
    ("dsp-published", "after"): ("dsp-published, pipelined", "#F0E442", "d"),
    ("l0", "after"): ("l0, pipelined", "#CC79A7", "v"),
    ("michel", "after"): ("gradient importance, at once", "#D55E00", ">"),
    ("michel-iterative", "after"): ("gradient importance, iterative", "#882255", "<"),
    ("magnitude", "after"): ("magnitude", "#808080", "*"),
    ("random", "after"): ("random", "#C0C0C0", "h"),
}
ALL = ("all", "scratch")


class Run:
    """One line of scores.csv."""

    def __init__(self, fields: dict):
        self.fields = fields
        parts = NAME.fullmatch(fields["run"])
        self.seed = int(parts["seed"])
        self.heads = int(parts["heads"] or HEADS)
        self.epochs = int(parts["tuned"] or 0)
        self.series = (parts["method"], "after" if parts["after"] else "scratch")
        self.nll, self.bleu = float(fields["valid_nll"]), float(fields["bleu"])

    @property
    def label(self) -> str:
        name = f"all {HEADS} heads" if self.series == ALL else SERIES[self.series][0]
        return f"{name}, tuned {self.epochs} epochs" if self.epochs else name

    @property
    def weights_follow_choice(self) -> bool:
        """Were they trained with the heads that are kept? Not if these were chosen in a trained model afterwards."""
        return self.series[1] == "scratch" or self.series[0] == "any-k" or bool(self.epochs)

    @property
    def order(self):
        return bool(self.epochs), list(SERIES).index(self.series) if self.series in SERIES else -1


def score(folder: Path) -> dict:
    """The line of a finished run."""
    run, _, nll, bleu, kept, _, _ = (cell.strip() for cell in summary.row(folder).strip("|").split("|"))
    return dict(zip(COLUMNS, (run, nll, bleu, *kept.split(" / ")), strict=True))


def is_known(name: str) -> bool:
    parts = NAME.fullmatch(name)
    if parts is None:
        return False
    series = (parts["method"], "after" if parts["after"] else "scratch")
    return parts["heads"] is None if series == ALL else series in SERIES and parts["heads"] is not None


def read_scores(path: Path) -> "dict[str, dict]":
    """The lines of scores.csv by run."""
    with path.open(encoding="utf-8", newline="") as file:
        return {line["run"]: line for line in csv.DictReader(file)}


def collect(runs: Path, scores: Path) -> "list[Run]":
    """What scores.csv holds and what the finished runs add, sorted; scores.csv is written anew."""
    lines = read_scores(scores) if scores.exists() else {}
    found = [path for path in sorted(runs.glob("*")) if is_known(path.name) and (path / "sacrebleu.txt").exists()]
    lines.update((path.name, score(path)) for path in found)
    if not lines:
        raise ValueError(f"{runs}: no finished run of train.sh or prune.sh in it, and no {scores}")
    kept = sorted((Run(line) for line in lines.values()), key=lambda run: (run.order, -run.heads, run.seed))
    with writing(str(scores), force=True) as beside, open(beside, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(run.fields for run in kept)
    return kept


def cells(runs: "list[Run]") -> "dict[tuple[str, int], list[Run]]":
    """Runs that differ in nothing but their seed."""
    found: dict = {}
    for run in runs:
        found.setdefault((run.label, run.heads), []).append(run)
    return found


def markdown(runs: "list[Run]") -> str:
    found = cells(runs)
    pruned = [(label, heads) for (label, heads), of_cell in found.items() if of_cell[0].series != ALL]
    labels = list(dict.fromkeys(label for label, _ in pruned))
    counts = sorted({heads for _, heads in pruned}, reverse=True)
    head = ["| method |" + "".join(f" K = {count} |" for count in counts), "|---|" + "---|" * len(counts)]
    text = ["# Multi30k, German to English: quality against heads kept of 36", ""]
    text += ["Made by `results.py` from `scores.csv`; the setting is in the README of `examples/multi30k`.", ""]
    for title, name, digits in TABLES:
        text += [f"## {title}", ""]
        for (label, _), of_cell in found.items():
            if of_cell[0].series == ALL:
                values = [getattr(run, name) for run in of_cell]
                text += [f"{label}: {mean_and_range(values, digits, seeds=True)}", ""]
        text += head
        for label in labels:
            values = [[getattr(run, name) for run in found.get((label, count), [])] for count in counts]
            text.append(
                f"| {label} |" + "".join(f" {mean_and_range(v, digits, seeds=True) if v else ''} |" for v in values)
            )
        text.append("")
    return "\n".join(text)


def draw(runs: "list[Run]"):
    """BLEU against heads, means over seeds, bars from lowest to highest; each panel has its own scale."""
    pruned = [run for run in runs if run.series != ALL]
    panels = {
        "weights trained with the heads that are kept": [run for run in pruned if run.weights_follow_choice],
        "chosen in the trained model, weights as they were": [run for run in pruned if not run.weights_follow_choice],
    }
    panels = {title: of_panel for title, of_panel in panels.items() if of_panel} or {"": []}
    figure = pictures.new_figure(1.0 + 6.0 * len(panels), 6.5, layout="constrained")
    figure.suptitle("Multi30k, German to English: heads kept in the whole model, and BLEU", fontweight="bold")
    counts = sorted({run.heads for run in pruned})
    for panel, (title, of_panel) in zip(
        figure.subplots(1, len(panels), sharex=True, squeeze=False)[0], panels.items(), strict=True
    ):
        _draw_unpruned(panel, [run for run in runs if run.series == ALL])
        _draw_series(panel, of_panel)
        panel.set(title=title, xlabel="heads kept of 36", xscale="log", ylabel="BLEU, test_2016_flickr")
        panel.set_xticks(counts, [str(count) for count in counts], minor=False)
        panel.set_xticks([], minor=True)
        panel.grid(axis="y", color="#E8E8E8")
        panel.spines[["top", "right"]].set_visible(False)
        if panel.get_legend_handles_labels()[0]:
            below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12), "ncols": 2}
            panel.legend(fontsize=8, frameon=False, handlelength=4, **below)  # long enough for dashes beside a shape
    return figure


def _draw_unpruned(panel, runs: "list[Run]") -> None:
    for (label, _), of_cell in cells(runs).items():
        values = [run.bleu for run in of_cell]
        panel.axhspan(min(values), max(values), color="#EFEFEF")
        style = "-." if of_cell[0].epochs else ":"
        panel.axhline(statistics.mean(values), color="#606060", linestyle=style, label=label)


def _draw_series(panel, runs: "list[Run]") -> None:
    labels = list(dict.fromkeys(run.label for run in runs))
    for place, label in enumerate(labels):
        aside = 1.015 ** (place - (len(labels) - 1) / 2)  # bars of the same K stand side by side
        of_label = {heads: found for (name, heads), found in cells(runs).items() if name == label}
        heads = sorted(of_label)
        values = [[run.bleu for run in of_label[count]] for count in heads]
        means = [statistics.mean(v) for v in values]
        bars = [
            [m - min(v) for m, v in zip(means, values, strict=True)],
            [max(v) - m for m, v in zip(means, values, strict=True)],
        ]
        _, colour, shape = SERIES[of_label[heads[0]][0].series]
        tuned = bool(of_label[heads[0]][0].epochs)  # hollow and dashed
        look = {"color": colour, "marker": shape, "markersize": 7, "markerfacecolor": "white" if tuned else colour}
        places = [count * aside for count in heads]
        panel.errorbar(places, means, bars, label=label, linestyle=(0, (4, 3)) if tuned else "-", capsize=3, **look)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "work", help="the folder given to prepare.sh")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where the three files go")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    runs = collect(options.out / "runs", options.results / "scores.csv")
    with writing(str(options.results / "results.md"), force=True) as beside:
        Path(beside).write_text(markdown(runs), encoding="utf-8")
    pictures.save(draw(runs), str(options.results / "bleu.png"), force=True)
    print(f"{len(runs)} runs: {options.results}/scores.csv, results.md, bleu.png")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"results.py: {error}", file=sys.stderr)
        sys.exit(2)
