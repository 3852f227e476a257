# Sourced by train.sh and prune.sh: one model of sweep.yaml.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../common.sh"
activate python fairseq-train fairseq-generate fairseq-validate dsp-fairseq
exec python "$here/one.py" "$script" "$@"
