"""The page of the GPU benchmarks says what their JSON files say; a sweep stops in time; no GPU is told in one line."""

import json
import sys
import tarfile
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from fairseq import options
from scripts_in_process import run_script

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import gpu_multi30k  # noqa: E402
import gpu_page  # noqa: E402
import gpu_tests  # noqa: E402
import measured  # noqa: E402
import random_corpus  # noqa: E402
import training_speed  # noqa: E402

from dsp_fairseq.errors import BadInput  # noqa: E402
from dsp_fairseq.families import inventory_of  # noqa: E402
from dsp_fairseq.sweep.records import Record, write  # noqa: E402

MACHINE = {"device": "some GPU", "driver": "1.2", "cuda": "13.0", "torch": "2.11.0", "python": "3.12.3"}


def around(median):
    return {"median": median, "min": 0.9 * median, "max": 1.1 * median}


def training(shape, heads, milliseconds):
    rows = [
        {
            "variant": name,
            "words_per_second": around(5e4),
            "milliseconds": around(slower * milliseconds),
            "ratio": around(1 / slower),
        }
        for name, slower in (("stock", 1.0), ("dsp-published", 1.25))
    ]
    settings = {"shape": shape, "heads": heads, "keep": heads // 2, "max_tokens": 4096, "fp16": True}
    return settings, rows


def multi30k_rows():
    kept = {"encoder.self": 2, "decoder.self": 3, "decoder.cross": 7}
    row = {"method": "dsp", "heads": 12, "bleu": 40.0, "valid_nll": 2.5, "kept": kept, "train_seconds": 90.0}
    return [{**row, "seed": 1}, {**row, "seed": 2, "bleu": 42.0}]


def stages(sampling_ms, update_ms):
    """Everything that gpu.sh and gpu_multi30k.sh leave: stage -> (settings, results)."""
    sampled = [(36, 12), (72, 36), (288, 144)]
    rows = [{"heads": h, "keep": k, "alone": around(0.5), "in_an_update": around(sampling_ms)} for h, k in sampled]
    decoded = [
        {"variant": name, "sentences_per_second": around(1234.0), "ratio": around(1.5), "parameters": 22_300_000}
        for name in ("stock", "18")
    ]
    failed = [{"test": "tests.unit.test_a.test_b", "why": "assert 1 == 2"}]
    ran = {"passed": 30, "failed": failed, "skipped": [{"test": "x", "why": "no ctranslate2"}]}
    swept = {"heads": 72, "cells": 15, "jobs": 3, "train": "--arch a", "generate": "--beam 5", "signature": "sig"}
    return {
        "on-device": ({"tests": ["tests/unit/test_on_device.py"]}, ran),
        "sampling": ({"runs": 200}, rows),
        "training-iwslt": training("iwslt", 72, update_ms),
        "training-wmt-big": training("wmt-big", 288, update_ms),
        "decoding": ({"beam": 5, "batch_size": 128, "fp16": True}, decoded),
        "multi30k": (swept, multi30k_rows()),
    }


def leave(folder, found, device="cuda"):
    folder.mkdir(exist_ok=True)
    for stage, (settings, results) in found.items():
        content = {"name": stage, "machine": MACHINE, "settings": {**settings, "device": device}, "results": results}
        (folder / f"{stage}.json").write_text(json.dumps(content))
    return gpu_page.read(folder)


def test_every_figure_is_on_the_page(tmp_path):
    text = gpu_page.results(leave(tmp_path / "r", stages(sampling_ms=0.5, update_ms=80.0)))
    assert "| some GPU | 1.2 | 13.0 | 2.11.0 | 3.12.3 | - |" in text
    assert "30 passed, 1 failed, 1 skipped" in text and "`tests.unit.test_a.test_b`: assert 1 == 2" in text
    assert "| 72 | 36 | 0.50 (0.45 to 0.55) | 0.50 (0.45 to 0.55) |" in text
    assert "| 288 | 144 | 0.50 | 100.0 | 0.5% |" in text  # of an update of dsp-published, not of stock
    assert "iwslt, K = 36 of 72, 4096 tokens, fp16" in text and "wmt-big, K = 144 of 288" in text
    assert "| dsp-published | 50,000 (45,000 to 55,000) | 100.0 (90.0 to 110.0) | 0.80 (0.72 to 0.88) |" in text
    assert "| 18 | 1,234 (1,111 to 1,357) | 1.50 (1.35 to 1.65) | 22,300,000 |" in text
    assert "| dsp | 12 | 2 | 41.00 (40.00 to 42.00) | 2.500 (2.500 to 2.500) | 2/3/7, 2/3/7 |" in text
    assert "2 of 15 trainings are done" in text
    assert gpu_page.NOT_MEASURED not in text and "Nothing has been measured" not in text


@pytest.mark.parametrize("sampling_ms, says", [(0.99, "no fused kernel is needed"), (1.01, "as one kernel")])
def test_the_goal_decides(tmp_path, sampling_ms, says):
    found = leave(tmp_path / "r", stages(sampling_ms, update_ms=80.0))  # 100 ms with dsp-published
    assert says in gpu_page.results(found)
    del found["training-wmt-big"]
    assert "needs both shapes" in gpu_page.results(found)


def test_one_shape_above_the_goal_is_enough(tmp_path):
    found = stages(0.5, update_ms=80.0)
    found["training-iwslt"] = training("iwslt", 72, 20.0)
    assert "as one kernel" in gpu_page.results(leave(tmp_path / "r", found))


def test_what_is_missing_is_said_not_to_be_measured(tmp_path):
    found = stages(0.5, 80.0)
    text = gpu_page.results(leave(tmp_path / "r", {"sampling": found["sampling"]}))
    assert text.count(gpu_page.NOT_MEASURED) == 4  # all but the machine and sampling
    assert gpu_page.results({}).startswith("**Nothing has been measured on a GPU yet.**")


def page(*arguments):
    return run_script(BENCHMARKS / "gpu_page.py", *arguments)


def test_only_the_results_are_replaced(tmp_path):
    leave(tmp_path / "r", stages(0.5, 80.0))
    done = page(tmp_path / "r", "--page", tmp_path / "GPU.md")
    assert done.returncode == 0, done.stderr
    assert "H = 72, K = 36: sampling 0.50 ms of an update's 100.0 ms, 0.5%" in done.stdout
    text, before = (path.read_text(encoding="utf-8") for path in (tmp_path / "GPU.md", gpu_page.PAGE))
    for end in (lambda text: text.partition(gpu_page.BEGIN)[0], lambda text: text.partition(gpu_page.END)[2]):
        assert end(text) == end(before)
    assert gpu_page.filled(text, gpu_page.read(tmp_path / "r")) == text  # a second time changes nothing


def test_results_of_a_cpu_do_not_come_on_the_page(tmp_path):
    leave(tmp_path / "r", {"sampling": stages(0.5, 80.0)["sampling"]}, device="cpu")
    target = tmp_path / "GPU.md"
    refused = page(tmp_path / "r", "--page", target)
    assert refused.returncode == 2 and not target.exists()
    assert refused.stderr.count("\n") == 1 and "sampling ran on a CPU" in refused.stderr


@pytest.mark.parametrize("text", ["{", "[]", '{"machine": {}}'])
def test_a_file_that_is_no_result_is_named(tmp_path, text):
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(ValueError, match="odd.json: is no result"):
        gpu_page.read(tmp_path)


def test_the_committed_page_says_what_the_committed_results_say():
    folder = BENCHMARKS / "results" / "gpu"
    found = gpu_page.read(folder) if folder.is_dir() else {}
    text = gpu_page.PAGE.read_text(encoding="utf-8")
    assert gpu_page.filled(text, found) == text


def test_report_of_tests_is_read(tmp_path):
    cases = (
        '<testcase classname="a" name="good"/>'
        '<testcase classname="a" name="bad"><failure message="x&#10;y"/></testcase>'
        '<testcase classname="a" name="broken"><error message="no"/></testcase>'
        '<testcase classname="a" name="left"><skipped message="torch sees no GPU"/></testcase>'
    )
    (tmp_path / "r.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert gpu_tests.outcome(tmp_path / "r.xml") == {
        "passed": 1,
        "failed": [{"test": "a.bad", "why": "x"}, {"test": "a.broken", "why": "no"}],
        "skipped": [{"test": "a.left", "why": "torch sees no GPU"}],
    }


def test_no_gpu_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        measured.check_device("cuda")
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "no GPU" in told and "--device cpu" in told
    measured.check_device("cpu")


def test_results_are_written_with_the_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("DSP_COMMIT", "abc1234")
    measured.write(tmp_path / "new" / "x.json", "x", "cpu", {"device": "cpu"}, [1])
    content = json.loads((tmp_path / "new" / "x.json").read_text())
    assert content["results"] == [1] and content["machine"]["commit"] == "abc1234"
    assert content["machine"]["torch"] == torch.__version__ and content["machine"]["fairseq"] == "0.12.2"


@pytest.mark.parametrize("shape", training_speed.SHAPES)
@pytest.mark.parametrize("variant", ["stock", "none", "dsp, search", "dsp, settled", "dsp-published"])
def test_fairseq_understands_the_flags_of_every_shape(shape, variant, tmp_path, monkeypatch):
    heads = training_speed.HEADS[shape]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # --fp16 is refused where there is none
    random_corpus.write_corpus(tmp_path, types=20, pairs=2, test=2)
    flags = [*training_speed.COMMON, *training_speed.SHAPES[shape], *training_speed.precision("cuda", True)]
    flags += training_speed.variants(shape, heads // 2, 100, "")[variant]
    monkeypatch.setattr(sys, "argv", ["fairseq-train", str(tmp_path), *flags])
    parsed = options.parse_args_and_arch(options.get_training_parser(), sys.argv[1:])
    assert inventory_of(Namespace(**vars(parsed))).units == heads
    assert parsed.fp16 and not parsed.cpu and parsed.distributed_world_size == 1
    if variant.startswith("dsp"):
        assert parsed.heads_to_keep == str(heads // 2)


def test_half_precision_on_a_cpu_has_no_flat_copy():
    assert training_speed.precision("cpu", True) == ["--cpu", "--fp16", "--fp16-no-flatten-grads"]
    assert training_speed.precision("cuda", True) == ["--fp16"] and training_speed.precision("cuda", False) == []


def test_speeds_come_from_the_same_words_run_by_run():
    stock, ours = training_speed.results_of({"stock": [2.0, 4.0], "dsp": [1.0, 4.0]}, words=100, updates=10)
    assert stock["ratio"] == {"median": 1.0, "min": 1.0, "max": 1.0}
    assert ours["ratio"] == {"median": 1.5, "min": 1.0, "max": 2.0}
    assert ours["words_per_second"]["max"] == 100 and ours["milliseconds"]["max"] == 400


def test_random_corpus_is_what_fairseq_reads(tmp_path):
    random_corpus.write_corpus(tmp_path / "data", types=50, pairs=30, test=7)
    from fairseq.data import Dictionary, data_utils

    dictionary = Dictionary.load(str(tmp_path / "data" / "dict.de.txt"))
    assert len(dictionary) == 50
    paths = (tmp_path / "data" / f"{split}.de-en.en" for split in ("train", "test"))
    train, test = (data_utils.load_indexed_dataset(str(path)) for path in paths)
    assert (len(train), len(test)) == (30, 7)
    words = torch.cat([train[i] for i in range(30)])
    assert int(words.max()) < 50 and all(train[i][-1] == dictionary.eos() for i in range(30))


def test_the_grid_is_understood(tmp_path, monkeypatch):
    random_corpus.write_corpus(tmp_path / "data-bin", types=20, pairs=2, test=2)
    (tmp_path / "reference.en").write_text("a\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # --fp16 is refused where there is none
    monkeypatch.setattr(gpu_multi30k.job, "estimate", lambda *_: (None, "unknown"))
    plan = gpu_multi30k.job.plan(str(BENCHMARKS / "gpu_multi30k.yaml"), None, 3, with_pictures=False)
    found = {(cell.seed, cell.method, cell.amount and cell.amount.value) for cell in plan.cells}
    one = [("none", None), *(("dsp", keep) for keep in ("36", "24", "12", "6"))]
    assert found == {(seed, *each) for seed in (1, 2, 3) for each in one}


class Cell(Namespace):
    """As much of a sweep's cell as is needed here."""

    def file(self, name):
        return str(Path(self.folder) / name)


def cell(work, name, record):
    folder = work / "cells" / name
    folder.mkdir(parents=True)
    for file in ("checkpoint_last.pt", "checkpoint_best.pt", "train.log", "generate.txt"):
        (folder / file).write_text(file)
    path = str(folder / "checkpoint_last.pt")
    made = Cell(folder=str(folder), flags={}, printed=str(folder / "generate.txt"), checkpoint=path)
    write(made, record)
    return made


def test_checkpoints_go_when_scored_and_never_into_the_state(tmp_path, monkeypatch):
    done = Record(train_seconds=1.0, generate_seconds=1.0, jobs=1, kept={"encoder.self.0": [0]}, heads={})
    cells = [
        cell(tmp_path, "done", done),
        cell(tmp_path, "heads-unknown", done._replace(kept=None)),
        cell(tmp_path, "trained", Record(train_seconds=1.0)),
    ]
    gpu_multi30k.tidy(cells)
    left = sorted(str(path.relative_to(tmp_path / "cells")) for path in tmp_path.rglob("*_last.pt"))
    assert left == ["heads-unknown/checkpoint_last.pt", "trained/checkpoint_last.pt"]
    monkeypatch.chdir(tmp_path)
    gpu_multi30k.save_state(tmp_path / "state.tar.gz")
    with tarfile.open(tmp_path / "state.tar.gz") as archive:
        names = archive.getnames()
    assert "cells/done/generate.txt" in names and "cells/trained/cell.json" in names
    assert not [name for name in names if name.endswith(".pt")]


def test_work_folder_means_the_same_on_another_machine(tmp_path):
    data = tmp_path / "data"
    (data / "raw").mkdir(parents=True)
    with pytest.raises(BadInput, match="prepare.sh"):
        gpu_multi30k.set_up(data, tmp_path / "work", None)
    (data / "data-bin").mkdir()
    (data / gpu_multi30k.REFERENCE).write_text("A Man.\n")
    (tmp_path / "cells" / "a").mkdir(parents=True)
    (tmp_path / "cells" / "a" / "cell.json").write_text("{}")
    state = tmp_path / "state.tar.gz"
    with tarfile.open(state, "w:gz") as archive:
        archive.add(tmp_path / "cells", "cells")
    work = tmp_path / "work"
    for _ in range(2):  # and again
        gpu_multi30k.set_up(data, work, state)
        assert (work / "data-bin").resolve() == data / "data-bin"
        assert (work / "reference.en").read_text() == "a man.\n"  # the data are lower-case
        assert (work / "cells" / "a" / "cell.json").exists()
        (work / "cells" / "a" / "new").write_text("")  # what is there is not replaced
    assert (work / "cells" / "a" / "new").exists()
