"""`dsp-fairseq prune`: what it writes is smaller and does the same job in every stock command."""

import re
import resource

import pytest
import torch
from trainings import STOCK, train

from dsp_fairseq.checkpoints.reading import kept_units, load, model_options
from dsp_fairseq.models.gated_transformer import GatedTransformerModel

DECODE = ["--beam", 3, "--max-len-b", 12, "--gen-subset", "valid", "--batch-size", 20, "--num-workers", 0]


@pytest.fixture(scope="module")
def folder(run, corpus, tmp_path_factory):
    """masked.pt keeps 10 of 36 heads, small.pt is what is left of it."""
    folder = tmp_path_factory.mktemp("prune")
    train(run, corpus, folder, "--heads-to-keep", 10, "--uniform-prior", 0.5, "--max-update", 20)
    (folder / "checkpoint_last.pt").rename(folder / "masked.pt")
    prune(run, folder / "masked.pt", folder / "small.pt")
    return folder


def prune(run, *arguments):
    done = run("dsp-fairseq", "prune", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def hypotheses(run, corpus, checkpoint, *options, user_dir=True):
    """Text and score of every hypothesis of the validation set."""
    options = [*(["--user-dir", "dsp_fairseq"] if user_dir else []), *options]
    done = run("fairseq-generate", corpus.data_bin, "--path", checkpoint, *DECODE, *options, fresh=not user_dir)
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^(H-\d+)\t(\S+)\t(.*)$", done.stdout, re.MULTILINE)
    assert lines
    return {name: text for name, _, text in lines}, {name: float(score) for name, score, _ in lines}, done


def validation_loss(run, corpus, checkpoint):
    """As plain fairseq prints it where the checkpoint is one of plain fairseq."""
    gated = model_options(load(str(checkpoint))).arch.startswith("gated")
    options = ["--user-dir", "dsp_fairseq"] if gated else ["--task", "translation"]
    done = run(
        "fairseq-validate", corpus.data_bin, *options, "--path", checkpoint, "--max-tokens", 800, fresh=not gated
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return re.findall(r"\| loss (\S+)", done.stdout + done.stderr)[-1]


def same(first, second, tolerance=1e-4):
    assert first[0] == second[0]
    assert first[1] == pytest.approx(second[1], abs=tolerance)


@pytest.fixture(scope="module")
def masked(run, corpus, folder):
    return hypotheses(run, corpus, folder / "masked.pt")


def test_it_tells_what_it_took_out(run, folder, tmp_path):
    printed = prune(run, folder / "masked.pt", tmp_path / "again.pt")
    assert "heads: 36 => 10 of 36" in printed
    assert len(re.findall(r"^\| (?:en|de)coder\.\w+\.\d +\| 4 => \d", printed, re.MULTILINE)) == 9
    before, after = map(int, re.search(r"parameters: ([\d,]+) => ([\d,]+)", printed.replace(",", "")).groups())
    assert before - after == 26 * (4 * 64 * 16 + 3 * 16)  # removed heads of 16 rows in a model 64 wide
    size = (tmp_path / "again.pt").stat().st_size
    assert f"=> {size:,} bytes" in printed
    weights = sum(
        {
            t.data_ptr(): t.numel() * t.element_size() for t in load(str(tmp_path / "again.pt"))["model"].values()
        }.values()
    )
    assert size < 4 * after * 1.3 and weights < 4 * after * 1.01  # the rest is names: the model is tiny


def test_only_what_is_left_is_in_the_file(folder):
    state, options = load(str(folder / "small.pt")), model_options(load(str(folder / "small.pt")))
    assert "last_optimizer_state" not in state
    masked = kept_units(str(folder / "masked.pt"))
    for block, piece in zip(masked.inventory.blocks, masked.inventory.split(masked.mask.tolist()), strict=True):
        original = [head for head, kept in enumerate(piece) if kept]
        assert options.kept_heads[block.name] == original
        assert state["model"][f"{block.module}.v_proj.weight"].shape == (16 * len(original), 64)
        assert state["model"][f"{block.module}.out_proj.weight"].shape == (64, 16 * len(original))


def test_generate_gives_the_same_hypotheses(run, corpus, folder, tmp_path, masked):
    small = hypotheses(run, corpus, folder / "small.pt")
    same(masked, small)
    assert "decoding with 10 of 36 heads" in small[2].stdout + small[2].stderr
    prune(run, folder / "masked.pt", tmp_path / "half.pt", "--half")
    assert (tmp_path / "half.pt").stat().st_size < 0.6 * (folder / "small.pt").stat().st_size
    half = hypotheses(run, corpus, tmp_path / "half.pt")
    assert half[1] == pytest.approx(masked[1], abs=0.05)
    assert hypotheses(run, corpus, tmp_path / "half.pt", "--fp16")[1] == pytest.approx(masked[1], abs=0.1)


def test_dense_is_for_plain_fairseq(run, corpus, folder, tmp_path, masked):
    for source in ("masked.pt", "small.pt"):
        prune(run, folder / source, tmp_path / source, "--dense")
    same(masked, hypotheses(run, corpus, tmp_path / "small.pt", user_dir=False))
    losses = [validation_loss(run, corpus, path) for path in (folder / "masked.pt", tmp_path / "small.pt")]
    assert losses[0] == losses[1]
    one, other = (load(str(tmp_path / source)) for source in ("masked.pt", "small.pt"))
    assert one["model"].keys() == other["model"].keys() and model_options(one) == model_options(other)
    assert all(
        torch.equal(tensor, other["model"][name]) for name, tensor in one["model"].items() if "_float" not in name
    )


def test_another_k_and_pruning_again(run, corpus, folder, tmp_path):
    prune(run, folder / "masked.pt", tmp_path / "four.pt", "--heads-to-keep", 4)
    prune(run, folder / "small.pt", tmp_path / "again.pt", "--heads-to-keep", 4)
    override = hypotheses(run, corpus, folder / "small.pt", "--model-overrides", "{'heads_to_keep': 4}")
    assert "decoding with 4 of 36 heads" in override[2].stdout + override[2].stderr
    for name in ("four.pt", "again.pt"):
        same(override, hypotheses(run, corpus, tmp_path / name))
    assert (
        model_options(load(str(tmp_path / "four.pt"))).kept_heads
        == model_options(load(str(tmp_path / "again.pt"))).kept_heads
    )


def test_interactive_and_validate(run, corpus, folder):
    losses, texts = [], []
    for name in ("masked.pt", "small.pt"):
        done = run(
            "fairseq-interactive", corpus.data_bin, "--user-dir", "dsp_fairseq", "--path", folder / name,
            "--max-len-b", 5, input="ein zug\nzwei\n",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        texts.append([line.split("\t")[2] for line in done.stdout.splitlines() if line.startswith("H-")])
        losses.append(validation_loss(run, corpus, folder / name))
    assert losses[0] == losses[1] and texts[0] == texts[1] and len(texts[0]) == 2


def test_the_hub_interface(corpus, folder):
    found = []
    for name in ("masked.pt", "small.pt"):
        hub = GatedTransformerModel.from_pretrained(str(folder), name, str(corpus.data_bin))
        found.append(([block.num_heads for block in hub.models[0].gated_blocks], hub.translate("ein zug", beam=2)))
    assert found[0] == found[1]
    assert sum(found[0][0]) == 10


def test_training_goes_on_from_a_small_checkpoint(run, corpus, folder, tmp_path):
    options = ["--finetune-from-model", folder / "small.pt", "--pruning-method", "none"]
    first = train(run, corpus, tmp_path, *options, "--max-update", 4)
    assert "num_updates 4" in first.stdout + first.stderr or '"train_num_updates": "4"' in first.stdout + first.stderr
    tuned = load(str(tmp_path / "checkpoint_last.pt"))
    assert model_options(tuned).kept_heads == model_options(load(str(folder / "small.pt"))).kept_heads
    assert tuned["optimizer_history"][-1]["num_updates"] == 4
    train(run, corpus, tmp_path, *options, "--max-update", 6)  # resumed
    assert load(str(tmp_path / "checkpoint_last.pt"))["optimizer_history"][-1]["num_updates"] == 6
    hypotheses(run, corpus, tmp_path / "checkpoint_last.pt")
    further = ["--finetune-from-model", folder / "small.pt", "--heads-to-keep", 5, "--max-update", 8]
    train(run, corpus, tmp_path / "further", *further)
    assert kept_units(str(tmp_path / "further" / "checkpoint_last.pt")).mask.sum() == 5


def test_a_small_checkpoint_as_restore_file_starts_the_optimiser_afresh(run, corpus, folder, tmp_path):
    options = ["--restore-file", folder / "small.pt", "--pruning-method", "none", "--max-update", 3]
    train(run, corpus, tmp_path, *options)
    assert load(str(tmp_path / "checkpoint_last.pt"))["optimizer_history"][-1]["num_updates"] == 3


def test_a_shape_that_does_not_fit_the_small_checkpoint_is_refused(run, corpus, folder, tmp_path):
    options = ["--finetune-from-model", folder / "small.pt", "--pruning-method", "none", "--encoder-layers", 2]
    done = train(run, corpus, tmp_path / "run", *options, succeeds=False)
    assert done.returncode == 2 and "--encoder-layers 2 (there 3)" in done.stderr
    assert not (tmp_path / "run").exists()


class TestBadInput:
    @pytest.fixture(scope="class")
    def files(self, run, corpus, folder):
        """A stock checkpoint, half a checkpoint, a text."""
        done = run("fairseq-train", corpus.data_bin, "--save-dir", folder / "stock", *STOCK)
        assert done.returncode == 0, done.stderr
        whole = (folder / "masked.pt").read_bytes()
        (folder / "half.pt").write_bytes(whole[: len(whole) // 2])
        (folder / "text.pt").write_text("no checkpoint")
        return folder

    @pytest.mark.parametrize(
        "arguments, words",
        [
            (["nothing.pt", "out.pt"], ["nothing.pt: does not exist"]),
            (["stock/checkpoint_last.pt", "out.pt"], ["stock/checkpoint_last.pt", "no gates"]),
            (["half.pt", "out.pt"], ["half.pt: damaged"]),
            (["text.pt", "out.pt"], ["text.pt: damaged, or not a checkpoint"]),
            (["masked.pt", "out.pt", "--heads-to-keep", 37], ["--heads-to-keep 37", "0 to 36"]),
            (["small.pt", "out.pt", "--heads-to-keep", 11], ["--heads-to-keep 11", "0 to 10"]),
            (["masked.pt", "out.pt", "--heads-to-keep", -1], ["--heads-to-keep -1"]),
            (["masked.pt", "small.pt"], ["small.pt: exists", "--force"]),
            (["masked.pt", "nowhere/out.pt"], ["nowhere", "does not exist"]),
            (["masked.pt", "stock"], ["stock: is a folder"]),
        ],
    )
    def test_is_one_line_and_leaves_nothing(self, run, files, arguments, words):
        before = sorted(files.iterdir())
        done = run("dsp-fairseq", "prune", *arguments, cwd=files)
        assert done.returncode == 2 and done.stdout == ""
        [line] = done.stderr.splitlines()
        assert all(word in line for word in words), line
        assert sorted(files.iterdir()) == before

    def test_a_full_disk_leaves_what_was_there(self, run, files):
        before = {path: path.stat().st_size for path in files.iterdir()}
        done = run(
            "dsp-fairseq", "prune", "masked.pt", "small.pt", "--force", cwd=files,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        )  # fmt: skip
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert "small.pt: could not be written" in line
        assert {path: path.stat().st_size for path in files.iterdir()} == before
