"""Run tests and keep what came out as JSON: how many passed, which failed, which were skipped and why.

    python benchmarks/gpu_tests.py [--jobs 8] [--device cuda] [--json FILE] tests/unit ...

Exit 0 when the tests ran, even if some failed: that is a result, which the page shows.
"""

import argparse
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

from measured import PROJECT, add_arguments, write


def outcome(report: Path) -> dict:
    """Of a JUnit report: numbers, and the names of what did not pass."""
    found = {"passed": 0, "failed": [], "skipped": []}
    for case in xml.parse(report).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        bad = [child for child in case if child.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if bad:
            found["failed"].append({"test": name, "why": (bad[0].get("message") or "").split("\n")[0][:200]})
        elif skipped is not None:
            found["skipped"].append({"test": name, "why": (skipped.get("message") or "")[:200]})
        else:
            found["passed"] += 1
    return found


def run(tests: "list[str]", jobs: int) -> dict:
    """Exit 1 when they cannot be run."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(jobs), "--dist", "loadfile", f"--junitxml={report}"]
        # of a hundred failures the first lines are enough
        status = subprocess.run([*command, "--tb=short", "-p", "no:cacheprovider", *tests], cwd=PROJECT).returncode
        if status not in (0, 1) or not report.exists():
            sys.exit(f"gpu_tests.py: pytest exited {status}: see what it printed")
        return outcome(report)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--jobs", type=int, default=0, help="processes that share the test files (default: this one)")
    add_arguments(parser)
    given = parser.parse_args()
    found = run(given.tests, given.jobs)
    print(f"{found['passed']} passed, {len(found['failed'])} failed, {len(found['skipped'])} skipped")
    if given.json:
        write(given.json, "tests", given.device, {"device": given.device, "tests": given.tests}, found)


if __name__ == "__main__":
    main()
