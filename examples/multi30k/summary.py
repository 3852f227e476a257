"""Show a run of the examples: a line per epoch while it trains, one row of a Markdown table afterwards.

python summary.py [--header] RUN...        rows from the folders RUN
... | python summary.py --follow LOG       copy the log on stdin to LOG, print a line per epoch
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
COLUMNS = [
    "run",
    "updates",
    "valid nll",
    "BLEU",
    "kept encoder.self / decoder.self / decoder.cross",
    "words/s",
    "minutes",
]


def follow(log: Path) -> None:
    """Imports nothing of dsp_fairseq, which would take seconds at the start of every training."""
    valid = "-"
    with log.open("a", encoding="utf-8") as copy:
        for line in sys.stdin:
            try:
                copy.write(line)
                copy.flush()
            except OSError as error:
                sys.exit(f"{log}: {error.strerror.lower()}, so the training is stopped")
            _, start, rest = line.partition('{"epoch"')
            try:
                entry = json.loads(start + rest) if start else {}
            except json.JSONDecodeError:  # an interrupted run may leave half a line
                continue
            valid = entry.get("valid_nll_loss", valid)
            if "train_nll_loss" in entry:
                print(
                    f"  epoch {entry['epoch']}: {entry['train_num_updates']} updates, train nll "
                    f"{entry['train_nll_loss']}, valid nll {valid}, {float(entry['train_wall']) / 60:.1f} minutes",
                    flush=True,
                )


def row(run: Path) -> "list[str]":
    from dsp_fairseq.checkpoints.reading import kept_units
    from dsp_fairseq.sweep import logs
    from dsp_fairseq.sweep.plan import Files

    files = Files(str(run))
    nll, training = logs.valid_nll(files), logs.training(files)
    if nll is None:
        raise ValueError(f"{files.train_log}: no finished epoch in it: run train.sh to its end")
    kept = kept_units(files.checkpoint).per_kind.values()
    updates, speed, minutes = training
    bleu = logs.printed_bleu4(files.printed) or "-"
    numbers = [(updates, ""), (speed, ".0f"), (minutes, ".1f")]
    updates, speed, minutes = ("-" if value is None else f"{value:{form}}" for value, form in numbers)
    return [run.name, updates, str(nll), bleu, " / ".join(map(str, kept)), speed, minutes]


def table(runs: "list[Path]", header: bool = True) -> str:
    head = [COLUMNS, ["---"] * len(COLUMNS)] if header else []
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [*head, *map(row, runs)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--header", action="store_true", help="print the head of the table first")
    parser.add_argument("--follow", type=Path, metavar="LOG", help="watch a training instead")
    options = parser.parse_args()
    if options.follow:
        return follow(options.follow)
    if not options.runs:
        parser.error("name the folder of a run")
    print(table(options.runs, options.header))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"summary.py: {error}", file=sys.stderr)
        sys.exit(2)
