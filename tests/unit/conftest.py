"""A unit test starts no process: one that does belongs into tests/integration, or calls the function instead."""

import contextlib
import sys
from multiprocessing import util
from unittest import mock

import matplotlib.font_manager  # noqa: F401 (on a new machine its first import asks a program for the fonts)
import pytest

STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system")  # events of Python's audit
started: list[str] = []
watching = False


def refuse(event, *_):
    if watching and event in STARTS:
        started.append(event)
        raise PermissionError(f"{event}: a unit test starts no process")


sys.addaudithook(refuse)


@contextlib.contextmanager
def no_processes():
    """Refused, and remembered in case the code under test catches the refusal."""
    global watching
    # the spawned processes of multiprocessing, for which there is no event
    spawning = mock.patch.object(util, "spawnv_passfds", lambda *_: refuse("subprocess.Popen"))
    watching = True
    try:
        with spawning:
            yield
    finally:
        watching = False
        events = [*started]
        started.clear()
    assert events == [], "a unit test starts no process"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
    with no_processes():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    with no_processes():
        return (yield)
