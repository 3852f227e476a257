"""Show a run of train.sh or prune.sh: a line per epoch while it trains, one row of a Markdown table afterwards.

python summary.py [--header] RUN...        rows from the folders RUN
... | python summary.py --follow LOG       copy the log on stdin to LOG, print a line per epoch
"""

import argparse
import json
import re
import statistics
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))  # what needs dsp_fairseq imports it late: --follow must start at once
COLUMNS = (
    "run",
    "updates",
    "valid nll",
    "BLEU",
    "kept encoder.self / decoder.self / decoder.cross",
    "words/s",
    "minutes",
)


def record(line: str) -> dict:
    """What fairseq logged as json in this line, or nothing."""
    start = line.find('{"epoch"')
    if start < 0:
        return {}
    try:
        return json.loads(line[start:])
    except json.JSONDecodeError:  # an interrupted run may leave half a line
        return {}


def follow(log: Path) -> None:
    valid = {}
    with log.open("a", encoding="utf-8") as copy:
        for line in sys.stdin:
            try:
                copy.write(line)
                copy.flush()
            except OSError as error:
                sys.exit(f"{log}: {error.strerror.lower()}, so the training is stopped")
            entry = record(line)
            if "valid_nll_loss" in entry:
                valid = entry
            if "train_nll_loss" in entry:
                print(
                    f"  epoch {entry['epoch']}: {entry['train_num_updates']} updates, "
                    f"train nll {entry['train_nll_loss']}, valid nll {valid.get('valid_nll_loss', '-')}, "
                    f"{float(entry['train_wall']) / 60:.1f} minutes",
                    flush=True,
                )


def read_log(log: Path) -> "tuple[str, str, str, str]":
    """updates, valid nll (base 2) of the last epoch, median words/s of the logged intervals, minutes of all restarts"""
    entries = [record(line) for line in log.read_text(encoding="utf-8").splitlines()]
    valid = [entry for entry in entries if "valid_nll_loss" in entry]
    if not valid:
        raise ValueError(f"{log}: no finished epoch in it: run train.sh to its end")
    # the intervals of --log-interval leave out validation; a training shorter than one has only its epochs
    speeds = [entry["wps"] for entry in entries if "wps" in entry]
    speeds = speeds or [entry["train_wps"] for entry in entries if "train_wps" in entry]
    speed = f"{statistics.median(map(float, speeds)):.0f}" if speeds else "-"
    # not the checkpoint's time: after --finetune-from-model that has the first training's in it
    clock = [float(entry["train_wall"]) for entry in entries if "train_nll_loss" in entry]  # of one process
    seconds = sum(now for now, later in zip(clock, [*clock[1:], 0.0], strict=True) if later < now)
    return valid[-1]["valid_num_updates"], valid[-1]["valid_nll_loss"], speed, f"{seconds / 60:.1f}"


def read_validation(printed: Path) -> str:
    """valid nll (base 2) as fairseq-validate prints it"""
    found = re.findall(r"\| nll_loss ([\d.]+)", printed.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{printed}: no nll_loss in it: remove that file and run prune.sh again")
    return found[-1]


def read_bleu(generated: Path) -> str:
    """as fairseq-generate prints it: tokenised, lower case"""
    from dsp_fairseq.sweep.logs import printed_bleu4

    return printed_bleu4(str(generated)) or "-"


def read_kept(path: Path) -> str:
    """kept heads per kind"""
    from dsp_fairseq.checkpoints.reading import kept_heads

    kept = kept_heads(str(path)).per_kind
    return " / ".join(str(kept[kind]) for kind in ("encoder.self", "decoder.self", "decoder.cross"))


def row(run: Path) -> str:
    if (run / "train.log").exists():
        updates, nll, speed, minutes = read_log(run / "train.log")
    else:  # chosen without training
        updates, nll, speed, minutes = "-", read_validation(run / "validate.txt"), "-", "-"
    kept = read_kept(run / "checkpoint_last.pt")
    return table_line([run.name, updates, nll, read_bleu(run / "generate.txt"), kept, speed, minutes])


def table_line(cells) -> str:
    return "| " + " | ".join(cells) + " |"


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
    rows = [row(run) for run in options.runs]
    if options.header:
        print(table_line(COLUMNS))
        print("|" + "---|" * len(COLUMNS))
    print("\n".join(rows))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"summary.py: {error}", file=sys.stderr)
        sys.exit(2)
