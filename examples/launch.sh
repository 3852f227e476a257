# Sourced by recipe.sh: how many processes train, on how many machines, and how large their batches are.

check_processes() {
    local option value
    for option in gpus nodes max-tokens; do
        case $option in gpus) value=$gpus ;; nodes) value=$nodes ;; *) value=$gpu_tokens ;; esac
        [[ $value =~ ^[1-9][0-9]*$ ]] || misuse "--$option $value: must be a whole number from 1 up"
    done
    [[ $node_rank =~ ^[0-9]+$ ]] && [ "$node_rank" -lt "$nodes" ] ||
        misuse "--node-rank $node_rank: must be 0 to $((nodes - 1)) with --nodes $nodes"
    [ "$nodes" = 1 ] || [[ $master =~ ^[^:]+:[0-9]+$ ]] ||
        misuse "--master ${master:-is missing}: --nodes $nodes needs HOST:PORT of machine 0, such as node1:29500"
}

# plan_updates: sets `batch`. An update has the same number of tokens on any number of GPUs: fewer of them take more
# batches before each update, more of them smaller batches
plan_updates() {
    local processes=$((gpus * nodes)) most frequency tokens
    most=$((processes * gpu_tokens))
    frequency=$(((update_tokens + most - 1) / most))
    tokens=$((update_tokens / (processes * frequency)))
    [ "$tokens" -gt 0 ] || misuse "--gpus $gpus --nodes $nodes: more than the $update_tokens tokens of an update"
    batch=(--max-tokens "$tokens" --update-freq "$frequency")
    tokens_told="$((processes * frequency * tokens)) tokens an update:"
    tokens_told+=" $processes x --max-tokens $tokens x --update-freq $frequency"
    [[ " ${extra[*]-} " != *" --max-tokens "* && " ${extra[*]-} " != *" --update-freq "* ]] ||
        tokens_told+=", but for what is said after --"
}

# launcher: sets `launch`, the words before the flags of fairseq-train; RANK and so on come from torchrun, which
# fairseq reads. `--distributed-world-size 1`, or fairseq would take all the GPUs it sees
launcher() {
    local path=${fairseq_train:-fairseq-train}
    if [ "$gpus$nodes" = 11 ]; then
        launch=(fairseq-train) parallel=(--distributed-world-size 1)
    elif [ "$nodes" = 1 ]; then
        launch=(torchrun --standalone --nproc_per_node "$gpus" "$path") parallel=(--ddp-backend legacy_ddp)
    else
        launch=(torchrun --nnodes "$nodes" --node_rank "$node_rank" --rdzv_endpoint "$master"
            --nproc_per_node "$gpus" "$path")
        parallel=(--ddp-backend legacy_ddp)
    fi
    if [ "$cpu" = yes ]; then
        parallel+=(--cpu)
        [ "$gpus$nodes" = 11 ] || parallel+=(--distributed-backend gloo)
    elif [ "$half" = yes ]; then
        parallel+=(--fp16)
    fi
}
