"""The units of a checkpoint, their logits and its parameters, as text and as JSON.

Each unit of the original model is kept, or pruned (in the file but not computed), or removed from the file.
"""

import json
import os
from typing import Any, NamedTuple

from ..checkpoints.logit_origin import RANKS, Origin, origin_of
from ..checkpoints.movement import has_scores
from ..checkpoints.reading import KeptUnits, kept_units_of, load_gated
from ..families import known_family
from ..removal import zero_lines
from ..structures import parameters
from ..structures.heads import HEADS
from ..structures.inventory import Block
from ..structures.structure import STRUCTURES
from ..structures.zero_weights import ZeroWeights, count_zeros
from ..tables import table


class BlockUnits(NamedTuple):
    """The units of one block, by their original indices."""

    block: Block
    kept: tuple[int, ...]
    pruned: tuple[int, ...]
    logits: tuple[float | None, ...]  # one per unit of the original model; None if the unit is removed


class Report(NamedTuple):
    """The content of a report on a checkpoint of a gated model."""

    path: str
    blocks: list[BlockUnits]
    kept: KeptUnits
    parameters: dict[str, int]  # number of parameters in each part of the model, by the part's name
    in_pruned_units: int  # number of parameters in units that are pruned but still in the file
    model_bytes: int  # size of the model's tensors in the file
    file_bytes: int
    zeros: ZeroWeights  # weights of the blocks, with zeros for those that are masked
    scored: bool  # whether blocks of weights have scores, as with movement, and units have none

    @property
    def heads(self) -> dict[str, int]:
        """Numbers of heads that are kept, pruned and removed, and of all heads of the original model."""
        return self.fates_of(HEADS.name)

    def fates_of(self, structure: str) -> dict[str, int]:
        """As :attr:`heads`, for the units of any structure."""
        found = dict.fromkeys(("kept", "pruned", "removed", "original"), 0)
        for block, kept, pruned, _ in self.blocks:
            if block.structure == structure:
                removed = block.original_units - block.units
                for fate, units in zip(found, (len(kept), len(pruned), removed, block.original_units), strict=True):
                    found[fate] += units * block.count
        return found

    def kept_in_words(self, structure: str) -> str:
        """What is kept of the architecture, such as ``12 of 36 heads``."""
        return self.kept.inventory.keeping(self.kept.mask.tolist()).fractions_in_words(structure)

    @property
    def origin(self) -> Origin:
        """What the logits are: learned values, start values or ranks."""
        return origin_of(self.kept)


def report_of(path: str) -> Report:
    """Read the checkpoint at ``path``; raises BadInput or BadCheckpoint when it is not of a gated model."""
    state = load_gated(path)
    kept, weights = kept_units_of(state), state["model"]
    return Report(
        path,
        block_units(kept),
        kept,
        parameters.by_part(weights, kept.inventory, known_family(kept.options).submodules),
        parameters.of_pruned_units(weights, kept.inventory, kept.mask.tolist()),
        parameters.bytes_on_disk(weights),
        os.path.getsize(path),
        count_zeros(weights, kept.inventory),
        has_scores(state),
    )


def block_units(kept: KeptUnits) -> list[BlockUnits]:
    """The kept, pruned and removed units of every block, in the order of the inventory."""
    sizes = kept.inventory.sizes
    found = []
    for block, mask, logits in zip(
        kept.inventory.blocks, kept.mask.split(sizes), kept.logits.split(sizes), strict=True
    ):
        is_kept = dict(zip(block.indices, mask.tolist(), strict=True))
        logit = dict(zip(block.indices, logits.tolist(), strict=True))
        found.append(
            BlockUnits(
                block,
                tuple(unit for unit in block.indices if is_kept[unit]),
                tuple(unit for unit in block.indices if not is_kept[unit]),
                tuple(logit.get(unit) for unit in range(block.original_units)),
            )
        )
    return found


def as_json(report: Report) -> str:
    """The report as one JSON object; ``logits`` has one value per original unit, null for a removed one.

    The units of a feed-forward block are groups of hidden units.
    """
    blocks = [
        {
            "block": block.name,
            "kind": block.kind,
            "layer": block.layer,
            **_original(block),
            "kept": kept,
            "pruned": pruned,
            "logits": logits,
        }
        for block, kept, pruned, logits in report.blocks
    ]
    others = {name: report.fates_of(name) for name in report.kept.inventory.structures if name != HEADS.name}
    pruned = dict.fromkeys(("in pruned units", "in pruned heads"), report.in_pruned_units)  # one number, two names
    counts = {**report.parameters, "total": sum(report.parameters.values()), **pruned}
    return json.dumps(
        {
            "checkpoint": report.path,
            "heads": report.heads,
            **others,
            "logits_are": None if report.scored else report.origin.name,
            "blocks": blocks,
            "parameters": counts,
            "weights_of_blocks": report.zeros._asdict(),
            "model_bytes": report.model_bytes,
            "file_bytes": report.file_bytes,
        }
    )


def as_text(report: Report) -> str:
    """The report as three tables: kept units, logits, parameters."""
    sections = [
        "\n".join(
            [
                _kept_table(report),
                *(_fate(report, name) for name in report.kept.inventory.structures),
                *_layers_removed(report.kept.options),
            ]
        ),
        *([] if report.scored else [_logits(report)]),
        "\n".join(
            [
                _parameter_table(report),
                *(zero_lines(report.zeros) if report.scored or report.zeros.zero else []),
                f"model: {_megabytes(report.model_bytes)} of the file's {_megabytes(report.file_bytes)}",
            ]
        ),
    ]
    return "\n\n".join(sections)


def _kept_table(report: Report) -> str:
    """A table with a row per kind and a column per layer; a cell is "kept units/units of the original block"."""
    counts: dict[str, list[str]] = {kind: [] for kind in report.kept.inventory.kinds}
    for block, kept, _, _ in report.blocks:
        if STRUCTURES[block.structure].nests:
            counts[block.kind] += ["1/1" if layer in kept else "0/1" for layer in range(block.original_units)]
        else:
            counts[block.kind].append(f"{len(kept) * block.count}/{block.original_units * block.count}")
    layers = max(map(len, counts.values()))
    header = ["kind", "all layers", *(f"layer {layer}" for layer in range(layers))]
    rows = [[kind, str(report.kept.per_kind[kind]), *cells] for kind, cells in counts.items()]
    return table(header, rows, keys=2)


def _original(block: Block) -> dict[str, int]:
    """The entries of the report that say what the architecture gives a block."""
    if block.structure == HEADS.name:
        return {"original_heads": block.original_units}
    if STRUCTURES[block.structure].nests:
        return {"original_layers": block.original_units}
    return {"original_hidden_units": block.original_units * block.count, "group": block.count}


def _fate(report: Report, structure: str) -> str:
    """The line that counts kept, pruned and removed units of a structure."""
    units = report.fates_of(structure)
    pruned = [f"{units['pruned']} pruned, still in the file"] if units["pruned"] else []
    removed = [f"{units['removed']} removed from the file"] if units["removed"] else []
    return "; ".join([f"{report.kept_in_words(structure)} kept", *pruned, *removed])


def _layers_removed(options: Any) -> list[str]:
    """A line where whole layers were removed, of which nothing else in the file tells."""
    found = known_family(options).layers_after_removal(options)
    if found is None:
        return []
    left, before = found
    return [f"{left} of {before} layers kept; {before - left} removed from the file"]


def _logits(report: Report) -> str:
    """What the logits are, and a table of them unless they are all the same."""
    numbers = {logit for found in report.blocks for logit in found.logits if logit is not None}
    if len(numbers) <= 1:
        return f"Logits: {report.origin.words}"
    return f"By original head{_marks(report.heads)}: {report.origin.words}\n{_logit_table(report)}"


def _marks(units: dict[str, int]) -> str:
    """The legend of the table of logits, with only the signs that appear in the table."""
    pruned = ["in brackets: pruned"] if units["pruned"] else []
    removed = ["-: removed"] if units["removed"] else []
    return f" ({'; '.join([*pruned, *removed])})" if pruned or removed else ""


def _logit_table(report: Report) -> str:
    """A table of logits with a row per attention block and a column per head of the original model.

    Stacks of layers have a table of their own, with a row per stack and a column per layer.
    """
    tables = []
    for nests, unit in ((False, "head"), (True, "layer")):
        blocks = [
            found
            for found in report.blocks
            if (found.block.structure == HEADS.name or nests) and STRUCTURES[found.block.structure].nests is nests
        ]
        if blocks:
            tables.append(_logits_of(report, blocks, unit))
    return "\n\n".join(tables)


def _logits_of(report: Report, blocks: list[BlockUnits], unit: str) -> str:
    units = max(len(found.logits) for found in blocks)
    digits = 0 if report.origin is RANKS else 2
    rows = []
    for block, _, pruned, logits in blocks:
        cells = ["-" if logit is None else f"{logit:.{digits}f}" for logit in logits]
        rows.append([block.name, *(f"({cell})" if number in pruned else cell for number, cell in enumerate(cells))])
    return table(["block", *(f"{unit} {number}" for number in range(units))], rows)


def _parameter_table(report: Report) -> str:
    whole = sum(report.parameters.values())
    rows = [[part, f"{count:,}", f"{count / whole:.1%}"] for part, count in report.parameters.items()]
    rows.append(["total", f"{whole:,}", "100.0%"])
    if report.in_pruned_units:
        noun = " and ".join(STRUCTURES[name].noun for name in report.kept.inventory.structures)
        rows.append([f"of it in pruned {noun}", f"{report.in_pruned_units:,}", f"{report.in_pruned_units / whole:.1%}"])
    return table(["part", "parameters", "share"], rows, align=("left", "right", "right"))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
