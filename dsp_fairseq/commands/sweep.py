"""``dsp-fairseq sweep CONFIG.yaml``"""

import os
import sys

from ..errors import BadInput, Failed

HELP = "train, decode and compare a grid of methods, heads to keep and seeds"

DESCRIPTION = (
    f"{HELP}: a folder per cell, results.csv, results.md and two pictures at the end. The same command goes on "
    "after any interruption: finished cells are kept, half-finished trainings go on from their last checkpoint."
)

EPILOG = """CONFIG.yaml, with everything that it may say:

  data: data-bin                            # of fairseq-preprocess
  out: sweep                                # relative to the current folder, as all paths
  train: --arch gated_transformer_tiny --max-update 800 ...    # flags of fairseq-train, or a list of words
  generate: --beam 5 --remove-bpe           # flags of fairseq-generate
  grid:
    method: [dsp, uniform]                  # of --pruning-method
    heads_to_keep: [12, 4]
    seed: [1, 2]
  unpruned: true                            # also train with all heads, once per seed (default: false)
  method_flags: {dsp-published: --cooldown-updates 250}    # of some methods only; none is the unpruned model
  score: {sacrebleu: test.en}               # against this text (default: fairseq, what fairseq-generate prints)

the sweep itself gives --user-dir, --task, --criterion, --no-epoch-checkpoints unless train does, and
--pruning-method, --heads-to-keep, --seed, --save-dir, --log-format, --log-file. Each cell computes on one core
unless OMP_NUM_THREADS says otherwise.
"""


def add_arguments(parser) -> None:
    from argparse import RawDescriptionHelpFormatter
    from textwrap import fill

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.description, parser.epilog = fill(DESCRIPTION, 100), EPILOG
    parser.add_argument("config", metavar="CONFIG.yaml", help="what to sweep over")
    parser.add_argument("--out", metavar="DIR", help="where everything goes (default: the file's out)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cells at a time (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and the time, do nothing")
    parser.add_argument("--no-plots", action="store_true", help="no pictures, which need matplotlib")


def check(arguments) -> None:
    if not os.path.isfile(arguments.config):
        raise BadInput(f"{arguments.config}: does not exist; name the YAML file of the sweep")


def run(arguments) -> int:
    from ..sweep import job
    from ..sweep.table import as_table

    plots = not arguments.no_plots
    todo = job.plan(arguments.config, arguments.out, arguments.jobs, plots)
    if arguments.dry_run:
        print(job.as_text(todo))
        return 0
    out = todo.config.out
    print(f"{len(todo.cells)} cells in {out}, time: {todo.expected}", file=sys.stderr)
    try:
        results, failures = job.run(todo, plots)
    except KeyboardInterrupt:
        print("dsp-fairseq sweep: interrupted; nothing is lost, the same command goes on", file=sys.stderr)
        return 130
    if results.rows:
        print(as_table(results))
        print(f"{out}: results.csv, results.md{', ' + ', '.join(job.PICTURES) if plots else ''}")
    if failures:
        count = f"{len(todo.cells) - len(results.rows)} of {len(todo.cells)} cells failed"
        raise Failed("\n".join([*failures, f"{count}; the same command tries them again"]))
    return 0
