"""GPU.md's figures, from the JSON files that gpu.sh and gpu_multi30k.sh leave in a folder.

    python benchmarks/gpu_page.py DIR [--page benchmarks/GPU.md] [--any-device]

Replaces what lies between the page's markers, nothing else. A stage whose file is not in DIR is said not to be
measured.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "benchmarks" / "GPU.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
GOAL = 0.01  # of an update: what sampling may take
NOT_MEASURED = "Not measured yet."
TRAININGS = ("training-iwslt", "training-wmt-big")
SAMPLES_EVERY_UPDATE = "dsp-published"


def read(folder: Path) -> "dict[str, dict]":
    """The results by the name of their stage; raises ValueError for what is none."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content["machine"], content["settings"]["device"], content["results"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: is no result of these benchmarks; remove it") from error
        found[path.stem] = content
    return found


def table(head: "list[str]", rows: "list[list]") -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def with_range(found: dict, digits: int) -> str:
    return f"{found['median']:,.{digits}f} ({found['min']:,.{digits}f} to {found['max']:,.{digits}f})"


def precision(settings: dict) -> str:
    return "fp16" if settings["fp16"] else "fp32"


# --- sections: each gives its text, or None when it was not measured ---


def machines(found: dict) -> "str | None":
    """A row for each machine or day that the stages ran on."""
    groups = {}
    for stage, content in found.items():
        groups.setdefault(json.dumps(content["machine"], sort_keys=True), []).append(stage)
    keys = ["device", "driver", "cuda", "torch", "python", "fairseq", "numpy", "day", "commit"]
    rows = [[*(json.loads(group).get(key) or "-" for key in keys), ", ".join(of)] for group, of in groups.items()]
    return table([*keys, "stages"], rows) if rows else None


def tests(found: dict) -> "str | None":
    lines = []
    for stage in ("on-device", "unit"):
        if stage in found:
            result = found[stage]["results"]
            tried = " ".join(found[stage]["settings"]["tests"])
            counts = f"{result['passed']} passed, {len(result['failed'])} failed, {len(result['skipped'])} skipped"
            lines.append(f"- `{tried}`: {counts}")
            lines += [f"  - failed: `{each['test']}`: {each['why']}" for each in result["failed"]]
            reasons = dict.fromkeys(each["why"] for each in result["skipped"])
            lines += [f"  - skipped: {why}" for why in reasons]
    return "\n".join(lines) or None


def shares(found: dict) -> "list[tuple[int, int, float, float]]":
    """Of each training that is there: heads, K, ms of sampling in an update, ms of the update."""
    sampled = {(row["heads"], row["keep"]): row for row in found.get("sampling", {}).get("results", [])}
    rows = []
    for stage in (stage for stage in TRAININGS if stage in found):
        heads, keep = (found[stage]["settings"][name] for name in ("heads", "keep"))
        updates = {row["variant"]: row for row in found[stage]["results"]}
        if (heads, keep) in sampled and SAMPLES_EVERY_UPDATE in updates:
            sampling = sampled[heads, keep]["in_an_update"]["median"]
            rows.append((heads, keep, sampling, updates[SAMPLES_EVERY_UPDATE]["milliseconds"]["median"]))
    return rows


def verdict(rows: "list[tuple[int, int, float, float]]") -> str:
    """What the decision rule says; both shapes must have been measured for it."""
    if len(rows) < len(TRAININGS):
        return "The decision rule needs both shapes."
    if all(sampling / update <= GOAL for _, _, sampling, update in rows):
        return f"Sampling takes at most {GOAL:.0%} of an update: no fused kernel is needed."
    return f"Sampling takes more than {GOAL:.0%} of an update: write the k steps as one kernel (the rule above)."


def sampling(found: dict) -> "str | None":
    if "sampling" not in found:
        return None
    rows = [
        [row["heads"], row["keep"], with_range(row["alone"], 2), with_range(row["in_an_update"], 2)]
        for row in found["sampling"]["results"]
    ]
    text = table(["heads", "K", "ms alone (10% to 90%)", "ms in an update (10% to 90%)"], rows)
    decided = shares(found)
    if decided:
        head = ["heads", "K", "ms of sampling", "ms of the update", "share"]
        rows = [[h, k, f"{s:.2f}", f"{u:.1f}", f"{s / u:.1%}"] for h, k, s, u in decided]
        text += f"\n\n{table(head, rows)}\n\n{verdict(decided)}"
    return text


def training(found: dict) -> "str | None":
    tables = []
    for stage in TRAININGS:
        if stage in found:
            settings = found[stage]["settings"]
            title = "{shape}, K = {keep} of {heads}, {max_tokens} tokens, ".format(**settings) + precision(settings)
            rows = [
                [
                    row["variant"],
                    with_range(row["words_per_second"], 0),
                    with_range(row["milliseconds"], 1),
                    with_range(row["ratio"], 2),
                ]
                for row in found[stage]["results"]
            ]
            tables.append(table([title, "words/s (min to max)", "ms an update", "ratio to stock"], rows))
    return "\n\n".join(tables) or None


def decoding(found: dict) -> "str | None":
    if "decoding" not in found:
        return None
    settings = found["decoding"]["settings"]
    title = f"IWSLT shape, beam {settings['beam']}, batch {settings['batch_size']}, {precision(settings)}"
    rows = [
        [
            row["variant"],
            with_range(row["sentences_per_second"], 0),
            with_range(row["ratio"], 2),
            f"{row['parameters']:,}",
        ]
        for row in found["decoding"]["results"]
    ]
    return table([title, "sentences/s (min to max)", "ratio to stock", "parameters"], rows)


def multi30k(found: dict) -> "str | None":
    if "multi30k" not in found:
        return None
    settings, results = found["multi30k"]["settings"], found["multi30k"]["results"]
    groups = {}
    for row in sorted(results, key=lambda row: -row["heads"]):
        groups.setdefault((row["method"], row["heads"]), []).append(row)
    rows = [
        [method, heads, len(of), mean(of, "bleu", 2), mean(of, "valid_nll", 3), kinds(of), mean(of, "train_seconds", 0)]
        for (method, heads), of in groups.items()
    ]
    head = ["method", f"heads of {settings['heads']}", "seeds", "BLEU (min to max)", "valid nll", "kept, by seed"]
    done = f"{len(results)} of {settings['cells']} trainings are done, {settings['jobs']} at a time."
    commands = f"- fairseq-train: `{settings['train']}`\n- fairseq-generate: `{settings['generate']}`"
    return f"{table([*head, 'training, s'], rows)}\n\n{done}\n\n- BLEU: {settings['signature']}\n{commands}"


def mean(rows: "list[dict]", key: str, digits: int) -> str:
    values = [row[key] for row in rows if row[key] is not None]
    if not values:
        return "-"
    return f"{statistics.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def kinds(rows: "list[dict]") -> str:
    """Heads of encoder.self / decoder.self / decoder.cross."""
    return ", ".join("/".join(map(str, row["kept"].values())) for row in rows)


SECTIONS = {
    "Machine": machines,
    "Tests on the device": tests,
    "Sampling": sampling,
    "Training speed": training,
    "Decoding speed": decoding,
    "Multi30k, full `transformer_iwslt_de_en`": multi30k,
}


def results(found: dict) -> str:
    first = "" if found else "**Nothing has been measured on a GPU yet.** The scripts were tried on a CPU only.\n\n"
    return first + "\n\n".join(f"### {title}\n\n{text(found) or NOT_MEASURED}" for title, text in SECTIONS.items())


def filled(page: str, found: dict) -> str:
    """The page with these results; ValueError when it has not one place for them."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"must hold {BEGIN} and {END} once, in this order")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{results(found)}\n\n{END}{rest.partition(END)[2]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the JSON files are")
    parser.add_argument("--page", type=Path, default=PAGE, help="what to write (default: benchmarks/GPU.md)")
    parser.add_argument("--any-device", action="store_true", help="results of a CPU too, to try the scripts")
    given = parser.parse_args()
    try:
        if not given.folder.is_dir():
            raise ValueError(f"{given.folder}: is no folder; name the --out of gpu.sh")
        found = read(given.folder)
        on_cpu = sorted(stage for stage, content in found.items() if content["settings"]["device"] != "cuda")
        if on_cpu and not given.any_device:
            raise ValueError(f"{given.folder}: {', '.join(on_cpu)} ran on a CPU; this page is about a GPU")
        text = filled(PAGE.read_text(encoding="utf-8"), found)
    except ValueError as error:
        print(f"gpu_page.py: {error}", file=sys.stderr)
        return 2
    beside = given.page.with_name(f".{given.page.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(given.page)
    for heads, keep, of_sampling, of_update in shares(found):
        share = f"{of_sampling / of_update:.1%}"
        print(f"H = {heads}, K = {keep}: sampling {of_sampling:.2f} ms of an update's {of_update:.1f} ms, {share}")
    if "sampling" in found:
        print(verdict(shares(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
