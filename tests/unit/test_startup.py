"""The start-up hook: what it does at start, to dataclasses, checkpoints, messages and errors of fairseq."""

import argparse
import dataclasses
import os
import pickle
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy
import pytest
import torch

import dsp_fairseq_startup
from dsp_fairseq_startup import (
    BadCheckpoint,
    checkpoints,
    console,
    dataclass_defaults,
    hydra_errors,
    hydra_plugins,
    numpy_names,
    quiet,
    safe_load,
    wrong_use,
)

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "fairseq", "fairseq_cli", "hydra", "omegaconf", "numpy", "dsp_fairseq"}


def run_python(code, *options):
    result = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return result.stdout


class TestStart:
    def test_the_hook_is_active_and_has_imported_nothing_heavy(self):
        loaded = set(run_python("import sys; print(*sys.modules)").split())
        assert "dsp_fairseq_startup" in loaded
        assert not HEAVY & {name.partition(".")[0] for name in loaded}

    def test_the_hook_imports_no_other_module_at_all(self):
        code = "import sys; before = set(sys.modules); import dsp_fairseq_startup; print(*set(sys.modules) - before)"
        assert run_python(code, "-S").split() == ["dsp_fairseq_startup"]

    def test_mended_modules_exist(self):
        for mend in set(" ".join(dsp_fairseq_startup.MENDS_BY_MODULE.values()).split()):
            module = __import__(f"dsp_fairseq_startup.{mend}", fromlist=["mend"])
            assert callable(module.mend)

    def test_other_packages_are_left_to_the_other_finders(self):
        finder = dsp_fairseq_startup.MendingFinder()
        assert finder.find_spec("fairseqx") is None
        assert finder.find_spec("json.decoder", json_path()) is None

    def test_a_mended_module_keeps_its_source(self):
        import inspect

        from fairseq import checkpoint_utils

        assert "def load_checkpoint_to_cpu" in inspect.getsource(checkpoint_utils)


def json_path():
    import json

    return json.__path__


@pytest.mark.skipif(sys.version_info < (3, 11), reason="older Pythons accept such defaults from anyone")
class TestDataclassDefaults:
    def define(self, package):
        inner = dataclasses.make_dataclass("Inner", [("x", int, 1)])
        inner.__module__ = f"{package}.config"
        namespace = {"__annotations__": {"inner": inner}, "inner": inner(), "__module__": f"{package}.config"}
        return dataclasses.dataclass(type("Outer", (), namespace))

    @pytest.mark.parametrize("package", ["fairseq", "hydra"])
    def test_of_fairseq_and_hydra_are_accepted_while_importing(self, package):
        with dataclass_defaults.hashable_defaults():
            outer = self.define(package)
        assert outer().inner.x == 1

    @pytest.mark.parametrize("package", ["mypackage", "fairseq_plugin", "omegaconf"])
    def test_of_others_are_refused_even_then(self, package):
        with dataclass_defaults.hashable_defaults(), pytest.raises(ValueError, match="mutable default"):
            self.define(package)

    def test_of_fairseq_are_refused_afterwards(self):
        import fairseq  # noqa: F401

        assert dataclasses._get_field is dataclass_defaults._original_get_field
        with pytest.raises(ValueError, match="mutable default"):
            self.define("fairseq")

    def test_nested_and_failing_imports_end_well(self):
        with pytest.raises(ImportError):
            with dataclass_defaults.hashable_defaults():
                with dataclass_defaults.hashable_defaults():
                    pass
                self.define("fairseq")
                raise ImportError
        assert dataclasses._get_field is dataclass_defaults._original_get_field


class MarkerMaker:
    """Unpickled without protection, this creates a file: harmless, but any code could stand there."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, "w")


def write_with_torch(content, path):
    torch.save(content, path)


def write_with_old_torch(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def write_with_pickle(content, path, protocol=2):
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol)


def load(path):
    from fairseq.checkpoint_utils import load_checkpoint_to_cpu

    return load_checkpoint_to_cpu(str(path))


class TestCheckpoints:
    @pytest.mark.parametrize("write", [write_with_torch, write_with_old_torch, write_with_pickle])
    def test_a_foreign_pickle_is_refused_and_not_run(self, tmp_path, write):
        marker, path = tmp_path / "marker", tmp_path / "evil.pt"
        write({"model": {}, "args": MarkerMaker(marker)}, path)
        with pytest.raises(BadCheckpoint) as refusal:
            load(path)
        assert not marker.exists()
        message = str(refusal.value)
        assert str(path) in message and "io.open" in message and "refused" in message
        assert "\n" not in message

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_no_way_of_pickling_gets_through(self, tmp_path, protocol):
        write_with_pickle({"model": MarkerMaker(tmp_path / "marker")}, tmp_path / "evil.pt", protocol)
        with pytest.raises(BadCheckpoint):
            load(tmp_path / "evil.pt")
        assert not (tmp_path / "marker").exists()

    def test_the_foreign_pickle_of_these_tests_would_run(self, tmp_path):
        path = tmp_path / "evil.pkl"
        write_with_pickle(MarkerMaker(tmp_path / "marker"), path)
        pickle.loads(path.read_bytes()).close()
        assert (tmp_path / "marker").exists()

    @pytest.mark.parametrize("length", [0, 1, 100, 0.5, -1])
    @pytest.mark.parametrize("write", [write_with_torch, write_with_old_torch])
    def test_a_truncated_file_is_refused(self, tmp_path, write, length):
        whole, cut = tmp_path / "whole.pt", tmp_path / "cut.pt"
        write({"model": {"weight": torch.ones(1000)}, "args": argparse.Namespace(arch="transformer")}, whole)
        content = whole.read_bytes()
        cut.write_bytes(content[: int(length * len(content)) if isinstance(length, float) else length])
        with pytest.raises(BadCheckpoint, match=f"{re.escape(str(cut))}: damaged, or not a checkpoint"):
            load(cut)

    def test_a_text_file_is_refused(self, tmp_path):
        path = tmp_path / "text.pt"
        path.write_text("hello\n")
        with pytest.raises(BadCheckpoint, match="not a checkpoint at all"):
            load(path)

    @pytest.mark.parametrize(
        "content, missing",
        [([1], "model"), ({"weights": torch.ones(2)}, "model"), (torch.ones(2), "model"), ({"model": {}}, "optimizer_history")],
    )
    def test_a_file_that_fairseq_did_not_write_is_refused(self, tmp_path, content, missing):
        write_with_torch(content, tmp_path / "other.pt")
        with pytest.raises(BadCheckpoint, match=f"other.pt: has no {missing} in it"):
            load(tmp_path / "other.pt")

    def test_a_missing_file_is_no_bad_checkpoint(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "nothing.pt")

    def test_what_training_writes_comes_back(self, tmp_path):
        from omegaconf import OmegaConf

        state = {
            "model": {"weight": torch.arange(3)},
            "args": argparse.Namespace(arch="lstm"),
            "optimizer_history": [],
            "counts": numpy.array([1, 2]),
            "ratio": numpy.float64(0.5),
            "options": argparse.Namespace(arch="transformer"),
            "config": OmegaConf.create({"task": {"data": "x"}, "lr": [0.1]}),
        }
        write_with_torch(state, tmp_path / "good.pt")
        with open(tmp_path / "good.pt", "rb") as file:
            loaded = checkpoints.load_checkpoint(file)
        assert loaded["model"]["weight"].tolist() == [0, 1, 2]
        assert loaded["counts"].tolist() == [1, 2] and loaded["ratio"] == 0.5
        assert loaded["options"] == state["options"] and loaded["config"] == state["config"]

    def test_the_allow_list_is_as_short_as_it_was(self):
        """Every new entry widens what a stranger's file can do: think twice, then change this list."""
        names = {name_of(entry) for entry in safe_load.allowed_globals()}
        assert names == {
            "argparse.Namespace",
            "numpy.ndarray",
            "numpy.dtype",
            "numpy.dtypes.Float64DType",
            "numpy.dtypes.Int64DType",
            "numpy._core.multiarray.scalar",
            "numpy._core.multiarray._reconstruct",
            "numpy.core.multiarray.scalar",
            "numpy.core.multiarray._reconstruct",
            "omegaconf.dictconfig.DictConfig",
            "omegaconf.listconfig.ListConfig",
            "omegaconf.base.ContainerMetadata",
            "omegaconf.base.Metadata",
            "omegaconf.nodes.AnyNode",
            "builtins.dict",
            "builtins.list",
            "builtins.int",
            "collections.defaultdict",
            "typing.Any",
        }

    def test_the_allow_list_ends_with_the_call(self, tmp_path):
        before = set(torch.serialization.get_safe_globals())  # torch adds its own, in any order
        write_with_torch({"args": argparse.Namespace()}, tmp_path / "good.pt")
        assert safe_load.load(tmp_path / "good.pt")["args"] == argparse.Namespace()
        assert set(torch.serialization.get_safe_globals()) == before

    def test_the_protection_is_never_switched_off(self):
        forbidden = re.compile(r"weights_only\W{0,3}=\W{0,3}False")
        ours = [ROOT / name for name in ("dsp_fairseq", "dsp_fairseq_startup", "scripts", "examples", "benchmarks", "tests")]
        files = [path for folder in ours for path in folder.rglob("*") if path.suffix in (".py", ".sh", ".md")]
        assert len(files) > 20
        assert [str(path) for path in files if path != Path(__file__) and forbidden.search(path.read_text())] == []


def name_of(entry):
    if isinstance(entry, tuple):
        return entry[1]
    return f"{entry.__module__}.{entry.__name__}"


class TestBroadcasts:
    def test_a_checkpoint_sent_between_processes_is_unpacked_with_the_allow_list(self, tmp_path):
        from fairseq.distributed import utils

        path = tmp_path / "sent.pt"
        sent = {"args": argparse.Namespace(arch="transformer"), "model": utils._TensorPlaceholder(0)}
        write_with_torch(sent, path)
        assert utils.torch.load(path) == sent
        write_with_torch(MarkerMaker(tmp_path / "marker"), path)
        with pytest.raises(pickle.UnpicklingError):
            utils.torch.load(path)
        assert utils.torch.nn is torch.nn


class MeantForTheUser(ValueError):
    exit_code = 2


class OtherStatus(ValueError):
    exit_code = 1


def raising(error, cause=None):
    def command():
        raise error from cause

    return console.with_one_line_errors(command, "fairseq-train")


class TestConsole:
    @pytest.fixture(autouse=True)
    def no_debugging(self, monkeypatch):
        monkeypatch.delenv("DSP_DEBUG", raising=False)

    def exits(self, command, capsys):
        with pytest.raises(SystemExit) as exit:
            command()
        return exit.value.code, capsys.readouterr().err.splitlines()

    def test_one_line_and_status_of_an_error_for_the_user(self, capsys):
        assert self.exits(raising(MeantForTheUser("no K")), capsys) == (2, ["fairseq-train: error: no K"])
        assert self.exits(raising(OtherStatus("failed")), capsys) == (1, ["fairseq-train: error: failed"])

    def test_one_line_per_problem(self, capsys):
        status, lines = self.exits(raising(MeantForTheUser("no K\nno T")), capsys)
        assert lines == ["fairseq-train: error: no K", "fairseq-train: error: no T"]

    def test_an_error_that_fairseq_wrapped_is_still_for_the_user(self, capsys):
        def load():
            try:
                raise MeantForTheUser("other heads")
            except Exception:
                raise Exception("Cannot load model parameters from checkpoint x.pt")

        wrapped = console.with_one_line_errors(load, "fairseq-train")
        assert self.exits(wrapped, capsys) == (2, ["fairseq-train: error: other heads"])
        explicit = raising(RuntimeError("outer"), MeantForTheUser("inner"))
        assert self.exits(explicit, capsys) == (2, ["fairseq-train: error: inner"])

    @pytest.mark.parametrize("error", [RuntimeError("size mismatch"), KeyError("x"), AssertionError("internal")])
    def test_other_errors_keep_their_traceback(self, error):
        with pytest.raises(type(error)):
            raising(error)()

    def test_an_instance_is_no_class(self):
        error = RuntimeError("killed")
        error.exit_code = 3  # torch gives its own errors such attributes
        with pytest.raises(RuntimeError):
            raising(error)()

    def test_debugging_brings_back_the_traceback(self, monkeypatch):
        monkeypatch.setenv("DSP_DEBUG", "1")
        with pytest.raises(MeantForTheUser):
            raising(MeantForTheUser("no K"))()

    def test_a_child_that_said_so_is_not_repeated(self, capsys):
        from torch.multiprocessing import ProcessExitedException

        for status in (1, 2):
            child = ProcessExitedException("process 0 terminated", error_index=0, error_pid=1, exit_code=status)
            assert self.exits(raising(child), capsys) == (status, [])
        killed = ProcessExitedException("process 0 terminated", error_index=0, error_pid=1, exit_code=-9)
        with pytest.raises(ProcessExitedException):
            raising(killed)()

    def test_a_command_that_succeeds_returns_its_value(self):
        assert console.with_one_line_errors(lambda: 7, "fairseq-train")() == 7

    def test_every_command_is_wrapped(self):
        import importlib

        for module, mends in dsp_fairseq_startup.MENDS_BY_MODULE.items():
            if "console" in mends.split():
                assert hasattr(importlib.import_module(module).cli_main, "__wrapped__"), module


class TestWrongUse:
    @pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("x"), OSError("disk"), Exception("x"), ValueError("x")])
    def test_unknown_errors_have_no_explanation(self, error):
        assert explanation(error) is None

    def test_a_missing_file_is_named(self):
        assert "train.de: no such file" in explanation(FileNotFoundError(2, "No such file or directory", "train.de"))

    def test_a_missing_package_is_named(self):
        assert explanation(ImportError("\n\nPlease install apex\n\n  pip ")) == "Please install apex pip"
        assert explanation(ImportError("cannot import name 'x' from 'y'")) is None

    def test_what_fairseq_says_well_is_kept_on_one_line(self):
        message = "The dataset is empty. This could\nindicate"
        assert explanation(Exception(message)) == "The dataset is empty. This could indicate"

    def test_a_missing_checkpoint_is_named(self):
        message = explanation(IOError("Model file not found: x.pt"))
        assert message.startswith("checkpoint x.pt does not exist")


def explanation(error):
    try:
        raise error
    except Exception as raised:
        return wrong_use.explain(raised)


class TestQuiet:
    def shown(self, message, category, module):
        with warnings.catch_warnings(record=True) as caught:
            warnings.resetwarnings()
            warnings.simplefilter("always")
            quiet.silence_known_messages()
            warnings.warn_explicit(message, category, "file.py", 1, module=module)
        return len(caught) == 1

    KNOWN = [
        (
            "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used.",
            UserWarning,
            "torch.utils.data.dataloader",
        ),
        ("`torch.cuda.amp.autocast(args...)` is deprecated. Please use", FutureWarning, "fairseq.tasks.fairseq_task"),
        (
            "Support for mismatched key_padding_mask and attn_mask is deprecated. Use same type for both instead.",
            UserWarning,
            "torch.nn.functional",
        ),
        ("invalid escape sequence '\\d'", SyntaxWarning, "/venv/lib/python3.12/site-packages/fairseq/models/x"),
        ('"\\d" is an invalid escape sequence. Such', SyntaxWarning, "/venv/lib/python3.14/site-packages/fairseq/models/x"),
    ]

    @pytest.mark.parametrize("message, category, module", KNOWN)
    def test_known_ones_are_silent(self, message, category, module):
        assert not self.shown(message, category, module)

    @pytest.mark.parametrize("message, category, module", KNOWN)
    def test_the_same_words_from_elsewhere_are_shown(self, message, category, module):
        assert self.shown(message, category, "mypackage.module")
        assert self.shown(message, category, "/home/me/dsp_fairseq/module")

    @pytest.mark.parametrize("message, category, module", KNOWN)
    def test_other_words_of_the_same_module_are_shown(self, message, category, module):
        assert self.shown("this loses your data", category, module)

    def test_log_lines(self, caplog):
        import logging

        quiet.silence_known_messages()
        logger = logging.getLogger("fairseq.tasks.text_to_speech")
        with caplog.at_level(logging.INFO, logger=logger.name):
            logger.info("Please install tensorboardX: pip install tensorboardX")
            logger.info("speaking")
        assert [record.getMessage() for record in caplog.records] == ["speaking"]

    def test_log_lines_that_need_be_said_once_only(self):
        """In a process of its own, where nobody has said them yet."""
        code = (
            "from fairseq.logging import progress_bar as bars\n"
            "bars.SummaryWriter = bars.wandb = bars.get_aim_run = bars.Run = None\n"
            "for _ in range(3):\n"
            "    bars.progress_bar([], 'simple', tensorboard_logdir='x', wandb_project='x', aim_repo='x', azureml_logging=True)\n"
            "    bars.logger.warning('other')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        said = [line.rpartition(" | ")[2] for line in done.stderr.splitlines()]
        assert said[4:] == ["other", "other", "other"]
        for option in ("--tensorboard-logdir", "--wandb-project", "--aim-repo", "--azureml-logging"):
            assert [line.partition(":")[0] for line in said].count(option) == 1


class TestSmallMends:
    def test_hydra_finds_plugins_without_find_module(self):
        import json

        found = {
            name: finder.find_module(name).load_module(name)
            for finder, name, _ in hydra_plugins._PkgutilWithFindModule.walk_packages(json.__path__, "json.")
        }
        assert found["json.decoder"] is json.decoder

    def test_hydra_prints_errors(self, capsys):
        utils = types.SimpleNamespace()
        hydra_errors.mend(utils)
        utils.print_exception(etype=None, value=ValueError("the real error"), tb=None)
        assert "ValueError: the real error" in capsys.readouterr().err

    def test_old_names_of_numpy(self):
        module = types.SimpleNamespace(np=numpy)
        numpy_names.mend(module)
        assert (module.np.int, module.np.float, module.np.compat.long) == (int, float, int)
        assert module.np.zeros is numpy.zeros and not hasattr(numpy, "compat" if numpy.__version__ >= "2" else "no")

    def test_batches_in_buckets_of_length(self):
        """`--num-batch-buckets` needs `np.compat.long`."""
        from fairseq.data import Dictionary, LanguagePairDataset

        words = Dictionary()
        sentences = [torch.tensor([4] * length + [2]) for length in (3, 5)]
        data = LanguagePairDataset(sentences, numpy.array([4, 6]), words, sentences, numpy.array([4, 6]), words, num_buckets=1)
        assert sorted(data.ordered_indices().tolist()) == [0, 1]

    def test_stock_encoder_layers_take_the_path_that_works(self):
        from fairseq.models.transformer import TransformerConfig
        from fairseq.modules.transformer_layer import TransformerEncoderLayerBase

        config = TransformerConfig()
        config.encoder.embed_dim, config.encoder.ffn_embed_dim, config.encoder.attention_heads = 8, 8, 2
        layer = TransformerEncoderLayerBase(config).eval()
        layer.load_state_dict(layer.state_dict())  # only weights that came from a file take that path
        padding = torch.tensor([[False, False, True]])
        with torch.no_grad():
            assert layer(torch.randn(3, 1, 8), padding).shape == (3, 1, 8)

    def test_validation_finds_its_task(self):
        from fairseq import options

        arguments = options.parse_args_and_arch(options.get_validation_parser(), ["data", "--path", "x.pt"])
        assert arguments.task == "translation" and arguments.data == "data"

    @pytest.mark.skipif(sys.version_info < (3, 13), reason="typing.io is still there")
    def test_typing_io_is_back(self):
        import fairseq  # noqa: F401
        from typing.io import TextIO  # noqa: F401


def test_environment_of_these_tests_has_the_hook_from_this_checkout():
    assert Path(dsp_fairseq_startup.__file__).parent == ROOT / "dsp_fairseq_startup", os.environ.get("PYTHONPATH")
