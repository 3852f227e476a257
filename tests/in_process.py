"""Console commands inside the process of the test: without the imports and hydra (4 to 6 s) of a process of their own.

What a command leaves behind in its process (loggers, locks, folder, environment) is undone after each call.
"""

import contextlib
import copy
import functools
import importlib
import io
import logging
import os
import subprocess
import sys
import traceback
import warnings
from argparse import Namespace
from importlib.metadata import entry_points
from typing import NamedTuple
from unittest import mock

from fairseq.dataclass.utils import convert_namespace_to_omegaconf, overwrite_args_by_name
from fairseq_cli import train

from dsp_fairseq_startup.logs import HARMLESS_WARNINGS
from dsp_fairseq_startup.training import one_folder

PARTS = ("arch", "task", "criterion", "optimizer", "lr_scheduler")
FORMAT = "%(asctime)s | %(levelname)s | %(name)s | %(message)s"


class Trained(NamedTuple):
    status: int
    errors: list[str]  # lines on stderr
    log: list[str]


def fairseq_train(*arguments) -> Trained:
    """Run it; an exception that would end in a traceback is raised."""
    log, errors = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    with _as_a_process(["fairseq-train", *map(str, arguments)], io.StringIO(), errors, handler):
        status = status_of(train, "cli_main")
    return Trained(status, errors.getvalue().splitlines(), log.getvalue().splitlines())


def run(name, *arguments, env, cwd, input="") -> subprocess.CompletedProcess:
    """What ``subprocess.run`` returns for a command of fairseq or dsp-fairseq, whose log is in its output."""
    words = [name, *map(str, arguments)]
    [entry_point] = entry_points(group="console_scripts", name=name)
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    handler = logging.StreamHandler(stdout if name == "fairseq-train" else stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    with contextlib.ExitStack() as changes:
        changes.enter_context(contextlib.chdir(cwd))
        changes.enter_context(mock.patch.dict(os.environ, env, clear=True))
        changes.enter_context(mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode()), "utf-8")))
        changes.enter_context(_as_a_process(words, stdout, stderr, handler))
        try:
            status = status_of(importlib.import_module(entry_point.module), entry_point.attr)
        except Exception:
            traceback.print_exc()
            status = 1
    texts = (stream.buffer.getvalue().decode() for stream in (stdout, stderr))
    return subprocess.CompletedProcess(words, status, *texts)


def status_of(module, function):
    """The exit status of the function that is a command."""
    with contextlib.ExitStack() as changes:
        if hasattr(module, "convert_namespace_to_omegaconf"):
            configuration = functools.partial(_configuration, module.__name__)
            changes.enter_context(mock.patch.object(module, "convert_namespace_to_omegaconf", configuration))
        try:
            return getattr(module, function)() or 0
        except SystemExit as end:
            return end.code or 0


@contextlib.contextmanager
def _as_a_process(words, stdout, stderr, handler):
    """Streams, arguments, log and warnings of a process that has just begun; afterwards those of the test."""
    root = logging.getLogger()
    with contextlib.ExitStack() as changes:
        changes.enter_context(mock.patch.object(root, "handlers", [handler]))
        changes.enter_context(mock.patch.object(root, "level", logging.INFO))
        changes.enter_context(mock.patch.object(sys, "argv", words))
        changes.enter_context(mock.patch.object(sys, "path", list(sys.path)))
        changes.enter_context(contextlib.redirect_stderr(stderr))
        changes.enter_context(contextlib.redirect_stdout(stdout))
        changes.enter_context(_every_logger_speaks())
        changes.enter_context(_warnings_are_printed())
        changes.callback(_free_the_folders)
        yield


@contextlib.contextmanager
def _warnings_are_printed():
    """As Python and the start-up hook filter them, and not those that pytest collects."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda *args: sys.stderr.write(warnings.formatwarning(*args[:4]))
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        for message, module, category in HARMLESS_WARNINGS:
            warnings.filterwarnings("ignore", message=message, module=module, category=category)
        yield


def _free_the_folders():
    """Locks of folders into which a training saves end with its process."""
    for file in one_folder._held.values():
        file.close()
    one_folder._held.clear()


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


@functools.cache
def _first_configuration(*parts):
    return []


def _configuration(command, args):
    """What hydra makes of a command line; of a later one of the same parts, the first one's with its values."""
    first = _first_configuration(command, *(getattr(args, part, None) for part in PARTS))
    if not first:
        first.append(convert_namespace_to_omegaconf(args))
    configuration = copy.deepcopy(first[0])
    overwrite_args_by_name(configuration, vars(args))
    if isinstance(configuration.model, Namespace):
        vars(configuration.model).clear()
        vars(configuration.model).update(vars(args), _name=args.arch)
    return configuration
