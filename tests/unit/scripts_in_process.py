"""Python scripts of benchmarks/ and examples/ in the process of the test, as ``python SCRIPT`` runs them."""

import contextlib
import io
import runpy
import subprocess
import sys
from unittest import mock


def run_script(path, *arguments) -> subprocess.CompletedProcess:
    words, stdout, stderr, status = [str(path), *map(str, arguments)], io.StringIO(), io.StringIO(), 0
    streams = contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr)
    with mock.patch.multiple(sys, argv=words, path=[str(path.parent), *sys.path]), streams[0], streams[1]:
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
    return subprocess.CompletedProcess(words, status, stdout.getvalue(), stderr.getvalue())
