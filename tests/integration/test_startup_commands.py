"""The start-up hook through fairseq's own console commands, each in a process of its own, without our user-dir."""

import os
import random
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import console
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
NOISE = re.compile(r"warning|deprecat|Please install|Traceback", re.IGNORECASE)

MODEL = [
    *("--arch", "transformer", "--encoder-layers", "1", "--decoder-layers", "1"),
    *("--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "16", "--encoder-attention-heads", "2"),
    *("--decoder-embed-dim", "16", "--decoder-ffn-embed-dim", "16", "--decoder-attention-heads", "2"),
]
TRAINING = ["--optimizer", "adam", "--lr", "0.01", "--max-tokens", "300", "--cpu", "--log-interval", "1"]
BLEU = [
    *("--num-workers", "0"),
    "--eval-bleu",
    "--eval-bleu-args",
    '{"beam": 1, "max_len_b": 5}',
    "--best-checkpoint-metric",
    "bleu",
    "--maximize-best-checkpoint-metric",
]


def run(command, *arguments, folder, stdin="", **environment):
    """A console command, or the words of another one, as a user starts it."""
    program = [str(BIN / command)] if isinstance(command, str) else list(command)
    return subprocess.run(
        [*map(str, program), *map(str, arguments)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def fork(command, *arguments, folder, **environment):
    """The same of a console command, without its imports, which other tests here watch."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return console.run(command, *arguments, timeout=300, env=env, cwd=folder, fresh=True)


def succeed(*arguments, start=run, **keywords):
    result = start(*arguments, **keywords)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return result


def train(folder, *arguments, updates, command="fairseq-train", start=run):
    options = ("data", *MODEL, *TRAINING, "--max-update", updates, *arguments)
    return succeed(command, *options, folder=folder, start=start)


def error_lines(result):
    """stderr without fairseq's log, which `fairseq-generate` writes there."""
    return [line for line in result.stderr.splitlines() if " | INFO | " not in line]


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """A folder with a tiny reversed-letters corpus, its binarised form and a stock model."""
    folder = tmp_path_factory.mktemp("letters")
    letter = random.Random(1)
    for split, size in (("train", 60), ("valid", 8), ("test", 4)):
        sentences = [letter.choices("abcdef", k=letter.randint(2, 5)) for _ in range(size)]
        (folder / f"{split}.de").write_text("".join(" ".join(words) + "\n" for words in sentences))
        (folder / f"{split}.en").write_text("".join(" ".join(reversed(words)) + "\n" for words in sentences))
    (folder / "empty").mkdir()
    result = succeed(
        *("fairseq-preprocess", "-s", "de", "-t", "en", "--destdir", "data"),
        *("--trainpref", "train", "--validpref", "valid", "--testpref", "test"),
        folder=folder,
    )
    assert not NOISE.search(result.stdout + result.stderr)
    result = train(folder, "--save-dir", "stock", updates=2)
    assert not NOISE.search(result.stdout + result.stderr)
    return folder


@pytest.mark.parametrize("command", ["fairseq-train", "fairseq-hydra-train", "fairseq-score", "subword-nmt"])
def test_help_is_quiet(command, tmp_path):
    result = succeed(command, "--help", folder=tmp_path)
    assert result.stdout and result.stderr == ""


@pytest.mark.parametrize("architecture", [["-a", "transformer"], ["--arch=transformer"]])
def test_help_lists_the_flags_of_the_architecture_and_task(architecture, tmp_path):
    help_text = fork("fairseq-train", *architecture, "--help", folder=tmp_path).stdout
    assert "--encoder-attention-heads" in help_text and "--eval-bleu" in help_text


class TestStockTransformer:
    """Decoding also shows that the encoder's fast path, which torch refuses, is not taken."""

    def test_generate(self, letters):
        result = succeed("fairseq-generate", "data", "--path", "stock/checkpoint_last.pt", "--cpu", folder=letters)
        assert len(re.findall(r"^H-\d", result.stdout, re.MULTILINE)) == 4
        assert not NOISE.search(result.stdout + result.stderr)

    def test_interactive(self, letters):
        options = ["--path", "stock/checkpoint_last.pt", "--cpu"]
        result = succeed("fairseq-interactive", "data", *options, folder=letters, stdin="a b c\n")
        assert "H-0" in result.stdout
        assert not NOISE.search(result.stdout + result.stderr)

    def test_validate_needs_no_task(self, letters):
        options = ["--path", "stock/checkpoint_last.pt", "--cpu", "--max-tokens", "100"]
        result = succeed("fairseq-validate", "data", *options, folder=letters)
        assert "valid on 'valid' subset" in result.stdout + result.stderr
        assert not NOISE.search(result.stdout + result.stderr)

    def test_restart_with_bleu_in_the_meters(self, letters):
        train(letters, "--save-dir", "bleu", *BLEU, updates=2, start=fork)
        result = train(letters, "--save-dir", "bleu", *BLEU, updates=4, start=fork)
        assert "Loaded checkpoint bleu/checkpoint_last.pt" in result.stdout
        assert "num_updates 4" in result.stdout
        assert not NOISE.search(result.stdout + result.stderr)

    def test_restart_in_two_processes(self, letters):
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        options = ["--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp", "--save-dir", "two"]
        options.append("--reset-dataloader")  # of one process
        shutil.copytree(letters / "stock", letters / "two")
        result = train(letters, *options, updates=3, command=[*launcher, BIN / "fairseq-train"])
        assert "Loaded checkpoint two/checkpoint_last.pt" in result.stdout
        assert "num_updates 3" in result.stdout


class TestHydra:
    MODEL = ["model=transformer_lm", "model.decoder_embed_dim=8", "model.decoder_ffn_embed_dim=8"]
    TRAINING = ["optimizer=adam", "lr_scheduler=fixed", "dataset.max_tokens=200", "common.cpu=true"]
    DATA = ["task=language_modeling", "task.tokens_per_sample=16", "task.sample_break_mode=eos"]

    def run(self, folder, data, *arguments):
        options = [*self.DATA, f"task.data={folder / data}", *self.MODEL, "model.decoder_layers=1", *self.TRAINING]
        return fork("fairseq-hydra-train", *options, f"checkpoint.save_dir={folder}/lm", *arguments, folder=folder)

    def test_train_and_restart(self, letters):
        options = ["--only-source", "--destdir", "text", "--trainpref", "train.en", "--validpref", "valid.en"]
        succeed("fairseq-preprocess", *options, folder=letters, start=fork)
        for updates in (1, 2):
            result = self.run(letters, "text", f"optimization.max_update={updates}")
            assert result.returncode == 0, result.stderr[-4000:]
        assert "Loaded checkpoint" in result.stdout and "num_updates 2" in result.stdout
        assert not NOISE.search(result.stdout + result.stderr)

    def test_missing_data(self, letters):
        result = self.run(letters, "nowhere")
        assert result.returncode == 2
        assert error_lines(result) == [
            f"fairseq-hydra-train: error: {letters}/nowhere/dict.txt: no such file or directory"
            " (DSP_DEBUG=1 shows where it was needed)"
        ]

    def test_a_real_error_is_shown(self, letters):
        result = self.run(letters, "text", "dataset.num_workers=-3")
        assert result.returncode == 1
        assert "ValueError: num_workers option should be non-negative" in result.stderr


class MarkerMaker:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, "w")


class TestWrongUse:
    def refused(self, *arguments, folder):
        result = fork(*arguments, folder=folder)
        lines = error_lines(result)
        assert result.returncode == 2, result.stderr[-4000:]
        assert len(lines) == 1, lines
        return lines[0]

    def train(self, folder, data, *arguments):
        return self.refused("fairseq-train", data, *MODEL, *TRAINING, *arguments, folder=folder)

    def generate(self, folder, *arguments):
        return self.refused("fairseq-generate", "data", "--cpu", *arguments, folder=folder)

    @pytest.mark.parametrize(
        "data, languages, told",
        [
            ("nowhere", False, "data folder nowhere does not exist"),
            ("nowhere", True, "data folder nowhere does not exist"),
            ("empty", False, "empty holds no data of a language pair"),
            ("empty", True, "dictionary empty/dict.de.txt does not exist"),
            ("train.de", False, "data folder train.de is not a folder"),
        ],
    )
    def test_data(self, letters, data, languages, told):
        line = self.train(letters, data, *(["-s", "de", "-t", "en"] if languages else []))
        assert line.startswith(f"fairseq-train: error: {told}")
        assert "fairseq-preprocess --destdir" in line

    def test_split(self, letters):
        line = self.generate(letters, "--gen-subset", "dev", "--path", "stock/checkpoint_last.pt")
        assert line.startswith("fairseq-generate: error: no dev data of these languages in data;")

    def test_path(self, letters):
        assert "checkpoint nothing.pt does not exist" in self.generate(letters, "--path", "nothing.pt")
        assert "checkpoint stock is a folder" in self.generate(letters, "--path", "stock")
        assert "--path required" in self.generate(letters)

    def test_no_architecture(self, letters):
        assert "--arch is missing" in self.refused("fairseq-train", "data", folder=letters)

    def test_damaged_checkpoint(self, letters):
        whole = (letters / "stock" / "checkpoint_last.pt").read_bytes()
        (letters / "half.pt").write_bytes(whole[: len(whole) // 2])
        assert "checkpoint half.pt: damaged, or not a checkpoint" in self.generate(letters, "--path", "half.pt")
        assert "checkpoint train.de: damaged" in self.train(letters, "data", "--restore-file", "train.de")

    def test_foreign_checkpoint(self, letters):
        torch.save({"model": {}, "args": MarkerMaker(letters / "marker")}, letters / "evil.pt")
        line = self.generate(letters, "--path", "evil.pt")
        assert re.match(
            r"fairseq-generate: error: checkpoint evil.pt: refused, because it asks to load _?io\.open", line
        )
        assert not (letters / "marker").exists()

    def test_text_and_user_dir(self, letters):
        line = self.refused("fairseq-preprocess", "--trainpref", "nothing", "--only-source", folder=letters)
        assert line.startswith("fairseq-preprocess: error: nothing: no such file or directory")
        line = self.train(letters, "data", "--user-dir", "nowhere")
        assert line.startswith(f"fairseq-train: error: --user-dir {letters}/nowhere does not exist")

    def test_debugging_shows_the_traceback(self, letters):
        result = fork("fairseq-train", "nowhere", *MODEL, *TRAINING, folder=letters, DSP_DEBUG="1")
        assert result.returncode == 1 and "Traceback" in result.stderr


class TestInstalls:
    """Each kind of install, from a copy of the checkout, into an environment that borrows torch and fairseq."""

    @pytest.fixture
    def checkout(self, tmp_path):
        copy = tmp_path / "checkout"
        copy.mkdir()
        for name in ("dsp_fairseq", "dsp_fairseq_startup"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("setup.py", "pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, copy / name)
        return copy

    @pytest.fixture
    def python(self, tmp_path):
        venv.create(tmp_path / "env", with_pip=False)
        python = tmp_path / "env" / "bin" / "python"
        # a path in a .pth file makes packages importable, but the .pth files in that path are not read: no hook
        site_packages = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
        (site_packages / "borrowed.pth").write_text(
            "\n".join(path for path in sys.path if path.endswith("site-packages"))
        )
        assert self.hook_location(python, tmp_path) == "none"
        return python

    def hook_location(self, python, folder):
        code = "import sys; print(getattr(sys.modules.get('dsp_fairseq_startup'), '__file__', 'none'))"
        done = succeed([python], "-c", code, folder=folder)
        assert done.stderr == ""
        return done.stdout.strip()

    def pip(self, python, *arguments, folder):
        return succeed([sys.executable, "-m", "pip", "--python", python], *arguments, folder=folder)

    @pytest.mark.parametrize("editable", [False, True], ids=["plain", "editable"])
    def test_the_hook_is_active_until_uninstalled(self, checkout, python, tmp_path, editable):
        options = ["--no-deps", "--no-build-isolation", "--ignore-installed", "--no-index"]
        self.pip(python, "install", *options, *(["-e"] if editable else []), checkout, folder=tmp_path)
        where = checkout if editable else tmp_path / "env" / "lib"
        assert self.hook_location(python, tmp_path).startswith(f"{where}{os.sep}")

        code = "from fairseq_cli.train import cli_main; cli_main()"
        assert "usage:" in succeed([python], "-c", code, "--help", folder=tmp_path).stdout

        if editable:  # Python said so at every start, in 16 lines
            checkout.rename(tmp_path / "moved")
            assert self.hook_location(python, tmp_path) == "none"
            (tmp_path / "moved").rename(checkout)

        self.pip(python, "uninstall", "-y", "dsp-fairseq", folder=tmp_path)
        assert self.hook_location(python, tmp_path) == "none"
