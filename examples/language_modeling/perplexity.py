"""Collect what tolstoy.yaml and tolstoy-transformer.yaml measured: perplexity.csv, perplexity.md, perplexity.png.

    python perplexity.py [--out DIR] [--results DIR]

Runs that are no longer in the results.csv of a sweep stay in perplexity.csv; table and picture are made from it.
"""

import argparse
import sys
from pathlib import Path

import pandas

from dsp_fairseq import pictures
from dsp_fairseq.atomic import writing
from dsp_fairseq.tables import mean_and_range

HERE = Path(__file__).resolve().parent
SWEEPS = {
    "tolstoy": "all_attention_lm",
    "tolstoy-transformer": "transformer_lm",
}  # the model by the folder of its sweep
COLUMNS = ["model", "cell", "method", "seed", "heads", "ffn", "parameters", "perplexity", "valid_nll"]
FULL, CONTINUED = "none", "unpruned-continued"
WORDS = {FULL: "all heads", CONTINUED: "all heads, trained on as long as the pruned ones"}  # for a method
PRUNED = ("layerwise-l0", "dsp")
# of the picture: label, colour (Okabe and Ito's) and shape
SERIES = {
    ("all_attention_lm", "layerwise-l0"): ("all_attention_lm, layerwise-l0", "#009E73", "^"),
    ("all_attention_lm", "dsp"): ("all_attention_lm, dsp", "#0072B2", "o"),
    ("all_attention_lm", CONTINUED): ("all_attention_lm, all heads", "#56B4E9", "*"),
    ("all_attention_lm", "dense"): ("all_attention_lm, small dense model", "#000000", "s"),
    ("transformer_lm", "dsp"): ("transformer_lm, dsp on heads and hidden units", "#D55E00", "o"),
    ("transformer_lm", FULL): ("transformer_lm, all of it", "#E69F00", "*"),
    ("transformer_lm", "dense"): ("transformer_lm, small dense model", "#999999", "s"),
}


def collect(out: Path, known: Path) -> pandas.DataFrame:
    """The lines of perplexity.csv, and those of the sweeps instead of older ones of the same model and cell."""
    found = [pandas.read_csv(known, dtype=str)] if known.exists() else []
    for folder, model in SWEEPS.items():
        path = out / folder / "results.csv"
        if path.exists():
            found.append(pandas.read_csv(path, dtype=str).assign(model=model)[COLUMNS])
    if not found:
        files = " or ".join(f"{folder}/results.csv" for folder in SWEEPS)
        raise ValueError(f"{out}: has no {files}, and {known} is missing")
    lines = pandas.concat(found).drop_duplicates(["model", "cell"], keep="last")
    return lines.fillna("").sort_values(["model", "cell"])


def described(lines: pandas.DataFrame) -> pandas.DataFrame:
    """What each model is: ``sort`` is its method, ``dense`` or ``variant``, ``label`` says it in words."""
    numbers = {"perplexity": float, "valid_nll": float, "heads": int, "parameters": int, "seed": int}
    models = lines.astype(numbers)
    models["sort"] = [_sort(cell, method) for cell, method in zip(models.cell, models.method, strict=True)]
    models["label"] = [
        WORDS.get(method, f"small dense model `{method}`" if sort == "dense" else f"`{method}`")
        for method, sort in zip(models.method, models.sort, strict=True)
    ]
    order = (FULL, CONTINUED, *PRUNED, "dense", "variant")
    models["place"] = [order.index(sort) for sort in models.sort]
    return models


def _sort(cell: str, method: str) -> str:
    if method in (FULL, CONTINUED, *PRUNED):
        return method
    return "variant" if cell.startswith(("priced", "exact")) else "dense"


def markdown(models: pandas.DataFrame) -> str:
    lines = ["# Perplexity of pruned language models", ""]
    lines += [
        "Made by `perplexity.py` from `perplexity.csv`, which has the runs of `tolstoy.yaml` and",
        "`tolstoy-transformer.yaml`: *War and Peace*, cut into 4,056 different pieces of words; perplexity for each",
        "piece of the test text by stock `fairseq-eval-lm`: means over the seeds, in brackets the lowest and highest.",
        "Parameters include the 519,168 of the embeddings.",
        "",
        "| model | pruned by | heads | hidden units | parameters | perplexity | valid nll | seeds |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    pruned = models[models.sort != "variant"].sort_values(
        ["model", "place", "parameters", "cell"], ascending=[True, True, False, True]
    )
    lines += [_line(model, rows) for (model, _), rows in _by_amount(pruned)]
    variants = models[models.sort == "variant"].sort_values(["method", "seed"])
    if len(variants):
        lines += [
            "",
            "`layerwise-l0` without its training methods; the flags of each variant are in `tolstoy.yaml`.",
            "",
        ]
        lines += ["| variant | heads | parameters | perplexity | valid nll | seeds |", "|---|--:|--:|--:|--:|--:|"]
        for method, rows in variants.groupby("method", sort=False):
            cells = [f"`{method}`", _range(rows.heads), _range(rows.parameters), *_scores(rows)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _by_amount(models: pandas.DataFrame):
    """The models that differ only by their seed, in the order of the lines."""
    return models.assign(amount=models.cell.str.rpartition("-seed")[0]).groupby(["model", "amount"], sort=False)


def _line(model: str, rows: pandas.DataFrame) -> str:
    units = _range(pandas.to_numeric(rows.ffn).dropna().astype(int)) or ("all" if model == "transformer_lm" else "none")
    cells = [
        f"`{model}`",
        rows.label.iloc[0],
        _range(rows.heads),
        units,
        _range(rows.parameters),
        *_scores(rows),
    ]
    return f"| {' | '.join(cells)} |"


def _scores(rows: pandas.DataFrame) -> list[str]:
    return [mean_and_range(rows.perplexity, 2), mean_and_range(rows.valid_nll, 3), str(len(rows))]


def _range(values: pandas.Series) -> str:
    return " to ".join(
        f"{value:,}" for value in sorted({*values[values == values.min()], *values[values == values.max()]})
    )


def draw(models: pandas.DataFrame):
    """Perplexity against parameters: means over seeds, bars from lowest to highest."""
    figure = pictures.new_figure(9.0, 5.6, layout="constrained")
    panel = figure.subplots()
    for (model, sort), (label, colour, shape) in SERIES.items():
        rows = models[(models.model == model) & (models.sort == sort)]
        if rows.empty:
            continue
        means = rows.groupby(rows.cell.str.rpartition("-seed")[0]).agg(
            {"parameters": "mean", "perplexity": ["mean", "min", "max"]}
        )
        means = means.sort_values(("parameters", "mean"))
        values = means.perplexity
        bars = [values["mean"] - values["min"], values["max"] - values["mean"]]
        line = "-" if sort in PRUNED else "none"
        look = {"color": colour, "marker": shape, "markersize": 11 if shape == "*" else 7, "capsize": 3}
        panel.errorbar(means.parameters["mean"], values["mean"], bars, label=label, linestyle=line, **look)
    panel.set(xlabel="parameters, embeddings included", ylabel="perplexity of the test text (lower is better)")
    panel.set_title("War and Peace: pruned language models", fontweight="bold")
    panel.xaxis.set_major_formatter(lambda number, _: f"{number / 1e6:g} M")
    panel.grid(color="#E8E8E8")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(fontsize=8, frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "work", help="the folder with the folders of the sweeps")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where the three files go")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    lines = collect(options.out, options.results / "perplexity.csv")
    with writing(str(options.results / "perplexity.csv"), force=True) as beside:
        lines.to_csv(beside, index=False, lineterminator="\n")
    models = described(lines)
    with writing(str(options.results / "perplexity.md"), force=True) as beside:
        Path(beside).write_text(markdown(models), encoding="utf-8")
    pictures.save(draw(models), str(options.results / "perplexity.png"), force=True)
    print(f"{len(models)} runs: {options.results}/perplexity.csv, perplexity.md, perplexity.png")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"perplexity.py: {error}", file=sys.stderr)
        sys.exit(2)
