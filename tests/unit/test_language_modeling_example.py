"""examples/language_modeling: how a text becomes lines, and the shapes that its scripts train."""

import gzip
import os
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from fairseq.models import ARCH_CONFIG_REGISTRY
from scripts_in_process import run_script

import dsp_fairseq  # noqa: F401 (registers)
from dsp_fairseq.families import inventory_of

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "language_modeling"
PARTS = ("train", "valid", "test")


def split(text, folder):
    done = run_script(EXAMPLE / "text.py", "split", text, folder)
    assert done.returncode == 0, done.returncode
    return {part: (folder / f"{part}.txt").read_text(encoding="utf-8").splitlines() for part in PARTS}


def test_paragraphs_become_lines_of_tokens_in_their_order(tmp_path):
    paragraphs = [f"Word{i}, of\nparagraph {i}." for i in range(40)]
    (tmp_path / "book.txt").write_text("\n\n".join(paragraphs) + "\n")
    found = split(tmp_path / "book.txt", tmp_path / "split")
    assert found["train"][0] == "Word0 , of paragraph 0 ." and found["test"][-1] == "Word39 , of paragraph 39 ."
    assert [line for part in PARTS for line in found[part]] == [f"Word{i} , of paragraph {i} ." for i in range(40)]
    assert [len(found[part]) for part in PARTS] == [36, 2, 2]


def test_a_text_without_empty_lines_has_a_paragraph_on_each(tmp_path):
    (tmp_path / "book.txt.gz").write_bytes(gzip.compress(b"".join(b"line %d\n" % i for i in range(40))))
    assert split(tmp_path / "book.txt.gz", tmp_path / "split")["train"][:2] == ["line 0", "line 1"]


def test_too_short_a_text_is_refused(tmp_path):
    (tmp_path / "book.txt").write_text("one\n\ntwo\n")
    done = run_script(EXAMPLE / "text.py", "split", tmp_path / "book.txt", tmp_path / "split")
    assert "too few for a" in str(done.returncode)


@pytest.mark.skipif("TOLSTOY_DIR" not in os.environ, reason="TOLSTOY_DIR is not set")
def test_the_text_of_a_novel(tmp_path):
    found = split(Path(os.environ["TOLSTOY_DIR"]) / "war-and-peace.txt.gz", tmp_path / "split")
    words = {part: sum(len(line.split()) for line in found[part]) for part in PARTS}
    assert words["train"] > 600_000 and 0.04 < words["valid"] / sum(words.values()) < 0.06
    assert max(len(line.split()) for line in found["train"]) > 100  # wrapped lines are joined


def shape(name, **more):
    args = Namespace(arch=name, _name=name, pruning_method="none", pruning_mode="joint", seed=1, **more)
    ARCH_CONFIG_REGISTRY[name](args)
    return args


def test_the_published_geometry():
    blocks = inventory_of(shape("all_attention_lm_wiki103")).blocks
    assert [(block.units, block.cost) for block in blocks] == [(8, 419_968)] * 16
    assert sum(block.units * block.cost for block in blocks) == 53_755_904  # 53.8 M are published, without embeddings


def test_both_small_models_have_as_many_weights_in_a_layer():
    own = sum(block.units * block.cost for block in inventory_of(shape("all_attention_lm_small")).blocks)
    script = (EXAMPLE / "train.sh").read_text(encoding="utf-8")
    words = script[
        script.index("--arch gated_transformer_lm ") : script.index(") ;;\n    all-attention-wiki103")
    ].split()
    given = {
        name: words[words.index(name) + 1] for name in words if name.startswith("--decoder") and "before" not in name
    }
    sizes = {name[2:].replace("-", "_"): int(value) for name, value in given.items()}
    other = inventory_of(shape("gated_transformer_lm", ffn_group=64, tokens_per_sample=256, **sizes)).blocks
    both = torch.tensor([own, sum(block.units * block.cost for block in other)], dtype=torch.float64)
    assert float(both.max() / both.min()) < 1.01
