"""``dsp-fairseq report``: what it says is counted here a second way, on small checkpoints built in memory."""

import json
import sys

import pytest
import torch
from fairseq.models.transformer import TransformerModel
from reporting import refused, said
from tiny_checkpoints import checkpoint_of, masked_checkpoint, without_removed_heads
from tiny_models import HEADS, VARIANTS, build

from dsp_fairseq.cli import main
from dsp_fairseq.errors import BadInput
from dsp_fairseq.models.gated_transformer import GatedTransformerModel


@pytest.fixture
def masked(tmp_path):
    torch.save(masked_checkpoint(), tmp_path / "masked.pt")
    return tmp_path / "masked.pt"


@pytest.fixture
def removed(tmp_path):
    torch.save(without_removed_heads(masked_checkpoint()), tmp_path / "removed.pt")
    return tmp_path / "removed.pt"


def test_json_has_original_indices_of_a_masked_model(capsys, masked):
    told = json.loads(said(capsys, masked, "--json"))
    assert told["heads"] == {"kept": 17, "pruned": 13, "removed": 0, "original": 30}
    blocks = {block["block"]: block for block in told["blocks"]}
    assert blocks["encoder.self.0"]["kept"] == [0, 2] and blocks["encoder.self.0"]["pruned"] == [1]
    assert blocks["encoder.self.0"]["logits"] == [0, -99, 2]
    assert blocks["decoder.cross.0"]["kept"] == []
    assert blocks["decoder.cross.2"]["logits"] == [-74, 27, 28, 29]
    assert [block["kind"] for block in told["blocks"]] == ["encoder.self"] * 2 + ["decoder.self"] * 3 + [
        "decoder.cross"
    ] * 3


def test_json_has_original_indices_where_heads_are_removed(capsys, masked, removed):
    before, after = (json.loads(said(capsys, path, "--json")) for path in (masked, removed))
    assert after["heads"] == {"kept": 17, "pruned": 0, "removed": 13, "original": 30}
    for old, new in zip(before["blocks"], after["blocks"], strict=True):
        assert (new["kept"], new["pruned"], new["original_heads"]) == (old["kept"], [], old["original_heads"])
        kept_logits = [logit if head in old["kept"] else None for head, logit in enumerate(old["logits"])]
        assert new["logits"] == kept_logits


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_are_those_of_the_model(capsys, tmp_path, variant):
    model = build(GatedTransformerModel, variant, pruning_method="none")
    torch.save(checkpoint_of(model, **VARIANTS[variant]), tmp_path / "model.pt")
    counts = json.loads(said(capsys, tmp_path / "model.pt", "--json"))["parameters"]
    assert counts["total"] == sum(parameter.numel() for parameter in model.parameters())
    assert counts["total"] == sum(count for part, count in counts.items() if part not in ("total", "in pruned heads"))

    def numel(*modules):
        return sum(p.numel() for module in modules for p in module.parameters())

    layers = [*model.encoder.layers, *model.decoder.layers]
    assert counts["encoder.self"] == numel(*model.gated_blocks[:2])
    assert counts["decoder.self"] == numel(*model.gated_blocks[2:5])
    assert counts["decoder.cross"] == numel(*model.gated_blocks[5:])
    assert counts["feed-forward"] == sum(numel(layer.fc1, layer.fc2) for layer in layers)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]
    projections = [p for p in (model.decoder.project_in_dim, model.decoder.project_out_dim) if p is not None]
    assert counts["norms and rest"] == numel(*norms, *projections)


def test_masked_heads_hold_what_their_removal_saves(capsys, masked, removed):
    before, after = (json.loads(said(capsys, path, "--json")) for path in (masked, removed))
    assert before["parameters"]["in pruned heads"] == before["parameters"]["total"] - after["parameters"]["total"] > 0
    assert after["parameters"]["in pruned heads"] == 0


def test_bytes_count_every_storage_once(capsys, tmp_path):
    torch.save(masked_checkpoint("shared embeddings"), tmp_path / "model.pt")
    told = json.loads(said(capsys, tmp_path / "model.pt", "--json"))
    assert told["file_bytes"] == (tmp_path / "model.pt").stat().st_size
    # float32 weights; logits, mask and two moments per head, three counters, in float64; four marks of one float32 each
    assert told["model_bytes"] == 4 * told["parameters"]["total"] + 8 * (4 * HEADS + 3) + 4 * 4


def test_tables(capsys, masked, removed):
    text = said(capsys, masked)
    assert "17 of 30 heads kept; 13 pruned, still in the file" in text
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
    assert ["encoder.self", "2", "2/3", "0/3", ""] in rows
    assert ["decoder.cross", "6", "0/4", "3/4", "3/4"] in rows
    assert ["encoder.self.0", "0.00", "(-99.00)", "2.00", ""] in rows
    text = said(capsys, removed)
    assert "17 of 30 heads kept; 13 removed from the file" in text and "pruned" not in text
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
    assert ["decoder.cross", "6", "0/4", "3/4", "3/4"] in rows
    assert ["encoder.self.0", "0", "-", "2", ""] in rows  # what is left are whole numbers, as ranks are


def ranked(state):
    """Its logits as ``dsp-fairseq importance`` leaves them."""
    logits = state["model"]["gates.logits"]
    state["model"]["gates.logits"] = torch.argsort(torch.argsort(logits)).double()
    return state


def spread_evenly():
    model = build(GatedTransformerModel, "post-norm", pruning_method="uniform", heads_to_keep=5)
    return checkpoint_of(model, heads_to_keep=5)


@pytest.mark.parametrize(
    "state, name, words",
    [
        (masked_checkpoint, "learned", "learned logits"),
        (lambda: ranked(masked_checkpoint()), "ranks", "ranks from dsp-fairseq importance"),
        (spread_evenly, "prior", "uniform prior"),
    ],
    ids=["learned", "ranks", "prior"],
)
def test_what_the_numbers_are_is_told_in_table_json_and_picture(capsys, tmp_path, state, name, words):
    pytest.importorskip("matplotlib")
    from dsp_fairseq.report import heat_map
    from dsp_fairseq.report.report import report_of

    path = tmp_path / "state.pt"
    torch.save(state(), path)
    text = said(capsys, path)
    assert words in text and "mportance logit" not in text
    assert (name == "ranks") == (".00" not in text)  # ranks are whole numbers
    assert json.loads(said(capsys, path, "--json"))["logits_are"] == name
    assert words in heat_map.draw(report_of(str(path))).axes[-1].get_ylabel()


def crossed(figure):
    """Per panel, the cells (head, layer) that carry a cross."""
    centres = [{(sum(line.get_xdata()) / 2, sum(line.get_ydata()) / 2) for line in axes.lines} for axes in figure.axes]
    return centres[:3]


def dotted(figure):
    """Per panel, the cells (head, layer) that are only a dotted frame."""
    frames = [[p for p in axes.patches if p.get_linestyle() == ":"] for axes in figure.axes]
    return [{(round(p.get_center()[0]), round(p.get_center()[1])) for p in panel} for panel in frames][:3]


def test_heat_map_tells_kept_pruned_and_removed_apart(masked, removed):
    pytest.importorskip("matplotlib")
    from dsp_fairseq.report import heat_map
    from dsp_fairseq.report.report import report_of

    encoder = {(1, 0), (0, 1), (1, 1), (2, 1)}
    drawn = heat_map.draw(report_of(str(masked)))
    assert crossed(drawn)[0] == encoder and dotted(drawn)[0] == set()
    assert crossed(drawn)[2] == {(head, 0) for head in range(4)} | {(0, 1), (0, 2)}
    assert drawn.get_suptitle() == "17 of 30 heads kept"
    drawn = heat_map.draw(report_of(str(removed)))
    assert dotted(drawn)[0] == encoder and crossed(drawn)[0] == set()


def test_plot_writes_a_picture_and_nothing_else(capsys, masked, tmp_path):
    pytest.importorskip("matplotlib")
    text = said(capsys, masked)
    assert said(capsys, masked, "--plot", tmp_path / "heads.png") == text
    assert (tmp_path / "heads.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heads.png", "masked.pt"]


def test_no_picture_is_overwritten_without_force(capsys, masked, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "heads.png"
    picture.write_text("mine")
    [line] = refused(capsys, masked, "--plot", picture)
    assert "heads.png" in line and "--force" in line
    assert picture.read_text() == "mine"
    said(capsys, masked, "--plot", picture, "--force")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_failed_drawing_leaves_nothing_and_names_the_picture(capsys, masked, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    def half_a_picture(self, path, **options):
        open(path, "wb").write(b"\x89PNG")
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(Figure, "savefig", half_a_picture)
    assert main(["report", str(masked), "--plot", str(tmp_path / "heads.png")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"error: {tmp_path}/heads.png: " in line and "no space left" in line.lower()
    assert [path.name for path in tmp_path.iterdir()] == ["masked.pt"]


def test_missing_matplotlib_is_one_line(capsys, masked, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    [line] = refused(capsys, masked, "--plot", tmp_path / "heads.png")
    assert "pip install matplotlib" in line
    assert [path.name for path in tmp_path.iterdir()] == ["masked.pt"]


def test_stock_checkpoint_is_refused(capsys, tmp_path):
    stock = checkpoint_of(build(TransformerModel, "post-norm"), arch="transformer")
    torch.save(stock, tmp_path / "stock.pt")
    [line] = refused(capsys, tmp_path / "stock.pt", "--plot", tmp_path / "heads.png")
    assert "stock.pt" in line and "transformer" in line
    assert [path.name for path in tmp_path.iterdir()] == ["stock.pt"]


def test_damaged_checkpoint_is_refused(capsys, masked, tmp_path):
    masked.write_bytes(masked.read_bytes()[:-2000])
    [line] = refused(capsys, masked, "--plot", tmp_path / "heads.png")
    assert "masked.pt" in line and "damaged" in line
    assert len(refused(capsys, masked, "--plot", tmp_path / "heads.pdf")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["masked.pt"]


def test_all_problems_at_once(capsys, tmp_path):
    lines = refused(capsys, tmp_path / "missing.pt", "--plot", tmp_path / "nowhere" / "heads.pdf")
    assert len(lines) == 3
    assert all(any(word in line for line in lines) for word in ("missing.pt", ".png", "nowhere"))


def test_force_without_a_file_to_write(capsys, masked):
    [line] = refused(capsys, masked, "--force")
    assert "--force" in line and "--plot" in line


def test_the_environment_asks_for_a_traceback(monkeypatch):
    monkeypatch.setenv("DSP_DEBUG", "1")
    with pytest.raises(BadInput):
        main(["report", "nowhere.pt"])
