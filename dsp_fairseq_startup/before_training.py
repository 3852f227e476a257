"""Options of `fairseq-train` with which it would not train at all, or fail at the first validation

Where: `fairseq_cli.train.main`. `--write-checkpoints-asynchronously` without iopath, and a learning rate that starts
at or below `--stop-min-lr` (a warm-up from 0 does), and a `--max-epoch` below 0 end with exit status 0 and no update;
`--tpu` without torch_xla is an `AttributeError`; `--required-batch-size-multiple 0` divides by zero in C and kills
Python; `--eval-bleu-args` is read when the first epoch is over, and unknown names in it are ignored.
When: always.
"""

import dataclasses
import functools
import importlib.util
import json

from .bad_checkpoint import WrongUse


def mend(train):
    train.main = with_options_that_can_be_done(train.main)
    utils = train.checkpoint_utils
    utils.load_checkpoint = with_a_learning_rate(utils.load_checkpoint)


def with_options_that_can_be_done(main):
    @functools.wraps(main)
    def wrapper(cfg, **options):
        problems = [*missing_packages(cfg), *wrong_numbers(cfg), *problems_of_bleu(getattr(cfg, "task", None))]
        if problems:
            raise WrongUse("\n".join(problems))
        return main(cfg, **options)

    return wrapper


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
        yield f'{given}: not JSON ({error}); write it like \'{{"beam": 4, "lenpen": 0.6}}\''
        return
    if not isinstance(arguments, dict):
        yield f'{given}: not a JSON object; write it like \'{{"beam": 4, "lenpen": 0.6}}\''
        return
    known = {field.name for field in dataclasses.fields(GenerationConfig)} - {"_name"}
    unknown = sorted(set(arguments) - known)
    if unknown:
        yield f"{given}: {', '.join(unknown)} unknown; known are {', '.join(sorted(known))}"
    shortest, longest = arguments.get("min_len", 1), arguments.get("max_len_b", 200)
    if not arguments.get("max_len_a", 0) and longest < shortest:
        yield f"{given}: max_len_b {longest} is below min_len {shortest}; raise max_len_b, or lower min_len"


def with_a_learning_rate(load_checkpoint):
    @functools.wraps(load_checkpoint)
    def wrapper(cfg, trainer, **options):
        loaded = load_checkpoint(cfg, trainer, **options)
        lowest = trainer.cfg.optimization.stop_min_lr
        if trainer.get_num_updates() == 0 and trainer.get_lr() <= lowest:
            raise WrongUse(
                f"--stop-min-lr {lowest:g}: training starts with the learning rate {trainer.get_lr():g}, so it "
                "would stop before the first update; give --warmup-init-lr (or --lr) above it, or leave "
                "--stop-min-lr out"
            )
        return loaded

    return wrapper
