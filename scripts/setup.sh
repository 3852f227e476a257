#!/usr/bin/env bash
# Makes a virtual environment with dsp_fairseq (editable), fairseq 0.12.2, torch and the test tools.
# Run it as often as you like: it does nothing when all is done.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash scripts/setup.sh [--venv DIR] [--python PYTHON]

  --venv DIR       the virtual environment (default: .venv in the checkout)
  --python PYTHON  the Python to make it with (default: the first usable one of python3.11, python3.12,
                   python3.13, python3)

environment variables:
  DSP_TORCH        pip requirement for torch instead of the tested one in requirements.txt
  PIP_FIND_LINKS   more places with wheels, as pip itself reads it
TEXT
}

fail() {
    echo "setup: error: $1" >&2
    shift
    for hint in "$@"; do echo "setup:        $hint" >&2; done
    exit 2
}

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
oldest_python="3.11"
venv=$repository/.venv
python=

while [ $# -gt 0 ]; do
    case $1 in
        --venv | --python)
            [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value"
            if [ "$1" = --venv ]; then venv=$2; else python=$2; fi
            shift 2
            ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; fail "unknown argument $1" ;;
    esac
done
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
stamp=$venv/dsp-setup-done
log=$venv/dsp-setup.log

# --- whose is it? ---

# where dsp_fairseq is imported from in that environment; nothing when it is not there
imported_from() {
    (cd / && "$venv/bin/python" -I -c 'from importlib.util import find_spec; print(*find_spec("dsp_fairseq").submodule_search_locations)') 2>/dev/null || true
}

# an editable install of another checkout: taking it over would break that one
if [ -x "$venv/bin/python" ]; then
    owner=$(imported_from)
    if [ -n "$owner" ] && [[ $owner != */site-packages/* ]] && ! [ "$owner" -ef "$repository/dsp_fairseq" ]; then
        fail "$venv is the environment of another checkout, ${owner%/dsp_fairseq}: name another one with --venv (test.sh and the examples: DSP_VENV), or remove it"
    fi
fi

# --- done already? ---------------------------------------------------------------------------------------

wanted_state() { # changes whenever another environment would come out
    cd "$repository"
    {
        cat scripts/setup.sh setup.py pyproject.toml requirements.txt
        grep '^__version__' dsp_fairseq/__init__.py
        echo "$repository" "${DSP_TORCH:-}"
    } | sha256sum | cut -d ' ' -f 1
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted_state)" ]; then
    if [ -z "$python" ] || [ "$(version_of "$python")" = "$(version_of "$venv/bin/python")" ]; then
        exit 0
    fi
fi

# --- what must be there ----------------------------------------------------------------------------------

is_new_enough() {
    local version
    version=$(version_of "$1") && [ "$(printf '%s\n' "$oldest_python" "$version" | sort -V | head -n 1)" = "$oldest_python" ]
}

has_venv() { "$1" -c 'import venv, ensurepip' 2>/dev/null; }

has_headers() {
    "$1" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))'
}

choose_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3; do
        if is_new_enough "$candidate" && has_venv "$candidate" && has_headers "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    for candidate in python3.11 python3.12 python3.13 python3; do # none has it all: complain about this one
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

check_python() {
    local version
    if [ -z "$python" ]; then
        python=$(choose_python)
        [ -n "$python" ] || fail "no Python >= $oldest_python found (tried python3.11, python3.12, python3.13, python3)" \
            "install one, or name one: bash scripts/setup.sh --python /path/to/python3.11"
    fi
    version=$(version_of "$python") || fail "--python $python does not run" "name a Python >= $oldest_python"
    is_new_enough "$python" || fail "$python is Python $version, but >= $oldest_python is needed" \
        "name another one with --python"
    has_venv "$python" || fail "$python has no venv module" \
        "on Debian or Ubuntu: apt-get install python$version-venv"
    has_headers "$python" || fail "$python has no headers (Python.h), which building fairseq needs" \
        "on Debian or Ubuntu: apt-get install python$version-dev"
}

check_compiler() {
    command -v "${CC:-gcc}" >/dev/null && command -v "${CXX:-g++}" >/dev/null ||
        fail "no C++ compiler (${CC:-gcc} and ${CXX:-g++}), which building fairseq needs" \
            "on Debian or Ubuntu: apt-get install g++"
}

check_venv() {
    if [ -e "$venv/bin/python" ]; then
        [ "$(version_of "$venv/bin/python")" = "$(version_of "$python")" ] ||
            fail "$venv was made with another Python ($(version_of "$venv/bin/python") instead of $(version_of "$python"))" \
                "remove it, or choose another folder with --venv"
    elif [ -d "$venv" ] && [ -n "$(ls -A "$venv")" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
        fail "--venv $venv is a folder with something else in it" "choose another one"
    fi
}

if [ -z "$python" ] && [ -x "$venv/bin/python" ]; then
    python=$venv/bin/python # an environment that was begun keeps its Python
fi
check_python
check_compiler
check_venv

# --- the steps (bash ignores `set -e` inside them, because `step` asks whether they failed: hence the &&) ---

step() { # step "what is done" command...: one line with the seconds; the command's output goes to the log
    local title=$1 start=$SECONDS status=0
    shift
    printf 'setup: %s ... ' "$title"
    printf '\n=== %s\n' "$title" >>"$log"
    "$@" >>"$log" 2>&1 || status=$?
    if [ "$status" -eq 0 ]; then
        echo "$((SECONDS - start)) s"
    else
        echo "failed"
        tail -n 25 "$log" >&2
        [ "$status" -ne 137 ] || fail "$title was killed by signal 9, probably out of memory; $log has the rest"
        [ "$(df -Pk "$venv" | awk 'NR == 2 { print $4 }')" -ge 1024 ] ||
            fail "$title failed: the disk of $venv is full" "make room, or choose another folder with --venv"
        fail "$title failed; the lines above are the end of $log"
    fi
}

make_venv() { "$venv/bin/python" -m pip --version || "$python" -m venv "$venv"; }

in_venv() { "$venv/bin/python" -m "$@"; }

pin() { grep "^$1[=<>]" "$repository/requirements.txt"; }

install_torch() {
    in_venv pip install "${DSP_TORCH:-$(pin torch)}" &&
        # nothing installed later may bring another torch
        grep -v '^torch[=<>]' "$repository/requirements.txt" >"$constraints" &&
        in_venv pip list --format freeze | grep '^torch==' >>"$constraints"
}

install_project() { # PIP_CONSTRAINT holds for the environments in which pip builds fairseq, too
    (cd "$repository" && PIP_CONSTRAINT=$constraints in_venv pip install -e '.[test,lint,plot,ctranslate2,tensorboard]')
}

check_result() {
    "$venv/bin/python" -c 'import sys; sys.exit("dsp_fairseq_startup" not in sys.modules)' &&
        "$venv/bin/fairseq-train" --help
}

export PIP_DISABLE_PIP_VERSION_CHECK=1
unset PIP_CONSTRAINT PIP_REQUIRE_VIRTUALENV PIP_TARGET PIP_PREFIX PIP_USER
mkdir -p "$venv"
rm -f "$stamp"
: >"$log"
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT

echo "setup: $venv, $("$python" --version 2>&1); a first run takes minutes and some GB"
step "virtual environment" make_venv
step "pip and build tools" in_venv pip install "$(pin pip)" "$(pin setuptools)" wheel
step "${DSP_TORCH:-$(pin torch)}" install_torch
step "fairseq (compiles for half a minute), dsp_fairseq and the test tools" install_project
step "check that fairseq-train starts" check_result
wanted_state >"$stamp.new"
mv "$stamp.new" "$stamp"
