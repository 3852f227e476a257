"""No command writes to what it reads, whatever the name, nor two things to one place."""

import os

import pytest
import torch
from tiny_checkpoints import masked_checkpoint

from dsp_fairseq.cli import main

COMMANDS = {
    "prune": "prune IN OUT --force",
    "average": "average IN other.pt --out OUT --force",
    "average, a later one": "average other.pt IN --out OUT --force",
    "importance": "importance IN OUT --heads-to-keep 3 --score magnitude --force",
    "importance, JSON": "importance IN out.pt --heads-to-keep 3 --score magnitude --json OUT --force",
    "report": "report IN --plot OUT --force",
    "bench, JSON": "bench IN --json OUT --force",
    "bench, picture": "bench IN --plot OUT --force",
    "bench, text": "bench other.pt --text IN --json OUT --force",
    "export": "export ctranslate2 folder/IN folder --force",
    "export, through a link": "export ctranslate2 IN link-to-folder --force",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = masked_checkpoint()
    state["cfg"]["task"] = {"_name": "translation", "data": "."}
    for name in ("model.png", "other.pt"):
        torch.save(state, name)
    return tmp_path


def content(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(command, capsys):
    status = main(command.split())
    return status, capsys.readouterr().err.splitlines()


def made(kind):
    """Another name of the checkpoint; of the same file, whatever links are in between."""
    if kind == "the same name":
        return "model.png"
    if kind == "another way to say it":
        return "./model.png"
    if kind == "through a linked folder":
        os.symlink(".", "here")
        return "here/model.png"
    (os.symlink if kind == "symbolic link" else os.link)("model.png", "link.png")
    return "link.png"


KINDS = ("the same name", "another way to say it", "through a linked folder", "symbolic link", "hard link")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in COMMANDS if not name.startswith("export")])
def test_an_output_that_is_an_input_is_refused(folder, capsys, name, kind):
    out = made(kind)
    before = content(folder)
    status, told = run(COMMANDS[name].replace("IN", "model.png").replace("OUT", out), capsys)
    assert status == 2 and content(folder) == before
    [line] = [line for line in told if "is read as well" in line]
    assert out in line and "choose another name" in line


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.startswith("export")])
def test_a_folder_that_holds_an_input_is_not_replaced(folder, capsys, name):
    pytest.importorskip("ctranslate2")
    (folder / "folder").mkdir()
    (folder / "model.png").rename(folder / "folder" / "model.bin")  # as an export calls its own
    os.symlink("folder/model.bin", "model.bin")
    os.symlink("folder", "link-to-folder")
    before = content(folder)
    status, told = run(COMMANDS[name].replace("IN", "model.bin"), capsys)
    assert status == 2 and content(folder) == before
    assert any("holds" in line and "is read as well" in line for line in told)


@pytest.mark.parametrize("kind", KINDS)
def test_two_outputs_in_one_place_are_refused(folder, capsys, kind):
    (folder / "model.png").rename("kept.pt")
    (folder / "model.png").write_text("an earlier result")
    out, before = made(kind), content(folder)
    for command, other in (
        (f"importance kept.pt model.png --heads-to-keep 3 --score magnitude --json {out} --force", "OUT"),
        (f"bench kept.pt --json model.png --plot {out} --force", "--json"),
    ):
        status, told = run(command, capsys)
        assert status == 2 and content(folder) == before
        assert any(out in line and f"is {other} as well" in line for line in told), told
