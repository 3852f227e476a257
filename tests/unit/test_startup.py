"""The start-up hook: what it does at start, to dataclasses, checkpoints, messages and errors of fairseq."""

import argparse
import dataclasses
import errno
import importlib.util
import os
import pickle
import re
import resource
import sys
import types
import warnings
from pathlib import Path

import folder_lock
import numpy
import pytest
import torch

import dsp_fairseq_startup
from dsp_fairseq_startup import checkpoints, console, loading, logs, mending
from dsp_fairseq_startup.checkpoints import safe_load
from dsp_fairseq_startup.errors import BadCheckpoint, NotWritten, WrongUse
from dsp_fairseq_startup.explanations import explain
from dsp_fairseq_startup.options import user_dir
from dsp_fairseq_startup.training import one_folder
from dsp_fairseq_startup.versions import dataclass_defaults, hydra, libraries

ROOT = Path(__file__).resolve().parents[2]


class TestStart:
    def test_every_file_with_a_mend_is_read(self):
        folder = Path(dsp_fairseq_startup.__file__).parent
        declaring = {
            ".".join(path.relative_to(folder).with_suffix("").parts)
            for path in folder.rglob("*.py")
            if re.search(r"^@(mend|around)\(", path.read_text(), re.MULTILINE)
        }
        assert declaring == set(loading.FILES)

    def test_every_mend_fits_its_module(self, caplog):
        for name in mending.MENDS:
            importlib.import_module(name)
        assert [
            record.getMessage() for record in caplog.records if "left without the mend" in record.getMessage()
        ] == []

    def test_other_packages_are_left_to_the_other_finders(self):
        finder = dsp_fairseq_startup.MendingFinder()
        assert finder.find_spec("fairseqx") is None
        assert finder.find_spec("json.decoder", json_path()) is None

    def test_another_finder_that_asks_the_others(self, monkeypatch):
        """Each of the two must not ask the other in turn, without end."""

        class Another:
            def find_spec(self, name, path=None, target=None):
                found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
                return next((spec for spec in found if spec is not None), None)

        ours, last = dsp_fairseq_startup.MendingFinder(), importlib.machinery.PathFinder
        for finders in ([Another(), ours, last], [ours, Another(), last], [type(ours)(), ours, last]):
            monkeypatch.setattr(sys, "meta_path", finders)
            spec = ours.find_spec("hydra.utils", importlib.import_module("hydra").__path__)
            assert type(spec.loader).__name__ == "MendingLoader" and spec.origin.endswith("utils.py")

    def test_a_second_copy_mends_nothing_twice(self, monkeypatch):
        monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
        before = len(sys.meta_path)
        path = dsp_fairseq_startup.__file__
        spec = importlib.util.spec_from_file_location(
            "a_copy", path, submodule_search_locations=[str(Path(path).parent)]
        )
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        assert len(sys.meta_path) == before

    def test_a_module_without_the_mended_name_is_reported_in_one_line_and_left(self, caplog):
        for name in mending.MENDS:
            loading.apply_mends(types.ModuleType(name))
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) > 10 and not any("\n" in line for line in lines)
        assert any(line.startswith("fairseq.options is not as in fairseq 0.12.2 (AttributeError: ") for line in lines)
        assert any(
            line.endswith("left without the mend dsp_fairseq_startup.options.command_line.help_with_all_flags")
            for line in lines
        )

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
        with pytest.raises(ImportError), dataclass_defaults.hashable_defaults():
            with dataclass_defaults.hashable_defaults():
                pass
            self.define("fairseq")
            raise ImportError
        assert dataclasses._get_field is dataclass_defaults._original_get_field


class MarkerMaker:
    """Creates a file when it is unpickled without protection, as any other code could run then."""

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
        [
            ([1], "model"),
            ({"weights": torch.ones(2)}, "model"),
            (torch.ones(2), "model"),
            ({"model": {}}, "optimizer_history"),
        ],
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
        """Every new entry lets a stranger's file do more: think twice before you change this list."""
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
        ours = [
            ROOT / name for name in ("dsp_fairseq", "dsp_fairseq_startup", "scripts", "examples", "benchmarks", "tests")
        ]
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
        _status, lines = self.exits(raising(MeantForTheUser("no K\nno T")), capsys)
        assert lines == ["fairseq-train: error: no K", "fairseq-train: error: no T"]

    def test_an_error_that_fairseq_wrapped_is_still_for_the_user(self, capsys):
        def load():
            try:
                raise MeantForTheUser("other heads")
            except Exception:
                raise Exception("Cannot load model parameters from checkpoint x.pt")  # noqa: B904 (as fairseq does)

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

        child = ProcessExitedException("process 0 terminated", error_index=0, error_pid=1, exit_code=2)
        assert self.exits(raising(child), capsys) == (2, [])
        full = ProcessExitedException("process 0 terminated", error_index=0, error_pid=1, exit_code=1)
        assert self.exits(raising(full), capsys) == (1, [])
        crashed = ProcessExitedException("process 0 terminated", error_index=0, error_pid=1, exit_code=3)
        with pytest.raises(ProcessExitedException):
            raising(crashed)()

    def test_a_child_that_was_killed_is_reported(self, capsys):
        from torch.multiprocessing import ProcessExitedException

        killed = ProcessExitedException("terminated", error_index=0, error_pid=1, exit_code=-9, signal_name="SIGKILL")
        status, [line] = self.exits(raising(killed), capsys)
        assert status == 1 and "killed by SIGKILL, perhaps for want of memory" in line

    def test_a_full_disk(self, tmp_path, capsys):
        def write():
            with open("/dev/full", "w") as file:
                file.write("x")

        status, lines = self.exits(console.with_one_line_errors(write, "fairseq-preprocess"), capsys)
        reported = "/dev/full: could not be written: no space left on device; make room and run the same again"
        assert (status, lines) == (1, [f"fairseq-preprocess: error: {reported}"])

    def test_a_full_disk_below_standard_output(self, monkeypatch, capsys):
        full = open("/dev/full", "w")
        monkeypatch.setattr(sys, "stdout", full)
        status, [line] = self.exits(console.with_one_line_errors(lambda: print("x"), "fairseq-generate"), capsys)
        monkeypatch.undo()
        assert status == 1 and "could not be written: no space left on device" in line
        with pytest.raises(OSError):
            full.close()

    def test_a_reader_that_has_seen_enough(self, monkeypatch):
        reader, writer = os.pipe()
        os.close(reader)
        pipe = open(writer, "w")
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as exit:
            console.with_one_line_errors(lambda: print("x"), "fairseq-interactive")()
        assert exit.value.code == 0
        pipe.close()  # what is left has somewhere to go

    def test_another_pipe_that_breaks_is_an_error(self):
        with pytest.raises(BrokenPipeError):
            raising(BrokenPipeError(32, "Broken pipe"))()

    def test_a_command_that_succeeds_returns_its_value(self):
        assert console.with_one_line_errors(lambda: 7, "fairseq-train")() == 7

    def test_every_command_is_wrapped(self):
        for module in console.COMMANDS:
            assert hasattr(importlib.import_module(module).cli_main, "__wrapped__"), module


class TestUserDir:
    """`--user-dir` is forgotten: within these tests nothing of dsp_fairseq is registered."""

    @pytest.fixture(autouse=True)
    def nothing_registered(self, monkeypatch):
        monkeypatch.setattr(user_dir, "is_registered", lambda name: False)

    def test_the_names_are_those_that_the_plug_in_registers(self):
        from fairseq.criterions import CRITERION_REGISTRY
        from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
        from fairseq.tasks import TASK_REGISTRY

        import dsp_fairseq  # noqa: F401 (registers)

        for registry in (ARCH_MODEL_REGISTRY, MODEL_REGISTRY, TASK_REGISTRY, CRITERION_REGISTRY):
            ours = {name for name, kind in registry.items() if kind.__module__.startswith("dsp_fairseq.")}
            assert ours == {name for name in registry if user_dir.OURS.fullmatch(name)} and ours

    @pytest.mark.parametrize(
        "words",
        [["-a", "gated_transformer"], ["--arch=gated_transformer_tiny"], ["--task", "translation_pruning"],
         ["--arch", "transformer", "--criterion", "dsp_label_smoothed_cross_entropy"]],
    )  # fmt: skip
    def test_on_a_command_line(self, words):
        from fairseq import options

        with pytest.raises(WrongUse, match=r"""--user-dir "\$\(dsp-fairseq user-dir\)\""""):
            options.parse_args_and_arch(options.get_training_parser(), ["data", *words])

    def test_a_folder_of_that_name_is_none_of_ours(self):
        from fairseq import options

        words = ["gated_transformer", "--arch", "transformer_tiny", "--save-dir", "translation_pruning"]
        assert options.parse_args_and_arch(options.get_training_parser(), words).data == "gated_transformer"

    @pytest.mark.parametrize(
        "configuration",
        [argparse.Namespace(_name="translation_pruning"), argparse.Namespace(task="translation_pruning")],
    )
    def test_in_a_checkpoint_or_a_yaml_file(self, configuration):
        from fairseq import criterions, models, tasks

        with pytest.raises(WrongUse, match="translation_pruning is of dsp_fairseq"):
            tasks.setup_task(configuration)
        with pytest.raises(WrongUse, match="gated_transformer_tiny is of dsp_fairseq"):
            models.build_model(argparse.Namespace(_name=None, arch="gated_transformer_tiny"), None)
        with pytest.raises(WrongUse):
            criterions.build_criterion(argparse.Namespace(criterion="dsp_label_smoothed_cross_entropy"), None)

    def test_the_hub_interface(self, tmp_path):
        from fairseq.models.transformer import TransformerModel
        from tiny_checkpoints import masked_checkpoint

        state = masked_checkpoint()
        state["cfg"]["task"] = {"_name": "translation_pruning"}
        torch.save(state, tmp_path / "model.pt")
        with pytest.raises(WrongUse, match="in Python: import dsp_fairseq"):
            TransformerModel.from_pretrained(str(tmp_path), "model.pt", ".")


class TestSaving:
    """fairseq saves where no file may have more than 20,000 bytes."""

    WEIGHTS = {"model": {"weight": torch.ones(20_000)}}

    @pytest.fixture
    def no_room(self):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def test_a_checkpoint(self, tmp_path, no_room, caplog):
        from fairseq import checkpoint_utils

        path = str(tmp_path / "checkpoint_best.pt")
        with pytest.raises(NotWritten, match=f"^checkpoint {path}: could not be written: file too large"):
            checkpoint_utils.torch_persistent_save(self.WEIGHTS, path)
        assert os.listdir(tmp_path) == [] and caplog.records == []

    def test_its_copy(self, tmp_path, no_room):
        from fairseq.file_io import PathManager

        path = str(tmp_path / "checkpoint_last.pt")
        with pytest.raises(NotWritten, match=f"^checkpoint {path}: could not be written: file too large"):
            PathManager.copy(torch.__file__, path, overwrite=True)  # any large file
        assert os.listdir(tmp_path) == []

    def test_one_try_and_no_rubbish_before_it(self, tmp_path, monkeypatch):
        from fairseq import checkpoint_utils

        tries = []

        def save(obj, file):
            tries.append(file.write(b"rubbish"))
            raise RuntimeError("no reason of the system")

        monkeypatch.setattr(checkpoint_utils.torch, "save", save, raising=False)
        with pytest.raises(RuntimeError, match="no reason"):
            checkpoint_utils.torch_persistent_save(self.WEIGHTS, str(tmp_path / "x.pt"))
        assert len(tries) == 1 and os.listdir(tmp_path) == []

    def test_a_log_on_a_full_disk_is_reported_once(self, capsys):
        import logging

        handler = logging.FileHandler("/dev/full")
        for _ in range(3):
            handler.handle(logging.LogRecord("x", logging.INFO, "", 1, "message", (), None))
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("warning: lines are missing in a log: /dev/full: could not be written: no space left")


class TestOneTraining:
    @pytest.fixture(autouse=True)
    def nothing_held(self, monkeypatch):
        monkeypatch.setattr(one_folder, "_held", {})

    def test_one_process_may_train_there_again(self, tmp_path):
        assert folder_lock.load(tmp_path) == folder_lock.load(tmp_path) == "loaded"

    @pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
    def test_a_file_system_without_locks(self, tmp_path, monkeypatch, number):
        def no_locks(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(one_folder.fcntl, "lockf", no_locks)
        (tmp_path / "checkpoint_1_5.pt.tmp").write_text("perhaps another's")
        assert folder_lock.load(tmp_path) == "loaded"
        assert (tmp_path / "checkpoint_1_5.pt.tmp").exists()

    def test_a_folder_that_is_elsewhere(self):
        assert folder_lock.load("s3://bucket/folder") == "loaded"


class TestWrongUse:
    @pytest.mark.parametrize("seed", [-1, 2**32, 10**20])
    def test_a_seed_that_numpy_does_not_take(self, seed):
        cfg = types.SimpleNamespace(common=types.SimpleNamespace(seed=seed))

        def main(cfg):
            numpy.random.seed(cfg.common.seed)

        try:
            main(cfg)
        except ValueError as error:
            assert explain(error) == f"--seed {seed}: must be 0 to 4294967295"

    @pytest.mark.parametrize("text", ["[" * 3000, "{'a'", "a.b", "1\0", "9" * 5000, "-" * 5000 + "1"])
    def test_overrides_that_are_no_dictionary(self, text):
        from fairseq import checkpoint_utils
        from fairseq.dataclass.configs import CheckpointConfig

        with pytest.raises(Exception) as raised:
            checkpoint_utils.load_checkpoint(CheckpointConfig(optimizer_overrides=text, no_save=True), None)
        line = explain(raised.value)
        assert line.startswith("--optimizer-overrides: must be a dictionary") and "\n" not in line and len(line) < 250

    def test_a_gated_checkpoint_for_a_stock_architecture(self):
        for cause, reported in (
            ('"gates.logits"', "--user-dir"),
            ("size mismatch", "has other weights than this --arch"),
        ):
            try:
                try:
                    raise RuntimeError(cause)
                except Exception:
                    message = "Cannot load model parameters from checkpoint x.pt; please ensure that ..."
                    raise Exception(message)  # noqa: B904 (as fairseq does)
            except Exception as error:
                assert explain(error).startswith("checkpoint x.pt: ") and reported in explain(error)

    @pytest.mark.parametrize(
        "error", [KeyError("x"), RuntimeError("x"), OSError("disk"), Exception("x"), ValueError("x")]
    )
    def test_unknown_errors_have_no_explanation(self, error):
        assert explanation(error) is None

    def test_a_missing_file_is_named(self):
        assert "train.de: no such file" in explanation(FileNotFoundError(2, "No such file or directory", "train.de"))

    def test_a_missing_package_is_named(self):
        assert explanation(ImportError("\n\nPlease install apex\n\n  pip ")) == "Please install apex pip"
        assert explanation(ImportError("cannot import name 'x' from 'y'")) is None

    def test_parts_that_cannot_work_are_named(self):
        message = explanation(ImportError("cannot import name 'libnat' from 'fairseq' (/venv/lib)"))
        assert message.startswith("levenshtein_transformer") and "docs/fairseq.md" in message

    def test_what_fairseq_says_well_is_kept_on_one_line(self):
        message = "The dataset is empty. This could\nindicate"
        assert explanation(Exception(message)) == "The dataset is empty. This could indicate"

    def test_a_value_that_a_yaml_file_leaves_open_is_named(self):
        from omegaconf import OmegaConf

        settings = OmegaConf.create({"common": {"user_dir": "???", "seed": "???"}})
        for name, value in (("user_dir", '"$(dsp-fairseq user-dir)"'), ("seed", "...")):
            try:
                settings.common[name]
            except Exception as error:
                assert explain(error).startswith(f"common.{name} is missing: say common.{name}={value}, ")

    def test_a_missing_checkpoint_is_named(self):
        message = explanation(OSError("Model file not found: x.pt"))
        assert message.startswith("checkpoint x.pt does not exist")


def explanation(error):
    try:
        raise error
    except Exception as raised:
        return explain(raised)


class TestQuiet:
    def shown(self, message, category, module):
        with warnings.catch_warnings(record=True) as caught:
            warnings.resetwarnings()
            warnings.simplefilter("always")
            logs.silence_known_messages()
            warnings.warn_explicit(message, category, "file.py", 1, module=module)
        return len(caught) == 1

    KNOWN = [
        (
            "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used",
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
        (
            '"\\d" is an invalid escape sequence. Such',
            SyntaxWarning,
            "/venv/lib/python3.14/site-packages/fairseq/models/x",
        ),
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

        logs.silence_known_messages()
        logger = logging.getLogger("fairseq.tasks.text_to_speech")
        with caplog.at_level(logging.INFO, logger=logger.name):
            logger.info("Please install tensorboardX: pip install tensorboardX")
            logger.info("speaking")
        assert [record.getMessage() for record in caplog.records] == ["speaking"]


class TestSmallMends:
    def test_hydra_finds_plugins_without_find_module(self):
        import json

        found = {
            name: finder.find_module(name).load_module(name)
            for finder, name, _ in hydra.walk_packages(json.__path__, "json.")
        }
        assert found["json.decoder"] is json.decoder

    def test_a_value_is_copied_without_the_configuration_around_it(self):
        from omegaconf import IntegerNode, OmegaConf

        class NotToBeCopied(IntegerNode):
            def __deepcopy__(self, memo):
                raise AssertionError

        source, target = OmegaConf.create({"a": {"b": [1, "${x}"]}, "x": 2}), OmegaConf.create({"x": 3})
        source.__dict__["_content"]["c"] = NotToBeCopied(1, key="c", parent=source)
        target.a = source.a
        target.d = source._get_node("x")
        target.a.b[0] = 5
        assert source.a.b[0] == 1 and source.a._get_parent() is source and target.a._get_parent() is target
        assert target == {"x": 3, "a": {"b": [5, 3]}, "d": 2}

    def test_hydra_prints_errors(self, capsys):
        utils = types.SimpleNamespace()
        hydra.print_the_real_error(utils)
        utils.print_exception(etype=None, value=ValueError("the real error"), tb=None)
        assert "ValueError: the real error" in capsys.readouterr().err

    def test_old_names_of_numpy(self):
        module = types.SimpleNamespace(np=numpy)
        libraries.give_numpy_its_old_names(module)
        assert (module.np.int, module.np.float, module.np.compat.long) == (int, float, int)
        assert module.np.zeros is numpy.zeros and not hasattr(numpy, "compat" if numpy.__version__ >= "2" else "no")

    def test_batches_in_buckets_of_length(self):
        """`--num-batch-buckets` needs `np.compat.long`."""
        from fairseq.data import Dictionary, LanguagePairDataset

        words = Dictionary()
        sentences = [torch.tensor([4] * length + [2]) for length in (3, 5)]
        data = LanguagePairDataset(
            sentences, numpy.array([4, 6]), words, sentences, numpy.array([4, 6]), words, num_buckets=1
        )
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
        from typing import TextIO  # noqa: F401

        import fairseq  # noqa: F401


def test_environment_of_these_tests_has_the_hook_from_this_checkout():
    assert Path(dsp_fairseq_startup.__file__).parent == ROOT / "dsp_fairseq_startup", os.environ.get("PYTHONPATH")
