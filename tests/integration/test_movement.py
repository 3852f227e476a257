"""Movement pruning at the size of the quick start: it learns, removes heads and units, and stock commands decode it."""

import json
import re

import pytest
from trainings import assert_same_state, logged, train

from dsp_fairseq.checkpoints.reading import kept_units, load, load_gated
from dsp_fairseq.sweep.plan import Cell
from dsp_fairseq.sweep.trained import read

UPDATES = 80
LAST = "checkpoint_last.pt"
# heads of 16 rows; a share of the weights, because so short a training moves no score below a threshold
ZEROS = r"([\d,]+) of 245,760 stored, ([\d,]+) of them 0"
MOVEMENT = ["--pruning-method", "movement", "--weights-to-keep", "35%", "--block-rows", 16, "--block-cols", 16]


@pytest.fixture(scope="module")
def folder(run, corpus, tmp_path_factory):
    """full/: all heads; share/: movement from it; small.pt: what is left of that."""
    folder = tmp_path_factory.mktemp("movement")
    length = ["--max-update", UPDATES]
    done = train(run, corpus, folder / "full", "--pruning-method", "none", *length)
    full = folder / "full" / LAST
    start = ["--finetune-from-model", full, *length]
    folder.joinpath("full.log").write_text(done.stdout + done.stderr)
    done = train(run, corpus, folder / "share", *MOVEMENT, *start)
    (folder / "log").write_text(done.stdout + done.stderr)
    folder.joinpath("report").write_text(must(run, "report", folder / "share" / LAST, "--json"))
    folder.joinpath("pruned").write_text(must(run, "prune", folder / "share" / LAST, folder / "small.pt"))
    return folder


def must(run, *arguments):
    done = run("dsp-fairseq", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def decode(run, corpus, checkpoint):
    done = run(
        "fairseq-generate", corpus.data_bin, "--user-dir", "dsp_fairseq", "--path", checkpoint, "--beam", 2,
        "--max-len-b", 20, "--gen-subset", "valid", "--num-workers", 0, "--remove-bpe",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [said] = re.findall(r"decoding with (.*)", done.stdout + done.stderr)
    pairs = dict(re.findall(r"^H-(\d+)\t\S+\t(.*)$", done.stdout, re.MULTILINE))
    return [pairs[number] for number in sorted(pairs, key=int)], said


def test_it_learns_and_loses_heads_and_hidden_units(run, corpus, folder):
    log = lines(folder / "log", "train_inner")
    kept = [float(line["weights_kept"]) for line in log]
    assert kept[0] == 1.0 and kept[-1] == pytest.approx(0.35, abs=0.002) and kept == sorted(kept, reverse=True)
    valid = lines(folder / "log", "valid")[-1]
    assert 0 < float(valid["valid_heads_kept"]) < 36 and 0 < float(valid["valid_ffn_kept"]) < 768
    before = lines(folder / "full.log", "valid")[-1]
    assert float(valid["valid_nll_loss"]) < float(before["valid_nll_loss"]) - 0.2  # with a third of the weights
    report, (_, said) = json.loads((folder / "report").read_text()), decode(run, corpus, folder / "share" / LAST)
    assert f"{report['heads']['kept']} of 36 heads" in said and f"{report['ffn']['kept']} of 768 hidden units" in said
    assert report["heads"]["kept"] == int(valid["valid_heads_kept"])


def lines(file, kind):
    return [
        json.loads(line.split(f"| {kind} |", 1)[1]) for line in file.read_text().splitlines() if f"| {kind} |" in line
    ]


def test_report_and_prune_say_what_zeros_are(folder):
    report, printed = json.loads((folder / "report").read_text()), (folder / "pruned").read_text()
    weights = report["weights_of_blocks"]
    assert weights["stored"] == weights["original"] == 3 * 3 * 4 * 64 * 64 + 6 * 2 * 64 * 128
    assert weights["zero"] / weights["stored"] == pytest.approx(0.65, abs=0.001)
    assert f"heads: 36 => {report['heads']['kept']} of 36" in printed
    assert f"hidden units: 768 => {report['ffn']['kept']} of 768" in printed
    stored, zero = (int(number.replace(",", "")) for number in re.search(ZEROS, printed).groups())
    live, left = weights["stored"] - weights["zero"], stored - zero
    assert 0.7 * live < left <= live  # some queries and keys go with heads whose values are closed


def test_a_sweep_counts_what_removal_leaves(run, folder):
    """As its cell has the checkpoint, which nothing was removed from."""
    found = read(Cell(str(folder / "share"), "movement", None, 1, {}, ("fairseq-train",), ()))
    left = json.loads(must(run, "report", folder / "small.pt", "--json"))
    assert sum(map(len, found.kept.values())) == left["heads"]["kept"] and found.ffn == left["ffn"]["kept"]
    assert found.parameters == left["parameters"]["total"]
    blocks = kept_units(str(folder / "small.pt")).inventory.blocks
    assert found.prunable == sum(block.units * block.cost for block in blocks) < 250_000


def test_the_removed_model_translates_as_the_masked_one(run, corpus, folder):
    masked, removed = (decode(run, corpus, file) for file in (folder / "share" / LAST, folder / "small.pt"))
    assert masked == removed
    small = load_gated(str(folder / "small.pt"))["model"]
    assert small["encoder.layers.0.fc1.weight"].size(0) == small["encoder.layers.0.fc2.weight"].size(1) < 128
    assert "gates.scores" not in small


def test_filled_models_train_on_without_masks(run, corpus, folder, tmp_path):
    printed = must(run, "prune", folder / "share" / LAST, tmp_path / "filled.pt", "--fill")
    assert "were 0 and are small random numbers now" in printed
    filled = load(str(tmp_path / "filled.pt"))["model"]
    matrices = [value for name, value in filled.items() if re.search(r"(proj|fc\d)\.weight", name) and value.numel()]
    assert matrices and not any(matrix.eq(0).any() for matrix in matrices)
    options = ["--pruning-method", "none", "--finetune-from-model", tmp_path / "filled.pt", "--max-update", 2]
    done = train(run, corpus, tmp_path / "on", *options)
    assert "weights_kept" not in logged(done, "train_inner")[-1]


def test_a_resumed_training_equals_an_uninterrupted_one(run, corpus, folder, tmp_path):
    full = folder / "full" / LAST
    options = [*MOVEMENT, "--max-update", 8, "--save-interval-updates", 4, "--disable-validation", "--teacher", full]
    train(run, corpus, tmp_path / "whole", *options, "--finetune-from-model", full)
    saved = next((tmp_path / "whole").glob("checkpoint_*_4.pt"))
    (tmp_path / "again").mkdir()
    saved.rename(tmp_path / "again" / LAST)
    train(run, corpus, tmp_path / "again", *options)
    one, other = (load(str(tmp_path / name / LAST)) for name in ("whole", "again"))
    assert_same_state(one, other)
    assert one["model"]["gates.scores"].any()


@pytest.mark.parametrize(
    "options, words",
    [
        (
            ["--block-rows", 48, "--max-update", 9, "--weights-to-keep", "9%"],
            "--block-rows 48: must divide the 64 rows",
        ),
        (["--max-update", 50], "no score can fall to -2.20, below which --final-threshold 0.1 prunes"),
        (["--max-epoch", 1], "no score can fall to -2.20, below which --final-threshold 0.1 prunes"),
        (["--weights-to-keep", "9%"], "--max-update is missing: --pruning-method movement prunes in shares"),
        (
            ["--weights-to-keep", "9%", "--max-update", 9, "--output-scaling", "on"],
            "--output-scaling on: --pruning-method movement takes out only heads that add nothing",
        ),
        (
            ["--weights-to-keep", "9%", "--max-update", 9, "--penalty-weights", "encoder.ffn=0.5"],
            "--penalty-weights encoder.ffn=0.5: there is no price",
        ),
    ],
)
def test_what_would_prune_nothing_or_the_wrong_blocks_is_refused(run, corpus, tmp_path, options, words):
    done = train(run, corpus, tmp_path / "out", "--pruning-method", "movement", *options, succeeds=False)
    assert done.returncode == 2 and words in done.stderr and not (tmp_path / "out").exists()
    assert len(done.stderr.strip().splitlines()) == 1
