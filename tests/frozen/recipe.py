"""Makes the frozen checkpoints of a version: ``python tests/frozen/recipe.py FOLDER [NAME ...]``

Every folder here holds checkpoints that the commit in its name wrote. They are never made again, because a later
version writes other formats. To freeze the formats of another version, check it out, put it first into PYTHONPATH, and
name a new folder; a new format is a further entry of ``RECIPES``. ``data-bin`` is made once, and shared.

Language models have ``text-bin``, the target side of the same sentences.

A checkpoint lies there as NAME.pt.gz, since three quarters of its 70 kB are zeros and names of options. Beside it lies
NAME.json: what the version that wrote it did with it (see ``tests/behaviour.py``).
"""

import argparse
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA, TEXT = HERE / "data-bin", HERE / "text-bin"
SHAPE = (  # 16 heads: encoder.self 4 4, decoder.self 2 2, decoder.cross 2 2
    "--encoder-layers 2 --encoder-embed-dim 8 --encoder-ffn-embed-dim 8 --encoder-attention-heads 4 "
    "--decoder-layers 2 --decoder-embed-dim 8 --decoder-ffn-embed-dim 8 --decoder-attention-heads 2 "
    "--max-source-positions 16 --max-target-positions 16 --dropout 0"
)
SMOOTHED = "--label-smoothing 0.1"
TRAINING = (
    "--optimizer adam --lr 0.01 --max-tokens 200 --no-epoch-checkpoints --seed 1 --cpu "
    "--num-workers 0 --log-format none"
)
GATED = "--arch gated_transformer --task translation_pruning --criterion dsp_label_smoothed_cross_entropy"
TEXTS = "--task language_modeling_pruning --criterion dsp_cross_entropy --decoder-layers 2 --decoder-embed-dim 8"
SHAPES = {  # of language models
    "gated_transformer_lm": "--decoder-ffn-embed-dim 8 --decoder-attention-heads 2 --decoder-input-dim 8 "
    "--decoder-output-dim 8 --tokens-per-sample 16 --share-decoder-input-output-embed",
    "all_attention_lm": "--decoder-attention-heads 4 --persistent-vectors 4 --segment-length 8 --memory-length 8 "
    "--tokens-per-sample 16",
}
STOCK = "--arch transformer --task translation --criterion label_smoothed_cross_entropy"
MOVEMENT = "--pruning-method movement --weights-to-keep 40% --block-rows 2 --block-cols 2"
WITHOUT_STATE = "--no-save-optimizer-state"
PRE_NORM = "--encoder-normalize-before --decoder-normalize-before"


def run(command: str, *words: str) -> None:
    """A console command of this environment, in the current folder."""
    done = subprocess.run([str(Path(sys.executable).parent / command), *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command} {' '.join(words)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")


def train(name: str, options: str, updates: int = 200, model: str = GATED, state: str = WITHOUT_STATE) -> None:
    """``NAME.pt``: the last checkpoint of a training."""
    train_on("data-bin", name, f"{model} {SHAPE} {SMOOTHED} {state} --max-update {updates} {options}")


def train_on(data: str, name: str, options: str) -> None:
    words = f"{TRAINING} --save-dir models/{name} {options}"
    run("fairseq-train", data, "--user-dir", "dsp_fairseq", *words.split())
    shutil.copy(f"models/{name}/checkpoint_last.pt", f"{name}.pt")


def language_model(arch: str, options: str) -> Callable[[str], None]:
    words = f"--arch {arch} {TEXTS} {SHAPES[arch]} --dropout 0 {WITHOUT_STATE} --max-update 100 {options}"
    return lambda name: train_on("text-bin", name, words)


def training(options: str, **others) -> Callable[[str], None]:
    return lambda name: train(name, options, **others)


def command(words: str) -> Callable[[str], None]:
    """``NAME.pt`` by a command of dsp-fairseq, whose words name other checkpoints and ``OUT``."""
    return lambda name: run("dsp-fairseq", *words.replace("OUT", f"{name}.pt").split())


def resumable(name: str, choice: str = "--pruning-method dsp --heads-to-keep 7", update: int = 3) -> None:
    """A training of 24 updates in the middle of its search (of 7 with dsp), with the state of its optimiser."""
    options = f"{choice} --share-all-embeddings --save-interval-updates {update}"
    train(name, options, updates=24, state="")
    [middle] = Path("models", name).glob(f"checkpoint_*_{update}.pt")
    shutil.copy(middle, f"{name}.pt")


def averaged(name: str) -> None:
    options = "--pruning-method dsp --heads-to-keep 7 --share-all-embeddings --save-interval-updates 66"
    train(name, options)
    several = [str(path) for path in sorted(Path("models", name).glob("checkpoint_*_*.pt"))]
    run("dsp-fairseq", "average", *several, "--out", f"{name}.pt", "--force")


def by_yaml(name: str) -> None:
    """The options of ``hydra.yaml``: the checkpoint holds a table of options, no Namespace."""
    run("fairseq-hydra-train", "--config-dir", str(HERE), "--config-name", "hydra")
    shutil.copy("models/hydra/checkpoint_last.pt", f"{name}.pt")


RECIPES = {
    # as a training leaves them, heads masked
    "stock": training("--share-all-embeddings", model=STOCK),
    "none": training("--pruning-method none"),
    "masked": training("--pruning-method dsp --heads-to-keep 7 --uniform-prior 0 --share-all-embeddings"),
    "resumable": resumable,
    "per-kind": training(
        "--pruning-method dsp --heads-to-keep encoder.self=3,decoder.self=4,decoder.cross=2 --uniform-prior 1 "
        f"{PRE_NORM}"
    ),
    "limits": training(
        "--pruning-method dsp --heads-to-keep 9 --min-heads-per-block 1 --max-heads-per-block 2 --uniform-prior 0 "
        "--encoder-learned-pos --decoder-learned-pos"
    ),
    "prunable": training(
        "--pruning-method dsp --heads-to-keep 8 --prunable encoder.self,decoder.cross --max-heads-per-block 3 "
        "--uniform-prior 0"
    ),
    "range": training(
        "--pruning-method dsp --heads-to-keep-range 3:11 --uniform-prior 0 --share-decoder-input-output-embed"
    ),
    "dsp-published": training("--pruning-method dsp-published --heads-to-keep 6 --cooldown-updates 150"),
    "ste": training("--pruning-method ste --heads-to-keep 6 --layernorm-embedding"),
    "uniform": training("--pruning-method uniform --heads-to-keep 5"),
    "l0": training("--pruning-method l0 --heads-to-keep 6 --l0-penalty 0.05"),
    "l0-free": training(
        "--pruning-method l0 --l0-penalty 0.08 --pruning-lr 0.1 --prunable encoder.self --frozen decoder "
        "--share-all-embeddings --finetune-from-model stock.pt"
    ),
    "pipelined": training(
        "--pruning-mode pipelined --pruning-method dsp --heads-to-keep 6 --share-all-embeddings "
        "--finetune-from-model stock.pt",
        updates=60,
    ),
    "yaml": by_yaml,
    # hidden units of feed-forward blocks, and budgets for heads and hidden units together
    "parameters": training(
        "--pruning-method dsp --parameters-to-keep 40% --ffn-group 4 --uniform-prior 0 --share-all-embeddings"
    ),
    "hidden-units": training(
        f"--pruning-method ste --heads-to-keep 7 --ffn-to-keep encoder.ffn=8,decoder.ffn=12 --ffn-group 4 {PRE_NORM}"
    ),
    "l0-budget": partial(resumable, choice="--pruning-method l0 --heads-to-keep 7"),
    # layers, and blocks of weights
    "layers": training(
        "--pruning-method dsp --layers-to-keep encoder=1,decoder=1 --heads-to-keep 5 --uniform-prior 0 "
        "--share-all-embeddings"
    ),
    "movement": training(f"{MOVEMENT} --share-all-embeddings"),
    "movement-resumable": partial(resumable, choice=MOVEMENT, update=11),
    # language models
    "gated-transformer-lm": language_model(
        "gated_transformer_lm", "--pruning-method dsp --heads-to-keep 3 --ffn-to-keep 8 --ffn-group 4 --uniform-prior 0"
    ),
    "all-attention-lm": language_model("all_attention_lm", "--pruning-method dsp --heads-to-keep 5 --uniform-prior 0"),
    # what commands make of them
    "pruned": command("prune masked.pt OUT --heads-to-keep 6"),
    "half": command("prune masked.pt OUT --half"),
    "dense": command("prune masked.pt OUT --dense"),
    "parameters-pruned": command("prune parameters.pt OUT"),
    "hidden-units-dense": command("prune hidden-units.pt OUT --dense"),
    "layers-pruned": command("prune layers.pt OUT"),
    "movement-pruned": command("prune movement.pt OUT"),
    "gated-transformer-lm-pruned": command("prune gated-transformer-lm.pt OUT"),
    "all-attention-lm-pruned": command("prune all-attention-lm.pt OUT"),
    "limits-pruned": command("prune limits.pt OUT"),
    "empty": command("prune ste.pt OUT --heads-to-keep 0"),
    "importance": command("importance none.pt data-bin OUT --heads-to-keep 7 --step 4 --min-heads-per-block 1"),
    "importance-of-stock": command("importance stock.pt OUT --heads-to-keep 6 --score magnitude"),
    "average": averaged,
    # heads chosen of those that are left
    "pruned-again": training(
        "--pruning-method dsp --heads-to-keep 4 --uniform-prior 0 --share-all-embeddings "
        "--finetune-from-model pruned.pt"
    ),
}

# what is tried with every checkpoint, and with some (see behaviour.py); that takes the test a second each
EVERY = ("decoded", "reported", "heads when pruned", "exported")
TRAINED = ("trained on", "chosen anew")
MORE = {
    "stock": ("heads when ranked", *TRAINED),
    "masked": ("decoded with another K", "heads when averaged", *TRAINED),
    "resumable": ("restored",),
    "per-kind": ("decoded with another K",),
    "limits": ("decoded with another K", "heads at the limits", "heads when ranked"),
    "prunable": ("decoded with another K", "heads at the limits"),
    "range": ("decoded with another K",),
    "l0-free": ("decoded with another K", "heads when averaged"),
    "pipelined": ("trained on",),
    "yaml": ("trained on",),
    "pruned": ("decoded with another K", "heads when ranked", "heads when averaged", *TRAINED),
    "half": ("trained on",),
    "dense": ("trained on",),
    "parameters": ("left when removed", "trained on"),
    "parameters-pruned": ("trained on",),
    "hidden-units": ("left when removed",),
    "l0-budget": ("restored",),
    "layers": ("left when removed",),
    "layers-pruned": ("trained on",),
    "movement": ("left when removed", "trained on"),
    "movement-resumable": ("restored",),
    "movement-pruned": ("trained on",),
    "gated-transformer-lm": ("left when removed",),
    "gated-transformer-lm-pruned": ("trained on",),
    "all-attention-lm": ("left when removed",),
    "all-attention-lm-pruned": ("trained on",),
    "limits-pruned": ("trained on",),
    "empty": ("trained on",),
    "importance": ("decoded with another K", "heads when averaged", "trained on"),
    "pruned-again": ("decoded with another K", "trained on"),
}


def make_data() -> None:
    """Reversed letters, and their target side alone, written by fairseq-preprocess."""
    letter = random.Random(1)
    for split, size in (("train", 120), ("valid", 8), ("test", 8)):
        sentences = [letter.choices("abcdef", k=letter.randint(2, 6)) for _ in range(size)]
        for language, step in (("de", 1), ("en", -1)):
            Path(f"{split}.{language}").write_text("".join(" ".join(words[::step]) + "\n" for words in sentences))
    preprocess(DATA, "", "-s", "de", "-t", "en", "--joined-dictionary")
    preprocess(TEXT, ".en", "--only-source", "--srcdict", str(DATA / "dict.en.txt"))


def preprocess(folder: Path, language: str, *options: str) -> None:
    if not folder.exists():
        texts = [word for split in ("train", "valid", "test") for word in (f"--{split}pref", split + language)]
        run("fairseq-preprocess", *options, *texts, "--destdir", str(folder))
        (folder / "preprocess.log").unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where they are put; nothing is overwritten")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(RECIPES)}")
    arguments = parser.parse_args()
    folder, names = arguments.folder.resolve(), arguments.names or list(RECIPES)
    folder.mkdir(exist_ok=True)
    import dsp_fairseq

    sys.path.insert(0, str(HERE.parent))
    from behaviour import behaviour_of

    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # a checkpoint holds the paths of its training: relative ones tell nothing of the machine
        make_data()
        Path("data-bin").symlink_to(DATA)
        Path("text-bin").symlink_to(TEXT)
        Path("dsp_fairseq").symlink_to(Path(dsp_fairseq.__file__).parent)
        for name, make in RECIPES.items():
            checkpoint, packed, behaviour = Path(f"{name}.pt"), folder / f"{name}.pt.gz", folder / f"{name}.json"
            if packed.exists():  # others may start from it
                checkpoint.write_bytes(gzip.decompress(packed.read_bytes()))
            elif name in names:
                print(name, flush=True)
                make(name)
                packed.write_bytes(gzip.compress(checkpoint.read_bytes(), mtime=0))
            if checkpoint.exists() and not behaviour.exists():
                uses = (*EVERY, *MORE.get(name, ()))
                data = TEXT if "-lm" in name else DATA
                behaviour.write_text(as_text(behaviour_of(checkpoint, data, Path(f"tried-{name}"), *uses)))


def as_text(behaviour: dict) -> str:
    """JSON with a line for each entry, numbers with six digits."""
    numbers = json.loads(json.dumps(behaviour), parse_float=lambda text: float(f"{float(text):.6g}"))
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in numbers.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
