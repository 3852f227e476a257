"""The main job, small but to the end: the model learns, and decodes with exactly K heads."""

import re

import pytest
import sacrebleu
from generated_corpus import build_corpus, shared

from dsp_fairseq.checkpoints.reading import kept_units

UPDATES, PAIRS, MERGES = 300, 6000, 600
TRAIN = """--user-dir dsp_fairseq --arch gated_transformer_tiny --task translation_pruning
 --criterion dsp_label_smoothed_cross_entropy --label-smoothing 0.1 --share-all-embeddings --dropout 0
 --optimizer adam --adam-betas (0.9,0.98) --lr 4e-3 --lr-scheduler inverse_sqrt --warmup-updates 120
 --max-tokens 1536 --disable-validation --no-epoch-checkpoints --no-save-optimizer-state --log-format json
 --log-interval 100 --num-workers 0 --seed 1""".split()


@pytest.fixture(scope="module")
def larger_corpus(tmp_path_factory):
    return build_corpus(shared(tmp_path_factory), PAIRS, MERGES)


def test_a_pruned_model_learns_and_keeps_exactly_k_heads(run, larger_corpus, tmp_path):
    options = ["--heads-to-keep", 12, "--max-update", UPDATES, "--save-dir", tmp_path]
    done = run("fairseq-train", larger_corpus.data_bin, *TRAIN, *options)
    assert done.returncode == 0, done.stderr
    checkpoint = tmp_path / "checkpoint_last.pt"
    assert kept_units(str(checkpoint)).mask.sum() == 12

    bleu, text = decode(run, larger_corpus, checkpoint)
    assert "12 of 36 heads" in text
    assert bleu > 75
    # the mask is what was trained: any other choice of the same size is far worse
    bleu_of_three, text = decode(run, larger_corpus, checkpoint, "{'heads_to_keep': 3}")
    assert "3 of 36 heads" in text
    assert bleu_of_three < bleu - 20


def decode(run, corpus, checkpoint, overrides="{}"):
    done = run(
        "fairseq-generate", corpus.data_bin, "--user-dir", "dsp_fairseq", "--path", checkpoint, "--beam", 4,
        "--remove-bpe", "--max-len-b", 60, "--model-overrides", overrides,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    hypotheses = dict(re.findall(r"^H-(\d+)\t\S+\t(.*)$", done.stdout, re.MULTILINE))
    ordered = [hypotheses[key] for key in sorted(hypotheses, key=int)]
    references = (corpus.text / "test.en").read_text(encoding="utf-8").splitlines()
    return sacrebleu.corpus_bleu(ordered, [references]).score, done.stdout + done.stderr
