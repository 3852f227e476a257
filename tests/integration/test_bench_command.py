"""``dsp-fairseq bench`` as a command, and memory measured in processes of their own."""

import importlib.util
import json

import numpy
import pytest
from trainings import train

from dsp_fairseq.bench.memory import peak_bytes
from dsp_fairseq.bench.settings import Decoding

QUICK = ["--rounds", 2, "--sentences", 6, "--batch-size", 4, "--beam", 2, "--max-len-b", 8]


@pytest.fixture(scope="module")
def checkpoint(run, corpus, tmp_path_factory):
    """7 of 36 heads, after one update: its translations never end by themselves."""
    folder = tmp_path_factory.mktemp("seven")
    train(run, corpus, folder, "--max-update", 1, "--heads-to-keep", 7)
    return folder / "checkpoint_last.pt"


def bench(run, *arguments):
    done = run("dsp-fairseq", "bench", *arguments)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_every_variant_is_measured(run, corpus, checkpoint, tmp_path):
    files = ["--json", tmp_path / "all.json", "--plot", tmp_path / "all.png"]
    done = bench(run, checkpoint, *QUICK, *files)
    told = json.loads((tmp_path / "all.json").read_text())
    results = {result["variant"]: result for result in told["results"]}
    exported = ["exported"] if importlib.util.find_spec("ctranslate2") else []
    assert [*results] == ["stock", "masked", "removed", *exported]
    for name, result in results.items():
        assert (result["heads"], result["original_heads"]) == (7, 36)
        assert result["memory_bytes"] > 0
        assert len(result["sentences_per_second"]["rounds"]) == 2
        assert 0 < result["latency_p50_ms"]["median"] <= result["latency_p95_ms"]["highest"]
        assert f"| {name} " in done.stdout
    # 3 blocks of each kind, 64 wide, 4 heads of 16: a head owns 3 * (16 * 64 + 16) + 64 * 16
    assert results["stock"]["parameters"] - results["removed"]["parameters"] == 29 * (4 * 16 * 64 + 3 * 16)
    assert told["sentences"] == 6 and str(corpus.data_bin) in told["origin"]
    for name in ("masked", "removed"):
        agreement = told["agreement"][str(checkpoint)][name]
        assert agreement["same"] + agreement["ties"] == 6
        assert f"translations of {name} and stock in float32" in done.stdout
    # progress is for a screen, and nobody who times a model wants to be warned of its masked copy
    assert "round" not in done.stderr and "WARNING" not in done.stderr
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.json", "all.png"]


def test_pruned_beside_masked_with_another_k_on_a_text(run, corpus, checkpoint, tmp_path):
    assert run("dsp-fairseq", "prune", checkpoint, tmp_path / "small.pt").returncode == 0
    text = ["--text", corpus.bpe / "valid.de", "--data", corpus.data_bin]
    int8 = ["int8"] if importlib.util.find_spec("ctranslate2") else []  # only when it is asked for
    options = ["--heads-to-keep", 5, "--no-memory", "--json", tmp_path / "out.json", "--with", "removed", *int8]
    done = bench(run, *QUICK, *text, *options, checkpoint, tmp_path / "small.pt")
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert [result["variant"] for result in results] == ["removed", *int8] * 2
    masked, pruned = (result for result in results if result["variant"] == "removed")
    assert masked["heads"] == pruned["heads"] == 5
    assert masked["memory_bytes"] is pruned["memory_bytes"] is None and "memory: not measured" in done.stdout
    assert masked["parameters"] == pruned["parameters"]
    # each is compared with the first variant of its own
    assert pruned["sentences_per_second"]["times_as_fast"] == {"median": 1, "lowest": 1, "highest": 1}
    assert "valid.de" in done.stdout and "small.pt" in done.stdout


MEGABYTES = 1_000_000


class Hungry:
    """A variant that needs 300 MB to be made, keeps 40 and takes 100 more for its work."""

    def __init__(self):
        numpy.ones(300 * MEGABYTES, numpy.int8).sum()
        self.kept = numpy.ones(40 * MEGABYTES, numpy.int8)
        self.batches = self

    def prepare(self, batch):
        return batch

    def run(self, batch):
        return numpy.ones(100 * MEGABYTES, numpy.int8).sum()


def test_peak_memory_is_that_of_decoding():
    peak = peak_bytes(Hungry, (), Decoding(), [[4, 2]])
    assert 139 * MEGABYTES < peak < 160 * MEGABYTES
