"""The results of a benchmark, as a table and as JSON."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ..families.work import Wording
from ..tables import table
from .settings import INT8, MASKED, MEANING, REMOVED, Settings
from .timing import Round, Spread


@dataclass(frozen=True)
class Result:
    """One variant of one checkpoint."""

    checkpoint: str
    variant: str
    heads: int  # kept
    original_heads: int
    parameters: int | None
    memory_bytes: int | None
    rounds: list[Round]
    others: dict[str, tuple[int, int]] = field(default_factory=dict)  # hidden units and layers: kept, and before

    @property
    def label(self) -> str:
        """Name of the variant in tables; it says so when a model keeps all units, so that none is masked or removed."""
        whole = all(kept == before for kept, before in self.counts.values())
        return f"{self.variant} (none)" if whole and self.variant in (MASKED, REMOVED) else self.variant

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """How many units are kept, and how many there were, by their noun; heads first."""
        return {"heads": (self.heads, self.original_heads), **self.others}

    @property
    def kept_in_words(self) -> str:
        """Such as ``3 of 8 heads, 64 of 256 hidden units``."""
        return ", ".join(f"{kept:,} of {before:,} {noun}" for noun, (kept, before) in self.counts.items())

    def spread(self, measure: str) -> Spread:
        """Median, lowest and highest of a measure of :class:`Round`."""
        return Spread.of([getattr(done, measure) for done in self.rounds])

    def ratio(self, base: "Result", measure: str) -> Spread:
        """How many times as fast as ``base``, round by round; above 1 means faster, for a latency too."""
        pairs = [
            (getattr(ours, measure), getattr(theirs, measure))
            for ours, theirs in zip(self.rounds, base.rounds, strict=True)
        ]
        inverse = measure.startswith("latency")
        return Spread.of([theirs / ours if inverse else ours / theirs for ours, theirs in pairs])


@dataclass(frozen=True)
class Benchmark:
    """All results of a run and its conditions."""

    settings: Settings
    wording: Wording
    limits: str  # how long outputs are
    machine: dict[str, Any]
    sentences: int  # or other inputs
    origin: str  # where they are from
    agreement: dict[str, dict[str, Any]]  # by checkpoint and variant: agreement with the first variant, in float32
    results: list[Result]
    notes: list[str]

    def base_of(self, result: Result) -> Result:
        """The result to compare others of its checkpoint with: the first variant, which is stock if measured."""
        return next(other for other in self.results if other.checkpoint == result.checkpoint)


def as_table(benchmark: Benchmark) -> str:
    """The conditions, a table with a row for each variant, and the notes."""
    settings, machine = benchmark.settings, benchmark.machine
    decoding = settings.decoding
    lines = [
        f"{benchmark.sentences} {benchmark.wording.inputs} ({benchmark.origin}), beam {decoding.beam}, "
        f"batches of {decoding.batch_size}, {'float16' if decoding.half else 'float32'}, {benchmark.limits}",
        f"{machine['device']}, threads: {machine['threads']}, torch {machine['torch']}; median of "
        f"{settings.rounds} round{'s' if settings.rounds != 1 else ''} (lowest to highest), variants in turns",
        "",
        *_tables(benchmark),
        "",
    ]
    return "\n".join(lines + _meanings(benchmark) + ["", *_agreement_lines(benchmark), *benchmark.notes])


def as_json(benchmark: Benchmark) -> str:
    """One JSON object with every round."""
    results = []
    for result in benchmark.results:
        told = {key: value for key, value in vars(result).items() if key != "rounds"}
        for measure in Round._fields:
            told[measure] = {
                **result.spread(measure)._asdict(),
                "rounds": [getattr(done, measure) for done in result.rounds],
                "times_as_fast": result.ratio(benchmark.base_of(result), measure)._asdict(),
            }
        results.append({**told, "times_as_fast_as": benchmark.base_of(result).variant})
    return json.dumps(
        {
            "task": benchmark.wording.task,
            "settings": asdict(benchmark.settings),
            "machine": benchmark.machine,
            "sentences": benchmark.sentences,
            "origin": benchmark.origin,
            "agreement": {
                checkpoint: {name: agreement._asdict() for name, agreement in found.items()}
                for checkpoint, found in benchmark.agreement.items()
            },
            "results": results,
            "notes": benchmark.notes,
        },
        indent=2,
    )


def _meanings(benchmark: Benchmark) -> list[str]:
    """A line for each variant that says what it is, in the order of the rows."""
    names = dict.fromkeys(result.variant for result in benchmark.results)
    only_heads = all(list(result.counts) == ["heads"] for result in benchmark.results)
    units = {"units": "heads", "unit": "head"} if only_heads else {"units": "units", "unit": "unit"}
    words = {"stock": benchmark.wording.stock, "command": benchmark.wording.command, **units}
    return [f"{name}: {MEANING[name].format(**words)}" for name in names]


def _tables(benchmark: Benchmark) -> list[str]:
    """A table for each checkpoint; with several checkpoints, each under its name."""
    names = list(dict.fromkeys(result.checkpoint for result in benchmark.results))
    tables = [
        _table([result for result in benchmark.results if result.checkpoint == name], benchmark.wording.inputs)
        for name in names
    ]
    return (
        tables
        if len(names) == 1
        else ["\n\n".join(f"{name}\n{drawn}" for name, drawn in zip(names, tables, strict=True))]
    )


def _table(results: list[Result], inputs: str) -> str:
    base = results[0]
    header = ["variant", *base.counts, "parameters", f"{inputs}/s", f"times {base.label}", "tokens/s"]
    header += ["latency p50 ms", "p95 ms", "memory MB"]
    rows = [
        [
            result.label,
            *(f"{kept:,}/{before:,}" for kept, before in result.counts.values()),
            "-" if result.parameters is None else f"{result.parameters:,}",
            written(result.spread("sentences_per_second")),
            written(result.ratio(base, "sentences_per_second"), 2),
            f"{result.spread('tokens_per_second').median:.0f}",
            written(result.spread("latency_p50_ms")),
            written(result.spread("latency_p95_ms")),
            "-" if result.memory_bytes is None else f"{result.memory_bytes / 1e6:.0f}",
        ]
        for result in results
    ]
    if all(result.memory_bytes is None for result in results):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return table(header, rows, ["left"] + ["right"] * (len(header) - 1))


def written(spread: Spread, digits: int = 1) -> str:
    """``median (lowest to highest)``"""
    return f"{spread.median:.{digits}f} ({spread.lowest:.{digits}f} to {spread.highest:.{digits}f})"


def _agreement_lines(benchmark: Benchmark) -> list[str]:
    several = len(benchmark.agreement) > 1
    lines = []
    for checkpoint, found in benchmark.agreement.items():
        first = next(result.variant for result in benchmark.results if result.checkpoint == checkpoint)
        where = f" of {checkpoint}" if several else ""
        lines += [
            f"{benchmark.wording.outcomes} of {name}{' in int8' * (name == INT8)} and {first}{where} in float32: {told}"
            for name, told in found.items()
        ]
    return lines
