"""Warns of options that `fairseq-generate`, `-interactive` and `-validate` accept but never read.

The parsers of these commands accept many options of training, and each accepts some options of the others. One line
on stderr names the options that have no effect.
"""

import sys

from ..mending import around, command_of, main_of

# group -> options that decoding reads; None stands for the whole group
READ = {
    "common": {
        *("no_progress_bar", "log_interval", "log_format", "seed", "cpu", "fp16", "memory_efficient_fp16", "user_dir"),
        *("use_plasma_view", "plasma_path", "all_gather_list_size"),
    },
    "dataset": {
        *("num_workers", "skip_invalid_size_inputs_valid_test", "max_tokens", "batch_size", "dataset_impl"),
        *("required_batch_size_multiple", "required_seq_len_multiple", "data_buffer_size", "num_shards", "shard_id"),
        *("train_subset", "gen_subset", "valid_subset"),
        *("grouped_shuffling", "update_epoch_batch_itr", "update_ordered_indices_seed"),
    },
    "distributed_training": {
        *("distributed_world_size", "distributed_rank", "distributed_num_procs", "distributed_no_spawn", "device_id"),
        *("distributed_init_method", "distributed_port", "distributed_backend", "nprocs_per_node"),
    },
    "checkpoint": {"checkpoint_suffix", "checkpoint_shard_count"},
    "generation": None,
}  # fmt: skip
REFINEMENT = {
    *("no_early_stop", "iter_decode_eos_penalty", "iter_decode_max_iter", "iter_decode_force_max_iter"),
    *("iter_decode_with_beam", "iter_decode_with_external_reranker", "decoding_format", "eos_token"),
}
# command -> group -> options that decoding reads, but this command does not
UNREAD = {
    "validate": {
        "dataset": {"gen_subset", "num_shards", "shard_id", "train_subset"},
        "common_eval": {"quiet", "results_path", "post_process"},
    },
    "generate": {
        "dataset": {"valid_subset"},
        "generation": REFINEMENT,
    },
    "interactive": {
        "generation": {
            *REFINEMENT,
            *("prefix_size", "sacrebleu", "lm_path", "lm_weight", "print_step", "retain_iter_history"),
        },
        "dataset": {
            *("gen_subset", "num_shards", "shard_id", "num_workers", "data_buffer_size", "dataset_impl"),
            *("required_batch_size_multiple", "required_seq_len_multiple", "train_subset", "valid_subset"),
        },
        "common": {"no_progress_bar", "log_interval", "log_format"},
        "common_eval": {"quiet", "results_path"},
        "task": {"truncate_source", "left_pad_source", "left_pad_target", "load_alignments", "num_batch_buckets"},
    },
}  # fmt: skip
TASKS = ("translation", "translation_pruning")  # other tasks may read more options


@around(*main_of("generate", "interactive", "validate"))
def warn_of_unread_options(main, cfg, *args, **kwargs):
    command = command_of(main)
    unread = list(unread_options(cfg, command)) if cfg.task._name in TASKS else []
    if unread:
        print(f"fairseq-{command}: warning: it does not read {', '.join(unread)}", file=sys.stderr)
    return main(cfg, *args, **kwargs)


def unread_options(cfg, command):
    from fairseq.dataclass.configs import FairseqConfig
    from fairseq.tasks.translation import TranslationConfig

    for group in {**READ, **UNREAD[command]}:
        defaults = TranslationConfig() if group == "task" else getattr(FairseqConfig(), group)
        read, unread = READ.get(group), UNREAD[command].get(group, set())
        for name in cfg[group]:
            is_unread = name in unread or (read is not None and name not in read)
            if is_unread and hasattr(defaults, name) and is_chosen(cfg[group][name], getattr(defaults, name)):
                yield f"--{name.replace('_', '-')}"


def is_chosen(value, default):
    refers_to_another = isinstance(default, str) and default.startswith("${")
    return not refers_to_another and value != default and value not in (None, False)
