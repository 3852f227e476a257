#!/usr/bin/env bash
# Packs everything that benchmarks/gpu.sh needs besides torch, for a machine that has torch but no package index.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../examples/common.sh"

usage() {
    cat <<EOF
usage: wheels.sh [--out DIR] [--python PYTHON]
  --out DIR        where the wheels go (default: build/gpu/wheels in the checkout)
  --python PYTHON  a Python of the version that the other machine has (default: python3.12), with its headers
Run it again after a change of requirements.txt or pyproject.toml. Needs a C++ compiler: fairseq is built from source.
EOF
}

out=$project/build/gpu/wheels python=python3.12
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=$(value_of "$@"); shift 2 ;;
        --python) python=$(value_of "$@"); shift 2 ;;
        -h|--help) usage; exit ;;
        *) misuse "unknown option $1: known are --out DIR, --python PYTHON, --help" ;;
    esac
done
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    misuse "--python $python: does not run or has no venv module; name another Python, such as /usr/bin/python3.12"
command -v "${CXX:-g++}" >/dev/null || misuse "no C++ compiler (${CXX:-g++}), which building fairseq needs"
case $out in /*) ;; *) out=$PWD/$out ;; esac
# the folder is replaced as a whole: it must be one of ours
[ ! -e "$out" ] || [ -z "$(ls -A "$out")" ] || ls "$out"/fairseq-*.whl >/dev/null 2>&1 ||
    misuse "--out $out: is not empty and holds no wheels of an earlier call; name another folder"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$out.log
mkdir -p "$(dirname "$out")"
pin() { grep "^$1[=<>]" "$project/requirements.txt"; }

say "wheels: for $("$python" --version); minutes, mostly building fairseq (what pip says: $log)"
make_venv() {
    "$python" -m venv "$work/venv"
    "$work/venv/bin/python" -m pip install --disable-pip-version-check "$(pin pip)" "$(pin setuptools)"
}
make_venv >"$log" 2>&1 || fail "no virtual environment with $(pin pip): $(tail -n 1 "$log") (all of it: $log)"
# torch is there already, in the other machine's version
grep -v '^torch[=<>]' "$project/requirements.txt" >"$work/constraints.txt"
# pip goes along: it runs there from its own wheel, whatever that machine has
PIP_CONSTRAINT=$work/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
    "$work/venv/bin/python" "$here/wheels.py" --out "$work/wheels" --log "$log" "$project" "$(pin pip)" || exit $?
rm -rf "$out"
mv "$work/wheels" "$out"
say "wheels: $(ls "$out" | wc -l) files, $(du -sm "$out" | cut -f1) MiB: $out"
