"""Checkpoints that somebody changed: every command refuses them, in a line for each problem, and writes nothing.

What is changed is drawn at random; DSP_TAMPERED=500 tries as many checkpoints instead of a few, DSP_TAMPERED_SEED=2
others.
"""

import os
import random
import resource
import shutil
import time
import zipfile
from argparse import Namespace
from copy import copy

import pytest
import torch
from fairseq import checkpoint_utils, options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from omegaconf import OmegaConf
from tiny_corpus import write_dictionaries

from dsp_fairseq.checkpoints.reading import load
from dsp_fairseq.cli import main
from dsp_fairseq.families.transformer.options import SHAPE
from dsp_fairseq_startup.console import with_one_line_errors

COUNT, SEED = int(os.environ.get("DSP_TAMPERED", 20)), int(os.environ.get("DSP_TAMPERED_SEED", 1))
SECONDS, BYTES = 5, 2e9
TINY = "--encoder-embed-dim 8 --decoder-embed-dim 8 --encoder-ffn-embed-dim 12 --decoder-ffn-embed-dim 12".split()
HEADS = "--encoder-attention-heads 4 --decoder-attention-heads 2 --encoder-layers 2 --decoder-layers 1".split()
PRUNING = "--pruning-method uniform --heads-to-keep 6 --max-update 100 --share-all-embeddings".split()
TRAIN = "--task translation_pruning --criterion dsp_label_smoothed_cross_entropy".split()


# --- honest ones


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dictionaries(tmp_path_factory.mktemp("data"))


def parsed(data, *more):
    """A command line of fairseq-train, which is looked at when it is parsed."""
    command = [str(data), "--source-lang", "de", "--target-lang", "en", "--arch", "gated_transformer"]
    arguments = [*command, *TINY, *HEADS, *TRAIN, *PRUNING, *map(str, more)]
    return options.parse_args_and_arch(options.get_training_parser(), arguments)


@pytest.fixture(scope="module")
def honest(data):
    """A masked checkpoint with everything that fairseq-train writes, in memory."""
    config = convert_namespace_to_omegaconf(parsed(data))
    model = tasks.setup_task(config.task).build_model(config.model)
    return {
        "args": None,
        "cfg": OmegaConf.to_container(config, resolve=True, enum_to_str=True),
        "model": model.state_dict(),
        "criterion": {},
        "optimizer_history": [
            {"criterion_name": "C", "optimizer_name": "O", "lr_scheduler_state": {"best": None}, "num_updates": 9}
        ],
        "task_state": {},
        "extra_state": {"train_iterator": {"epoch": 2, "iterations_in_epoch": 3}, "previous_training_time": 1.5},
        "last_optimizer_state": {"state": {0: {"exp_avg": torch.zeros(8), "step": 3}}},
    }


# --- changes of what is in a checkpoint: they get a copy of the state and its model options


def other_shape(state, model, rng):
    name = rng.choice([*SHAPE, "encoder_ffn_embed_dim", "decoder_input_dim", "decoder_output_dim"])
    setattr(model, name, rng.choice(["4", "x", None, 0, -1, 10**8, 10**30, 2.5, [2], {}, True]))


def other_option(state, model, rng):
    wrong = {
        "dropout": ["x", None, 2.0, float("nan"), [0.1]],
        "activation_fn": ["nonsense", None, 3],
        "share_all_embeddings": ["yes", None, 7],
        "encoder_learned_pos": [True],
        "encoder_normalize_before": [True],
        "encoder_attention_heads": [3, 8],
        "max_source_positions": [0, 10**9, "1024"],
        "heads_to_keep": ["99", "-1", "x" * 5000, 1.5, None, "9" * 4000, "encoder.self=1", [1]],
        "pruning_method": ["magic", None, 3, "dsp-published,"],
        "prunable": ["x", 3],
        "min_heads_per_block": [9, "1", -1],
        "encoder_xformers_att_config": ["{}", "{'name': 1}"],
        "seed": ["x", 1.5, None, 10**30],
        "arch": ["lstm", "transformer", "gated_x", None, 3, []],
        "_name": ["lstm", "transformer", "gated_x", None, 3, []],
        "max_update": ["x"],
        "encoder": [{"layers": 3}],
        "layers": [5],
    }
    name = rng.choice(sorted(wrong))
    setattr(model, name, rng.choice(wrong[name]))


def no_option(state, model, rng):
    delattr(model, rng.choice([*SHAPE, "_name", "arch", "heads_to_keep"]))


def heads_left(state, model, rng):
    right = {"encoder.self.0": [0], "encoder.self.1": [1], "decoder.self.0": [0], "decoder.cross.0": [0, 1]}
    name = rng.choice(sorted(right))
    wrong = [[4], [-1], [0, 0], [1, 0], "0", 0, None, ["0"], [0.5], [True], {0: 1}]
    less = {other: heads for other, heads in right.items() if other != name}
    changed = [{**right, name: rng.choice(wrong)}, less, {**right, "x": [0]}, right]
    model.kept_heads = rng.choice([*changed, "x", 3, [], {}, [[0]] * 4])


def wrong_numbers(rng, tensor):
    nan, infinite = tensor.clone(), tensor.clone()
    nan.view(-1)[rng.randrange(nan.numel())] = float("nan")
    infinite.view(-1)[rng.randrange(nan.numel())] = rng.choice([float("inf"), -float("inf")])
    return rng.choice(
        [
            nan,
            infinite,
            tensor.to(torch.int64),
            tensor.to(torch.complex64),
            torch.empty_like(tensor, device="meta"),
            torch.zeros_like(tensor).to_sparse(),
            torch.zeros(1, dtype=tensor.dtype).expand(10**9, *tensor.shape),
            torch.zeros(1, dtype=tensor.dtype).expand(tensor.numel() + 1),
            tensor[:-1] if tensor.dim() else tensor.expand(2).clone(),
            tensor.unsqueeze(0),
            torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8),
            tensor.tolist(),
            None,
            "x",
        ]
    )


def logits(state, model, rng):
    state["model"]["gates.logits"] = wrong_numbers(rng, state["model"]["gates.logits"])


def a_weight(state, model, rng):
    name = rng.choice([name for name, tensor in state["model"].items() if tensor.numel() > 1])
    state["model"][name] = wrong_numbers(rng, state["model"][name])


def no_weight(state, model, rng):
    filled_in = ("gates.adam", "gates.search", "version", "_float_tensor", "output_projection.weight")
    names = [name for name in state["model"] if not any(part in name for part in filled_in)]
    for name in rng.sample(names, rng.choice([1, 1, 5])):
        del state["model"][name]


def swapped(state, model, rng):
    weights = state["model"]
    one = rng.choice([name for name in weights if weights[name].dim() == 2])
    other = rng.choice([name for name in weights if weights[name].shape != weights[one].shape])
    weights[one], weights[other] = weights[other], weights[one]


def one_more(state, model, rng):
    names = [
        "encoder.layers.7.fc1.weight",
        "x",
        "decoder.embed_positions.weight",
        "a\nb\x1b[2J",
        "encoder.in_proj_weight",
    ]
    name = rng.choice(names)
    state["model"][name] = torch.zeros(rng.choice([(), (3,), (24, 8)]))


def rest(state, model, rng):
    last = state["optimizer_history"][-1]
    changes = {
        "optimizer_history": [[], None, "x", [3], [{}], *([{**last, "num_updates": n}] for n in ("x", -1, None, 1.5))],
        "extra_state": [3, None, [], {"train_iterator": 3}, {"train_iterator": {}}, {"train_iterator": {"epoch": "x"}}],
        "task_state": [3, "x", None],
        "last_optimizer_state": [3, "x"],
        "cfg": [None, 3, "x", [], {}, {"model": None}, {"model": 3}, {"model": []}, {3: 4}, {"task": {}}],
        "model": [None, 3, [], {}, {3: torch.zeros(1)}, {"x": 3}],
        "args": [3, "x", Namespace(arch="gated_transformer"), {}.fromkeys("ab")],
    }
    name = rng.choice(sorted(changes))
    state[name] = rng.choice(changes[name])


def no_part(state, model, rng):
    del state[rng.choice(["cfg", "model", "optimizer_history", "extra_state"])]


def group(state, model, rng):
    deep = []
    for _ in range(100):
        deep = [deep]
    wrong = [3, [1], True, {3: 4}, {"x": "${env:HOME}"}, {"x": "${nothing"}, {"x": {"y": deep}}]
    state["cfg"][rng.choice(["task", "criterion", "common", "dataset", "optimization"])] = rng.choice(wrong)


# --- changes that may be harmless, or are refused


def any_value(state, model, rng):
    """Of any option of any group, also those that nobody reads."""
    groups = [vars(model), *(own for own in state["cfg"].values() if isinstance(own, dict) and own)]
    values = rng.choice(groups)
    wrong = ["x", None, -1, 10**8, [1], {"a": 1}, 3.5, float("nan"), "9" * 5000, True]
    values[rng.choice(sorted(values))] = rng.choice(wrong)


def no_value(state, model, rng):
    groups = [vars(model), *(own for own in state["cfg"].values() if isinstance(own, dict) and own)]
    values = rng.choice(groups)
    del values[rng.choice(sorted(values))]


CONTENT = [
    *(other_shape, other_option, no_option, heads_left, logits, a_weight, a_weight, no_weight, swapped, one_more),
    *(rest, no_part, group),
]
PERHAPS = [any_value, any_value, no_value]


# --- changes of the file


def flipped(path, rng):
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def overwritten(path, rng):
    content = path.read_bytes()
    start = rng.randrange(len(content) - 512)
    path.write_bytes(content[:start] + bytes(512) + content[start + 512 :])


def cut(path, rng):
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def packed_again(path, rng, leave_out=()):
    method = rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
    with zipfile.ZipFile(path) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in parts:
            if name not in leave_out:
                archive.writestr(name, content)


def part_lost(path, rng):
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if "/data" in name and ".data/" not in name]
    packed_again(path, rng, [rng.choice(names)])


FILES = [flipped, flipped, overwritten, cut, packed_again, part_lost]


def tampered(honest, path, rng):
    """Write a checkpoint; its change, and whether it has to be refused."""
    change = rng.choice([*CONTENT, *CONTENT, *PERHAPS, *FILES])
    state = {**honest, "model": dict(honest["model"]), "cfg": {k: copy(v) for k, v in honest["cfg"].items()}}
    if change not in FILES:
        change(state, state["cfg"]["model"], rng)
    torch.save(state, path)
    if change in FILES:
        change(path, rng)
    return change.__name__, change in CONTENT or change in (cut, part_lost)


# --- what is done with them


def commands(folder, good, path, data):
    """Arguments of every command that reads a checkpoint."""
    out = folder / "out"
    yield ["report", path, "--json"]
    yield ["report", "--history", path.parent]
    yield ["prune", path, out]
    yield ["prune", path, out, "--dense"]
    yield ["average", good, path, "--out", out]
    yield ["average", path, good, "--out", out]
    yield ["importance", path, out, "--score", "magnitude", "--heads-to-keep", 3]
    yield ["export", "ctranslate2", path, out, "--data", data]
    yield ["bench", path, "--with", "removed", "--rounds", 1, "--sentences", 2, "--no-memory"]


def decode(path, data):
    """What fairseq-generate and its kin do with a checkpoint."""
    task = tasks.setup_task(Namespace(task="translation", data=str(data), source_lang="de", target_lang="en"))
    checkpoint_utils.load_model_ensemble_and_task([str(path)], task=task)


def train(path, data):
    """What fairseq-train does with a checkpoint before anything else; it then loads it as the commands above."""
    parsed(data, "--finetune-from-model", path, "--save-dir", path.parent / "nothing")


def status_of(command, path, data):
    if command not in (decode, train):
        return main([*map(str, command)])
    try:
        with_one_line_errors(command, "fairseq")(path, data)
    except SystemExit as exit:
        return exit.code
    return 0


def attempt(command, path, data, capsys):
    """The exit status, and what was printed; a traceback is one, too."""
    try:
        status = status_of(command, path, data)
    except Exception as error:
        return f"traceback: {type(error).__name__}: {error}", capsys.readouterr()
    return status, capsys.readouterr()


def wrong_with(status, said, must, left):
    """What is wrong with how a command ended; None: nothing."""
    if status == 0:
        return "exit status 0" if must else None
    lines = [line for line in said.err.splitlines() if " | INFO | " not in line]
    if status not in (1, 2):
        return status
    if left:
        return f"left {left}"
    if said.out or not lines or not all(line.partition(": error: ")[1] for line in lines):
        return f"printed {said.out}{said.err}"
    return None


def test_every_command_refuses_it(honest, data, tmp_path, capsys):
    good, wrong, refusals, slowest = tmp_path / "good.pt", [], 0, 0.0
    torch.save(honest, good)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(COUNT):
        folder = tmp_path / str(number)
        path = folder / "run" / "checkpoint_last.pt"
        path.parent.mkdir(parents=True)
        change, must = tampered(honest, path, random.Random(SEED * 1_000_003 + number))
        for command in [*commands(folder, good, path, data), decode, train]:
            start = time.process_time()
            status, said = attempt(command, path, data, capsys)
            slowest = max(slowest, time.process_time() - start)
            refusals += status != 0
            left = [entry.name for entry in folder.iterdir() if entry.name != "run"]
            found = wrong_with(status, said, must, left)
            if found:
                wrong.append(f"{number}, {change}, {getattr(command, '__name__', command)}: {found}")
            for name in left:
                shutil.rmtree(folder / name) if (folder / name).is_dir() else os.remove(folder / name)
        if change in ("flipped", "overwritten", "packed_again") and not same_or_refused(honest, path):
            wrong.append(f"{number}, {change}: other weights")
        shutil.rmtree(folder)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    print(f"{COUNT} checkpoints, {refusals} refusals, slowest {slowest:.1f} s, {grown / 1e6:.0f} MB more")
    assert not wrong, "\n".join(wrong)
    assert slowest < SECONDS and grown < BYTES


def same_or_refused(honest, path):
    """No number of a damaged file is taken for a weight."""
    try:
        weights = load(str(path))["model"]
    except ValueError:
        return True
    return all(torch.equal(weights[name], tensor) for name, tensor in honest["model"].items() if "_float" not in name)


def test_the_honest_one_passes(honest, data, tmp_path, capsys):
    """Or the test above would say nothing."""
    path = tmp_path / "run" / "checkpoint_last.pt"
    path.parent.mkdir()
    torch.save(honest, path)
    torch.save(honest, tmp_path / "good.pt")
    for command in [*commands(tmp_path, tmp_path / "good.pt", path, data), decode, train]:
        assert status_of(command, path, data) == 0, capsys.readouterr().err
        for left in tmp_path.glob("out*"):
            (shutil.rmtree if left.is_dir() else os.remove)(left)
