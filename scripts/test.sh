#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash scripts/test.sh [arguments of pytest]

Sets up if needed (scripts/setup.sh), then runs all tests. Such as: bash scripts/test.sh -k startup -x

environment variables:
  DSP_VENV         the virtual environment (default: .venv in the checkout)
  DSP_TEST_JOBS    processes that share the test files (default: 2; 0: no further process, as pdb wants it)
  DSP_TORCH        see scripts/setup.sh --help
TEXT
}

for argument in "$@"; do
    case $argument in -h | --help) usage; exit 0 ;; esac
done

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${DSP_VENV:-$repository/.venv}
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac      # as the user wrote it, seen from the user's folder
cd "$repository"
bash scripts/setup.sh --venv "$venv"

# the slow ones first: two processes then end at about the same time
folders=()
for folder in tests/system tests/integration tests/unit; do
    if [ -d "$folder" ]; then folders+=("$folder"); fi
done

# the models of the tests are tiny: more threads would only wait for one another
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export PATH=$venv/bin:$PATH
exec "$venv/bin/python" -m pytest -n "${DSP_TEST_JOBS:-2}" --dist loadfile --no-loadscope-reorder --durations=15 "${folders[@]}" "$@"
