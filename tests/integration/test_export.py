"""`dsp-fairseq export ctranslate2` from the checkpoints of real trainings."""

import re
import shutil

import pytest
from trainings import train

ctranslate2 = pytest.importorskip("ctranslate2")


@pytest.fixture(scope="module")
def folder(run, corpus, tmp_path_factory):
    """masked.pt keeps 10 of 36 heads; pruned.pt is what is left of it."""
    folder = tmp_path_factory.mktemp("export")
    train(run, corpus, folder, "--heads-to-keep", 10, "--uniform-prior", 0.5, "--max-update", 20)
    (folder / "checkpoint_last.pt").rename(folder / "masked.pt")
    done = run("dsp-fairseq", "prune", folder / "masked.pt", folder / "pruned.pt")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("checkpoint, before", [("masked.pt", 36), ("pruned.pt", 10)])
def test_ctranslate2_says_what_fairseq_generate_says(run, corpus, folder, tmp_path, checkpoint, before):
    done = run("dsp-fairseq", "export", "ctranslate2", folder / checkpoint, tmp_path / "out")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert f"heads: {before} => 10 of 36, written: " in done.stdout
    done = run(
        "fairseq-generate", corpus.data_bin, "--user-dir", "dsp_fairseq", "--path", folder / checkpoint,
        "--beam", 1, "--max-len-b", 12, "--gen-subset", "valid",
    )  # fmt: skip
    pairs = re.findall(r"^S-(\d+)\t(.*)\n(?:T-.*\n)H-\1\t\S+\t(.*)$", done.stdout, re.MULTILINE)
    assert len(pairs) > 20
    translator = ctranslate2.Translator(str(tmp_path / "out"), device="cpu", compute_type="float32")
    sources = [source.split() for _, source, _ in pairs]
    results = translator.translate_batch(sources, beam_size=1, max_decoding_length=12, suppress_sequences=[["<blank>"]])
    assert [" ".join(result.hypotheses[0]) for result in results] == [words for _, _, words in pairs]


def test_on_another_machine(run, corpus, folder, tmp_path):
    """Only the checkpoint and the dictionaries have come along."""
    copy = tmp_path / "dictionaries"
    copy.mkdir()
    for path in corpus.data_bin.glob("dict.*.txt"):
        shutil.copy(path, copy)
    command = ("dsp-fairseq", "export", "ctranslate2", folder / "pruned.pt", tmp_path / "out")
    command += ("--quantization", "int8")
    done = run(*command, "--data", copy, "--heads-to-keep", "encoder.self=1,decoder.self=1,decoder.cross=2")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "heads: 10 => 4 of 36" in done.stdout and "int8: loads and translates" in done.stdout
    again = run(*command, "--data", copy)
    assert again.returncode == 2 and again.stdout == "" and len(again.stderr.splitlines()) == 1
    assert "--force" in again.stderr
