"""The documentation says what the code says, and its links lead somewhere."""

import argparse
import doctest
import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from dsp_fairseq import cli

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path for folder in (".", "docs", "docs/methods", "examples/*", "scripts") for path in PROJECT.glob(f"{folder}/*.md")
)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_to_files(page):
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_flags_that_are_named_exist(page):
    """Of ours: a word like `--heads-to-keep` in a page is a flag that something here takes."""
    text = page.read_text(encoding="utf-8")
    known = (PROJECT / "docs" / "flags.md").read_text(encoding="utf-8")
    ours = r"--(?:pruning|heads|search|uniform|l0|prunable|frozen|cooldown|initial|final|min-heads|max-heads)[a-z0-9-]*"
    assert {flag for flag in re.findall(ours, text) if f"`{flag}" not in known} == set()


EXAMPLES = sorted(
    ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    for path in (PROJECT / "dsp_fairseq").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings_print_what_they_say(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_public_functions_of_gates_have_an_example():
    gates = importlib.import_module("dsp_fairseq.gates")
    public = ("gumbel_soft_top_k", "straight_through_top_k", "hard_top_k", "anneal_temperature")
    assert [name for name in public if ">>> " not in getattr(gates, name).__doc__] == []
