"""`fairseq-train` inside the process of the test: the same commands without the imports and hydra (6 s) of each."""

import contextlib
import copy
import functools
import io
import logging
import sys
from typing import NamedTuple
from unittest import mock

from fairseq.dataclass.utils import convert_namespace_to_omegaconf, overwrite_args_by_name
from fairseq_cli import train


class Trained(NamedTuple):
    status: int
    errors: list[str]  # lines on stderr
    log: list[str]


def fairseq_train(*arguments) -> Trained:
    """Run it; an exception that would end in a traceback is raised."""
    log, errors, status = _Lines(), io.StringIO(), 0
    root = logging.getLogger()
    with contextlib.ExitStack() as changes:
        changes.enter_context(mock.patch.object(root, "handlers", [log]))
        changes.enter_context(mock.patch.object(sys, "argv", ["fairseq-train", *map(str, arguments)]))
        changes.enter_context(mock.patch.object(train, "convert_namespace_to_omegaconf", _configuration))
        changes.enter_context(contextlib.redirect_stderr(errors))
        changes.enter_context(contextlib.redirect_stdout(io.StringIO()))
        level = root.level
        root.setLevel(logging.INFO)
        changes.enter_context(_every_logger_speaks())
        try:
            train.cli_main()
        except SystemExit as end:
            status = end.code
        finally:
            root.setLevel(level)
    return Trained(status, errors.getvalue().splitlines(), log.lines)


@contextlib.contextmanager
def _every_logger_speaks():
    """Undo what commands that ran before in this process have silenced, such as importance and bench."""
    loggers = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    before, disabled = [(logger, logger.level, logger.disabled) for logger in loggers], logging.root.manager.disable
    for logger in loggers:
        logger.disabled = False
        if logger.name.startswith(("fairseq", "dsp_fairseq", "train", "valid")):
            logger.setLevel(logging.NOTSET)
    logging.disable(logging.NOTSET)
    try:
        yield
    finally:
        logging.disable(disabled)
        for logger, level, was_disabled in before:
            logger.setLevel(level)
            logger.disabled = was_disabled


class _Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record):
        self.lines.append(f"{record.levelname} {record.getMessage()}")


@functools.cache
def _first_configuration(*parts):
    return []


def _configuration(args):
    """What hydra makes of a command line; of a later one of the same parts, the first one's with its values."""
    first = _first_configuration(args.arch, args.task, args.criterion, args.optimizer, args.lr_scheduler)
    if not first:
        first.append(convert_namespace_to_omegaconf(args))
    configuration = copy.deepcopy(first[0])
    overwrite_args_by_name(configuration, vars(args))
    vars(configuration.model).clear()
    vars(configuration.model).update(vars(args), _name=args.arch)
    return configuration
