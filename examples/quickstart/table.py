#!/usr/bin/env python3
"""The table of the quick start: heads kept in each block, parameters, BLEU and decoding speed.

    python table.py WORK MODEL...

reads WORK/models/MODEL/checkpoint_last.pt, WORK/bleu/MODEL.json (as sacrebleu wrote it) and WORK/speed.json (as
`dsp-fairseq bench` wrote it).
"""

import argparse
import json
import sys
from pathlib import Path

from tabulate import tabulate

PROJECT = Path(__file__).resolve().parents[2]
LEGEND = """Columns: heads kept in each attention block (layers 0, 1, 2); parameters without the pruned heads; BLEU on
values that no training sentence has; sentences/s of stock fairseq with zeros for the pruned heads, of the model with
the pruned heads masked, and of the model with the pruned heads removed, as fairseq-generate does by itself"""


def heads_per_block(checkpoint: Path) -> "dict[str, list[int]]":
    """{"encoder.self": [4, 2, 1], ...}: heads that the checkpoint decodes with, layer by layer."""
    sys.path.insert(0, str(PROJECT))
    from dsp_fairseq.checkpoints.reading import kept_units

    kept = kept_units(str(checkpoint))
    heads: dict[str, list[int]] = {}
    for block, count in zip(kept.inventory.blocks, kept.per_block, strict=True):
        heads.setdefault(block.kind, []).append(count)
    return heads


def row(work: Path, model: str) -> "dict[str, str]":
    heads = heads_per_block(work / "models" / model / "checkpoint_last.pt")
    return {
        "model": model,
        "heads": str(sum(map(sum, heads.values()))),
        **{kind: " ".join(map(str, counts)) for kind, counts in heads.items()},
        "parameters": f"{speeds(work, model)['removed']['parameters']:,}",
        "BLEU": f"{read_bleu(work, model)['score']:.2f}",
        **{
            f"{variant}": f"{result['sentences_per_second']['median']:.0f}"
            for variant, result in speeds(work, model).items()
        },
    }


def speeds(work: Path, model: str) -> "dict[str, dict]":
    """{"stock": ..., "masked": ..., "removed": ...}: what `dsp-fairseq bench` measured of a model."""
    results = json.loads((work / "speed.json").read_text(encoding="utf-8"))["results"]
    return {result["variant"]: result for result in results if Path(result["checkpoint"]).parent.name == model}


def read_bleu(work: Path, model: str) -> dict:
    return json.loads((work / "bleu" / f"{model}.json").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", metavar="WORK", type=Path, help="the folder that run.sh filled")
    parser.add_argument("models", metavar="MODEL", nargs="+", help="names under WORK/models")
    options = parser.parse_args()
    rows = [row(options.work, model) for model in options.models]
    print(f"\n{LEGEND}")
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))
    print(f"BLEU by sacrebleu: {read_bleu(options.work, options.models[0])['signature']}\n")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        print(f"table.py: {error}", file=sys.stderr)
        sys.exit(2)
