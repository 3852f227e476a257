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
from typing import Any

import torch
from fairseq import checkpoint_utils
from in_process import fairseq_train

import dsp_fairseq  # noqa: F401 (registers)
from dsp_fairseq.cli import main

BEAM = 3
TRAINING = (
    "--arch gated_transformer --task translation_pruning --criterion dsp_label_smoothed_cross_entropy --dropout 0 "
    "--label-smoothing 0.1 --optimizer adam --lr 0.02 --max-tokens 200 --seed 1 --cpu --num-workers 0 "
    "--no-epoch-checkpoints --no-save-optimizer-state --log-format json"
).split()
STRUCTURE = (
    *("encoder_layers", "encoder_embed_dim", "encoder_ffn_embed_dim", "encoder_attention_heads"),
    *("decoder_layers", "decoder_embed_dim", "decoder_ffn_embed_dim", "decoder_attention_heads"),
    *("max_source_positions", "max_target_positions", "encoder_normalize_before", "decoder_normalize_before"),
    *("encoder_learned_pos", "decoder_learned_pos", "layernorm_embedding"),
    *("share_all_embeddings", "share_decoder_input_output_embed"),
)


def behaviour_of(checkpoint: Path, data: Path, work: Path) -> dict[str, Any]:
    """Everything that the JSON of a checkpoint holds; None: refused, as it should be.

    ``work`` is a folder for what is written on the way.
    """
    work.mkdir()
    state = checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint))
    few = "4" if decoded(checkpoint, data, heads_to_keep="4") else "10"  # another K than that of the checkpoint
    small, ranked, mean, exported = work / "small.pt", work / "ranked.pt", work / "mean.pt", work / "exported"
    is_pruned = dsp_fairseq_run("prune", checkpoint, small, "--heads-to-keep", few) is not None
    is_ranked = dsp_fairseq_run("importance", checkpoint, data, ranked, "--heads-to-keep", few) is not None
    is_mean = dsp_fairseq_run("average", checkpoint, linked(checkpoint, work), "--out", mean) is not None
    is_exported = dsp_fairseq_run("export", "ctranslate2", checkpoint, exported, "--data", data) is not None
    return {
        "decoded": decoded(checkpoint, data),
        "decoded with another K": decoded(checkpoint, data, heads_to_keep=few),
        "reported": reported(checkpoint),
        "pruned": decoded(small, data) if is_pruned else None,
        "heads when pruned": heads(small) if is_pruned else None,
        "heads when ranked": heads(ranked) if is_ranked else None,
        "heads when averaged": heads(mean) if is_mean else None,
        "exported": translated(exported, data) if is_exported else None,
        "trained on": trained(state, data, work / "on", "--finetune-from-model", checkpoint),
        "chosen anew": chosen_anew(state, data, work / "anew", checkpoint, few),
        "restored": restored(state, data, work / "restored", checkpoint),
    }


def dsp_fairseq_run(*words) -> str | None:
    """Standard output of a command of dsp-fairseq; None when it was refused."""
    printed, logger = io.StringIO(), logging.getLogger("fairseq")
    level = logger.level
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        status = main([str(word) for word in words])
    logger.setLevel(level)  # importance quietens it for the rest of its process
    assert status in (0, 2), (words, status)
    return printed.getvalue() if status == 0 else None


def linked(checkpoint: Path, work: Path) -> Path:
    """The same checkpoint under another name: what a mean of one would be."""
    return Path(shutil.copy(checkpoint, work / "same.pt"))


def decoded(checkpoint: Path, data: Path, **overrides) -> dict[str, Any] | None:
    """The best translations of the test set with their scores, and the scores of its references, per word."""
    options = {"data": str(data), **overrides}
    try:
        [model], cfg, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], arg_overrides=options)
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
        model.prepare_for_inference_(cfg)
        generator = task.build_generator([model], Namespace(beam=BEAM, max_len_b=8))
        hypotheses = task.inference_step(generator, [model], sample)
    return {
        "translations": [[hypothesis["tokens"].tolist() for hypothesis in best] for best in hypotheses],
        "scores": [[float(hypothesis["score"]) for hypothesis in best] for best in hypotheses],
        "references": [row[row != 0].tolist() for row in references],
    }


def heads(checkpoint: Path) -> dict[str, list[int]]:
    """Original indices of the heads that are kept, by block."""
    blocks = json.loads(dsp_fairseq_run("report", checkpoint, "--json"))["blocks"]
    return {block["block"]: block["kept"] for block in blocks}


def reported(checkpoint: Path) -> dict[str, Any] | None:
    printed = dsp_fairseq_run("report", checkpoint, "--json")
    if printed is None:
        return None
    told = json.loads(printed)
    return {
        "heads": heads(checkpoint),
        "original": told["heads"]["original"],
        "logits": {block["block"]: block["logits"] for block in told["blocks"]},
        "logits are": told.get("logits_are"),  # not there before 2026-11-26
        "parameters": told["parameters"]["total"],
    }


def translated(exported: Path, data: Path) -> list[list[str]]:
    import ctranslate2

    translator = ctranslate2.Translator(str(exported))
    words = [list("abc"), list("fedcb"), list("aa")]
    return [result.hypotheses[0] for result in translator.translate_batch(words, beam_size=BEAM, max_decoding_length=8)]


def trained(state: Mapping[str, Any], data: Path, folder: Path, *options, method="none") -> dict[str, Any] | None:
    """Two updates with all heads that are there, unless the options say something else."""
    options = ("--max-update", 2, "--pruning-method", method, *options)
    done = fairseq_train(data, *TRAINING, *structure(state), "--save-dir", folder, *options)
    assert done.status in (0, 2), done.errors
    if done.status == 2:
        return None
    *_, valid = [json.loads(line.partition(" ")[2]) for line in done.log if '"valid_loss"' in line]
    return {"loss": float(valid["valid_loss"]), "heads": heads(folder / "checkpoint_last.pt")}


def chosen_anew(state, data, folder, checkpoint, heads_to_keep) -> dict[str, Any] | None:
    """Eight updates, six of which are a search."""
    options = ("--max-update", 8, "--search-updates", 6, "--uniform-prior", 0)
    options += ("--heads-to-keep", heads_to_keep, "--finetune-from-model", checkpoint)
    return trained(state, data, folder, *options, method="dsp")


def restored(state, data, folder, checkpoint) -> dict[str, Any] | None:
    """The end of a training that goes on where it was; None without state of the optimiser."""
    if not state.get("last_optimizer_state") or "gates.logits" not in state["model"]:
        return None
    model, updates = options_of(state), state["cfg"]["optimization"]["max_update"]
    options = ("--heads-to-keep", model["heads_to_keep"], "--max-update", updates, "--restore-file", checkpoint)
    return trained(state, data, folder, *options, method=model["pruning_method"])


def options_of(state: Mapping[str, Any]) -> dict[str, Any]:
    options = state["cfg"]["model"]
    return vars(options) if isinstance(options, Namespace) else dict(options)


def structure(state: Mapping[str, Any]) -> list[str]:
    """The options of a command line that build a model of the same structure."""
    words = []
    for name, value in options_of(state).items():
        if name in STRUCTURE and value is not False:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def differences(expected: Any, seen: Any, where: str = "") -> list[str]:
    """A line for each place where two behaviours differ by more than the rounding of another processor."""
    if isinstance(expected, dict) and isinstance(seen, dict) and expected.keys() == seen.keys():
        return [line for name in expected for line in differences(expected[name], seen[name], f"{where}/{name}")]
    if isinstance(expected, list) and isinstance(seen, list) and len(expected) == len(seen):
        pairs = enumerate(zip(expected, seen, strict=True))
        return [line for i, (one, other) in pairs for line in differences(one, other, f"{where}/{i}")]
    numbers = isinstance(expected, float) and isinstance(seen, float)
    same = math.isclose(expected, seen, rel_tol=1e-3, abs_tol=1e-4) if numbers else expected == seen
    return [] if same else [f"{where}: {seen}, was {expected}"]
