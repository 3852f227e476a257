"""A tiny training for tests: its flags, its logged numbers, and comparisons of its checkpoints."""

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

TRAIN = """--user-dir dsp_fairseq --arch gated_transformer_tiny --task translation_pruning
 --criterion dsp_label_smoothed_cross_entropy --label-smoothing 0.1 --share-all-embeddings --optimizer adam
 --adam-betas (0.9,0.98) --lr 3e-3 --lr-scheduler inverse_sqrt --warmup-updates 50 --max-tokens 800 --dropout 0
 --no-epoch-checkpoints --log-format json --log-interval 2 --num-workers 0 --seed 1""".split()
HEADS = 36
STOCK = [
    *("--arch", "transformer_tiny", "--encoder-embed-dim", 64, "--decoder-embed-dim", 64),
    *("--share-all-embeddings", "--optimizer", "adam", "--lr", 1e-3, "--max-tokens", 800),
    *("--no-epoch-checkpoints", "--num-workers", 0, "--max-update", 1),
]
UNSET = "embed_positions._float_tensor"  # fairseq's buffer of one number that nobody sets or reads


def train(run, corpus, folder, *options, succeeds=True, base=TRAIN):
    done = run("fairseq-train", corpus.data_bin, *base, "--save-dir", folder, *options)
    if succeeds:
        assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    return done


def train_in_two_processes(run, corpus, folder, *options, base=TRAIN):
    """Train as torchrun would have it, on the CPU; the state of the gates in each process at the end."""
    gates = folder / "gates"
    gates.mkdir(parents=True)
    options += ("--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp", "--cpu", "--save-dir", folder)
    command = ["python", Path(__file__).parent / "ranked_training.py", gates, corpus.data_bin, *base, *options]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        world = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
    places = [{**world, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
    with ThreadPoolExecutor() as pool:
        for done in pool.map(lambda place: run(*command, env=place, fresh=True), places):
            assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(gates / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def assert_two_did_what_one_did(one, two, gates):
    """Assert that models of one and two processes are equal up to rounding, and ``gates`` in both processes equal."""
    first, second = gates
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(first[name], two[f"gates.{name}"]) for name in first)
    assert one.keys() == two.keys()
    for name in flat(one):
        assert torch.allclose(flat(one)[name], flat(two)[name], rtol=1e-3, atol=1e-4), name


def logged(done, kind):
    """The dictionaries that fairseq logged under a name, such as ``train_inner``, ``train`` or ``valid``."""
    lines = (done.stdout + done.stderr).splitlines()
    return [json.loads(line.split(f"| {kind} |", 1)[1]) for line in lines if f"| {kind} | {{" in line]


def heads_of_generate(run, corpus, checkpoint, *options):
    done = run(
        "fairseq-generate", corpus.data_bin, "--user-dir", "dsp_fairseq", "--path", checkpoint, "--beam", 1,
        "--max-len-b", 5, "--gen-subset", "valid", "--num-workers", 0, *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [said] = re.findall(r"decoding with (\d+) of 36 heads", done.stdout + done.stderr)
    return int(said)


def flat(state, name=""):
    """All values of a nested state by their paths."""
    if isinstance(state, dict):
        pairs = [(key, value) for key, value in state.items() if not str(key).endswith(UNSET)]
    elif isinstance(state, (list, tuple)):
        pairs = enumerate(state)
    else:
        return {name: state}
    return {key: value for part, inner in pairs for key, value in flat(inner, f"{name}/{part}").items()}


def assert_same_state(one, other):
    """Assert that weights, logits and the moments of both optimisers are equal bit for bit."""
    assert one.keys() == other.keys()
    for part in {"model", "last_optimizer_state", "optimizer_history"} & one.keys():
        # a restart adds to the history, whose last entry is now
        ones, others = (flat(s[part][-1] if part == "optimizer_history" else s[part]) for s in (one, other))
        assert ones.keys() == others.keys()
        different = [name for name, value in ones.items() if not _equal(value, others[name])]
        assert different == []


def _equal(one, other):
    return torch.equal(one, other) if torch.is_tensor(one) else one == other
