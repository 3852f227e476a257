"""Tables of the commands fit the screen, and lose nothing for it."""

import pytest

from dsp_fairseq.tables import table, whole_table

HEADER = ["block", *(f"head {head}" for head in range(16))]
ROWS = [[f"encoder.self.{layer}", *(f"({layer}.{head:02})" for head in range(16))] for layer in range(3)]


def cells(text):
    """[table][line][cell], rulers left out."""
    tables = [part.splitlines() for part in text.split("\n\n")]
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in part if "--" not in line] for part in tables
    ]


@pytest.mark.parametrize("columns", [30, 72, 100, 500])
def test_every_cell_is_there_once_and_no_line_is_wider_than_the_screen(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = table(HEADER, ROWS)
    assert max(map(len, text.splitlines())) <= columns
    parts = cells(text)
    for number, wanted in enumerate([HEADER, *ROWS]):
        lines = [part[number] for part in parts]
        assert {line[0] for line in lines} == {wanted[0]}
        assert [cell for line in lines for cell in line[1:]] == wanted[1:]
    assert (len(parts) == 1) == (columns == 500)


def test_without_a_screen_it_is_a_hundred(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("os.get_terminal_size", lambda handle: (_ for _ in ()).throw(OSError))
    assert 80 < max(map(len, table(HEADER, ROWS).splitlines())) <= 100


def test_several_key_columns_and_alignment(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = table(
        ["checkpoint", "variant", "speed", "latency"],
        [["a.pt", "stock", "1", "2"]],
        ["left", "left", "right", "right"],
        2,
    )
    assert cells(text) == [
        [["checkpoint", "variant", "speed"], ["a.pt", "stock", "1"]],
        [["checkpoint", "variant", "latency"], ["a.pt", "stock", "2"]],
    ]
    assert "|       1 |" in text and "| stock     |" in text


def test_what_has_no_room_at_all_is_told_all_the_same(monkeypatch):
    monkeypatch.setenv("COLUMNS", "5")
    assert cells(table(["a", "b"], [["x" * 9, "y" * 9]])) == [[["a", "b"], ["x" * 9, "y" * 9]]]
    assert table(["only"], [["x"]]) == whole_table(["only"], [["x"]])
