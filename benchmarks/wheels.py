"""Wheels of all that this project's installation and tests need, except what comes with torch.

    python wheels.py --out DIR --log FILE PROJECT [REQUIREMENT ...]

`wheels.sh` runs it in a virtual environment of its own that has pip 24.0: later ones cannot read the metadata of
omegaconf 2.0.6. pip cannot resolve without torch, so the requirements are followed here, level by level: pip
builds or downloads some wheels without their dependencies, and their metadata say what is needed next.
"""

import argparse
import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name, parse_wheel_filename

# torch is on the other machine, with what it brought along; torchaudio is loaded for speech only, cython compiles only
LEFT_OUT = frozenset(("torch", "torchaudio", "cython"))
# setup.py imports setuptools' commands, and must not run one
READ_SETUP = """
import os, sys, setuptools
found = {}
setuptools.setup = lambda **given: found.update(given)
os.chdir(sys.argv[1])
exec(compile(open("setup.py").read(), "setup.py", "exec"), {"__file__": os.path.abspath("setup.py")})
print("\\n".join([*found["install_requires"], *found["extras_require"]["test"]]))
"""


def of_project(project: Path) -> "list[str]":
    """Requirements of the project itself and of its tests, as setup.py says them."""
    command = [sys.executable, "-c", READ_SETUP, str(project)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def needed_by(wheel: Path) -> "list[str]":
    """What the metadata of a wheel ask for on this Python."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        metadata = Parser().parsestr(archive.read(name).decode("utf-8"))
    found = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    # extras are not followed: no requirement here asks for one
    wanted = [each for each in found if each.marker is None or each.marker.evaluate({"extra": ""})]
    return [f"{each.name}{each.specifier}" for each in wanted]


def fetch(requirements: "list[str]", out: Path, log) -> None:
    """One wheel for each, built where there is none."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(out), *requirements]
    if subprocess.run(command, stdout=log, stderr=log).returncode:
        sys.exit(f"wheels.py: pip wheel {' '.join(requirements)} failed: the end of {log.name} says why")


def versions_in(folder: Path) -> dict:
    """Name -> (version, file) of every wheel."""
    found = {}
    for path in sorted(folder.glob("*.whl")):
        name, version, *_ = parse_wheel_filename(path.name)
        found[canonicalize_name(name)] = (version, path)
    return found


def missing_of(wanted: "list[str]", there: dict) -> "list[str]":
    """Those that no wheel gives; one of the wrong version ends it all."""
    missing = []
    for line in dict.fromkeys(wanted):
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name in LEFT_OUT:
            continue
        if name not in there:
            missing.append(line)
        elif not requirement.specifier.contains(str(there[name][0]), prereleases=True):
            sys.exit(f"wheels.py: {line} is needed, but {there[name][1].name} came first: pin it in requirements.txt")
    return missing


def gather(wanted: "list[str]", out: Path, log) -> None:
    """Fetch what is wanted, and what that needs, until nothing is missing."""
    out.mkdir(parents=True)
    read = set()
    while wanted:
        missing = missing_of(wanted, versions_in(out))
        if missing:
            print(f"wheels: {', '.join(missing)}", flush=True)
            fetch(missing, out, log)
        new = [path for _, path in versions_in(out).values() if path not in read]
        read.update(new)
        wanted = [line for path in new for line in needed_by(path)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("more", nargs="*", metavar="REQUIREMENT")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    given = parser.parse_args()
    with given.log.open("a", encoding="utf-8") as log:
        gather([*given.more, *of_project(given.project)], given.out, log)


if __name__ == "__main__":
    main()
