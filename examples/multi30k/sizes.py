"""Collect the runs of budgets.yaml, and compare models of the same size: sizes.csv, sizes.md, sizes.png.

    python sizes.py [--out DIR] [--results DIR] [--speed FILE.json]

Scores of runs that are no longer there stay in sizes.csv; table and picture are made from it. Runs of sweep.yaml with 6
heads are taken from scores.csv. FILE.json is written by
`dsp-fairseq bench CKPT CKPT ... --with stock removed --max-len-a 1.2 --max-len-b 10 --json FILE.json`, for checkpoints
of these runs, with the unpruned one of each seed. The limits of length keep one endless translation from deciding.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import pandas
import yaml

from dsp_fairseq import pictures
from dsp_fairseq.atomic import writing
from dsp_fairseq.sweep import logs, records
from dsp_fairseq.sweep.plan import Files
from dsp_fairseq.tables import mean_and_range

HERE = Path(__file__).resolve().parent
NAME = re.compile(
    r"(?P<model>[a-z][a-z0-9-]*?)(?P<taught>-distilled)?(?:-parameters-(?P<share>\d+)pct)?-seed(?P<seed>\d+)"
)
DENSE = yaml.safe_load((HERE / "budgets.yaml").read_text(encoding="utf-8"))["dense"]  # flags by name
COLUMNS = ["run", "valid_nll", "bleu", "parameters", "heads", "ffn", "times_stock"]
FULL = "unpruned"
HEADS_ONLY = "dsp-6"  # runs of sweep.yaml: they keep all hidden units, and half of the prunable parameters
OF_HEAD, HEADS = 4 * 128 * 32 + 3 * 32, 36  # parameters that a removed head takes along
SERIES = {  # colour and shape of each sort of model
    FULL: ("unpruned", "#D55E00", "*"),
    "dsp": ("dsp, heads and hidden units", "#0072B2", "o"),
    "heads": ("dsp, heads only", "#009E73", "^"),
    "dense": ("small dense model", "#000000", "s"),
}


def collect(runs: Path, results: Path, speed: "dict[str, float]") -> pandas.DataFrame:
    """The lines of sizes.csv, and those of the finished runs instead of older ones of the same name."""
    known = results / "sizes.csv"
    before = [pandas.read_csv(known, dtype=str)] if known.exists() else []
    found = [line for path in sorted(runs.glob("*/cell.json")) if (line := score(Files(str(path.parent))))]
    lines = pandas.concat([*before, pandas.DataFrame(found, columns=COLUMNS)])
    if lines.empty:
        raise ValueError(f"{runs}: no finished run of budgets.yaml in it, and no {known}")
    return newest(pandas.concat([lines, heads_only(results / "scores.csv", lines)]), "run", speed)


def newest(lines: pandas.DataFrame, name: str, speed: "dict[str, float]") -> pandas.DataFrame:
    """The last line of each run, whose column is ``name``; an older time stays where the run was not timed anew."""
    lines = lines.fillna("")
    times = lines.groupby(name).times_stock.transform(lambda own: next(filter(None, own[::-1]), ""))
    timed = {run: f"{times:.2f}" for run, times in speed.items()}
    times = [timed.get(run, older) for run, older in zip(lines[name], times, strict=True)]
    return lines.assign(times_stock=times).drop_duplicates(name, keep="last")


def score(cell: Files) -> "list[str] | None":
    """The line of a finished run of budgets.yaml, without its time."""
    name = NAME.fullmatch(cell.name)
    if not name or name["model"] not in (FULL, "dsp", *DENSE) or (name["model"] == "dsp") != bool(name["share"]):
        return None
    record, nll, bleu = records.read(cell), logs.valid_nll(cell), logs.printed_bleu4(cell.printed)
    if not record.evaluated or record.parameters is None or nll is None or bleu is None:
        return None
    heads = sum(map(len, (record.kept or {}).values()))
    units = "" if record.ffn is None else record.ffn
    return [cell.name, f"{nll}", bleu, *map(str, (record.parameters, heads, units)), ""]


def speed_of(path: "Path | None") -> "dict[str, float]":
    """How many times as fast as the unpruned stock model of its seed each run decodes, by its name."""
    if path is None:
        return {}
    told = json.loads(path.read_text(encoding="utf-8"))
    rates = {
        (Path(row["checkpoint"]).parent.name, row["variant"]): row["sentences_per_second"]["median"]
        for row in told["results"]
    }
    found = {}
    for (run, variant), rate in rates.items():
        seed = re.sub(r".*-seed(\d+).*", r"\1", run)
        if variant == "removed" and (f"{FULL}-seed{seed}", "stock") not in rates:
            raise ValueError(f"{path}: {run} is there, but not the stock variant of {FULL}-seed{seed}; time both")
        if variant == "removed":
            found[run] = rate / rates[f"{FULL}-seed{seed}", "stock"]
    return found


def heads_only(scores: Path, lines: pandas.DataFrame) -> pandas.DataFrame:
    """The lines of the runs of sweep.yaml with 6 heads and all hidden units, of the seeds in ``lines``."""
    if not scores.exists():
        return pandas.DataFrame(columns=COLUMNS)
    full = pandas.to_numeric(lines.parameters).max()
    names = [f"{HEADS_ONLY}-seed{seed}" for seed in set(lines.run.str.rpartition("-seed")[2])]
    found = pandas.read_csv(scores, dtype=str)
    found = found[found.run.isin(names)].assign(parameters=str(int(full - (HEADS - 6) * OF_HEAD)), heads="6")
    return found.reindex(columns=COLUMNS)


def described(lines: pandas.DataFrame) -> pandas.DataFrame:
    """What the names say: sort of model, label, whether it had a teacher, seed."""
    names = [NAME.fullmatch(name) for name in lines.run]
    sort = [
        "heads" if match["model"] == HEADS_ONLY else match["model"] if match["model"] in SERIES else "dense"
        for run, match in zip(lines.run, names, strict=True)
    ]
    models = lines.assign(
        sort=sort,
        shape=["" if kind != "dense" else match["model"] for kind, match in zip(sort, names, strict=True)],
        taught=[match["taught"] is not None for match in names],
        share=[match["share"] or "" for match in names],
        seed=[int(match["seed"]) for match in names],
    )
    numbers = {"valid_nll": float, "bleu": float, "parameters": int}
    models = models.astype(numbers)
    models["times_stock"] = pandas.to_numeric(models.times_stock)
    models["place"] = models.sort.map({name: place for place, name in enumerate(SERIES)})
    return models.sort_values(["taught", "place", "parameters", "run"], ascending=[True, True, False, True])


def markdown(models: pandas.DataFrame) -> str:
    lines = ["# Multi30k, German to English: quality against the size of the model", ""]
    lines += [
        "Made by `sizes.py` from `sizes.csv`; the setting is that of `budgets.yaml`. Parameters include the 1,244,160"
    ]
    lines += ["of the embeddings; a teacher is the unpruned model of the same seed.", ""]
    lines += [
        "| model | teacher | parameters | valid nll | BLEU | times stock |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for (taught, _, shape, share), rows in models.groupby(["taught", "place", "shape", "share"], sort=False):
        name = SERIES[rows.sort.iloc[0]][0]
        kept = f" `{shape}`" if shape else f", {share}%" if share else ""
        sizes = sorted({rows.parameters.min(), rows.parameters.max()})
        times = rows.times_stock.dropna()
        cells = [
            name + kept,
            "unpruned" if taught else "",
            " to ".join(f"{size:,}" for size in sizes),
            mean_and_range(rows.valid_nll, 3, seeds=True),
            mean_and_range(rows.bleu, 2, seeds=True),
            f"{times.mean():.2f}" if len(times) else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def draw(models: pandas.DataFrame):
    """nll and BLEU against parameters, BLEU against speed: means over seeds, bars from lowest to highest."""
    figure = pictures.new_figure(14.0, 5.2, layout="constrained")
    figure.suptitle("Multi30k, German to English: models of the same size", fontweight="bold")
    panels = (
        ("valid_nll", "parameters", "validation nll, base 2 (lower is better)", "parameters, embeddings included"),
        ("bleu", "parameters", "BLEU, test_2016_flickr", "parameters, embeddings included"),
        ("bleu", "times_stock", "BLEU, test_2016_flickr", "decoding, times as fast as the unpruned stock model"),
    )
    panels = [panel for panel in panels if models[panel[1]].notna().any()]
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, (measure, across, name, place) in zip(axes, panels, strict=True):
        for taught, rows in models.groupby("taught"):
            for sort, of_sort in rows.groupby("sort", sort=False):
                _draw_series(panel, of_sort, measure, across, sort, taught)
        panel.set(xlabel=place, ylabel=name)
        if across == "parameters":
            panel.xaxis.set_major_formatter(lambda number, _: f"{number / 1e6:g} M")
        panel.grid(color="#E8E8E8")
        panel.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9, frameon=False)
    return figure


def _draw_series(panel, rows: pandas.DataFrame, measure: str, across: str, sort: str, taught: bool) -> None:
    means = rows.groupby(["shape", "share"]).agg({across: "mean", measure: ["mean", "min", "max"]})
    means = means.dropna().sort_values((across, "mean"))  # a model of which one seed is timed has the BLEU of all
    if means.empty:
        return
    values = means[measure]
    label, colour, shape = SERIES[sort]
    line = "none" if sort == "dense" else ":" if taught else "-"  # shapes of dense models do not follow each other
    look = {"color": colour, "marker": shape, "markersize": 8, "markerfacecolor": "white" if taught else colour}
    bars = [values["mean"] - values["min"], values["max"] - values["mean"]]
    name = f"{label}, learns from the unpruned" if taught else label
    panel.errorbar(means[across]["mean"], values["mean"], bars, label=name, linestyle=line, capsize=3, **look)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "work", help="the folder given to prepare.sh")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where the three files go")
    parser.add_argument("--speed", type=Path, metavar="FILE.json", help="what dsp-fairseq bench has measured")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    lines = collect(options.out / "runs", options.results, speed_of(options.speed))
    with writing(str(options.results / "sizes.csv"), force=True) as beside:
        lines.to_csv(beside, index=False, lineterminator="\n")
    models = described(lines)
    with writing(str(options.results / "sizes.md"), force=True) as beside:
        Path(beside).write_text(markdown(models), encoding="utf-8")
    pictures.save(draw(models), str(options.results / "sizes.png"), force=True)
    print(f"{len(models)} runs: {options.results}/sizes.csv, sizes.md, sizes.png")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"sizes.py: {error}", file=sys.stderr)
        sys.exit(2)
