"""Lines of a text that several processes share come out as those of one."""

import sys

from console import PROJECT

sys.path.insert(0, str(PROJECT / "scripts"))

from corpus import parallel


def shout():
    return str.upper


def test_of_a_corpus(tmp_path, monkeypatch, capsys):
    """more batches than may be in flight at once"""
    monkeypatch.setattr(parallel, "BATCH", 2)
    lines = [f"Zeile {number}\u2028ä" for number in range(51)]
    (tmp_path / "in").write_text("".join(f"{line}\n" for line in lines))
    parallel.map_lines(tmp_path / "in", tmp_path / "out", shout, 2)
    assert (tmp_path / "out").read_text().split("\n")[:-1] == [line.upper() for line in lines]
    assert "51 lines" in capsys.readouterr().out


def test_of_fairseq_preprocess(run, tmp_path):
    """With a carriage return in a line, where a process must not begin."""
    (tmp_path / "train.de").write_bytes(
        b"".join(b"a%d b\rc d%d e\r\n" % (i, i) if i % 2 else b"a%d b c\n" % i for i in range(50))
    )
    (tmp_path / "train.en").write_bytes(b"x\n" * 50)
    found = []
    for number in (1, 2, 5):
        options = ["-s", "de", "-t", "en", "--trainpref", tmp_path / "train", "--destdir", tmp_path / f"{number}"]
        done = run("fairseq-preprocess", *options, "--workers", number)
        assert done.returncode == 0, done.stderr
        found.append({file.name: file.read_bytes() for file in (tmp_path / f"{number}").iterdir()})
        assert found[-1].pop("preprocess.log")
    assert found[0] == found[1] == found[2] and len(found[0]) == 6
