"""Collect what movement.yaml measured: movement.csv, movement.md.

    python movement.py [--out DIR] [--results DIR] [--speed FILE.json]

Runs that are no longer in the results.csv of the sweep stay in movement.csv, from which the table is made. FILE.json is
that of `dsp-fairseq bench`, as for sizes.py.
"""

import argparse
import sys
from pathlib import Path

import pandas
from sizes import newest, speed_of

from dsp_fairseq.atomic import writing
from dsp_fairseq.tables import mean_and_range

HERE = Path(__file__).resolve().parent
ASKED = ["weights_to_keep", "parameters_to_keep"]
COLUMNS = [
    "cell",
    "method",
    *ASKED,
    "seed",
    "heads",
    "ffn",
    "parameters",
    "prunable",
    "bleu",
    "valid_nll",
    "times_stock",
]
# a method in words, in the order of the table
WORDS = {
    "none": "unpruned",
    "unpruned-continued-distilled": "unpruned, trained on",
    "movement-distilled": "movement",
    "movement-attention-priced-distilled": "movement, a price on attention only",
    "dsp-distilled": "dsp",
    "michel-after-distilled-tuned9": "gradient importance, then trained on",
    "michel-after": "gradient importance, not trained on",
}


def collect(sweep: Path, known: Path, speed: "dict[str, float]") -> pandas.DataFrame:
    """The lines of movement.csv, and those of the sweep instead of older ones of the same name."""
    found = [pandas.read_csv(known, dtype=str)] if known.exists() else []
    if sweep.exists():
        lines = pandas.read_csv(sweep, dtype=str)
        found.append(lines.reindex(columns=COLUMNS))
    if not found:
        raise ValueError(f"{sweep} is missing, and so is {known}; run dsp-fairseq sweep movement.yaml first")
    return newest(pandas.concat(found), "cell", speed)


def markdown(lines: pandas.DataFrame) -> str:
    text = ["# Multi30k, German to English: block movement pruning and others", ""]
    text += [
        "Made by `movement.py` from `movement.csv`; the setting is that of `movement.yaml`: every pruned model",
        "starts from the unpruned one of its seed, learns from it, and trains nine more epochs. `prunable` are the",
        "parameters of heads and hidden units that are left in the file, as `--parameters-to-keep` counts them;",
        "`parameters` are all of them. Means over the seeds, in brackets the lowest and the highest.",
        "",
        "| model | asked for | heads | hidden units | prunable | parameters | valid nll | BLEU | times stock | seeds |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    names = list(WORDS)
    numbers = ["heads", "ffn", "parameters", "prunable", "bleu", "valid_nll", "times_stock"]
    models = lines.assign(
        place=[names.index(method) if method in names else len(names) for method in lines.method],
        asked=[next(filter(None, row), "") for row in lines[ASKED].itertuples(index=False)],
        **{name: pandas.to_numeric(lines[name]) for name in numbers},
    ).sort_values(["place", "parameters"], ascending=[True, False])
    for _, rows in models.groupby(["place", "method", "asked"], sort=False):
        method = rows.method.iloc[0]
        weights = f"{rows.asked.iloc[0]} of the weights" if rows.weights_to_keep.iloc[0] else rows.asked.iloc[0]
        times = rows.times_stock.dropna()
        cells = [
            WORDS.get(method, method),
            weights,
            *(_range(rows[name]) or "all" for name in ("heads", "ffn", "prunable", "parameters")),
            mean_and_range(list(rows.valid_nll), 3),
            mean_and_range(list(rows.bleu), 2),
            f"{times.mean():.2f}" if len(times) else "",
            str(len(rows)),
        ]
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join([*text, ""])


def _range(values: pandas.Series) -> str:
    known = values.dropna().astype(int)
    return " to ".join(f"{value:,}" for value in sorted({*known.nsmallest(1), *known.nlargest(1)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "work", help="the folder given to prepare.sh")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where the two files go")
    parser.add_argument("--speed", type=Path, metavar="FILE.json", help="what dsp-fairseq bench has measured")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    known = options.results / "movement.csv"
    lines = collect(options.out / "movement" / "results.csv", known, speed_of(options.speed))
    with writing(str(known), force=True) as beside:
        lines.to_csv(beside, index=False, lineterminator="\n")
    with writing(str(options.results / "movement.md"), force=True) as beside:
        Path(beside).write_text(markdown(lines), encoding="utf-8")
    print(f"{len(lines)} runs: {options.results}/movement.csv, movement.md")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"movement.py: {error}", file=sys.stderr)
        sys.exit(2)
