"""Files and folders that appear whole or not at all, whatever else writes there and whatever the disk does."""

import errno
import os
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_checkpoints import masked_checkpoint

from dsp_fairseq import atomic, cli
from dsp_fairseq.atomic import writing
from dsp_fairseq.checkpoints import reading as checkpoint
from dsp_fairseq.errors import BadInput, Failed
from dsp_fairseq.export.folder import folder_problems, writing_folder
from dsp_fairseq_startup.errors import BadCheckpoint


@contextmanager
def files_of_at_most(size):
    """A disk that is full sooner or later: every write beyond so many bytes of a file fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def text_file(path, force=False):
    with writing(path, force) as beside:
        Path(beside).write_text("x")
        yield beside


@contextmanager
def export_folder(path, force=False):
    with writing_folder(path, force) as beside:
        Path(beside, "model.bin").write_text("x")
        yield beside


KINDS = pytest.mark.parametrize("kind", [text_file, export_folder], ids=["file", "folder"])


def content(path):
    return Path(path, "model.bin").read_text() if os.path.isdir(path) else Path(path).read_text()


def change(beside, text):
    (Path(beside, "model.bin") if os.path.isdir(beside) else Path(beside)).write_text(text)


class TestTwoAtOnce:
    @KINDS
    def test_the_first_wins_and_the_second_is_refused(self, kind, tmp_path):
        path = str(tmp_path / "out")
        with pytest.raises(BadInput, match="out: exists; choose another name"), kind(path), kind(path) as first:
            change(first, "first")
        assert content(path) == "first" and os.listdir(tmp_path) == ["out"]

    @KINDS
    def test_with_force_the_last_wins(self, kind, tmp_path):
        path = str(tmp_path / "out")
        with kind(path, force=True) as last:
            with kind(path, force=True):
                pass
            change(last, "last")
        assert content(path) == "last" and os.listdir(tmp_path) == ["out"]

    def test_where_files_have_one_name_only(self, tmp_path, monkeypatch):
        def no_links(*_):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_links)
        path = str(tmp_path / "out")
        with pytest.raises(BadInput, match="exists"), text_file(path), text_file(path):
            pass
        assert os.listdir(tmp_path) == ["out"]


class TestWhatAKilledCommandLeaves:
    @KINDS
    def test_is_removed_by_the_next(self, kind, tmp_path):
        path = str(tmp_path / "out.pt")
        left = left_by_a_killed_command(kind, path)
        assert os.listdir(tmp_path) == [os.path.basename(left)]
        with kind(path):
            pass
        assert os.listdir(tmp_path) == ["out.pt"]

    @KINDS
    def test_what_is_still_written_stays(self, kind, tmp_path):
        path = str(tmp_path / "out.pt")
        with kind(path, force=True) as alive, kind(path, force=True):
            assert os.path.exists(alive)

    def test_other_names_stay(self, tmp_path):
        others = [".out.pt.backup", ".out.pt.12345678.old", ".other.pt.12345678.pt", "out.pt.12345678.pt"]
        for name in others:
            (tmp_path / name).write_text("mine")
        with text_file(str(tmp_path / "out.pt")):
            pass
        assert sorted(os.listdir(tmp_path)) == sorted([*others, "out.pt"])

    @KINDS
    def test_stays_where_there_are_no_locks(self, kind, tmp_path, monkeypatch):
        def no_locks(*_):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(atomic.fcntl, "flock", no_locks)
        path = str(tmp_path / "out.pt")
        left_by_a_killed_command(kind, path)
        with kind(path):
            pass
        assert len(os.listdir(tmp_path)) == 2


def left_by_a_killed_command(kind, path):
    """What it was writing, under its temporary name: unlike what is still written, nobody holds its lock."""
    kept = f"{path}.kept"
    with kind(path) as unfinished:
        (shutil.copytree if os.path.isdir(unfinished) else shutil.copyfile)(unfinished, kept)
    shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    os.rename(kept, unfinished)
    return unfinished


class TestFullDisk:
    COMMANDS = {
        "prune": ["prune", "1.pt", "out"],
        "prune --half": ["prune", "1.pt", "out", "--half"],
        "average": ["average", "1.pt", "2.pt", "--out", "out"],
        "importance": ["importance", "1.pt", "out", "--heads-to-keep", "4", "--score", "magnitude"],
        "report": ["report", "1.pt", "--plot", "out.png"],
    }

    @pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
    def test_every_command_names_its_file_and_leaves_nothing(self, words, tmp_path, monkeypatch, capsys):
        if "--plot" in words:
            pytest.importorskip("matplotlib")
        monkeypatch.chdir(tmp_path)
        for name in ("1.pt", "2.pt"):
            checkpoint.save(masked_checkpoint(), name, name)
        with files_of_at_most(12_000):
            assert cli.main(words) == 1
        [line] = capsys.readouterr().err.splitlines()
        out = next(word for word in words if word.startswith("out"))
        assert line.startswith(f"dsp-fairseq {words[0]}: error: {out}: could not be written: file too large;")
        assert sorted(os.listdir(tmp_path)) == ["1.pt", "2.pt"]

    @KINDS
    @pytest.mark.parametrize("size", [0, 1, 4096, 70_000])
    def test_whatever_fits(self, kind, size, tmp_path):
        path = str(tmp_path / "out.v2")
        with pytest.raises(Failed) as failure, files_of_at_most(size), kind(path) as beside:
            change(beside, "y" * (size + 1))
        assert str(failure.value).startswith(f"{path}: could not be written: file too large;")
        assert os.listdir(tmp_path) == []

    @KINDS
    def test_a_folder_that_vanishes(self, kind, tmp_path):
        path = str(tmp_path / "made" / "out.v2")
        os.mkdir(tmp_path / "made")
        refused = pytest.raises(Failed, match=f"^{path}: could not be written: no such file or directory")
        with refused, kind(path):
            shutil.rmtree(tmp_path / "made")

    def test_a_device_without_room(self):
        with pytest.raises(OSError), open("/dev/full", "w") as file:
            file.write("x")  # such a device there is
        with pytest.raises(Failed, match="out: could not be written: no space left on device; make room"):
            checkpoint.save({"model": {}}, "/dev/full", "out")

    def test_the_innermost_of_two_files_is_named(self, tmp_path):
        inner = str(tmp_path / "inner")
        refused, outer = pytest.raises(Failed, match=f"^{inner}: could not"), str(tmp_path / "outer")
        with refused, files_of_at_most(10), writing(outer), writing(inner) as beside:
            Path(beside).write_text("y" * 11)
        assert os.listdir(tmp_path) == []

    def test_what_cannot_be_read_again_is_the_users_file(self, tmp_path):
        path = str(tmp_path / "out.pt")
        with pytest.raises(BadCheckpoint) as refusal, writing(path) as beside:
            Path(beside).write_text("rubbish")
            checkpoint.load(beside)
        assert str(refusal.value).startswith(f"checkpoint {path}: ") and os.listdir(tmp_path) == []

    def test_what_cannot_be_read_is_named_itself(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nowhere"), writing(str(tmp_path / "out")):
            open(tmp_path / "nowhere")
        assert os.listdir(tmp_path) == []


class TestTargets:
    def test_a_nul_byte(self):
        with pytest.raises(BadInput, match=r"'a\\x00b': holds a NUL byte"):
            atomic.check_target("a\0b")

    def test_a_link_that_leads_nowhere_is_there(self, tmp_path):
        (tmp_path / "out").symlink_to("nowhere")
        with pytest.raises(BadInput, match="exists"):
            atomic.check_target(str(tmp_path / "out"))

    def test_a_folder_in_which_nothing_may_be_written(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
        with pytest.raises(BadInput, match=f"nothing may be written in {tmp_path}"):
            atomic.check_target(str(tmp_path / "out"))
        [problem] = folder_problems(str(tmp_path / "out"), False, ())
        assert f"nothing may be written in {tmp_path}" in problem

    def test_a_name_that_is_too_long_is_the_users(self, tmp_path):
        name = str(tmp_path / ("a" * 250))
        with pytest.raises(Failed, match=f"^{name}: could not be written: file name too long"), writing(name):
            pass


def test_a_device_or_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink("/dev/null", tmp_path / "link")
    for name in ("pipe", "link"):
        with pytest.raises(BadInput, match=f"{name}: is a device or a pipe"), writing(str(tmp_path / name), force=True):
            pass
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"] and (tmp_path / "link").is_symlink()
