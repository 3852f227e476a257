"""Language models through the console commands: train, resume, prune, evaluate with fairseq-eval-lm, sample, rank."""

import csv
import re

import pytest
import torch
from trainings import assert_same_state, logged, train

from dsp_fairseq.checkpoints.reading import kept_units, load

HEADS = 8
COMMON = """--optimizer adam --lr 3e-3 --max-tokens 640 --tokens-per-sample 32 --dropout 0.1 --cpu --seed 1
 --no-epoch-checkpoints --log-format json --log-interval 2 --num-workers 0 --max-update 12""".split()
OURS = [*"--user-dir dsp_fairseq --task language_modeling_pruning --criterion dsp_cross_entropy".split(), *COMMON]
TRANSFORMER = [*OURS, "--arch", "gated_transformer_lm_tiny"]
ALL_ATTENTION = [*OURS, "--arch", "all_attention_lm_tiny"]
PRICE = "--pruning-method layerwise-l0 --l0-penalty 0.02 --penalty-warmup-updates 6 --initial-log-odds 2.0".split()


class Text:
    """The English side of the corpus as data of a language model, where ``trainings.train`` looks for it."""

    def __init__(self, folder):
        self.data_bin = folder


@pytest.fixture(scope="module")
def text(run, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text") / "data-bin"
    files = [word for part in ("train", "valid", "test") for word in (f"--{part}pref", corpus.bpe / f"{part}.en")]
    done = run("fairseq-preprocess", "--only-source", *files, "--destdir", folder)
    assert done.returncode == 0, done.stderr
    return Text(folder)


@pytest.fixture(scope="module")
def all_attention(run, text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("all-attention")
    return folder, train(run, text, folder, *PRICE, "--heads-to-keep", 3, base=ALL_ATTENTION)


def loss(run, text, checkpoint, *options):
    """The loss that stock fairseq-eval-lm prints, and the number of parameters."""
    done = run("fairseq-eval-lm", text.data_bin, "--path", checkpoint, "--cpu", "--gen-subset", "test",
               "--num-workers", 0, "--tokens-per-sample", 32, *options)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    [parameters] = re.findall(r"num. model params: ([\d,]+)", said)
    [found] = re.findall(r"Loss \(base 2\): ([\d.]+)", said)
    return float(found), int(parameters.replace(",", "")), said


def test_a_pruned_model_is_evaluated_with_the_user_dir_and_nothing_else(run, text, all_attention, tmp_path):
    folder, done = all_attention
    masked, small = folder / "checkpoint_last.pt", tmp_path / "small.pt"
    assert kept_units(str(masked)).mask.sum() == 3
    assert run("dsp-fairseq", "prune", masked, small).returncode == 0
    one, parameters, said = loss(run, text, masked, "--user-dir", "dsp_fairseq")
    other, fewer, _ = loss(run, text, small, "--user-dir", "dsp_fairseq")
    assert "decoding with 3 of 8 heads (decoder.self 3)" in said and abs(one - other) <= 1e-3
    weights = load(str(small))["model"]
    ends = ("weight", "bias", "query_bias.content", "query_bias.position", "persistent.keys", "persistent.values")
    assert parameters == fewer == sum(t.numel() for name, t in weights.items() if name.endswith(ends))
    with_context, _, _ = loss(run, text, small, "--user-dir", "dsp_fairseq", "--context-window", 16)
    assert abs(with_context - one) < 1.0
    assert [int(line["valid_heads_kept"]) for line in logged(done, "valid")] == [3]


def test_the_price_rises_and_is_no_part_of_the_logged_loss(all_attention):
    inner = logged(all_attention[1], "train_inner")
    shares = [float(line["penalty"]) / float(line["expected_heads"]) / 0.02 for line in inner]
    # min((n + 1) / 6, 1) at the updates 1, 3, 5 and so on
    assert shares == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0, 1.0, 1.0], abs=0.02)
    assert float(inner[-1]["expected_heads"]) < float(inner[0]["expected_heads"])


def test_it_resumes_bit_for_bit(run, text, all_attention, tmp_path):
    options = [*PRICE, "--heads-to-keep", 3]
    train(run, text, tmp_path, *options, "--max-update", 7, base=ALL_ATTENTION)
    train(run, text, tmp_path, *options, base=ALL_ATTENTION)
    assert_same_state(load(str(all_attention[0] / "checkpoint_last.pt")), load(str(tmp_path / "checkpoint_last.pt")))


def test_it_samples(run, text, all_attention):
    words = ["--task", "language_modeling", "--path", all_attention[0] / "checkpoint_last.pt", "--cpu"]
    done = run("fairseq-interactive", text.data_bin, "--user-dir", "dsp_fairseq", *words, "--max-len-b", 40,
               "--beam", 2, "--nbest", 2, "--sampling", "--sampling-topk", 5, input="the\n")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^H-0\t\S+\t(.*)$", done.stdout, re.M)
    assert len(found) == 2 and all(line.startswith("the") for line in found) and len(found[-1].split()) > 1


def test_dsp_on_heads_and_hidden_units_from_a_stock_checkpoint(run, text, tmp_path):
    stock = ["--arch", "transformer_lm", "--task", "language_modeling", *COMMON]
    sizes = ["--decoder-layers", 2, "--decoder-attention-heads", 4, "--decoder-ffn-embed-dim", 128]
    sizes += ["--decoder-normalize-before"]
    sizes += [f"--decoder-{part}-dim=64" for part in ("embed", "input", "output")]
    train(run, text, tmp_path / "stock", *sizes, base=stock)
    checkpoint = tmp_path / "stock" / "checkpoint_last.pt"
    refused = train(run, text, tmp_path / "refused", "--finetune-from-model", checkpoint, "--heads-to-keep", 3,
                    "--decoder-layers", 3, base=TRANSFORMER, succeeds=False)  # fmt: skip
    assert refused.returncode == 2 and "--decoder-layers 3 (there 2)" in refused.stderr
    more = ["--finetune-from-model", checkpoint, "--heads-to-keep", 3, "--ffn-to-keep", 64, "--checkpoint-activations"]
    done = train(run, text, tmp_path / "gated", *more, "--teacher", checkpoint, base=TRANSFORMER)
    [taught], [valid] = logged(done, "train"), logged(done, "valid")
    assert 0 < float(taught["train_distillation"]) < 9 and "valid_nll_loss" not in valid
    assert 2 ** float(taught["train_nll_loss"]) == pytest.approx(float(taught["train_ppl"]), rel=0.02)
    gated, dense = tmp_path / "gated" / "checkpoint_last.pt", tmp_path / "dense.pt"
    assert run("dsp-fairseq", "prune", gated, dense, "--dense").returncode == 0
    one, parameters, said = loss(run, text, gated, "--user-dir", "dsp_fairseq")
    other, all_of_them, _ = loss(run, text, dense)  # plain fairseq
    assert "64 of 256 hidden units (decoder.ffn 64)" in said and abs(one - other) <= 1e-3
    assert all_of_them - parameters == 5 * 16 * (4 * 64 + 3) + 192 * (2 * 64 + 1)
    ranked = run("dsp-fairseq", "importance", checkpoint, text.data_bin, tmp_path / "ranked.pt", "--heads-to-keep", 2,
                 "--sentences", 20)  # fmt: skip
    assert ranked.returncode == 0, ranked.stderr
    assert kept_units(str(tmp_path / "ranked.pt")).mask.sum() == 2
    mean = run(
        "dsp-fairseq", "average", gated, tmp_path / "gated" / "checkpoint_best.pt", "--out", tmp_path / "mean.pt"
    )
    assert "3 of 8 heads and 64 of 256 hidden units" in mean.stdout


def test_an_adaptive_softmax_in_half_precision(run, text, tmp_path):
    options = "--adaptive-input --adaptive-input-cutoff 20 --adaptive-softmax-cutoff 20 --tie-adaptive-weights".split()
    options += ["--criterion", "dsp_adaptive_loss", "--ddp-backend", "legacy_ddp", "--memory-efficient-bf16"]
    done = train(run, text, tmp_path, *options, "--heads-to-keep", 2, "--max-update", 8, base=ALL_ATTENTION)
    assert float(logged(done, "valid")[-1]["valid_heads_kept"]) == 2
    small = tmp_path / "small.pt"
    assert run("dsp-fairseq", "prune", tmp_path / "checkpoint_last.pt", small).returncode == 0
    assert loss(run, text, small, "--user-dir", "dsp_fairseq")[0] < 12


def test_a_learned_choice_needs_the_task_and_criterion(run, text, tmp_path):
    done = train(run, text, tmp_path / "run", "--heads-to-keep", 3, "--task", "language_modeling", "--criterion",
                 "cross_entropy", base=ALL_ATTENTION, succeeds=False)  # fmt: skip
    assert done.returncode == 2 and "say --task language_modeling_pruning" in done.stderr
    assert "say --criterion dsp_cross_entropy or dsp_adaptive_loss" in done.stderr and not (tmp_path / "run").exists()
    unpruned = ["--pruning-method", "none", "--task", "language_modeling", "--criterion", "cross_entropy"]
    train(run, text, tmp_path / "none", *unpruned, "--max-update", 2, base=ALL_ATTENTION)
    state = load(str(tmp_path / "none" / "checkpoint_last.pt"))
    assert torch.equal(state["model"]["gates.kept.heads"], torch.ones(HEADS, dtype=torch.float64))


def test_what_is_for_translation_is_refused_in_a_line(run, all_attention):
    bench = run("dsp-fairseq", "bench", all_attention[0] / "checkpoint_last.pt")
    assert bench.returncode == 2 and "an all_attention_lm does not translate, which bench times" in bench.stderr


def test_a_sweep_has_the_perplexity_that_fairseq_prints(run, text, tmp_path):
    options = "--tokens-per-sample 32 --cpu --num-workers 0"
    (tmp_path / "sweep.yaml").write_text(
        f"data: {text.data_bin}\nout: {tmp_path / 'out'}\nevaluate: {options}\n"
        f"train: --arch all_attention_lm_tiny --optimizer adam --max-tokens 640 --max-update 2 {options}\n"
        "grid: {method: [uniform], heads_to_keep: [3], seed: [1]}\n"
    )
    done = run("dsp-fairseq", "sweep", tmp_path / "sweep.yaml", "--no-plots")
    assert done.returncode == 0, done.stderr
    [row] = csv.DictReader((tmp_path / "out" / "results.csv").open())
    printed = (tmp_path / "out" / "uniform-3-seed1" / "evaluate.txt").read_text()
    [perplexity] = re.findall(r"Perplexity: ([\d.]+)", printed)
    assert float(row["perplexity"]) == pytest.approx(float(perplexity), rel=1e-3) and row["decoder_self"] == "3"
    assert 2 ** float(row["valid_nll"]) == pytest.approx(float(perplexity), rel=0.3)
