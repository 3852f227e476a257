# Sourced by gpu.sh and gpu_multi30k.sh: a Python environment from wheels, the GPU, the time left.

source "$project_of_script/examples/common.sh"

# An environment that is there is used (DSP_VENV, or dsp-fairseq on PATH); --wheels, or wheels in the default folder
# where there is none, make one in build/gpu/venv. It holds what the wheels hold and sees the torch of python3.
default_wheels=$project/build/gpu/wheels
venv=$project/build/gpu/venv

# open_environment [WHEELS]
open_environment() {
    local wheels=${1:-}
    if [ -z "$wheels" ] && { [ -n "${DSP_VENV:-}" ] || command -v dsp-fairseq >/dev/null; }; then
        activate python fairseq-train fairseq-generate dsp-fairseq
        return
    fi
    wheels=${wheels:-$default_wheels}
    ls "$wheels"/fairseq-*.whl >/dev/null 2>&1 ||
        misuse "no wheels in $wheels: bring what benchmarks/wheels.sh makes, or name an environment with DSP_VENV"
    make_environment "$wheels"
    PATH=$venv/bin:$PATH
}

make_environment() {
    local wheels=$1 python state status tag log=$venv.log
    python=$(command -v python3) || misuse "no python3 on PATH: one with torch is needed"
    tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
    ls "$wheels"/fairseq-*-"$tag"-*.whl >/dev/null 2>&1 ||
        misuse "$wheels: is for another Python than $("$python" --version); see --python of benchmarks/wheels.sh"
    "$python" -c 'import torch' 2>/dev/null ||
        misuse "$python has no torch: put the Python that has it first on PATH, or name one with DSP_VENV"
    state=$(environment_state "$python" "$wheels")
    [ "$(cat "$venv/dsp-setup-done" 2>/dev/null)" != "$state" ] || return 0
    mkdir -p "$(dirname "$venv")"
    say "environment: from $wheels"
    rm -rf "$venv"
    set +e                                           # not `|| status=$?`: that would switch off -e inside
    (set -e; fill_environment "$python" "$wheels") >"$log" 2>&1
    status=$?
    set -e
    [ "$status" -eq 0 ] || fail "environment: $(tail -n 1 "$log") (all of it: $log)"
    printf '%s\n' "$state" >"$venv/dsp-setup-done"
}

environment_state() {
    {
        ls -l --time-style=+ "$2"
        "$1" -c 'import sys, torch; print(sys.prefix, sys.version, torch.__version__)'
    } | sha256sum
}

fill_environment() {
    local python=$1 wheels=$2 wheel chosen=() pip site
    for wheel in "$wheels"/*.whl; do
        case $(basename "$wheel") in
            pip-*) pip=$wheel/pip; continue ;;
            # torch was tried with the one that is there
            numpy-*) ! "$python" -c 'import numpy' || continue ;;
        esac
        chosen+=("$wheel")
    done
    "$python" -m venv --without-pip "$venv"
    # while the environment sees nothing else, so that nothing outside it is replaced
    "$venv/bin/python" "$pip" install --no-index --no-deps --no-cache-dir --no-compile --disable-pip-version-check \
        "${chosen[@]}"
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    # the checkout itself, with its start-up hook, as `pip install -e` would
    printf '%s\nimport dsp_fairseq_startup\n' "$project" >"$site/dsp_fairseq_startup.pth"
    printf '#!%s\nimport sys\n\nfrom dsp_fairseq.cli import main\n\nsys.exit(main())\n' "$venv/bin/python" \
        >"$venv/bin/dsp-fairseq"
    chmod +x "$venv/bin/dsp-fairseq"
    # behind all that: the packages of python3; what its own .pth files add counts too
    "$python" -c 'import site, sys; print("import site; [site.addsitedir(p) for p in %r]" % [
        p for p in sys.path if p.endswith(("site-packages", "dist-packages"))])' >"$site/zz_python3.pth"
    "$venv/bin/python" -c 'import dsp_fairseq_startup, fairseq, torch; print(torch.__version__, torch.__file__)'
}

check_gpu() {
    python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
        misuse "torch sees no GPU here; run it where there is one${1:-}"
}

check_minutes() {
    [[ $minutes =~ ^[1-9][0-9]*$ ]] || misuse "--minutes $minutes: must be a whole number of minutes, 1 or more"
}
