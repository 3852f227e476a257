"""The commands of the README, as they stand there: stand-ins only for what the reader puts in."""

import re
import shlex
from pathlib import Path

import pytest

from dsp_fairseq.checkpoints.reading import kept_units

PROJECT = Path(__file__).resolve().parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
# "the rest as before": the heads of the README's model, otherwise small, and two updates
REST = """--encoder-embed-dim 32 --decoder-embed-dim 32 --encoder-ffn-embed-dim 32 --decoder-ffn-embed-dim 32
 --share-all-embeddings --label-smoothing 0.1 --optimizer adam --lr 3e-3 --lr-scheduler inverse_sqrt --max-tokens 800
 --max-update 2 --no-epoch-checkpoints --num-workers 0 --cpu""".split()


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.M | re.S).group(1)


def commands(text, *names):
    """Commands of these names in the code blocks of a text, each as a list of words, comments left out."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words and words[0] in names]


def rows(text):
    """(what you want, [what you say]) of the tables in a text: each code span of the second column."""
    cells = re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.M)
    return [(want, re.findall(r"`([^`]+)`", say)) for want, say in cells]


OWN_MODEL = section("Prune your own model")
SAID = [said for _, spans in rows(OWN_MODEL) for said in spans]
FLAGS = [said for said in SAID if said.startswith("--") and " " in said and "--model-overrides" not in said]
# with all optional parts; without them other tests run these commands
COMMANDS = [re.sub(r"[][]", "", said) for said in SAID if said.startswith("dsp-fairseq ")]
# so that they end soon
FEWER = {
    "bench": "--with masked removed --sentences 2 --rounds 1 --max-len-b 2".split(),
    "sweep": ["--dry-run"],
}


@pytest.fixture(scope="module")
def trained(run, corpus, tmp_path_factory):
    """The folder in which the first training and decoding of the section were run, and what decoding printed."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("fairseq-train", "fairseq-generate"):
        words = commands(OWN_MODEL, name)[0]
        done = run(name, *filled(words[1:], corpus), cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder, done.stdout + done.stderr


def filled(words, corpus, **stand_ins):
    """The words of a command, with what the reader would put in their place."""
    stand_ins = {"DATA": [corpus.data_bin], "...": REST, "dsp_fairseq": [PROJECT / "dsp_fairseq"], **stand_ins}
    return [said for word in words for said in stand_ins.get(word, [word])]


def last_checkpoint(trained):
    return trained[0] / "checkpoints" / "checkpoint_last.pt"


def test_the_section_has_commands_and_flags():
    assert len(commands(OWN_MODEL, "fairseq-train")) >= 3
    assert len(FLAGS) >= 5 and len(COMMANDS) >= 7


def test_training_and_decoding_a_model_of_ones_own(trained):
    assert kept_units(str(last_checkpoint(trained))).mask.sum() == 24
    assert "decoding with 24 of 72 heads" in trained[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_table(run, corpus, trained, tmp_path, command):
    name, *words = shlex.split(command)
    if words[0] == "export":
        pytest.importorskip("ctranslate2")
    config = tmp_path / "CONFIG.yaml"
    if words[0] == "sweep":
        sweep = (PROJECT / "examples" / "quickstart" / "sweep.yaml").read_text()
        there = re.sub("^data: .*", f"data: {corpus.data_bin}", sweep, flags=re.M)
        config.write_text(re.sub("sacrebleu: .*}", f"sacrebleu: {corpus.text / 'test.en'}}}", there))
    there = {"CKPT": [last_checkpoint(trained)], "LOGDIR": [trained[0] / "checkpoints"], "...": []}
    done = run(name, *filled(words, corpus, **there), *FEWER.get(words[0], []), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = {word for word in words if word in ("OUT", "FOLDER", "FILE.png", "CONFIG.yaml")}
    assert {path.name for path in tmp_path.iterdir()} == made


@pytest.mark.parametrize("said", FLAGS)
def test_flags_of_the_table_make_a_training(corpus, trained, said):
    """Parsed as fairseq-train does, and no problem for the model."""
    from fairseq import options

    from dsp_fairseq.options.problems import model_problems

    words = [*commands(OWN_MODEL, "fairseq-train")[0], *shlex.split(said)]
    if "pipelined" in said:  # "its weights" are those of the row above
        words += ["--finetune-from-model", "CKPT"]
    if "parameters" in said:  # the feed-forward blocks of the tests are narrower than a group of 64
        words += ["--ffn-group", "16"]
    counted = "--heads-to-keep-range" in said
    words = [word for word in words if not (counted and word in ("--heads-to-keep", "24"))]
    args = options.parse_args_and_arch(
        options.get_training_parser(), [*map(str, filled(words[1:], corpus, CKPT=[last_checkpoint(trained)]))]
    )
    assert model_problems(args) == []


def test_heads_of_a_trained_model_are_chosen_and_the_rest_is_trained_on(run, corpus, trained, tmp_path):
    """The three commands for a model that is there already, one after the other."""
    first, choose, remove, train_on = commands(OWN_MODEL, "fairseq-train", "dsp-fairseq")
    as_before = [word for word in filled(first[2:], corpus) if word not in ("--heads-to-keep", "24")]
    for name, *words in (choose, remove, train_on):
        there = {"...": as_before, "CKPT": [last_checkpoint(trained)]}
        few = ["--max-update", "4"] if name == "fairseq-train" else []
        done = run(name, *filled(words, corpus, **there), *few, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    kept = kept_units(str(tmp_path / "tuned" / "checkpoint_last.pt"))
    assert len(kept.mask) == kept.mask.sum() == 24
