"""What a benchmark found: as a table and as JSON."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional

from tabulate import tabulate

from .settings import Settings
from .timing import Round, Spread


@dataclass(frozen=True)
class Result:
    """One variant of one checkpoint."""

    checkpoint: str
    variant: str
    heads: int  # kept
    original_heads: int
    parameters: Optional[int]
    memory_bytes: Optional[int]
    rounds: List[Round]

    def spread(self, measure: str) -> Spread:
        """Median, lowest and highest of a measure of :class:`Round`."""
        return Spread.of([getattr(done, measure) for done in self.rounds])

    def ratio(self, base: "Result", measure: str) -> Spread:
        """How many times as fast as ``base``, round by round: above 1 is faster, of a latency too."""
        pairs = [(getattr(ours, measure), getattr(theirs, measure)) for ours, theirs in zip(self.rounds, base.rounds)]
        inverse = measure.startswith("latency")
        return Spread.of([theirs / ours if inverse else ours / theirs for ours, theirs in pairs])


@dataclass(frozen=True)
class Benchmark:
    """All results of a run, and what is to be known about them."""

    settings: Settings
    machine: Dict[str, Any]
    sentences: int
    origin: str  # of the sentences
    agreement: Dict[str, Dict[str, Any]]  # by checkpoint: of each variant with the first one, in float32
    results: List[Result]
    notes: List[str]

    def base_of(self, result: Result) -> Result:
        """The variant that others of its checkpoint are compared with: the first, stock if it is there."""
        return next(other for other in self.results if other.checkpoint == result.checkpoint)


def as_table(benchmark: Benchmark) -> str:
    """Conditions, a row per variant, and the notes."""
    settings, machine = benchmark.settings, benchmark.machine
    decoding = settings.decoding
    lines = [
        f"{benchmark.sentences} sentences ({benchmark.origin}), beam {decoding.beam}, "
        f"batches of {decoding.batch_size}, {'float16' if decoding.half else 'float32'}, "
        f"translations of at most {decoding.max_len_a:g} x source + {decoding.max_len_b} words",
        f"{machine['device']}, threads: {machine['threads']}, torch {machine['torch']}; median of "
        f"{settings.rounds} rounds (lowest to highest), variants in turns",
        "",
        _table(benchmark),
        "",
    ]
    return "\n".join(lines + _agreement_lines(benchmark) + benchmark.notes)


def as_json(benchmark: Benchmark) -> str:
    """One JSON object, every round included."""
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


def _table(benchmark: Benchmark) -> str:
    several = len({result.checkpoint for result in benchmark.results}) > 1
    header = [*(["checkpoint"] if several else []), "variant", "heads", "parameters", "sentences/s"]
    bases = sorted({benchmark.base_of(result).variant for result in benchmark.results})
    header += [f"times {' or '.join(bases)}", "tokens/s", "latency p50 ms", "p95 ms", "memory MB"]
    rows = []
    for result in benchmark.results:
        ratio = result.ratio(benchmark.base_of(result), "sentences_per_second")
        cells = [
            result.variant,
            f"{result.heads}/{result.original_heads}",
            "-" if result.parameters is None else f"{result.parameters:,}",
            written(result.spread("sentences_per_second")),
            written(ratio, 2),
            f"{result.spread('tokens_per_second').median:.0f}",
            written(result.spread("latency_p50_ms")),
            written(result.spread("latency_p95_ms")),
            "-" if result.memory_bytes is None else f"{result.memory_bytes / 1e6:.0f}",
        ]
        rows.append([*([result.checkpoint] if several else []), *cells])
    align = ["left"] * (2 if several else 1) + ["right"] * 8
    return tabulate(rows, header, tablefmt="github", disable_numparse=True, colalign=align)


def written(spread: Spread, digits: int = 1) -> str:
    """``median (lowest to highest)``"""
    return f"{spread.median:.{digits}f} ({spread.lowest:.{digits}f} to {spread.highest:.{digits}f})"


def _agreement_lines(benchmark: Benchmark) -> List[str]:
    several = len(benchmark.agreement) > 1
    lines = []
    for checkpoint, found in benchmark.agreement.items():
        first = next(result.variant for result in benchmark.results if result.checkpoint == checkpoint)
        where = f" of {checkpoint}" if several else ""
        lines += [f"translations of {name} and {first}{where} in float32: {told}" for name, told in found.items()]
    return lines
