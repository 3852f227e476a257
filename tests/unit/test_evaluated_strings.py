"""No string of a checkpoint, a command line or an archive is run as code or leads outside its folder."""

import ast
import contextlib
import io
import os
import sys
import tarfile
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils, options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.file_utils import load_archive_file
from fairseq_commands import run
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from tiny_corpus import write_dictionaries

import dsp_fairseq
import dsp_fairseq_startup
from dsp_fairseq_startup.checkpoints import overrides as checked
from dsp_fairseq_startup.errors import BadCheckpoint, WrongUse
from dsp_fairseq_startup.options.plain_values import NotAPlainValue, plain_value

TINY = "--encoder-embed-dim 8 --decoder-embed-dim 8 --encoder-ffn-embed-dim 8 --decoder-ffn-embed-dim 8".split()
ARCHITECTURES = {
    "transformer": ["--task", "translation", *TINY, "--encoder-layers", "1", "--decoder-layers", "1"],
    "gated_transformer": [
        *("--task", "translation_pruning", "--criterion", "dsp_label_smoothed_cross_entropy", *TINY),
        *("--encoder-layers", "1", "--decoder-layers", "1", "--pruning-method", "uniform", "--heads-to-keep", "3"),
    ],
    "fconv": [
        *("--task", "translation", "--encoder-embed-dim", "8"),
        *("--decoder-embed-dim", "8", "--decoder-out-embed-dim", "8"),
        *("--encoder-layers", "[(8, 3)] * 2", "--decoder-layers", "[(8, 3)] + [(8, 1)]"),
    ],
    "transformer_lm": [
        *("--task", "language_modeling", "--decoder-embed-dim", "8", "--decoder-ffn-embed-dim", "8"),
        *("--decoder-layers", "1", "--decoder-attention-heads", "2"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dictionaries(tmp_path_factory.mktemp("data"))


def checkpoint(architecture, data):
    """A checkpoint as fairseq writes it, in memory."""
    arguments = [str(data), "--arch", architecture, *ARCHITECTURES[architecture]]
    if "translation" in " ".join(arguments):
        arguments += ["--source-lang", "de", "--target-lang", "en"]
    arguments = options.parse_args_and_arch(options.get_training_parser(), arguments)
    vars(arguments).pop("save_dir")  # with it the options would be those of a command line
    config = convert_namespace_to_omegaconf(arguments)
    model = tasks.setup_task(config.task).build_model(config.model)
    return {
        "args": None,
        "cfg": OmegaConf.to_container(config),
        "model": model.state_dict(),
        "optimizer_history": [
            {"criterion_name": "C", "optimizer_name": "O", "lr_scheduler_state": {}, "num_updates": 1}
        ],
        "extra_state": {"train_iterator": {"epoch": 1}},
        "task_state": {},
    }


def places(options):
    """Where a configuration holds a value: the container, and the name in it."""
    values = vars(options) if isinstance(options, Namespace) else options
    for name, value in list(values.items()):
        if isinstance(value, (dict, Namespace)):
            yield from places(value)
        else:
            yield values, name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_string_of_a_checkpoint_is_run(architecture, data, tmp_path):
    """With DSP_EVERY_PLACE=1 in all groups of the configuration, more than 300 places an architecture.

    Otherwise options that gated_transformer has from transformer are tried with the latter alone: see the next test.
    """
    state, marker, file = checkpoint(architecture, data), tmp_path / "marker", tmp_path / "checkpoint.pt"
    torch.save(state, file)
    checkpoint_utils.load_model_ensemble_and_task([str(file)])  # as it is, it loads
    every_place = os.environ.get("DSP_EVERY_PLACE")
    groups = state["cfg"] if every_place else {"model": state["cfg"]["model"]}
    inherited = checkpoint("transformer", data)["cfg"]["model"] if architecture == "gated_transformer" else {}
    tried = 0
    for values, name in list(places(groups)):
        if name in inherited and not every_place:
            continue
        kept, values[name] = values[name], f"[open({str(marker)!r}, 'w')]"
        torch.save(state, file)
        values[name] = kept
        with contextlib.suppress(Exception):  # other tests say what is refused, and with which message
            checkpoint_utils.load_model_ensemble_and_task([str(file)])
        assert not marker.exists(), name
        tried += 1
    assert tried >= 20


def test_nothing_of_ours_runs_a_string():
    folders = [Path(package.__file__).parent for package in (dsp_fairseq, dsp_fairseq_startup)]
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for folder in folders for path in folder.rglob("*.py")}
    names = [(path, node.id) for path, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.Name)]
    assert len(trees) > 150
    assert [(path, name) for path, name in names if name in ("eval", "exec")] == []


def test_every_module_of_fairseq_has_it_in_place_of_eval():
    import fairseq_cli.eval_lm
    import fairseq_cli.validate  # noqa: F401

    loaded = {name: module for name, module in sys.modules.items() if name.split(".")[0] in ("fairseq", "fairseq_cli")}
    assert len(loaded) > 200
    assert [name for name, module in loaded.items() if getattr(module, "eval", None) is not plain_value] == []


literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(literals)
def test_a_literal_keeps_its_value(value):
    assert plain_value(repr(value)) == value
    assert type(plain_value(repr(value))) is type(value)


@given(st.lists(st.tuples(st.integers(1, 4096), st.integers(1, 9)), max_size=3), st.integers(0, 20))
def test_lists_are_added_and_repeated(layers, times):
    assert plain_value(f"{layers} * {times} + {layers}") == layers * times + layers


CODE = [
    "open('x', 'w')", "[open('x', 'w')]", "(1).__class__", "[i for i in (1,)]", "lambda: 1", "f'{1}'", "x",
    "1 if 1 else 2", "2 ** 9", "[0] * 10 ** 9", "[0] * 99999 * 99999", "9999 * ([0] * 9999)", "", "(" * 3000,
    "[" * 3000 + "]" * 3000, "\0", "__import__('os').system('true')", "9" * 9999,
]  # fmt: skip


@pytest.mark.parametrize("text", CODE, ids=lambda text: text[:20].replace("\0", "NUL"))
def test_code_is_refused_in_one_line(text):
    with pytest.raises(NotAPlainValue) as refusal:
        plain_value(text)
    assert "must be a plain value" in str(refusal.value)
    assert len(str(refusal.value)) < 300 and len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["../outside", "folder/../../outside", "link"])
def test_an_archive_stays_in_its_folder(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as writer:
        member = tarfile.TarInfo(name)
        if name == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "../../outside"
        else:
            member.size = 1
        writer.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(BadCheckpoint, match="model.tar.gz: refused, because"):
        load_archive_file(str(archive))
    assert archive.exists() and not list(tmp_path.rglob("outside*"))


def test_an_ordinary_archive_is_extracted(tmp_path):
    archive = tmp_path / "model.tar.gz"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "model.pt").write_text("weights")
    with tarfile.open(archive, "w:gz") as writer:
        writer.add(tmp_path / "folder", "folder")
    assert (tmp_path.__class__(load_archive_file(str(archive))) / "model.pt").read_text() == "weights"


@pytest.fixture(scope="module")
def file(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("overrides") / "checkpoint.pt"
    torch.save(checkpoint("gated_transformer", data), path)
    return str(path)


class TestModelOverrides:
    def decode(self, overrides, file, main=lambda config: "decoded"):
        config = Namespace(common_eval=Namespace(model_overrides=overrides, path=file))
        return checked.refuse_unknown_overrides(main, config)

    @pytest.mark.parametrize(
        "overrides", ["{}", "", "{'heads_to_keep': 2}", "{'dropout': 0.1, 'data': 'x', 'beam': 3}"]
    )
    def test_options_of_the_checkpoint_pass(self, overrides, file):
        assert self.decode(overrides, file) == "decoded"

    def test_all_unknown_ones_are_refused_at_once(self, file):
        with pytest.raises(WrongUse) as refusal:
            self.decode("{'head_to_keep': 2, 'heads-to-keep': 2, 'dropout': 0, 'zzz': 1}", file)
        assert str(refusal.value).startswith(
            f"--model-overrides: {file} has no option head_to_keep (did you mean heads_to_keep?), heads-to-keep "
            "(did you mean heads_to_keep?), zzz; "
        )

    def test_nothing_is_meant_that_only_shares_some_letters(self, tmp_path):
        path = str(tmp_path / "stock.pt")
        torch.save({"cfg": {"model": Namespace(eos_token=1, dropout=0.1)}}, path)
        with pytest.raises(WrongUse, match="has no option heads_to_keep; "):
            self.decode("{'heads_to_keep': 4}", path)

    @pytest.mark.parametrize("overrides", ["3", "[1]", "{1: 2}", "heads_to_keep=3", "{'a': open('x')}", "{" * 3000])
    def test_what_is_no_dictionary_is_refused(self, overrides, file):
        with pytest.raises(WrongUse, match="^--model-overrides .*must be a"):
            self.decode(overrides, file)

    def test_a_file_that_cannot_be_read_is_left_to_those_who_read_it(self, tmp_path):
        assert self.decode("{'heads_to_keep': 2}", str(tmp_path / "none.pt")) == "decoded"

    @pytest.mark.parametrize("command", ["generate", "interactive", "validate", "eval_lm"])
    def test_the_commands_have_it(self, command, monkeypatch, capsys):
        arguments = ("data", "--path", "x.pt", "--model-overrides", "code()")
        status, (error,) = run(command, *arguments, monkeypatch=monkeypatch, capsys=capsys)
        assert status == 2 and "--model-overrides 'code()': must be a plain value" in error
