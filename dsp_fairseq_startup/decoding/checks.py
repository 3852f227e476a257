"""Refuses options of decoding that would end in a traceback or be ignored.

All problems are reported at once, before anything is loaded; `--required-batch-size-multiple 0` would even crash
Python. `--num-shards` and `--sacrebleu`, which `fairseq-generate` does not read, take effect here.
"""

import math
import os
from argparse import Namespace

from ..errors import refuse
from ..mending import around, command_of, main_of

# group, option, test, what is allowed
NUMBERS = (
    ("generation", "beam", lambda n: n >= 1, "1 or more"),
    ("generation", "nbest", lambda n: n >= 1, "1 to --beam"),
    ("generation", "max_len_a", lambda x: 0 <= x < math.inf, "a number from 0 on"),
    ("generation", "max_len_b", lambda n: n >= 0, "0 or more"),
    ("generation", "min_len", lambda n: n >= 0, "0 or more"),
    ("generation", "lenpen", math.isfinite, "a number"),
    ("generation", "unkpen", lambda x: x > -math.inf, "a number, or inf for no unknown word at all"),
    ("generation", "temperature", lambda x: 0 < x < math.inf, "a number above 0"),
    ("generation", "sampling_topk", lambda n: n == -1 or n >= 1, "1 or more words, or -1 for all"),
    ("generation", "sampling_topp", lambda x: x == -1 or 0 < x <= 1, "above 0, at most 1, or -1 for all words"),
    ("generation", "diverse_beam_groups", lambda n: n == -1 or n >= 1, "1 or more, or -1 for none"),
    ("generation", "diverse_beam_strength", math.isfinite, "a number"),
    ("generation", "diversity_rate", lambda x: x == -1 or 0 <= x < math.inf, "a number from 0 on, or -1 for none"),
    ("generation", "prefix_size", lambda n: n >= 0, "0 or more words"),
    ("generation", "no_repeat_ngram_size", lambda n: n >= 0, "1 or more words, or 0 for no such limit"),
    ("generation", "lm_weight", math.isfinite, "a number"),
    ("dataset", "batch_size", lambda n: n in (None, -1) or n >= 1, "1 or more sentences"),
    ("dataset", "max_tokens", lambda n: n in (None, -1) or n >= 1, "1 or more"),
    ("dataset", "required_batch_size_multiple", lambda n: n >= 1, "1 or more"),
    ("dataset", "num_workers", lambda n: n >= 0, "0 or more"),
    ("dataset", "data_buffer_size", lambda n: n >= 0, "0 or more"),
    ("dataset", "num_shards", lambda n: n >= 1, "1 or more"),
    ("dataset", "shard_id", lambda n: n >= 0, "0 to --num-shards minus 1"),
    ("interactive", "buffer_size", lambda n: n >= 0, "1 or more sentences"),
    ("common", "seed", lambda n: 0 <= n < 2**32, "0 to 4294967295"),
    ("common", "log_interval", lambda n: n >= 1, "1 or more"),
)  # fmt: skip
# option of group generation, its default, the option without which it has no effect
NEEDS = (
    ("sampling_topk", -1, "sampling"),
    ("sampling_topp", -1, "sampling"),
    ("diverse_beam_strength", 0.5, "diverse_beam_groups"),
    ("lm_weight", 0, "lm_path"),
    ("lm_path", None, "lm_weight"),
    ("retain_dropout_modules", None, "retain_dropout"),
)
FILES = ("bpe_codes", "sentencepiece_model", "sentencepiece_model_path", "bpe_vocab_file")


@around(*main_of("generate", "interactive", "validate", "eval_lm"))
def check_options(main, cfg, *args, **kwargs):
    command = command_of(main)
    if isinstance(cfg, Namespace):
        from fairseq.dataclass.utils import convert_namespace_to_omegaconf

        cfg = convert_namespace_to_omegaconf(cfg)
    refuse(problem for problems_of in PROBLEMS[command] for problem in problems_of(cfg))
    if command == "generate":
        take_shards_and_metric(cfg)
    return main(cfg, *args, **kwargs)


def flag(name):
    return "--" + name.replace("_", "-")


def number_problems(cfg):
    for group, name, is_right, allowed in NUMBERS:
        value = cfg[group][name]
        if not is_right(value):
            yield f"{flag(name)} {value}: {allowed}"


def path_problems(cfg):
    if not cfg.common_eval.path:
        yield "--path required: a file that fairseq-train wrote, such as checkpoints/checkpoint_best.pt"


def window_problems(cfg):
    longest, window = cfg.task.get("tokens_per_sample"), cfg.eval_lm.context_window
    if longest is not None and not 0 <= window < longest:
        yield f"--context-window {window}: 0 to {longest - 1}, less than --tokens-per-sample"


def shard_problems(cfg):
    if cfg.dataset.num_shards >= 1 and cfg.dataset.shard_id >= cfg.dataset.num_shards:
        yield f"--shard-id {cfg.dataset.shard_id}: 0 to {cfg.dataset.num_shards - 1}, one less than --num-shards"


def search_problems(cfg):
    options = cfg.generation
    exclusive = {
        "--sampling": options.sampling,
        "--diverse-beam-groups": options.diverse_beam_groups > 0,
        "--match-source-len": options.match_source_len,
        "--diversity-rate": options.diversity_rate > -1,
        "--constraints": options.constraints,
        "--score-reference": options.score_reference,
    }
    given = [name for name, is_given in exclusive.items() if is_given]
    if len(given) > 1:
        yield f"{' '.join(given)}: give one of them, each is a search of its own"
    for name, default, needed in NEEDS:
        if options[name] != default and options[needed] in (None, False, 0, -1):
            yield f"{flag(name)} {options[name]}: needs {flag(needed)}"
    if options.sampling and options.nbest != options.beam:
        drawn = f"draws --beam {options.beam} hypotheses"
        yield f"--sampling --nbest {options.nbest}: {drawn}; --nbest must be the same number"
    elif 1 <= options.beam < options.nbest:
        yield f"--nbest {options.nbest}: there are only --beam {options.beam} hypotheses"
    if options.diverse_beam_groups > 0 and options.beam % options.diverse_beam_groups:
        yield f"--diverse-beam-groups {options.diverse_beam_groups}: must divide --beam {options.beam}"
    if options.max_len_a == 0 and 0 <= options.max_len_b < options.min_len and not options.match_source_len:
        yield f"--min-len {options.min_len}: the longest output, --max-len-b {options.max_len_b}, is shorter"


def text_problems(cfg):
    """Missing options and missing files of the tokenizer and of BPE."""
    from omegaconf import OmegaConf

    for kind in ("bpe", "tokenizer"):
        options = cfg.get(kind)
        name = options.get("_name") if hasattr(options, "get") else None
        for option in options if name is not None else ():
            if OmegaConf.is_missing(options, option):
                yield f"--{kind} {name} needs {flag(option)}"
            elif option in FILES and options[option] is not None and not is_file_or_address(options[option]):
                yield f"{flag(option)} {options[option]}: no such file"


def is_file_or_address(name):
    return "://" in name or os.path.isfile(name)


def generate_problems(cfg):
    if cfg.generation.constraints:
        yield (
            f"--constraints {cfg.generation.constraints}: binarised data hold no constraints; fairseq-interactive reads"
            " them behind the sentence, each after a tab"
        )
    if cfg.generation.replace_unk is not None and (cfg.bpe is not None or cfg.tokenizer is not None):
        yield "--replace-unk: needs sentences in the words or pieces of the dictionary; leave out --bpe and --tokenizer"


def interactive_problems(cfg):
    if cfg.generation.score_reference:
        yield "--score-reference: fairseq-interactive has no references; take fairseq-generate"
    path = cfg.interactive.input
    if path != "-" and not os.path.exists(path):
        yield f"--input {path}: no such file"


PROBLEMS = {
    "generate": (path_problems, number_problems, shard_problems, search_problems, text_problems, generate_problems),
    "interactive": (path_problems, number_problems, search_problems, text_problems, interactive_problems),
    "validate": (path_problems, number_problems),
    "eval_lm": (path_problems, number_problems, shard_problems, window_problems),
}


def take_shards_and_metric(cfg):
    """Make `--num-shards` and `--sacrebleu` take effect."""
    if cfg.dataset.num_shards > 1:
        cfg.distributed_training.distributed_world_size = cfg.dataset.num_shards
        cfg.distributed_training.distributed_rank = cfg.dataset.shard_id
    if cfg.generation.sacrebleu and cfg.scoring._name == "bleu":
        from fairseq.scoring.bleu import SacrebleuConfig
        from omegaconf import OmegaConf

        cfg.scoring = OmegaConf.structured(SacrebleuConfig(_name="sacrebleu"))
