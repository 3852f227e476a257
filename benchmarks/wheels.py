"""Wheels of everything that the installation and the tests of this project need, except what comes with torch.

    python wheels.py --out DIR --log FILE PROJECT [REQUIREMENT ...]

`wheels.sh` runs it in a virtual environment of its own that has pip 24.0: later ones cannot read the metadata of
omegaconf 2.0.6. pip cannot resolve without torch, so the requirements are followed here, level by level: pip
builds or downloads some wheels without their dependencies, and their metadata name the next ones.
"""

import argparse
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name, parse_wheel_filename

# torch and its dependencies are on the other machine; torchaudio is imported for speech only, cython only compiles
LEFT_OUT = frozenset(("torch", "torchaudio", "cython"))


def of_project(project: Path) -> list[str]:
    """Requirements of the project itself and of its tests, from pyproject.toml."""
    with open(project / "pyproject.toml", "rb") as file:
        metadata = tomllib.load(file)["project"]
    return [*metadata["dependencies"], *metadata["optional-dependencies"]["test"]]


def needed_by(wheel: Path) -> list[str]:
    """Requirements in the metadata of a wheel that hold for this Python."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        metadata = Parser().parsestr(archive.read(name).decode("utf-8"))
    found = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    # extras are not followed: no requirement here asks for one
    wanted = [each for each in found if each.marker is None or each.marker.evaluate({"extra": ""})]
    return [f"{each.name}{each.specifier}" for each in wanted]


def fetch(requirements: list[str], out: Path, log) -> None:
    """Put a wheel of each requirement into `out`, built here where the index has none."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(out), *requirements]
    if subprocess.run(command, stdout=log, stderr=log).returncode:
        sys.exit(f"wheels.py: pip wheel {' '.join(requirements)} failed: the end of {log.name} says why")


def versions_in(folder: Path) -> dict:
    """Version and file of every wheel, by name."""
    found = {}
    for path in sorted(folder.glob("*.whl")):
        name, version, *_ = parse_wheel_filename(path.name)
        found[canonicalize_name(name)] = (version, path)
    return found


def missing_of(wanted: list[str], there: dict) -> list[str]:
    """Requirements without a wheel; exits if a wheel has a version that a requirement excludes."""
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


def gather(wanted: list[str], out: Path, log) -> None:
    """Fetch the wanted wheels, then those that they require, until none is missing."""
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
