"""``dsp-fairseq sweep CONFIG.yaml``"""

import math
import os
import sys
import time

from ..errors import BadInput, Failed, refuse

HELP = "train, evaluate and compare a grid of methods, heads or parameters to keep, and seeds"

DESCRIPTION = (
    f"{HELP}: a folder per cell, results.csv, results.md and two pictures at the end. The same command goes on "
    "after any interruption: finished cells are kept, half-finished trainings go on from their last checkpoint."
)

EPILOG = """CONFIG.yaml, with everything that it may say:

  data: data-bin                            # of fairseq-preprocess
  out: sweep                                # relative to the current folder, as all paths
  train: --arch gated_transformer_tiny --max-update 800 ...    # flags of fairseq-train, or a list of words
  generate: --beam 5 --remove-bpe           # flags of fairseq-generate; language models have instead
                                            # evaluate: --tokens-per-sample 512, flags of fairseq-eval-lm
  grid:
    method: [dsp, uniform]                  # of --pruning-method
    heads_to_keep: [12, 4]                  # or another budget, or several; each value makes a model:
    parameters_to_keep: [50%, 25%]          # at most so many prunable parameters
    ffn_to_keep: [256]                      # so many hidden units; layers_to_keep takes layers of each stack
                                            # (with method movement: weights_to_keep: [35%], and no other budget)
    seed: [1, 2]
  unpruned: true                            # also train with all heads, once per seed (default: false)
  method_flags: {dsp-published: --cooldown-updates 250}    # of some methods only, also --layers-to-keep; none is
                                            # the unpruned model
  from_unpruned: --lr 1e-3                  # prune the unpruned model of the same seed, with such flags besides (true:
                                            # none), instead of random weights; unpruned ones train on as long
  variants:                                 # also train models with flags of their own, once per seed
    unscaled: --pruning-method layerwise-l0 --heads-to-keep 12 --output-scaling off
  dense:                                    # also train small models of other shapes, without pruning, to compare with
    tiny: --arch gated_transformer_tiny
  distillation: --distillation-weight 0.5   # also train all of them with the unpruned model of the same seed as teacher
  only_distilled: true                      # train none of them without this teacher, and tune with it (default: false)
  after:                                    # choose heads of the trained, unpruned model of the same seed:
    michel: --score gradient --subset train --sentences 1000   # as dsp-fairseq importance does, in seconds
    dsp: --pruning-method dsp --max-epoch 1                     # by gates that learn while the weights stay
    any-k: --heads-to-keep-range 3:24                           # or take them from one training for any K
  tune: --max-epoch 3 --lr 1e-3             # also remove the pruned heads of every model, and train it on; or, for the
                                            # models of a method or of a key of after alone: {dsp: --max-epoch 3}
  score: {sacrebleu: test.en}               # against this text (default: fairseq, what fairseq-generate prints)

the sweep itself gives --user-dir, --task, --criterion, --no-epoch-checkpoints unless train does, and
--pruning-method, --heads-to-keep or the option of another budget, --teacher, --seed, --save-dir, --log-format,
--log-file. Each cell computes on one core unless OMP_NUM_THREADS says otherwise.
"""


def add_arguments(parser) -> None:
    from argparse import RawDescriptionHelpFormatter
    from textwrap import fill

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.description, parser.epilog = fill(DESCRIPTION, 100), EPILOG
    parser.add_argument("config", metavar="CONFIG.yaml", help="what to sweep over")
    parser.add_argument("--out", metavar="DIR", help="where everything goes (default: the file's out)")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="cells at a time (default: 1; with --cluster slurm all, as there is room)"
    )
    parser.add_argument(
        "--minutes", type=_positive, metavar="M", help="stop after so many minutes with exit status 3 (default: never)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands and the time, do nothing")
    parser.add_argument("--no-plots", action="store_true", help="no pictures, which need matplotlib")
    parser.add_argument(
        "--cluster",
        choices=("local", "slurm"),
        default="local",
        help="where the cells are trained: local, on this machine; slurm, each as a job of its own (default: local)",
    )
    _add_slurm(parser.add_argument_group("with --cluster slurm"))


def _add_slurm(group) -> None:
    """Add the options of Slurm jobs; each ``dest`` is the name of a parameter of submitit."""
    group.add_argument("--slurm-partition", dest="partition", metavar="NAME", help="partition of each job")
    group.add_argument(
        "--slurm-time",
        dest="time",
        type=_positive,
        metavar="MINUTES",
        help="time limit of each job; a cell that needs longer goes on when it is submitted again (default: 1440)",
    )
    group.add_argument("--slurm-gpus", dest="gpus_per_node", type=_positive, metavar="N", help="GPUs of each job")
    group.add_argument("--slurm-cpus", dest="cpus_per_task", type=_positive, metavar="N", help="cores of each job")
    group.add_argument("--slurm-mem", dest="mem", metavar="SIZE", help="memory of each job, such as 16G")
    group.add_argument("--slurm-account", dest="account", metavar="NAME", help="account that is charged")
    group.add_argument("--slurm-qos", dest="qos", metavar="NAME", help="quality of service")
    group.add_argument(
        "--slurm-extra",
        dest="additional_parameters",
        action="append",
        metavar="NAME[=VALUE]",
        help="another option of sbatch, such as constraint=a100 or exclusive; may be given several times",
    )


def _positive(text: str) -> int:
    from argparse import ArgumentTypeError

    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text} must be a whole number, 1 or more")
    return int(text)


_SLURM = ("partition", "time", "gpus_per_node", "cpus_per_task", "mem", "account", "qos", "additional_parameters")


def _slurm(arguments) -> dict:
    """The given options of Slurm as parameters of submitit's SlurmExecutor."""
    given = {name: getattr(arguments, name) for name in _SLURM if getattr(arguments, name) is not None}
    if "additional_parameters" in given:
        pairs = [text.partition("=") for text in given["additional_parameters"]]
        given["additional_parameters"] = {name: value if equal else True for name, equal, value in pairs}
    return given


def check(arguments) -> None:
    if not os.path.isfile(arguments.config):
        raise BadInput(f"{arguments.config}: does not exist; name the YAML file of the sweep")
    if arguments.cluster == "local" and _slurm(arguments):
        refuse(["--slurm-...: these options go with --cluster slurm; say it, or leave them out"])


def parsed_choice(words: list[str]):
    """The arguments of the command that chooses heads of a trained model."""
    from argparse import ArgumentParser

    from . import importance, prune

    parser = ArgumentParser(f"dsp-fairseq {words[0]}")
    {"importance": importance, "prune": prune}[words[0]].add_arguments(parser)
    return parser.parse_args(words[1:])


def run(arguments) -> int:
    from ..sweep import job
    from ..sweep.table import as_table

    plots = not arguments.no_plots
    slurm = _slurm(arguments)
    todo = job.plan(arguments.config, arguments.out, arguments.jobs, plots, arguments.cluster, slurm, parsed_choice)
    if arguments.dry_run:
        print(job.as_text(todo))
        return 0
    out = todo.config.out
    print(f"{len(todo.cells)} cells in {out}, time: {todo.expected}", file=sys.stderr)
    try:
        limit = math.inf if arguments.minutes is None else time.monotonic() + 60 * arguments.minutes
        results, failures, stopped = job.run(todo, plots, limit)
    except KeyboardInterrupt:
        print("dsp-fairseq sweep: interrupted; nothing is lost, the same command goes on", file=sys.stderr)
        return 130
    if results.rows:
        print(as_table(results))
        print(f"{out}: results.csv, results.md{', ' + ', '.join(job.PICTURES) if plots else ''}")
    if failures:
        count = f"{len(failures)} of {len(todo.cells)} cells failed"
        raise Failed("\n".join([*failures, f"{count}; the same command tries them again"]))
    if stopped:
        print("dsp-fairseq sweep: the time is up; nothing is lost, the same command goes on", file=sys.stderr)
    return 3 if stopped else 0
