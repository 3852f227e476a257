"""Words for what fairseq raises in decoding, validation and scoring when options, data and model do not fit each other."""

import re

from .wrong_use import frames, last_frame, raised_in

ONLY_REFINED = {"steps": "--print-step", "history": "--retain-iter-history"}


def explain(error):
    for explanation in (_sizes, _search, _scores, _missing_package, _nothing):
        message = explanation(error)
        if message is not None:
            return message
    return None


def _sizes(error):
    """Of one sentence, against what model, task and `--max-tokens` take."""
    text = str(error)
    found = re.match(r"Size of sample #(\d+) is invalid \(=(.*?)\) since max_positions=(.*?), skip", text)
    if found:
        sentence, sizes, most = found.groups()
        return (
            f"sentence {sentence} (from 0 on) has {_listed(sizes)} words or pieces, source and target, the most that model and"
            f" task take is {_listed(most)}; --skip-invalid-size-inputs-valid-test leaves such sentences out"
        )
    found = re.match(r"sentence at index (\d+) of size (\d+) exceeds max_tokens limit of (\d+)!", text)
    if found:
        return "sentence {} (from 0 on) has {} words or pieces, more than --max-tokens {}".format(*found.groups())
    return None


def _listed(numbers):
    return ", ".join(re.findall(r"\d+", numbers)) or numbers


def _search(error):
    if str(error).startswith("min_len cannot be larger than max_len"):
        values = last_frame(error).f_locals
        return (
            f"--min-len {values['self'].min_len}: more than the {values['max_len']} words that this output may have, by"
            " --max-len-a, --max-len-b, --match-source-len and the positions of the model (--max-target-positions)"
        )
    if isinstance(error, KeyError) and error.args[0] in ONLY_REFINED and raised_in(error, "_main"):
        return f"{ONLY_REFINED[error.args[0]]}: this model does not decode by refinement, it has no such thing to show"
    if isinstance(error, RuntimeError) and "index k out of range" in str(error):
        for frame in frames(error):
            search = frame.f_locals.get("self")
            if hasattr(search, "sampling_topk"):
                return f"--sampling-topk {search.sampling_topk}: the target dictionary has {search.vocab_size} words"
    return None


def _scores(error):
    if isinstance(error, NotImplementedError) and str(error).startswith("Unknown post_process option: "):
        return (
            f"--post-process {str(error).rpartition(': ')[2]}: subword_nmt, sentencepiece, wordpiece, letter, silence, _EOW, none,"
            " or the end of a piece, such as '@@ '"
        )
    return None


def _missing_package(error):
    return str(error) if isinstance(error, ImportError) and str(error).startswith("Please install ") else None


def _nothing(error):
    if isinstance(error, ZeroDivisionError) and last_frame(error).f_globals["__name__"] == "fairseq_cli.generate":
        return "there is no sentence to translate in this subset or shard (--gen-subset, --num-shards, --shard-id)"
    return None
