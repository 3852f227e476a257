"""``dsp-fairseq report --history``: what it makes of the checkpoints and event files of a folder, told and drawn."""

import itertools
import json

import numpy as np
import pytest
import torch
from reporting import refused, said
from tiny_checkpoints import checkpoint_of
from tiny_models import build

from dsp_fairseq.models.gated_transformer import GatedTransformerModel

FIRST, SECOND, THIRD = [0, 6, 10, 18], [0, 6, 10, 19], [0, 7, 10, 19]  # flat indices of kept heads, of 30


@pytest.fixture(autouse=True)
def wide_screen(monkeypatch):
    """Every table in one piece."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def model():
    return build(GatedTransformerModel, "post-norm", pruning_method="uniform", heads_to_keep=4)


def save(path, model, heads, update, **options):
    """A checkpoint of that update that keeps these heads."""
    state = checkpoint_of(model, **{"heads_to_keep": len(heads), **options})
    logits = torch.zeros_like(state["model"]["gates.logits"])
    logits[heads] = 1.0
    state["model"] = {**state["model"], "gates.logits": logits, "gates.kept.heads": logits}
    state["optimizer_history"] = [{"num_updates": number, "lr_scheduler_state": {}} for number in (1, update)]
    torch.save(state, path)


@pytest.fixture
def folder(tmp_path, model):
    """Names in another order than updates; the last is there twice, and something else too."""
    made = tmp_path / "run"
    made.mkdir()
    save(made / "checkpoint_best.pt", model, SECOND, 20)
    save(made / "checkpoint_1_10.pt", model, FIRST, 10)
    save(made / "checkpoint_1_100.pt", model, THIRD, 100)
    save(made / "checkpoint_last.pt", model, THIRD, 110)
    save(made / "checkpoint110.pt", model, THIRD, 110)
    (made / "train.log").write_text("no checkpoint")
    return made


def problems(capsys, *arguments):
    return [line.partition("error: ")[2] for line in refused(capsys, *arguments)]


def cells(text):
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows]


class TestCheckpoints:
    def test_table_in_the_order_of_the_updates(self, capsys, folder):
        text = said(capsys, "--history", folder)
        assert [row[1:] for row in cells(text)[2:]] == [
            ["10", "4", "1", "2", "1", ""],
            ["20", "4", "1", "2", "1", "1 in, 1 out"],
            ["100", "4", "1", "2", "1", "1 in, 1 out"],
            ["110", "4", "1", "2", "1", "-"],
        ]
        assert text.splitlines()[-1] == "the same 4 of 30 heads kept from update 100 on"

    def test_json(self, capsys, folder):
        told = json.loads(said(capsys, "--history", folder, "--json"))
        assert [(own["update"], own["came"], own["went"]) for own in told["checkpoints"]] == [
            (10, None, None), (20, 1, 1), (100, 1, 1), (110, 0, 0),
        ]  # fmt: skip
        assert told["settled_from"] == 100 and told["scalars"] == {}
        heads = told["checkpoints"][0]["heads"]
        # blocks: 0..2, 3..5 of the encoder, then 6..9, 10..13, 14..17 and 18..21
        assert {block: kept for block, kept in heads.items() if kept} == {
            "encoder.self.0": [0], "decoder.self.0": [0], "decoder.self.1": [0], "decoder.cross.0": [0],
        }  # fmt: skip

    def test_a_set_that_still_changes_has_not_settled(self, capsys, folder, model):
        save(folder / "checkpoint_2_120.pt", model, FIRST, 120)
        text = said(capsys, "--history", folder)
        assert "still changed" in text.splitlines()[-1] and "120" in text.splitlines()[-1]
        assert json.loads(said(capsys, "--history", folder, "--json"))["settled_from"] is None

    def test_a_single_checkpoint_says_nothing_of_settling(self, capsys, tmp_path, model):
        save(tmp_path / "checkpoint_last.pt", model, FIRST, 5)
        text = said(capsys, "--history", tmp_path)
        assert text.splitlines()[-1] == "4 of 30 heads kept at update 5, the only checkpoint"
        assert json.loads(said(capsys, "--history", tmp_path, "--json"))["settled_from"] is None

    def test_all_problems_in_a_line_each(self, capsys, folder, model, tmp_path):
        save(folder / "checkpoint_x1.pt", model, FIRST, 100)  # two trainings: the same update, other heads
        save(folder / "checkpoint_x2.pt", model, [0, 1], 30)
        other = build(GatedTransformerModel, "post-norm", encoder_layers=1, pruning_method="uniform", heads_to_keep=4)
        save(folder / "checkpoint_x3.pt", other, FIRST, 40, encoder_layers=1)
        whole = (folder / "checkpoint_last.pt").read_bytes()
        (folder / "checkpoint_x4.pt").write_bytes(whole[:-3000])
        lines = problems(capsys, "--history", folder, "--plot", tmp_path / "x.pdf")
        assert len(lines) == 5
        for line, words in zip(
            lines,
            [
                [".png"],
                ["checkpoint_x1.pt", "update 100", "checkpoint_1_100.pt"],
                ["checkpoint_x2.pt", "--heads-to-keep 2", "with 4"],
                ["checkpoint_x3.pt", "27 heads", "30 heads"],
                ["checkpoint_x4.pt", "damaged"],
            ],
            strict=True,
        ):
            assert all(word in line for word in words), line

    def test_what_is_no_folder_of_a_training(self, capsys, folder, tmp_path):
        (tmp_path / "empty").mkdir()
        [line] = problems(capsys, "--history", tmp_path / "missing")
        assert "missing" in line and "does not exist" in line
        [line] = problems(capsys, "--history", folder / "checkpoint_last.pt")
        assert "is a file" in line
        [line] = problems(capsys, "--history", tmp_path / "empty")
        assert "checkpoint*.pt" in line and "--tensorboard-logdir" in line

    def test_one_of_checkpoint_and_history(self, capsys, folder):
        [line] = problems(capsys)
        assert "CKPT" in line and "--history" in line
        [line] = problems(capsys, folder / "checkpoint_last.pt", "--history", folder)
        assert "one of them" in line


class Log:
    """Event files as fairseq writes them."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, values, updates, sub="train_inner", shift=0.0):
        writers = pytest.importorskip("torch.utils.tensorboard")
        with writers.SummaryWriter(str(self.folder / sub)) as writer:
            for update in updates:
                for tag, value in values.items():
                    writer.add_scalar(tag, value(update) + shift, update)


VALUES = {
    "heads_kept": lambda update: max(4, 30 - update),
    "kept_encoder_self": lambda update: 1,
    "kept_decoder_self": lambda update: 2,
    "kept_decoder_cross": lambda update: 1,
    "temperature": lambda update: 2.0**-update,
    "subset_entropy": lambda update: 10.0 / (1 + update),
    "logits_mean": lambda update: -0.5,
    "logits_std": lambda update: 0.25 * update,
    "loss": lambda update: 9.0,
}


@pytest.fixture
def log(tmp_path):
    pytest.importorskip("tensorboard")
    return Log(tmp_path / "tb")


class TestEvents:
    def test_every_value_comes_back(self, capsys, log):
        log.write(VALUES, range(1, 41))
        log.write({"loss": lambda update: 1.0, "heads_kept": lambda update: 99}, [40], sub="train")
        log.write({"loss": lambda update: 1.0, "heads_kept": lambda update: 4}, [40], sub="valid")
        told = json.loads(said(capsys, "--history", log.folder, "--json"))["scalars"]
        assert set(told) == set(VALUES) - {"loss"}
        for tag, curve in told.items():
            assert curve["updates"] == list(range(1, 41))
            assert curve["values"] == pytest.approx([VALUES[tag](update) for update in range(1, 41)])

    def test_table_from_the_first_to_the_last_update(self, capsys, log):
        log.write({**VALUES, "temperature": lambda update: 0.5}, range(1, 101))
        header, _, *rows = cells(said(capsys, "--history", log.folder))
        assert header == ["update", *list(VALUES)[:-1]]
        assert len(rows) == 12 and rows[0][:2] == ["1", "29"] and rows[-1] == "100 4 1 2 1 0.5 0.09901 -0.5 25".split()

    def test_after_a_restart_the_later_value_counts(self, capsys, log):
        log.write({"heads_kept": lambda update: 5}, range(1, 11))
        log.write({"heads_kept": lambda update: 7}, range(6, 16))
        curve = json.loads(said(capsys, "--history", log.folder, "--json"))["scalars"]["heads_kept"]
        assert curve == {"updates": list(range(1, 16)), "values": [5.0] * 5 + [7.0] * 10}

    def test_a_file_without_its_end_is_read_as_far_as_it_goes(self, capsys, log):
        log.write({"heads_kept": lambda update: 5}, range(1, 11))
        [path] = (log.folder / "train_inner").iterdir()
        path.write_bytes(path.read_bytes()[:-10])
        curve = json.loads(said(capsys, "--history", log.folder, "--json"))["scalars"]["heads_kept"]
        assert curve["updates"] == list(range(1, 10))

    def test_damaged_strange_and_several_are_refused(self, capsys, log, tmp_path):
        log.write({"loss": lambda update: 1.0}, [1])
        [line] = problems(capsys, "--history", log.folder)
        assert "loss" in line and "--criterion dsp_label_smoothed_cross_entropy" in line
        [path] = (log.folder / "train_inner").iterdir()
        path.write_bytes(b"hello")
        [line] = problems(capsys, "--history", log.folder)
        assert "damaged" in line
        Log(log.folder / "other").write({"heads_kept": lambda update: 1.0}, [1])
        [line] = problems(capsys, "--history", log.folder)
        assert "2 trainings" in line and "other" in line

    def test_without_tensorboard_one_line_says_how_to_get_it(self, capsys, folder, log, monkeypatch):
        Log(folder / "tb").write(VALUES, [1, 2])
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        [line] = problems(capsys, "--history", folder)
        assert "pip install tensorboard" in line

    def test_checkpoints_and_events_of_one_folder_are_told_together(self, capsys, folder, log):
        Log(folder / "tb").write(VALUES, [1, 2])
        told = json.loads(said(capsys, "--history", folder, "--json"))
        assert len(told["checkpoints"]) == 4 and set(told["scalars"]) == set(VALUES) - {"loss"}
        text = said(capsys, "--history", folder)
        assert "from update 100 on" in text and "subset_entropy" in text


class TestPicture:
    @pytest.fixture(autouse=True)
    def needs_matplotlib(self):
        pytest.importorskip("matplotlib")

    def figure(self, folder):
        from dsp_fairseq.history import picture
        from dsp_fairseq.history.text import history_of

        return picture.draw(history_of(str(folder)))

    def test_filled_cells_are_the_kept_heads(self, folder):
        figure = self.figure(folder)
        meshes = [mesh for axes in figure.axes for mesh in axes.collections]
        drawn = np.concatenate([np.asarray(mesh.get_array()) for mesh in meshes])  # [heads, checkpoints]
        assert drawn.shape == (30, 4)
        for column, heads in enumerate([FIRST, SECOND, THIRD, THIRD]):
            assert np.flatnonzero(drawn[:, column]).tolist() == heads
        bars = [bar.get_height() for axes in figure.axes for bar in axes.patches]
        assert bars == [2, 2, 0]

    def test_curves_are_the_logged_values(self, log):
        log.write(VALUES, range(1, 41))
        figure = self.figure(log.folder)
        lines = {(axes.get_ylabel(), line.get_label()): line for axes in figure.axes for line in axes.lines}
        assert {label for unit, label in lines if unit == "heads"} == {
            "all open in training", "encoder.self", "decoder.self", "decoder.cross",
        }  # fmt: skip
        assert lines["heads", "decoder.self"].get_ydata().tolist() == [2.0] * 40
        [entropy_line] = [line for (unit, _), line in lines.items() if unit == "bits"]
        assert entropy_line.get_ydata().tolist() == pytest.approx([10.0 / (1 + update) for update in range(1, 41)])
        [temperature] = [axes for axes in figure.axes if axes.get_ylabel() == "in logits"]
        assert temperature.get_yscale() == "log"

    @pytest.mark.parametrize("logged", [False, True])
    @pytest.mark.parametrize("shape, checkpoints", [((2, 3, 3, 4), 1), ((3, 4, 3, 4), 11), ((6, 16, 6, 16), 90)])
    def test_no_text_lies_on_another_or_outside(self, shape, checkpoints, logged):
        from dsp_fairseq.families.transformer.inventory import transformer_inventory
        from dsp_fairseq.history import picture
        from dsp_fairseq.history.checkpoints import Snapshot
        from dsp_fairseq.history.events import Curve
        from dsp_fairseq.history.text import History

        inventory, generator = transformer_inventory(*shape), np.random.default_rng(1)
        updates = [5000 * (1 + i) for i in range(checkpoints)]
        own = [Snapshot("", u, inventory, tuple((generator.random(inventory.units) < 0.3).tolist())) for u in updates]
        curves = {tag: Curve(updates, [value(i) for i in range(checkpoints)]) for tag, value in VALUES.items()}
        figure = picture.draw(History("", own, curves if logged else {}))
        assert overlaps(figure) == []


def overlaps(figure):
    """Texts that meet, or leave the figure."""
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    texts = [*figure.texts, *(text for legend in figure.findobj(Legend) for text in legend.texts)]
    for axes in figure.findobj(Axes):
        if axes.axison:
            texts += [axes._left_title, axes.xaxis.label, axes.yaxis.label]
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                texts += [
                    label
                    for label, at in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=False)
                    if low <= at <= high
                ]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text() and t.get_visible()]
    wide, high = figure.bbox.width, figure.bbox.height
    out = [text for text, box in boxes if box.x0 < -1 or box.y0 < -1 or box.x1 > wide + 1 or box.y1 > high + 1]
    met = [(a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if one.overlaps(other)]
    return out + met
