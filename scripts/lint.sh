#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash scripts/lint.sh [--fix] [PATH ...]

Sets up if needed (scripts/setup.sh), then checks lint rules and layout (ruff) and types (mypy); pyproject.toml
configures both. All three run, whatever the first ones find; the exit status is 1 if one of them found something.

  --fix    mends what ruff can mend, and lays the code out, before the checks
  PATH     files or folders for ruff, instead of all; mypy always reads the packages

environment variables:
  DSP_VENV         the virtual environment (default: .venv in the checkout)
  DSP_TORCH        see scripts/setup.sh --help
TEXT
}

fix=
paths=()
for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit 0 ;;
        --fix) fix=yes ;;
        -*) usage >&2; echo "lint: error: unknown argument $argument" >&2; exit 2 ;;
        *) paths+=("$(realpath -- "$argument")") ;;      # as the user wrote it, seen from the user's folder
    esac
done

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${DSP_VENV:-$repository/.venv}
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac      # as the user wrote it, seen from the user's folder
cd "$repository"
bash scripts/setup.sh --venv "$venv"
[ ${#paths[@]} -gt 0 ] || paths=(.)

if [ -n "$fix" ]; then
    "$venv/bin/ruff" check --quiet --fix-only "${paths[@]}"
    "$venv/bin/ruff" format --quiet "${paths[@]}"
fi
status=0
"$venv/bin/ruff" check "${paths[@]}" || status=1
"$venv/bin/ruff" format --check "${paths[@]}" || status=1
"$venv/bin/mypy" || status=1
exit "$status"
