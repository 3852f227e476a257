"""fairseq-eval-lm that has scored no word reports no perplexity."""

from fairseq_commands import run, write_texts

MODEL = (
    "--arch",
    "transformer_lm",
    "--decoder-layers",
    "1",
    "--decoder-embed-dim",
    "8",
    "--decoder-ffn-embed-dim",
    "8",
)
TRAINING = ("--optimizer", "adam", "--max-tokens", "64", "--cpu", "--num-workers", "0", "--max-update", "1")


def test_nothing_scored_is_no_perplexity(tmp_path, monkeypatch, capsys):
    def command(name, *options):
        return run(name, *options, monkeypatch=monkeypatch, capsys=capsys)

    write_texts(tmp_path, train=24, valid=8, test=8)
    texts = [word for split in ("train", "valid", "test") for word in (f"--{split}pref", tmp_path / f"{split}.de")]
    assert command("preprocess", "--only-source", *texts, "--destdir", tmp_path / "data") == (0, [])
    shape = ("--task", "language_modeling", "--tokens-per-sample", "16")
    assert command("train", tmp_path / "data", *MODEL, *TRAINING, *shape, "--save-dir", tmp_path) == (0, [])
    scoring = (tmp_path / "data", "--path", tmp_path / "checkpoint_last.pt", "--cpu", "--num-workers", "0")
    status, (error,) = command("eval_lm", *scoring)
    assert status == 2 and "--tokens-per-sample" in error
    assert command("eval_lm", *scoring, *shape) == (0, [])
