"""One model of sweep.yaml or budgets.yaml, made as `dsp-fairseq sweep` makes it; train.sh and prune.sh call it.

python one.py train.sh K|P%|LO:HI|all [options] [-- FLAGS]
python one.py prune.sh K [options] [-- FLAGS]
"""

import argparse
import os
import re
import sys
from pathlib import Path

import summary

from dsp_fairseq.errors import BadInput, Failed
from dsp_fairseq.sweep import check, job, plan, records
from dsp_fairseq.sweep.amounts import HEADS_TO_KEEP, UNPRUNED, Amount, trained_methods
from dsp_fairseq.sweep.config import Config, read_config
from dsp_fairseq.sweep.flags import value_of
from dsp_fairseq.sweep.key_flags import RANGE
from dsp_fairseq_startup.errors import BadCheckpoint

HERE = Path(__file__).resolve().parent
ANY_K, ANY_RANGE = "any-k", "3:24"
SHARE = r"\d+%"
EPILOG = """What is finished is skipped, and an interrupted training goes on from its last epoch when called again.
METHOD of train.sh: {trained}.
METHOD of prune.sh: {chosen}, from the unpruned
model that `train.sh all --seed N` makes; or any-k, from the one that `train.sh 3:24 --seed N` makes."""


class Parser(argparse.ArgumentParser):
    """Reports wrong use in one line."""

    def error(self, message: str):
        raise BadInput(f"{message}; see {self.prog} --help")


def parsed(script: str, words: "list[str]", config: Config) -> argparse.Namespace:
    methods = trained_methods() if script == "train.sh" else list(config.after)
    epilog = EPILOG.format(
        trained=", ".join(trained_methods()), chosen=", ".join(name for name in config.after if name != ANY_K)
    )
    parser = Parser(script, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = ", a share of the parameters such as 50%, " if script == "train.sh" else ""
    numbers += "a range LO:HI, or all for the unpruned model" if numbers else ""
    pattern = rf"\d+|{SHARE}|\d+:\d+|all" if numbers else r"\d+"
    parser.add_argument(
        "keep", metavar="K", nargs="?", help=f"heads of the whole model to keep{numbers}".replace("%", "%%")
    )
    parser.add_argument("--method", metavar="METHOD", default="dsp", help="see below (default: dsp)")
    parser.add_argument("--seed", default="1", help="of the training and the choice (default: 1)")
    parser.add_argument("--tune", metavar="E", help="then remove the other heads, and train on for E epochs")
    parser.add_argument(
        "--out", default=str(HERE / "work"), help="the folder given to prepare.sh (default: %(default)s)"
    )
    parser.add_argument("--name", help="folder of this run under OUT/runs (default: from K, method and seed)")
    split = words.index("--") if "--" in words else len(words)
    given = parser.parse_args(words[:split])
    given.script, given.flags = script, tuple(words[split + 1 :])
    if given.keep is None:
        parser.error(f"the number of heads to keep is missing: say K{numbers}")
    if not re.fullmatch(pattern, given.keep):
        parser.error(f"K is {given.keep}: must be a number of heads{numbers}")
    if given.method not in methods:
        parser.error(f"--method {given.method}: must be one of {', '.join(methods)}")
    if not given.seed.isdecimal():
        parser.error(f"--seed {given.seed}: must be a whole number")
    if given.tune is not None and not re.fullmatch("[1-9][0-9]*", given.tune):
        parser.error(f"--tune {given.tune}: must be a number of epochs, 1 or more")
    if given.name and "/" in given.name:
        parser.error(f"--name {given.name}: must be a plain folder name; --out says where it goes")
    if given.keep == "all" and given.method != "dsp":
        parser.error(f"--method {given.method}: does not go with all, which prunes nothing; give a number of heads")
    if ":" in given.keep and given.tune:
        parser.error(
            f"--tune {given.tune}: a training for the range {given.keep} has no one mask to train on under; tune "
            "prune.sh K --method any-k instead"
        )
    return given


def cells_of(given: argparse.Namespace, config: Config) -> "list[plan.Cell]":
    """The model that is asked for, and its tuned one. Raises BadInput when the model to start from is missing."""
    where = {"name": given.name, "extra": given.flags}
    seed = int(given.seed)
    if given.script == "prune.sh":
        any_k = given.method == ANY_K
        start = plan.any_heads(config, ANY_K, seed) if any_k else plan.trained(config, UNPRUNED, None, seed)
        if not records.read(start).trained:
            command = f"train.sh {ANY_RANGE if any_k else 'all'} --seed {seed} --out {given.out}"
            raise BadInput(f"{start.folder} is not there or not finished: run {command} first")
        cell = plan.afterwards(config, given.method, amount_of(given.keep), seed, start, **where)
    elif ":" in given.keep:
        flags = () if given.method == "dsp" else ("--pruning-method", given.method)
        name = "-".join([ANY_K, *flags[1:]])
        after = {name: (RANGE, given.keep, *flags)}
        cell = plan.any_heads(config.model_copy(update={"after": after}), name, seed, **where)
    else:
        method, amount = (UNPRUNED, None) if given.keep == "all" else (given.method, amount_of(given.keep))
        cell = plan.trained(config, method, amount, seed, **where)
    if given.flags and not given.name:
        raise BadInput(f"flags after --: they make another run than {cell.name}; say --name")
    return [cell, plan.tuned(with_epochs(config, given.tune), cell)] if given.tune else [cell]


def amount_of(keep: str) -> Amount:
    return Amount("parameters_to_keep" if re.fullmatch(SHARE, keep) else HEADS_TO_KEEP, keep)


def with_epochs(config: Config, epochs: str) -> Config:
    """``tune`` of so many epochs."""
    if value_of(config.tune, "--max-epoch") == epochs:
        return config
    return config.model_copy(update={"tune": (*config.tune, "--max-epoch", epochs)})


def run(script: str, words: "list[str]") -> int:
    given = parsed(script, words, read_config(str(HERE / "sweep.yaml"), data=str(HERE)))
    file = str(HERE / ("budgets.yaml" if re.fullmatch(SHARE, given.keep) else "sweep.yaml"))
    data = os.path.join(given.out, "data-bin")
    if not os.path.exists(data):
        raise BadInput(f"{data} does not exist: run prepare.sh --out {given.out} first")
    out = os.path.realpath(given.out)
    config = read_config(file, os.path.join(out, "runs"), os.path.join(out, "data-bin"))
    cells = cells_of(given, config)
    check.parsed([cell for cell in cells if not records.read(cell).trained])
    failures = job.make(job.Plan(config, cells, 1, ""), cells[0].folder)
    if failures:
        raise Failed("\n".join(failures))
    print(summary.table([Path(cell.folder) for cell in cells]))
    return 0


def main(words: "list[str]") -> int:
    try:
        return run(words[0], words[1:])
    except (BadInput, Failed, BadCheckpoint, OSError) as error:
        print(*(f"{words[0]}: {line}" for line in str(error).splitlines()), sep="\n", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        print(f"{words[0]}: interrupted; nothing is lost, the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
