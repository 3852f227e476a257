"""What tests share: the console commands of this environment, and a small binarised corpus.

def test_trains(run, corpus, tmp_path):
    done = run("fairseq-train", corpus.data_bin, "--save-dir", tmp_path, ...)
    assert done.returncode == 0, done.stderr
"""

import os

# as `run` has it for other processes: results in this one are then the same bit for bit
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from console import COMMANDS, run_command
from forked_commands import forked_commands
from generated_corpus import Corpus, build_corpus, shared
from hypothesis import settings

# a shared machine stalls now and then: no test may fail for its speed
settings.register_profile("dsp_fairseq", deadline=None)
settings.load_profile("dsp_fairseq")


@pytest.fixture(scope="session")
def run():
    return run_command


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Corpus:
    return build_corpus(shared(tmp_path_factory), pairs=1200, merges=300)


@pytest.fixture(scope="session")
def forked():
    """A folder of console commands that start quickly (see ``forked_commands``)."""
    with forked_commands() as folder:
        yield folder


@pytest.fixture(scope="module")
def quick_commands(forked):
    """In the tests of a file, the scripts that they start find these commands first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([str(forked), str(COMMANDS), os.environ["PATH"]]))
        yield
