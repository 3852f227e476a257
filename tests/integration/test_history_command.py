"""A training watched with stock ``--tensorboard-logdir``, then told and drawn by ``dsp-fairseq report --history``."""

import json

import pytest
from trainings import logged, train

from dsp_fairseq.checkpoints.reading import kept_units
from dsp_fairseq.cli import main
from dsp_fairseq.families.transformer import KINDS
from dsp_fairseq.gates.scalars import CHOICE
from dsp_fairseq.history.events import KEPT

pytest.importorskip("tensorboard")
pytest.importorskip("matplotlib")

UPDATES = 12
KEPT_HEADS = {kind: KEPT[kind] for kind in KINDS}  # this training has nothing else to choose
OPTIONS = f"""--heads-to-keep 12 --max-update {UPDATES} --search-updates 8 --uniform-prior 0 --pruning-lr 0.2
 --search-warmup-updates 1 --save-interval-updates 3 --update-freq 2 --disable-validation --log-interval 1
 --tensorboard-logdir""".split()


@pytest.fixture(scope="module")
def watched(run, corpus, tmp_path_factory):
    """The folder of the training, event files below it, and what it printed."""
    folder = tmp_path_factory.mktemp("watched")
    return folder, train(run, corpus, folder, *OPTIONS, folder / "tb")


@pytest.fixture
def told(watched, capsys):
    assert main(["report", "--history", str(watched[0]), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_log_and_the_event_files_say_the_same(watched, told):
    lines = logged(watched[1], "train_inner")
    assert len(lines) == UPDATES
    for tag in (*KEPT_HEADS.values(), *CHOICE, "heads_kept", "temperature"):
        curve = told["scalars"][tag]
        printed = {int(line["num_updates"]): float(line[tag]) for line in lines if line[tag] is not None}
        assert dict(zip(curve["updates"], curve["values"], strict=True)) == pytest.approx(printed, rel=1e-4, abs=1e-6)
    assert told["scalars"]["temperature"]["updates"] == list(range(1, 9))
    bits = told["scalars"]["subset_entropy"]["values"]
    assert bits[0] > 30 and 0 < bits[7] < bits[3] and bits[8:] == [0.0] * 4


def test_the_checkpoints_keep_what_the_log_says(watched, told):
    assert [own["update"] for own in told["checkpoints"]] == [3, 6, 9, 12]
    for own in told["checkpoints"]:
        assert sum(own["kept"].values()) == 12
        # a line of the log is of the logits that its update began with
        after = own["update"] + 1
        for kind, tag in KEPT_HEADS.items():
            curve = told["scalars"][tag]
            values = dict(zip(curve["updates"], curve["values"], strict=True))
            assert after > UPDATES or values[after] == own["kept"][kind]
    kept = kept_units(str(watched[0] / "checkpoint_last.pt"))
    assert told["checkpoints"][-1]["kept"] == kept.per_kind
    assert told["settled_from"] <= 9


def test_the_command_draws_both(run, watched, tmp_path):
    picture = tmp_path / "history.png"
    done = run("dsp-fairseq", "report", "--history", watched[0], "--plot", picture)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "the same 12 of 36 heads kept from update" in done.stdout and "subset_entropy" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
