"""What the installed version does with a checkpoint, by way of the commands: every version can be asked.

For the frozen checkpoints (``tests/frozen``): their JSON files hold the answers of the version that wrote them.
"""

import contextlib
import io
import json
import logging
import math
import shutil
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from fairseq import checkpoint_utils
from in_process import fairseq_train

import dsp_fairseq  # noqa: F401 (registers)
from dsp_fairseq.cli import main

BEAM = 3
TRAINING = (
    "--dropout 0 --optimizer adam --lr 0.02 --max-tokens 200 --seed 1 --cpu --num-workers 0 --no-epoch-checkpoints "
    "--no-save-optimizer-state --log-format json"
).split()
TRANSLATING = (
    "--arch gated_transformer --task translation_pruning --criterion dsp_label_smoothed_cross_entropy "
    "--label-smoothing 0.1"
).split()
MODELLING = "--task language_modeling_pruning --criterion dsp_cross_entropy".split()
STRUCTURE = (
    *("encoder_layers", "encoder_embed_dim", "encoder_ffn_embed_dim", "encoder_attention_heads"),
    *("decoder_layers", "decoder_embed_dim", "decoder_ffn_embed_dim", "decoder_attention_heads"),
    *("max_source_positions", "max_target_positions", "encoder_normalize_before", "decoder_normalize_before"),
    *("encoder_learned_pos", "decoder_learned_pos", "layernorm_embedding"),
    *("share_all_embeddings", "share_decoder_input_output_embed"),
)
STRUCTURE_OF_TEXTS = (
    *("decoder_layers", "decoder_embed_dim", "decoder_attention_heads", "tokens_per_sample"),
    *("decoder_ffn_embed_dim", "decoder_input_dim", "decoder_output_dim", "share_decoder_input_output_embed"),
    *("persistent_vectors", "segment_length", "memory_length"),
)
CHOICES = ("heads_to_keep", "weights_to_keep", "block_rows", "block_cols")  # what a restarted training is told again


def behaviour_of(checkpoint: Path, data: Path, work: Path, *names: str) -> dict[str, Any]:
    """The results of the uses with these names (see ``USES``) for a checkpoint; None where a command refuses it.

    ``work`` is a folder for what is written on the way.
    """
    work.mkdir()
    state = checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint))
    return {name: USES[name](Use(checkpoint, data, work, state)) for name in names}


class Use(NamedTuple):
    checkpoint: Path
    data: Path
    work: Path
    state: Mapping[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """The options of the model."""
        options = self.state["cfg"]["model"]
        return vars(options) if isinstance(options, Namespace) else dict(options)

    @property
    def is_text(self) -> bool:
        """Whether the model is a language model."""
        return self.options["arch"].endswith("_lm")

    @property
    def few(self) -> str:
        """A K other than that of the checkpoint, within the checkpoint's limits."""
        limited = self.options.get("min_heads_per_block") or self.options.get("prunable")
        return "10" if limited else "4"


def dsp_fairseq_run(*words) -> str | None:
    """Standard output of a command of dsp-fairseq; None when the command refuses its input."""
    printed, logger = io.StringIO(), logging.getLogger("fairseq")
    level = logger.level
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        status = main([str(word) for word in words])
    logger.setLevel(level)  # importance quietens it for the rest of its process
    assert status in (0, 2), (words, status)
    return printed.getvalue() if status == 0 else None


def pruned(use: Use) -> dict[str, list[int]] | None:
    return written(use, "prune", use.checkpoint, use.work / "small.pt", "--heads-to-keep", use.few)


def removed(use: Use) -> dict[str, list[int]] | None:
    """What is left when nothing is asked for but the removal of what the checkpoint does not keep."""
    return written(use, "prune", use.checkpoint, use.work / "removed" / "small.pt")


def pruned_to_limits(use: Use) -> dict[str, dict[str, list[int]] | None]:
    """Kept heads for every K at which a floor or a cap decides, by K; None where prune refuses that K."""
    numbers = ("7", "12", "13", "14")
    return {
        number: written(use, "prune", use.checkpoint, use.work / number / "small.pt", "--heads-to-keep", number)
        for number in numbers
    }


def ranked(use: Use) -> dict[str, list[int]] | None:
    return written(use, "importance", use.checkpoint, use.data, use.work / "ranked.pt", "--heads-to-keep", use.few)


def averaged(use: Use) -> dict[str, list[int]] | None:
    """The kept heads of the mean of the checkpoint and its copy."""
    copied = shutil.copy(use.checkpoint, use.work / "copy.pt")
    return written(use, "average", use.checkpoint, copied, "--out", use.work / "mean.pt")


def written(use: Use, *words) -> dict[str, list[int]] | None:
    """The kept heads of the checkpoint that a command writes."""
    [out] = [word for word in words if isinstance(word, Path) and word.name in ("small.pt", "ranked.pt", "mean.pt")]
    out.parent.mkdir(exist_ok=True)
    return None if dsp_fairseq_run(*words) is None else heads(out)


def decoded(use: Use, **overrides) -> dict[str, Any] | None:
    """The best translations of the test set with their scores, and the score of every word of the references."""
    options = {"data": str(use.data), **overrides}
    try:
        [model], cfg, task = checkpoint_utils.load_model_ensemble_and_task([str(use.checkpoint)], arg_overrides=options)
    except ValueError as problem:  # wrong use is one
        assert "heads_to_keep" in overrides, problem
        return None
    model.eval()
    task.load_dataset("test")
    test = task.dataset("test")
    sample = test.collater([test[index] for index in range(len(test))])
    with torch.no_grad():
        scores = model.get_normalized_probs(model(**sample["net_input"]), log_probs=True)
        references = scores.gather(-1, sample["target"][..., None])[..., 0]  # [sentences, words]
        references[sample["target"] == task.target_dictionary.pad()] = 0.0
        if use.is_text:
            return {"references": [row[row != 0].tolist() for row in references]}
        model.prepare_for_inference_(cfg)
        generator = task.build_generator([model], Namespace(beam=BEAM, max_len_b=8))
        hypotheses = task.inference_step(generator, [model], sample)
    return {
        "translations": [[hypothesis["tokens"].tolist() for hypothesis in best] for best in hypotheses],
        "scores": [[float(hypothesis["score"]) for hypothesis in best] for best in hypotheses],
        "references": [row[row != 0].tolist() for row in references],
    }


def decoded_otherwise(use: Use) -> dict[str, Any] | None:
    return decoded(use, heads_to_keep=use.few)


def heads(checkpoint: Path) -> dict[str, list[int]]:
    """Original indices of the kept heads, by block."""
    blocks = json.loads(dsp_fairseq_run("report", checkpoint, "--json"))["blocks"]
    return {block["block"]: block["kept"] for block in blocks}


def reported(use: Use) -> dict[str, Any] | None:
    printed = dsp_fairseq_run("report", use.checkpoint, "--json")
    if printed is None:
        return None
    report = json.loads(printed)
    return {
        "heads": {block["block"]: block["kept"] for block in report["blocks"]},
        "original": report["heads"]["original"],
        "logits": {block["block"]: block["logits"] for block in report["blocks"]},
        "parameters": report["parameters"]["total"],
    }


def exported(use: Use) -> list[list[str]] | None:
    """Translations of a few sentences by CTranslate2, whose scores the export command compares with fairseq's."""
    import ctranslate2

    folder = use.work / "exported"
    if dsp_fairseq_run("export", "ctranslate2", use.checkpoint, folder, "--data", use.data) is None:
        return None
    words = [list("abc"), list("fedcb"), list("aa")]
    if use.is_text:
        begun = [["</s>", *text] for text in words]
        best = ctranslate2.Generator(str(folder)).generate_batch(begun, beam_size=BEAM, max_length=8)
        return [result.sequences[0] for result in best]
    translator = ctranslate2.Translator(str(folder))
    return [result.hypotheses[0] for result in translator.translate_batch(words, beam_size=BEAM, max_decoding_length=8)]


def trained(use: Use, folder: str, *options) -> dict[str, Any] | None:
    """The validation loss after a training with these flags, and the kept heads of its checkpoint."""
    kind = ("--arch", use.options["arch"], *MODELLING) if use.is_text else TRANSLATING
    words = (*kind, *TRAINING, *structure(use), "--save-dir", use.work / folder, *options)
    done = fairseq_train(use.data, *words)
    assert done.status in (0, 2), done.errors
    if done.status == 2:
        return None
    *_, valid = [json.loads(line.partition(" ")[2]) for line in done.log if '"valid_loss"' in line]
    return {"loss": float(valid["valid_loss"]), "heads": heads(use.work / folder / "checkpoint_last.pt")}


def trained_on(use: Use) -> dict[str, Any] | None:
    """The result of two updates that train all heads in the checkpoint."""
    start = ("--finetune-from-model", use.checkpoint)
    return trained(use, "on", *start, "--pruning-method", "none", "--max-update", 2)


def chosen_anew(use: Use) -> dict[str, Any] | None:
    """The result of a training of eight updates with a search of six."""
    search = ("--max-update", 8, "--search-updates", 6, "--uniform-prior", 0)
    choice = ("--pruning-method", "dsp", "--heads-to-keep", use.few)
    return trained(use, "anew", *choice, *search, "--finetune-from-model", use.checkpoint)


def restored(use: Use) -> dict[str, Any] | None:
    """The result of a training that is restarted from the checkpoint and ends as planned."""
    told = {name: use.options[name] for name in CHOICES if use.options.get(name) is not None}
    choice = [word for name, value in told.items() for word in (f"--{name.replace('_', '-')}", value)]
    choice = ["--pruning-method", use.options["pruning_method"], *choice]
    updates = use.state["cfg"]["optimization"]["max_update"]
    return trained(use, "restored", *choice, "--max-update", updates, "--restore-file", use.checkpoint)


def structure(use: Use) -> list[str]:
    """Flags that build a model with the structure of the checkpoint."""
    words = []
    names = STRUCTURE_OF_TEXTS if use.is_text else STRUCTURE
    for name, value in use.options.items():
        if name in names and value is not False:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


USES = {
    "decoded": decoded,
    "decoded with another K": decoded_otherwise,
    "reported": reported,
    "heads when pruned": pruned,
    "left when removed": removed,
    "heads at the limits": pruned_to_limits,
    "heads when ranked": ranked,
    "heads when averaged": averaged,
    "exported": exported,
    "trained on": trained_on,
    "chosen anew": chosen_anew,
    "restored": restored,
}


def differences(expected: Any, seen: Any, where: str = "") -> list[str]:
    """One line for each difference between two results that rounding on another processor does not explain."""
    if isinstance(expected, dict) and isinstance(seen, dict) and expected.keys() == seen.keys():
        return [line for name in expected for line in differences(expected[name], seen[name], f"{where}/{name}")]
    if isinstance(expected, list) and isinstance(seen, list) and len(expected) == len(seen):
        pairs = enumerate(zip(expected, seen, strict=True))
        return [line for i, (one, other) in pairs for line in differences(one, other, f"{where}/{i}")]
    numbers = isinstance(expected, float) and isinstance(seen, float)
    close = 1e-2 if where.startswith("/trained on") else 1e-3  # a training makes the differences of rounding larger
    same = math.isclose(expected, seen, rel_tol=close, abs_tol=1e-4) if numbers else expected == seen
    return [] if same else [f"{where}: {seen}, was {expected}"]
