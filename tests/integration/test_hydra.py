"""`fairseq-hydra-train` with the YAML file of the quick start does what its command line does."""

import shlex

import pytest
from console import PROJECT
from trainings import assert_same_state, heads_of_generate

from dsp_fairseq.checkpoints.reading import kept_units, load

SMALL = {"max_update": 10, "max_tokens": 800, "warmup_updates": 20}


def flags_of_the_quick_start():
    """The words of `fairseq-train` in run.sh, for 12 heads."""
    script = (PROJECT / "examples" / "quickstart" / "run.sh").read_text(encoding="utf-8")
    command = script.split("exec fairseq-train", 1)[1].split("\n}", 1)[0].replace("\\\n", " ")
    words = shlex.split(command.replace('$(pruning_of "$1")', "--pruning-method dsp --heads-to-keep 12"))
    return words[1:]


def with_other_values(words, changes):
    """The same command line with other values of some options."""
    words = list(words)
    for option, value in changes.items():
        words[words.index(f"--{option.replace('_', '-')}") + 1] = str(value)
    return words


def hydra(run, corpus, folder, *overrides):
    return run(
        "fairseq-hydra-train", "--config-dir", "examples/quickstart", "--config-name", "third",
        f"task.data={corpus.data_bin}", f"checkpoint.save_dir={folder}", "common.user_dir=dsp_fairseq", *overrides,
    )  # fmt: skip


def test_the_same_job(run, corpus, tmp_path):
    changes = {"save_dir": tmp_path / "flags", "user_dir": "dsp_fairseq", **SMALL}
    done = run("fairseq-train", corpus.data_bin, *with_other_values(flags_of_the_quick_start(), changes))
    assert done.returncode == 0, done.stderr
    parts = {"max_update": "optimization", "max_tokens": "dataset", "warmup_updates": "lr_scheduler"}
    overrides = [f"{parts[name]}.{name}={value}" for name, value in SMALL.items()]
    done = hydra(run, corpus, tmp_path / "yaml", *overrides)
    assert done.returncode == 0, done.stderr + done.stdout
    states = [load(str(tmp_path / name / "checkpoint_last.pt")) for name in ("flags", "yaml")]
    assert_same_state(*states)
    said, seen = (vars(states[0]["cfg"]["model"]), states[1]["cfg"]["model"])
    model = [name for name in seen if name in said and name not in ("_name", "data", "save_dir")]
    assert len(model) > 60 and {name: said[name] for name in model if str(said[name]) != str(seen[name])} == {}
    small = tmp_path / "small.pt"
    assert run("dsp-fairseq", "prune", tmp_path / "yaml" / "checkpoint_last.pt", small).returncode == 0
    assert heads_of_generate(run, corpus, small) == 12


def test_a_budget_in_parameters(run, corpus, tmp_path):
    budget = ["model.heads_to_keep=null", "+model.parameters_to_keep=40%", "+model.ffn_group=16"]
    done = hydra(run, corpus, tmp_path, *budget, "optimization.max_update=4", "dataset.max_tokens=800")
    assert done.returncode == 0, done.stderr + done.stdout
    kept = kept_units(str(tmp_path / "checkpoint_last.pt"))
    [share] = kept.plan.choice.shares
    assert share.keep == int(0.4 * share.pool.total) and share.pool.allows(kept.mask, share.keep)


@pytest.mark.parametrize(
    "override, words",
    [
        ("+model.parameters_to_keep=140%", ["--parameters-to-keep 140%", "must be"]),
        ("+model.heads_to_kep=3", ["model.heads_to_kep", "unknown"]),
        ("model.heads_to_keep=37", ["--heads-to-keep 37", "0 to 36"]),
        ("+criterion.teacher=nowhere.pt", ["--teacher", "nowhere.pt", "does not exist"]),
        ("task._name=translation", ["--task translation", "translation_pruning"]),
        ("criterion._name=label_smoothed_cross_entropy", ["--criterion", "dsp_label_smoothed_cross_entropy"]),
    ],
)
def test_bad_input_is_one_line(run, corpus, tmp_path, override, words):
    done = hydra(run, corpus, tmp_path / "run", override)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert all(word in done.stderr for word in words)
    assert not list(tmp_path.glob("run/*"))
