#!/usr/bin/env bash
# Sets up if needed, then runs all tests. Arguments go to pytest: bash scripts/test.sh -k startup -x
# The environment variable DSP_VENV names another virtual environment than .venv, DSP_TEST_JOBS the number of
# processes that share the test files (default 2; 0: no further process, as pdb wants it).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=${DSP_VENV:-$PWD/.venv}
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
