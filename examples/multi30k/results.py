"""Collect the runs of train.sh, prune.sh and sweep.yaml, and show them: scores.csv, results.md, bleu.png.

    python results.py [--out DIR] [--results DIR]

Scores of runs that are no longer there stay in scores.csv; table and picture are made from it alone. The name of a run
says what it is: METHOD-K-seedN from scratch, METHOD-after-K-seedN from a trained model, with -tunedE trained on for E
epochs.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import pandas

from dsp_fairseq import pictures
from dsp_fairseq.atomic import writing
from dsp_fairseq.sweep import logs, records
from dsp_fairseq.sweep.plan import Files
from dsp_fairseq.sweep.results import per_kind
from dsp_fairseq.tables import mean_and_range

HERE = Path(__file__).resolve().parent
NAME = (
    r"(?P<method>all|[a-z][a-z0-9-]*?)(?P<after>-after)?(?:-(?P<heads>\d+))?-seed(?P<seed>\d+)(?:-tuned(?P<tuned>\d+))?"
)
SCORES = ["run", "valid_nll", "bleu", "encoder_self", "decoder_self", "decoder_cross"]
HEADS = 36
TABLES = (("BLEU, test_2016_flickr", "bleu", 2), ("Validation nll, base 2 (lower is better)", "valid_nll", 3))
# what a run is called in table and picture, in this order; its colour (Okabe and Ito's) and its shape
SERIES = {
    "dsp": ("dsp", "#0072B2", "o"),
    "uniform": ("uniform", "#000000", "s"),
    "ste": ("ste", "#009E73", "^"),
    "dsp-published": ("dsp-published", "#E69F00", "D"),
    "any-k-after": ("dsp, any K of 3 to 24 from one training", "#999933", "X"),
    "dsp-after": ("dsp, pipelined", "#56B4E9", "P"),
    "dsp-published-after": ("dsp-published, pipelined", "#F0E442", "d"),
    "l0-after": ("l0, pipelined", "#CC79A7", "v"),
    "michel-after": ("gradient importance, at once", "#D55E00", ">"),
    "michel-iterative-after": ("gradient importance, iterative", "#882255", "<"),
    "magnitude-after": ("magnitude", "#808080", "*"),
    "random-after": ("random", "#C0C0C0", "h"),
}
ALL = "all"


def collect(runs: Path, scores: Path) -> pandas.DataFrame:
    """The lines of scores.csv, as text, and those of the finished runs instead of older ones of the same name."""
    known = [pandas.read_csv(scores, dtype=str)] if scores.exists() else []
    found = [line for path in sorted(runs.glob("*/cell.json")) if (line := score(Files(str(path.parent))))]
    lines = pandas.concat([*known, pandas.DataFrame(found, columns=SCORES)]).drop_duplicates("run", keep="last")
    if lines.empty:
        raise ValueError(f"{runs}: no finished run of train.sh or prune.sh in it, and no {scores}")
    order = described(lines).sort_values(["is_tuned", "place", "heads", "seed"], ascending=[True, True, False, True])
    return lines.set_index("run").loc[order.run].reset_index()


def score(cell: Files) -> "list[str] | None":
    """The line of a finished run."""
    record, nll, bleu = records.read(cell), logs.valid_nll(cell), logs.printed_bleu4(cell.printed)
    if not record.evaluated or record.kept is None or nll is None or bleu is None:
        return None
    return [cell.name.replace("unpruned-", "all-"), str(nll), bleu, *map(str, per_kind(record.kept).values())]


def described(scores: pandas.DataFrame) -> pandas.DataFrame:
    """What the names say, of the runs that belong into table and picture: series, heads, seed, epochs of tuning."""
    runs = scores.join(scores.run.str.extract(f"^{NAME}$")).astype({"valid_nll": float, "bleu": float})
    runs["series"] = runs.method + runs.after.fillna("")
    runs["is_all"] = (runs.series == ALL) & runs.heads.isna()
    runs = runs[runs.is_all | (runs.series.isin(SERIES) & runs.heads.notna())]
    runs = runs.fillna({"heads": str(HEADS), "tuned": "0"}).astype({"heads": int, "seed": int, "tuned": int})
    runs["place"] = runs.series.map({name: place for place, name in enumerate([ALL, *SERIES])})
    runs["is_tuned"] = runs.tuned > 0
    names = {ALL: f"all {HEADS} heads", **{name: look[0] for name, look in SERIES.items()}}
    tuned = runs.tuned.map(lambda epochs: f", tuned {epochs} epochs" if epochs else "")
    runs["label"] = runs.series.map(names) + tuned
    return runs


def markdown(runs: pandas.DataFrame) -> str:
    text = ["# Multi30k, German to English: quality against heads kept of 36", ""]
    text += ["Made by `results.py` from `scores.csv`; the setting is in the README of `examples/multi30k`.", ""]
    for title, measure, digits in TABLES:
        cells = runs.pivot_table(
            measure, "label", "heads", partial(mean_and_range, digits=digits, seeds=True), "", sort=False
        )
        text += [f"## {title}", ""]
        unpruned = runs.label[runs.is_all].unique()
        for label in unpruned:
            text += [f"{label}: {cells.loc[label, HEADS]}", ""]
        cells = cells.drop(index=unpruned)[sorted(runs.heads[~runs.is_all].unique(), reverse=True)]
        text += ["| method |" + "".join(f" K = {count} |" for count in cells), "|---|" + "---|" * len(cells.columns)]
        text += [
            f"| {label} |" + "".join(f" {cell} |" for cell in row)
            for label, row in zip(cells.index, cells.values, strict=True)
        ]
        text.append("")
    return "\n".join(text)


def draw(runs: pandas.DataFrame):
    """BLEU against heads, means over seeds, bars from lowest to highest; each panel has its own scale."""
    pruned = runs[~runs.is_all]
    # the weights of a model whose heads were chosen afterwards did not follow the choice, unless it was tuned
    follow = ~pruned.series.str.endswith("-after") | (pruned.series == "any-k-after") | (pruned.tuned > 0)
    panels = {
        "weights trained with the heads that are kept": pruned[follow],
        "chosen in the trained model, weights as they were": pruned[~follow],
    }
    panels = {title: of_panel for title, of_panel in panels.items() if len(of_panel)} or {"": pruned}
    figure = pictures.new_figure(1.0 + 6.0 * len(panels), 6.5, layout="constrained")
    figure.suptitle("Multi30k, German to English: heads kept in the whole model, and BLEU", fontweight="bold")
    counts = sorted(pruned.heads.unique())
    axes = figure.subplots(1, len(panels), sharex=True, squeeze=False)[0]
    for panel, (title, of_panel) in zip(axes, panels.items(), strict=True):
        for label, of_label in runs[runs.is_all].groupby("label", sort=False):
            panel.axhspan(of_label.bleu.min(), of_label.bleu.max(), color="#EFEFEF")
            style = "-." if of_label.tuned.any() else ":"
            panel.axhline(of_label.bleu.mean(), color="#606060", linestyle=style, label=label)
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


def _draw_series(panel, runs: pandas.DataFrame) -> None:
    labels = list(runs.groupby("label", sort=False))
    for place, (label, of_label) in enumerate(labels):
        aside = 1.015 ** (place - (len(labels) - 1) / 2)  # bars of the same K stand side by side
        scores = of_label.groupby("heads").bleu.agg(["mean", "min", "max"])
        bars = [scores["mean"] - scores["min"], scores["max"] - scores["mean"]]
        _, colour, shape = SERIES[of_label.series.iloc[0]]
        tuned = of_label.tuned.any()  # hollow and dashed
        look = {"color": colour, "marker": shape, "markersize": 7, "markerfacecolor": "white" if tuned else colour}
        look["linestyle"] = (0, (4, 3)) if tuned else "-"
        panel.errorbar(scores.index * aside, scores["mean"], bars, label=label, capsize=3, **look)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "work", help="the folder given to prepare.sh")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where the three files go")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    scores = collect(options.out / "runs", options.results / "scores.csv")
    with writing(str(options.results / "scores.csv"), force=True) as beside:
        scores.to_csv(beside, index=False, lineterminator="\n")
    runs = described(scores)
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
