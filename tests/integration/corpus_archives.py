"""Small archives of the same form as IWSLT's and WMT's, and the prepare scripts run on them as a user does."""

import io
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
PATIENCE = 600  # seconds; the machine may be busy
RESULTS = ("raw", "tok", "split", "codes", "subwords", "data-bin")
OWN = ("DSP_VENV", "IWSLT14_ARCHIVE", "WMT_ORIG", "CORPUS_MIRROR", "PREPARE_TERMINAL", "DSP_DEBUG")

TESTS = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")
PAIRS, TALKS, TEST_PAIRS = 200, 4, 3
BAD_PAIRS = (("kurz.", " ".join(["long"] * 9)), ("", "no German"), (" ".join(["zu"] * 176), " ".join(["too"] * 176)))
KEPT = PAIRS + 2 * TALKS  # titles and descriptions are text, too

NOUNS = ("Hund dog", "Mann man", "Straße street", "Café café", "Übung exercise", "Kinder kids", "Ball ball")
VERBS = ("läuft runs", "springt jumps", "schläft sleeps", "spielt plays")


def sentences(count, seed):
    """Pairs of German and English of nine or ten tokens."""
    rng = random.Random(seed)
    for _ in range(count):
        words = [rng.choice(words).split() for words in (NOUNS, VERBS, NOUNS)]
        yield tuple("Der {} {} z.B. gut. Am {}.".format(*(word[side] for word in words)) for side in (0, 1))


def sides(pairs):
    """{"de": text, "en": text} of pairs"""
    pairs = list(pairs)
    return {language: "".join(f"{pair[side]}\n" for pair in pairs) for side, language in enumerate(("de", "en"))}


def write_archive(path, files):
    """tar.gz of {name: text or bytes}"""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def segments(text):
    """Lines as WMT's and TED's test sets have them"""
    numbered = enumerate(text.splitlines(), 1)
    return '<refset setid="x">\n<doc docid="1">\n' + "".join(f'<seg id="{n}"> {line} </seg>\n' for n, line in numbered)


def environment(**extra):
    env = {key: value for key, value in os.environ.items() if key not in OWN}
    commands = str(Path(sys.executable).parent)
    if commands not in env["PATH"].split(os.pathsep):
        env["PATH"] = f"{commands}{os.pathsep}{env['PATH']}"
    return {**env, **{key: str(value) for key, value in extra.items()}}


def prepare(script, out, *options, **extra):
    return subprocess.run(
        ["bash", SCRIPTS / script, "--out", out, "--jobs", "1", *options],
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def stub(folder, *commands):
    """PATH with a fairseq-preprocess that writes its arguments and a dictionary: for what comes before it."""
    tool = folder / "bin" / "fairseq-preprocess"
    tool.parent.mkdir(parents=True)
    default = 'while [ "$1" != --destdir ]; do shift; done; mkdir "$2"; echo a 1 >"$2/dict.$language.txt"'
    head = f'#!/bin/sh\necho "$@" >{folder}/arguments\nlanguage=$2\n'
    tool.write_text(head + "\n".join(commands or (default,)) + "\n")
    tool.chmod(0o755)
    return f"{tool.parent}{os.pathsep}{environment()['PATH']}"


def lines(path):
    return path.read_bytes().decode().split("\n")[:-1]


def content(out, *results):
    """every file of the results; logs tell paths and times, so they may differ"""
    files = (path for result in results or RESULTS for path in [out / result, *(out / result).rglob("*")])
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in files
        if path.is_file() and path.name != "preprocess.log"
    }


def assert_refused(done, out, *words, left=("orig", "settings")):
    """exit 2, one line that says all of these, and nothing that looks finished"""
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert str(word) in done.stderr
    assert {path.name for path in out.glob("*")} <= {"logs", ".lock", *left}


def training_file(text, talk="Vortrag"):
    """Mark-up as in train.tags.de-en.de: the lines of a talk after its header."""
    sentences_ = text.split("\n")[:-1]
    size = -(-len(sentences_) // TALKS)
    talks = [sentences_[start : start + size] for start in range(0, len(sentences_), size)]
    return "".join(
        f"<url>http://www.ted.com/talks/{number}</url>\n<keywords>a, b</keywords>\n<talkid>{number}</talkid>\n"
        f"<title>{talk} {number}: Titel</title>\n<description>{talk} {number}: Text</description>\n"
        + "".join(f"{line}\n" for line in talk_lines)
        for number, talk_lines in enumerate(talks)
    )


def archive_files(pair="de-en", tests=TESTS):
    train = sides([*sentences(PAIRS, seed=3), *BAD_PAIRS])
    files = {f"{pair}/train.tags.{pair}.{language}": training_file(text) for language, text in train.items()}
    for number, test in enumerate(tests):
        for language, text in sides([(f"{test} Café’s", f"{test} it’s"), *sentences(TEST_PAIRS - 1, number)]).items():
            files[f"{pair}/IWSLT14.{test}.{pair}.{language}.xml"] = segments(text)
    return files


def make_archive(folder, files=None, name="de-en.tgz"):
    folder.mkdir(exist_ok=True)
    return write_archive(folder / name, files or archive_files())
