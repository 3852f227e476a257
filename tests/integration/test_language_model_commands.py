"""Language models through the console commands: train, resume, prune, evaluate with fairseq-eval-lm, sample, rank."""

import csv
import re

import pytest
import torch
from trainings import assert_same_state, assert_two_did_what_one_did, logged, train, train_in_two_processes

from dsp_fairseq.checkpoints.reading import kept_units, load
from dsp_fairseq.structures.parameters import total

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


def test_two_processes_do_what_one_does_with_twice_the_batches(run, text, tmp_path):
    """Words of all processes share one mean, and the price of open heads counts once."""
    options = [*PRICE, "--heads-to-keep", 3, "--max-tokens", 320, "--max-update", 6, "--dropout", 0, "--clip-norm", 0.1]
    train(run, text, tmp_path / "one", *options, "--update-freq", 2, base=ALL_ATTENTION)
    gates = train_in_two_processes(run, text, tmp_path / "two", *options, base=ALL_ATTENTION)
    one, two = (load(str(tmp_path / name / "checkpoint_last.pt"))["model"] for name in ("one", "two"))
    assert one["gates.logits"].std() > 1e-3  # they learned
    assert_two_did_what_one_did(one, two, gates)


# without a prior the logits start at 0: where they are is how far they went
CHOICE = [
    *("--heads-to-keep", 3, "--search-updates", 7, "--search-warmup-updates", 0, "--max-update", 7, "--dropout", 0),
    *("--uniform-prior", 0, "--pruning-lr", 0.2, "--fp16-init-scale", 4, "--no-save-optimizer-state"),
]


@pytest.mark.parametrize("base", [ALL_ATTENTION, TRANSFORMER], ids=["all-attention", "transformer"])
def test_half_precision_chooses_in_64_bit_as_full_precision_does(run, text, tmp_path, base):
    found = []
    for precision in ([], ["--memory-efficient-fp16"], ["--amp"]):
        train(run, text, tmp_path / str(len(found)), *CHOICE, *precision, base=base)
        found.append(load(str(tmp_path / str(len(found)) / "checkpoint_last.pt"))["model"])
    expected = found[0]["gates.logits"]
    assert expected.abs().max() > 0.5
    for model in found[1:]:
        assert model["gates.logits"].dtype == torch.float64 and float(model["gates.adam.steps"]) == 6
        assert torch.allclose(model["gates.logits"], expected, atol=0.05), (model["gates.logits"] - expected).abs()
        assert model["gates.kept.heads"].sum() == 3
    weight = found[1]["decoder.layers.0.self_attn.q_proj.weight"]
    assert torch.equal(weight, weight.half().float())  # it did train in half precision


def test_it_samples(run, text, all_attention):
    words = ["--task", "language_modeling", "--path", all_attention[0] / "checkpoint_last.pt", "--cpu"]
    done = run("fairseq-interactive", text.data_bin, "--user-dir", "dsp_fairseq", *words, "--max-len-b", 40,
               "--beam", 2, "--nbest", 2, "--sampling", "--sampling-topk", 5, input="the\n")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^H-0\t\S+\t(.*)$", done.stdout, re.M)
    assert len(found) == 2 and all(line.startswith("the") for line in found) and len(found[-1].split()) > 1


def continued(run, text, checkpoint, *options):
    """What fairseq-generate writes after the first words of lines: (score, words) by the number of the line."""
    done = run("fairseq-generate", text.data_bin, "--user-dir", "dsp_fairseq", "--task", "language_modeling",
               "--sample-break-mode", "eos", "--path", checkpoint, "--cpu", "--num-workers", 0, "--prefix-size", 3,
               "--num-shards", 20, "--max-tokens", 300, "--max-len-b", 12, *options)  # fmt: skip
    assert done.returncode == 0, done.stderr
    targets, found = (dict(re.findall(rf"^{letter}-(\d+)\t(.*)$", done.stdout, re.M)) for letter in "TH")
    split = {line: words.split("\t") for line, words in found.items()}
    assert found and all(split[line][1].split()[:3] == targets[line].split()[:3] for line in found)
    return {line: (float(score), words) for line, (score, words) in split.items()}


def assert_continued_alike(one, other):
    assert one.keys() == other.keys() and all(abs(one[line][0] - other[line][0]) <= 1e-3 for line in one)
    assert sum(one[line][1] == other[line][1] for line in one) >= 0.8 * len(one)  # equally good words may change places


def test_generate_continues_lines_with_masked_heads_as_with_removed_ones(run, text, all_attention, tmp_path):
    masked, small = all_attention[0] / "checkpoint_last.pt", tmp_path / "small.pt"
    assert run("dsp-fairseq", "prune", masked, small).returncode == 0
    assert_continued_alike(*(continued(run, text, path, "--beam", 2) for path in (masked, small)))
    drawn = [continued(run, text, small, "--beam", 1, "--sampling", "--seed", 5) for _ in range(2)]
    assert drawn[0] == drawn[1]


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
    assert_continued_alike(*(continued(run, text, path, "--beam", 2) for path in (gated, dense)))
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


DEEP = [*TRANSFORMER, "--decoder-layers", 3, "--decoder-normalize-before"]


def test_layers_are_chosen_removed_and_gone_from_the_stock_model(run, text, tmp_path):
    budget = ["--layers-to-keep", "decoder=2", "--heads-to-keep", 5, "--search-updates", 8, "--log-interval", 1]
    done = train(run, text, tmp_path / "run", *budget, "--save-interval-updates", 6, base=DEEP)
    lines = logged(done, "train_inner")
    assert [int(lines[at]["layers_kept"]) for at in (0, -1)] == [3, 2] and int(lines[-1]["heads_kept"]) == 5
    trained, small, dense = (tmp_path / name for name in ("run/checkpoint_last.pt", "small.pt", "dense.pt"))
    train(run, text, tmp_path / "on", *budget, "--restore-file", tmp_path / "run/checkpoint_1_6.pt", base=DEEP)
    assert_same_state(load(str(trained)), load(str(tmp_path / "on/checkpoint_last.pt")))
    done = run("dsp-fairseq", "prune", trained, small)
    assert done.returncode == 0 and "layers: 3 => 2 of 3" in done.stdout, done.stderr
    assert run("dsp-fairseq", "prune", trained, dense, "--dense").returncode == 0
    one, parameters, said = loss(run, text, trained, "--user-dir", "dsp_fairseq")
    assert "5 of 12 heads (decoder.self 5), 2 of 3 layers" in said
    other, fewer, _ = loss(run, text, dense)  # plain fairseq
    assert abs(one - other) <= 1e-3 and load(str(dense))["cfg"]["model"].decoder_layers == 2
    assert loss(run, text, small, "--user-dir", "dsp_fairseq")[:2] == (pytest.approx(one, abs=1e-3), parameters)
    assert parameters < fewer  # the heads that the stock model has as zeros
    train(run, text, tmp_path / "tuned", "--finetune-from-model", small, "--pruning-method", "none", base=DEEP)
    done = run("dsp-fairseq", "importance", dense, text.data_bin, tmp_path / "ranked.pt", "--layers-to-keep",
               "decoder=1", "--sentences", 20)  # fmt: skip
    assert done.returncode == 0 and "4 of 8 heads and 1 of 2 layers" in done.stdout, done.stderr
    done = run("dsp-fairseq", "bench", trained, "--data", text.data_bin, "--sentences", 4, "--rounds", 1, "--no-memory",
               "--beam", 1, "--max-len-b", 4, "--with", "stock", "masked", "removed")  # fmt: skip
    assert done.stdout.count("4 of 4 the same") == 2 and "WARNING" not in done.stderr, done.stderr
    assert re.search(r"\| removed +\| +5/12 +\| +2/3 ", done.stdout)


def test_movement_takes_weights_heads_and_hidden_units(run, text, tmp_path):
    train(run, text, tmp_path / "full", "--pruning-method", "none", base=TRANSFORMER)
    full, last = tmp_path / "full/checkpoint_last.pt", tmp_path / "run/checkpoint_last.pt"
    movement = ["--pruning-method", "movement", "--weights-to-keep", "30%", "--block-shape", "head", "--teacher", full]
    done = train(run, text, tmp_path / "run", *movement, "--finetune-from-model", full, base=TRANSFORMER)
    line = logged(done, "train_inner")[-1]
    assert float(line["weights_kept"]) == pytest.approx(0.3, abs=0.02) and int(line["ffn_kept"]) < 256
    small = tmp_path / "small.pt"
    done = run("dsp-fairseq", "prune", last, small)
    assert done.returncode == 0 and "the same logits as with the weights masked" in done.stdout, done.stderr
    one, _, said = loss(run, text, last, "--user-dir", "dsp_fairseq")
    other, fewer, _ = loss(run, text, small, "--user-dir", "dsp_fairseq")
    assert f"{line['kept_decoder_ffn']} of 256 hidden units" in said and fewer == total(load(str(small))["model"])
    assert abs(one - other) <= 1e-3 and int(line["kept_decoder_ffn"]) == kept_units(str(small)).per_kind["decoder.ffn"]
