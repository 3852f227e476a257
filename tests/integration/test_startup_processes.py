"""The start-up hook in processes: what it imports at their start, what it says once, whom it lets train."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import folder_lock
import pytest
from console import PROJECT

from dsp_fairseq_startup.errors import WrongUse
from dsp_fairseq_startup.training import one_folder

HEAVY = {"torch", "fairseq", "fairseq_cli", "hydra", "omegaconf", "numpy", "dsp_fairseq"}


def run_python(code, *options):
    result = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_hook_is_active_and_has_imported_nothing_heavy():
    loaded = set(run_python("import sys; print(*sys.modules)").split())
    assert "dsp_fairseq_startup" in loaded
    assert not HEAVY & {name.partition(".")[0] for name in loaded}


def test_the_hook_imports_no_other_module_at_all():
    code = "import sys; before = set(sys.modules); import dsp_fairseq_startup; print(*set(sys.modules) - before)"
    assert run_python(code, "-S").split() == ["dsp_fairseq_startup"]


def test_log_lines_that_need_be_said_once_only():
    """In a process of its own, in which they have not been shown yet."""
    code = (
        "from fairseq.logging import progress_bar as bars\n"
        "bars.SummaryWriter = bars.wandb = bars.get_aim_run = bars.Run = None\n"
        "for _ in range(3):\n"
        "    options = dict(tensorboard_logdir='x', wandb_project='x', aim_repo='x', azureml_logging=True)\n"
        "    bars.progress_bar([], 'simple', **options)\n"
        "    bars.logger.warning('other')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = [line.rpartition(" | ")[2] for line in done.stderr.splitlines()]
    assert said[4:] == ["other", "other", "other"]
    for option in ("--tensorboard-logdir", "--wandb-project", "--aim-repo", "--azureml-logging"):
        assert [line.partition(":")[0] for line in said].count(option) == 1


class TestOneTraining:
    @pytest.fixture(autouse=True)
    def nothing_held(self, monkeypatch):
        monkeypatch.setattr(one_folder, "_held", {})

    @pytest.fixture
    def other(self, tmp_path):
        """Process of another training, which has saved half a checkpoint."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            folder_lock.load(tmp_path)
            (tmp_path / "checkpoint_1_5.pt.tmp").write_text("half")
            os.write(writer, b"x")
            time.sleep(60)
            os._exit(0)
        os.read(reader, 1)
        yield child
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        os.close(reader), os.close(writer)

    def test_a_second_one_is_refused(self, tmp_path, other):
        with pytest.raises(WrongUse, match=f"--save-dir {tmp_path}: another training saves there; wait"):
            folder_lock.load(tmp_path)
        assert (tmp_path / "checkpoint_1_5.pt.tmp").exists()

    def test_ranks_that_do_not_save_and_trainings_that_save_nothing_do_not_mind(self, tmp_path, other):
        assert folder_lock.load(tmp_path, rank=1) == folder_lock.load(tmp_path, no_save=True) == "loaded"

    def test_after_a_kill_the_next_goes_on_at_once_and_removes_what_was_left(self, tmp_path, other):
        (tmp_path / "mine.pt.tmp").write_text("mine")
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
        assert folder_lock.load(tmp_path) == "loaded"
        assert sorted(os.listdir(tmp_path)) == [one_folder.LOCK, "mine.pt.tmp"]

    def test_children_do_not_hold_it(self, tmp_path):
        """Workers of the data loader may outlive a training that was killed."""
        holder, reader, writer = one_folder, *os.pipe()
        training = os.fork()
        if training == 0:
            folder_lock.load(tmp_path)
            worker = os.fork()
            if worker == 0:
                time.sleep(60)
            os.write(writer, str(worker).encode())
            os._exit(9)
        os.waitpid(training, 0)
        worker = int(os.read(reader, 20))
        try:
            assert folder_lock.load(tmp_path) == "loaded" and holder._held
        finally:
            os.kill(worker, signal.SIGKILL)
            os.close(reader), os.close(writer)
