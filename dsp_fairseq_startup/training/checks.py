"""Refuses options with which `fairseq-train` does not train at all, or fails at the first validation.

fairseq ends with exit status 0 and without an update for `--write-checkpoints-asynchronously` without iopath, for a
`--max-epoch` below 0, and for a learning rate that starts at or below `--stop-min-lr`, as a warm-up from 0 does.
`--tpu` without torch_xla is an `AttributeError`; `--required-batch-size-multiple 0` divides by zero in C and kills
Python; `--eval-bleu-args` is read after the first epoch, and unknown names in it are ignored.
"""

import dataclasses
import importlib.util
import json

from ..errors import WrongUse, refuse
from ..mending import around

LIKE_THIS = 'write it like \'{"beam": 4, "lenpen": 0.6}\''


@around("fairseq_cli.train:main")
def refuse_what_cannot_work(main, cfg, **options):
    refuse([*missing_packages(cfg), *wrong_numbers(cfg), *problems_of_bleu(getattr(cfg, "task", None))])
    return main(cfg, **options)


def missing_packages(cfg):
    if cfg.checkpoint.write_checkpoints_asynchronously and not importlib.util.find_spec("iopath"):
        yield "--write-checkpoints-asynchronously: iopath is not installed; `pip install iopath`, or leave the flag out"
    if cfg.common.tpu and not importlib.util.find_spec("torch_xla"):
        yield "--tpu: torch_xla is not installed; install it, or leave the flag out"


def wrong_numbers(cfg):
    for name in ("max_epoch", "max_update"):
        if getattr(cfg.optimization, name) < 0:
            yield f"--{name.replace('_', '-')} {getattr(cfg.optimization, name)}: must be 0 (no end) or more"
    multiple = cfg.dataset.required_batch_size_multiple
    if multiple < 1:
        yield f"--required-batch-size-multiple {multiple}: must be 1 or more"


def problems_of_bleu(task):
    if not getattr(task, "eval_bleu", False):
        return
    from fairseq.dataclass.configs import GenerationConfig

    given = f"--eval-bleu-args '{task.eval_bleu_args}'"
    try:
        arguments = json.loads(task.eval_bleu_args or "{}")
    except ValueError as error:
        yield f"{given}: not JSON ({error}); {LIKE_THIS}"
        return
    if not isinstance(arguments, dict):
        yield f"{given}: not a JSON object; {LIKE_THIS}"
        return
    known = {field.name for field in dataclasses.fields(GenerationConfig)} - {"_name"}
    unknown = sorted(set(arguments) - known)
    if unknown:
        yield f"{given}: {', '.join(unknown)} unknown; known are {', '.join(sorted(known))}"
    shortest, longest = arguments.get("min_len", 1), arguments.get("max_len_b", 200)
    if not arguments.get("max_len_a", 0) and longest < shortest:
        yield f"{given}: max_len_b {longest} is below min_len {shortest}; raise max_len_b, or lower min_len"


@around("fairseq_cli.train:checkpoint_utils.load_checkpoint")
def refuse_a_rate_below_the_lowest(load_checkpoint, cfg, trainer, **options):
    loaded = load_checkpoint(cfg, trainer, **options)
    lowest = trainer.cfg.optimization.stop_min_lr
    if trainer.get_num_updates() == 0 and trainer.get_lr() <= lowest:
        raise WrongUse(
            f"--stop-min-lr {lowest:g}: training starts with the learning rate {trainer.get_lr():g}, so it "
            "would stop before the first update; give --warmup-init-lr (or --lr) above it, or leave "
            "--stop-min-lr out"
        )
    return loaded
