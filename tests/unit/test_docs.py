"""The documentation says what the code says, and its links lead somewhere."""

import argparse
import ast
import doctest
import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from dsp_fairseq import cli

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for folder in (".", "docs", "docs/methods", "examples/*", "examples/*/results", "scripts", "benchmarks")
    for path in PROJECT.glob(f"{folder}/*.md")
)
LINK = re.compile(r"\]\(([^)#]*)(#[^)]*)?\)")


def test_flags_are_those_of_the_code():
    spec = importlib.util.spec_from_file_location("flags", PROJECT / "docs" / "flags.py")
    flags = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(flags)
    written = (PROJECT / "docs" / "flags.md").read_text(encoding="utf-8")
    assert written == flags.page(), "run: python docs/flags.py"


def parsers(parser, name=""):
    """(name, parser) of every command, those of a command included."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, own in action.choices.items():
                yield from parsers(own, f"{name} {word}".lstrip())


def test_every_command_and_its_flags_have_a_place_on_the_page():
    page = (PROJECT / "docs" / "flags.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## dsp-fairseq (.+?)\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    found = {name: parser for name, parser in parsers(cli._parser()) if name}
    assert list(sections) == list(found) and "export ctranslate2" in found
    for name, parser in found.items():
        rows = dict(re.findall(r"^\| `(.+?)` \| (.*) \|$", sections[name], re.M))
        actions = [
            action
            for action in parser._actions
            if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
        ]
        assert [row.split()[0] for row in rows] == [
            (action.option_strings or [action.metavar])[-1] for action in actions
        ]
        assert all(text.strip() for text in rows.values()), name
        assert (parser.epilog or "").strip() in sections[name]


def anchors(page):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_to_files_and_headings(page):
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link[0]]
    targets = [(page.parent / path if path else page, anchor) for path, anchor in links]
    assert [str(target) for target, _ in targets if not target.exists()] == []
    assert [anchor for target, anchor in targets if anchor and anchor not in anchors(target)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_flags_that_are_named_exist(page):
    """Of ours: a word like `--heads-to-keep` in a page is a flag that something here takes."""
    text = page.read_text(encoding="utf-8")
    known = (PROJECT / "docs" / "flags.md").read_text(encoding="utf-8")
    ours = r"--(?:pruning|heads|search|uniform|l0|prunable|frozen|cooldown|initial|final|min-heads|max-heads)[a-z0-9-]*"
    assert {flag for flag in re.findall(ours, text) if f"`{flag}" not in known} == set()


def rooms_in_order():
    """The groups of rooms in the picture of CONTRIBUTING.md, from left to right."""
    page = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = re.search(r"^```\n(structures > .+?)^```", page, re.M | re.S).group(1)
    return [re.findall(r"\w+", group) for group in picture.split(">")]


def imported_rooms(room):
    """(file, room) of every import in a room of the package, also of those inside functions."""
    package = PROJECT / "dsp_fairseq"
    for path in sorted((package / room).rglob("*.py")):
        folders = ("dsp_fairseq", *path.relative_to(package).parent.parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                above = folders[: len(folders) + 1 - node.level] if node.level else ()
                names = [*above, *(node.module or "").split("."), *(name.name for name in node.names)]
                if names[0] == "dsp_fairseq":
                    yield path.name, next(name for name in names[1:] if name)


def test_rooms_import_only_those_to_their_left():
    order = rooms_in_order()
    place = {room: i for i, group in enumerate(order) for room in group}
    folders = {path.name for path in (PROJECT / "dsp_fairseq").iterdir() if path.is_dir() and path.name[0] != "_"}
    assert set(place) == folders
    found = [(room, *each) for room in place for each in imported_rooms(room)]
    assert [
        (room, file, other) for room, file, other in found if other != room and place.get(other, -1) >= place[room]
    ] == []


def test_only_families_and_models_know_the_stacks_of_a_transformer():
    package = PROJECT / "dsp_fairseq"
    said = [
        f"{path.relative_to(package)}:{number}"
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] not in ("families", "modules", "models")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search("encoder|decoder", line, re.I)
    ]
    assert said == []


EXAMPLES = sorted(
    ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    for path in (PROJECT / "dsp_fairseq").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings_print_what_they_say(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_no_test_file_imports_another_and_no_two_have_one_name():
    files = sorted((PROJECT / "tests").rglob("test_*.py"))
    names = [path.stem for path in files]
    assert len(set(names)) == len(names)
    importing = re.compile(rf"^\s*(?:from|import) (?:{'|'.join(names)})\b", re.MULTILINE)
    assert [path.name for path in files if importing.search(path.read_text(encoding="utf-8"))] == []


def test_public_functions_of_gates_have_an_example():
    gates = importlib.import_module("dsp_fairseq.gates")
    public = ("gumbel_soft_top_k", "straight_through_top_k", "hard_top_k", "anneal_temperature")
    assert [name for name in public if ">>> " not in getattr(gates, name).__doc__] == []
