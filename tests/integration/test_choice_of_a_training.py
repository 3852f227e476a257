"""From which checkpoint a training begins, how long it is, and what becomes of the choice of heads."""

import shutil
from pathlib import Path

import pytest
import torch
from in_process import fairseq_train
from trainings import TRAIN, assert_same_state

from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units, load, state_of_mask

K = ["--heads-to-keep", 10]
NONE = ["--pruning-method", "none"]
QUICK = ["--max-tokens", 500, "--disable-validation"]


@pytest.fixture(scope="module")
def shards(corpus, tmp_path_factory):
    """Two folders of data, the sentences of `valid` and of `test` to train on: few batches, unequal numbers."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for folder, split in zip(folders, ("valid", "test"), strict=True):
        for file in corpus.data_bin.glob("dict.*"):
            shutil.copy(file, folder)
        for file in corpus.data_bin.glob("valid.*"):
            shutil.copy(file, folder)
        for file in corpus.data_bin.glob(f"{split}.*"):
            shutil.copy(file, folder / file.name.replace(f"{split}.", "train."))
    return folders


@pytest.fixture(scope="module")
def go(shards):
    """Train into a folder, once more if it has begun; `status` is what is expected."""

    def run(folder, *options, data=shards[0], status=0):
        done = fairseq_train(data, *TRAIN, *QUICK, "--save-dir", folder, *options)
        assert done.status == status, done.errors
        return done

    return run


@pytest.fixture(scope="module")
def chosen(go, tmp_path_factory):
    """The last checkpoint of a finished choice, at the end of an epoch."""
    folder = tmp_path_factory.mktemp("chosen")
    go(folder, *K, "--max-epoch", 3, "--uniform-prior", 0)
    return folder / "checkpoint_last.pt"


def state_of(folder, name="checkpoint_last.pt"):
    return load(str(Path(folder) / name))


def updates(state):
    return state["optimizer_history"][-1]["num_updates"]


def warnings(done):
    return [line for line in done.log if line.startswith("WARNING") and "heads" in line]


LENGTHS = {
    "update-freq of each epoch": ["--max-epoch", 6, "--update-freq", "1,2,3"],
    "both limits": ["--max-epoch", 9, "--max-update", 14],
    "last batches left out": ["--max-epoch", 6, "--skip-remainder-batch", "--update-freq", 2],
    "shards": ["--max-epoch", 5, "--update-freq", "2,1"],
    "pipelined with a warm-up": ["--max-epoch", 4, "--pruning-mode", "pipelined", "--search-warmup-updates", 9],
}


@pytest.mark.parametrize("case", LENGTHS)
def test_the_search_takes_its_share_of_the_updates_that_the_training_really_has(go, chosen, shards, tmp_path, case):
    data = f"{shards[0]}:{shards[1]}" if case == "shards" else shards[1]
    start = ["--finetune-from-model", chosen] if "pipelined" in case else []
    done = go(tmp_path, *K, *LENGTHS[case], *start, data=data)
    state = state_of(tmp_path)
    search = round((1.0 if start else 0.3) * updates(state))
    assert float(state["model"]["gates.search"]) == search > 0
    assert f"INFO the choice of heads is final at update {search} of {updates(state)}" in done.log


def test_a_training_from_a_later_epoch_has_the_epochs_that_are_left(go, chosen, tmp_path):
    done = go(tmp_path, *K, "--uniform-prior", 0, "--max-epoch", 6, "--restore-file", chosen, "--reset-optimizer")
    state = state_of(tmp_path)
    assert updates(state) == updates(load(str(chosen)))
    assert float(state["model"]["gates.search"]) == round(0.3 * updates(state))
    [line] = warnings(done)
    assert "26 of its 36 heads are masked" in line and "--pruning-method dsp chooses anew" in line


RESUMED = {
    "as before": ["--max-epoch", 7],
    "shorter": ["--max-update", 18],
}


@pytest.fixture(scope="module")
def begun(go, shards, tmp_path_factory):
    """A folder with all checkpoints of a training over shards."""
    folder = tmp_path_factory.mktemp("begun")
    go(folder, *SAVES, "--max-epoch", 7, data=f"{shards[0]}:{shards[1]}")
    return folder


SAVES = [*K, "--save-interval-updates", 5, "--dropout", 0.1]


@pytest.mark.parametrize("how", RESUMED)
def test_a_resumed_training_is_planned_for_once_and_resumes_bit_for_bit(go, shards, begun, tmp_path, how):
    ends = []
    for kills in ([], [10]):
        folder = tmp_path / f"killed {len(kills)} times"
        folder.mkdir()
        shutil.copy(next(begun.glob("checkpoint_*_5.pt")), folder / "checkpoint_last.pt")
        for update in [*kills, None]:
            go(folder, *SAVES, *RESUMED[how], data=f"{shards[0]}:{shards[1]}")
            if update:
                next(folder.glob(f"checkpoint_*_{update}.pt")).replace(folder / "checkpoint_last.pt")
        ends.append(state_of(folder))
    once, often = ends
    assert 5 < float(once["model"]["gates.search"]) <= updates(once) == updates(often)
    assert_same_state(once, often)
    as_before = float(once["model"]["gates.search"]) == float(state_of(begun)["model"]["gates.search"])
    assert as_before == (how == "as before")


@pytest.mark.parametrize(
    "options, word",
    [
        (["--search-updates", 500], "--search-updates 500"),
        (["--search-warmup-updates", 400], "--search-warmup-updates 400"),
    ],
)
def test_a_choice_that_the_training_has_no_updates_for_is_refused_in_one_line(go, tmp_path, options, word):
    done = go(tmp_path / "new", *K, *options, "--max-epoch", 1, status=2)
    [line] = done.errors
    assert word in line
    assert not (tmp_path / "new").exists()


def test_training_on_after_prune_leaves_the_ranking_as_it_was(go, chosen, tmp_path):
    small = tmp_path / "small.pt"
    prune(str(chosen), str(small))
    done = go(tmp_path / "tuned", *NONE, "--finetune-from-model", small, "--max-update", 2)
    assert warnings(done) == []
    tuned = tmp_path / "tuned" / "checkpoint_last.pt"
    assert not torch.equal(*(load(str(path))["model"]["decoder.layers.0.fc1.weight"] for path in (tuned, small)))
    before, after = (kept_units(str(path)) for path in (small, tuned))
    assert torch.equal(before.logits, after.logits) and len(set(before.logits.tolist())) == 10
    assert torch.equal(before.best(6), after.best(6))
    go(tmp_path / "tuned", *NONE, "--finetune-from-model", small, "--max-update", 4)
    assert torch.equal(kept_units(str(tuned)).logits, before.logits)


def test_heads_that_a_training_opens_again_are_told_and_keep_their_rank(go, chosen, tmp_path):
    done = go(tmp_path, *NONE, "--finetune-from-model", chosen, "--max-update", 2)
    [line] = warnings(done)
    assert "26 of its 36 heads are masked" in line and "dsp-fairseq prune" in line
    after = kept_units(str(tmp_path / "checkpoint_last.pt"))
    assert after.mask.all() and torch.equal(after.logits, kept_units(str(chosen)).logits)
    state = state_of(tmp_path)["model"]
    assert float(state["gates.search"]) == float(state["gates.adam.steps"]) == 0


def test_uniform_is_uniform_whatever_it_begins_with_and_says_so(go, chosen, tmp_path):
    uniform = ["--pruning-method", "uniform", *K, "--max-update", 2]
    assert warnings(go(tmp_path / "fresh", *uniform)) == []
    fresh = tmp_path / "fresh" / "checkpoint_last.pt"
    [line] = warnings(go(tmp_path / "other", *uniform, "--finetune-from-model", chosen))
    assert "--pruning-method uniform chooses anew" in line
    assert warnings(go(tmp_path / "same", *uniform, "--finetune-from-model", fresh)) == []
    for name in ("other", "same"):
        found = kept_units(str(tmp_path / name / "checkpoint_last.pt"))
        assert torch.equal(found.mask, kept_units(str(fresh)).mask)


@pytest.mark.parametrize("method", ["dsp", "ste", "uniform"])
def test_a_choice_that_cannot_go_on_is_refused(go, tmp_path, method):
    options = ["--pruning-method", method, *K, "--no-save-optimizer-state"]
    go(tmp_path, *options, "--max-update", 4)
    last = tmp_path / "checkpoint_last.pt"
    before = last.read_bytes()
    if method == "uniform":  # chooses nothing, unless the heads are those of another method
        go(tmp_path, *options, "--max-update", 5)
        state = load(str(last))
        logits = torch.arange(36, dtype=torch.float64)
        kept = kept_units(str(last))
        mask = logits >= 36 - int(kept.mask.sum())
        state["model"].update({"gates.logits": logits, **state_of_mask(mask, kept.inventory)})
        torch.save(state, tmp_path / "new.pt")  # the old one is read while it is written
        (tmp_path / "new.pt").rename(last)
        before = last.read_bytes()
    done = go(tmp_path, *options, "--max-update", 6, status=2)
    [line] = done.errors
    assert "no state of the optimiser" in line and "--finetune-from-model" in line
    assert last.read_bytes() == before


def test_an_optimiser_of_another_criterion_is_refused_in_one_line(go, tmp_path):
    go(tmp_path, *NONE, "--criterion", "label_smoothed_cross_entropy", "--max-update", 2)
    [line] = go(tmp_path, *NONE, "--max-update", 4, status=2).errors
    assert "Criterion does not match" in line and "--reset-optimizer" in line and "--finetune-from-model" in line
