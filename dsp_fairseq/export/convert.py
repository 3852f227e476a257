"""Writes the model of a checkpoint as a folder that CTranslate2 translates with."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from tabulate import tabulate

from ..checkpoints.another_choice import is_of_a_training, warnings_of
from ..checkpoints.building import build_model, build_stock_model
from ..checkpoints.multilingual import multilingual_problems
from ..checkpoints.reading import kept_units_of, load, model_options, with_mask
from ..collisions import collisions
from ..errors import BadInput, flag, refuse
from ..families import family_of, inventory_of, known_models
from ..families.family import Converter
from ..options.plan import Plan
from ..removal import count_lines
from ..structures.heads import HEADS
from ..structures.inventory import Inventory
from ..structures.nesting import closed_blocks, rebuilt
from ..structures.padding import padded_heads
from ..structures.surgery import remove_units
from . import check
from .check import check_quantised, check_scores
from .dictionaries import Dictionaries, load_dictionaries, named_for_ctranslate2
from .folder import folder_problems, writing_folder

FILES = (
    "config.json",
    "model.bin",
    "vocabulary.json",
    *(f"{name}_vocabulary.json" for name in ("shared", "source", "target")),
)


class Export(NamedTuple):
    """Result of :func:`export`; its text is a table of the blocks, the sizes and the check."""

    out: str
    before: Inventory
    after: Inventory
    quantization: str
    bytes: "tuple[int, int]"  # sizes of the checkpoint file and of the folder
    difference: float  # largest difference of a word's score between the float32 model and fairseq
    quantised_difference: float | None
    usage: list[str]  # lines that show how to use it
    warnings: list[str]

    def __str__(self) -> str:
        size, exported_size = self.bytes
        heads, *others = count_lines(self.before, self.after)
        lines = [
            self._table(),
            f"{heads}, written: {self._padded()}",
            *others,
            f"size: {size:,} => {exported_size:,} bytes ({self._kind()})",
            f"checked: scores as fairseq's in float32 (largest difference of a word {self.difference:.1e})",
        ]
        if self.quantised_difference is not None:
            difference = f"{self.quantised_difference:.1e}"
            lines.append(f"{self.quantization}: loads and translates (largest difference {difference})")
        lines += [f"warning: {line}" for line in self.warnings]
        return "\n".join([*lines, *self.usage])

    def _table(self) -> str:
        padded, shut = padded_heads(self.after), closed_blocks(self.after)
        rows = []
        for old, new, gone in zip(self.before.blocks, self.after.blocks, shut, strict=True):
            count = padded[new.part] if new.structure == HEADS.name else new.units * new.count
            written = "nothing" if gone else count if new.units else "output bias only"
            rows.append([new.name, f"{old.units * old.count} => {new.units * new.count}", written])
        header = ["block", ", ".join(self.after.nouns), "written"]
        return tabulate(rows, header, tablefmt="github", disable_numparse=True)

    def _padded(self) -> str:
        padded = padded_heads(self.after)
        return ", ".join(f"{heads} per block of the {part}" for part, heads in padded.items())

    def _kind(self) -> str:
        return "float32" if self.quantization == "none" else self.quantization


class Source(NamedTuple):
    """A checkpoint that decodes with the exported heads; the other heads are masked, not removed."""

    state: dict[str, Any]
    gated: bool
    before: Inventory
    after: Inventory
    warnings: list[str]


def export(
    checkpoint: str,
    out: str,
    quantization: str = "none",
    data: str | None = None,
    heads_to_keep: str | None = None,
    force: bool = False,
    **others: Any,
) -> Export:
    """Write the model of ``checkpoint`` and its vocabularies for CTranslate2 into the folder ``out``.

    Args:
        checkpoint: of ``gated_transformer``, masked or pruned, or of the stock ``transformer``.
        quantization: one of ``dsp_fairseq.export.QUANTIZATIONS``.
        data: the folder with the dictionaries; None: the data folder of the training.
        heads_to_keep, others: how many of the most important units are kept, by the names of the budgets (see
            ``option_names.BUDGETS``); without any, the units that decode now.
        force: replace ``out``, if it is an export.

    Raises:
        BadInput: everything that the user can correct, one line each.
        Failed: the scores of the written model differ from fairseq's.
    """
    budgets = {"heads_to_keep": heads_to_keep, **others}
    budgets = {name: value for name, value in budgets.items() if value is not None}
    state = load(checkpoint)
    converter = _converter_of(checkpoint, state)
    refuse(multilingual_problems(state, "a multilingual model cannot be exported to CTranslate2"))
    source, words, *_ = _all_of(
        lambda: _source_of(state, budgets),
        lambda: load_dictionaries(state, data),
        lambda: refuse(converter.option_problems(model_options(state))),
        lambda: refuse(folder_problems(out, force, FILES) or collisions({"OUT": out}, [checkpoint, data])),
    )
    model = (build_model if source.gated else build_stock_model)(source.state)
    runtime = getattr(converter, "runtime", check)
    pairs = runtime.random_pairs(model, words)
    expected = runtime.fairseq_scores(model, pairs)
    quantised_difference = None
    with writing_folder(out, force) as beside:
        _save(converter, source, model, words, None, beside)
        difference = check_scores(beside, words, pairs, expected, runtime.Exported)
        if quantization != "none":
            _save(converter, source, model, words, quantization, beside)
            quantised_difference = check_quantised(beside, words, pairs, expected, quantization, runtime.Exported)
    return Export(
        out,
        source.before,
        source.after,
        quantization,
        (os.path.getsize(checkpoint), sum(entry.stat().st_size for entry in os.scandir(out))),
        difference,
        quantised_difference,
        runtime.usage(out, [words.source[number] for number in pairs[2].source]),
        source.warnings,
    )


def _converter_of(checkpoint: str, state: dict[str, Any]) -> Converter:
    """The converter of the checkpoint's family; raises BadInput when there is none."""
    family = family_of(model_options(state))
    if family is None:
        name = getattr(model_options(state), "arch", None) or "another model"
        raise BadInput(f"checkpoint {checkpoint}: is of {name}; give one of {known_models()}")
    converter = family.ctranslate2()
    if converter is None:
        raise BadInput(f"checkpoint {checkpoint}: {family.with_article} cannot be exported to CTranslate2")
    return converter


def _is_gated(state: dict[str, Any]) -> bool:
    return "gates.logits" in state["model"]


def _all_of(*steps: Callable[[], Any]) -> list[Any]:
    """Results of all steps; raises BadInput with the problems of all steps."""
    results, problems = [], []
    for step in steps:
        try:
            results.append(step())
        except BadInput as error:
            problems.append(str(error))
    refuse(problems)
    return results


def _source_of(state: dict[str, Any], budgets: dict[str, Any]) -> Source:
    if _is_gated(state):
        kept = kept_units_of(state)
        mask = kept.best(**budgets) if budgets else kept.mask
        told = warnings_of(kept, mask, is_of_a_training(state["model"]))
        shown = with_mask(state, mask) if budgets else state
        return Source(shown, True, kept.inventory, kept.inventory.keeping(mask.tolist()), told)
    refuse(
        f"{flag(name)} {value}: a checkpoint of the stock transformer does not say which heads are important; leave it "
        "out"
        for name, value in budgets.items()
    )
    inventory = inventory_of(model_options(state))
    return Source(state, False, inventory, inventory, [])


def _save(
    converter: Converter, source: Source, model, words: Dictionaries, quantization: str | None, folder: str
) -> None:
    weights = model.state_dict()
    if source.gated:
        weights = remove_units(weights, source.before, source.after, Plan.of(model_options(source.state)).scales_output)
    spec = converter.specification(model, weights, rebuilt(source.after), *map(named_for_ctranslate2, words))
    spec.optimize(quantization)
    spec.save(folder)
