"""Messages for sentences and options of decoding, validation and scoring that do not fit the model or the data."""

import re

from ..tracebacks import frames, last_frame, module_of, raised_in

# command -> its local variable that holds the number by which it divides at the end
COUNTED = {"fairseq_cli.generate": "num_sentences", "fairseq_cli.validate": "log_outputs"}
ONLY_REFINED = {"steps": "--print-step", "history": "--retain-iter-history"}


def explain(error):
    text = str(error)
    found = re.match(r"Size of sample #(\d+) is invalid \(=(.*?)\) since max_positions=(.*?), skip", text)
    if found:
        sentence, sizes, most = found.groups()
        return (
            f"sentence {sentence} (from 0 on) has {_listed(sizes)} words or pieces, source and target, the most "
            f"that model and task take is {_listed(most)}; --skip-invalid-size-inputs-valid-test leaves such "
            "sentences out"
        )
    if text.startswith("min_len cannot be larger than max_len"):
        local = last_frame(error).f_locals
        return (
            f"--min-len {local['self'].min_len}: more than the {local['max_len']} words that this output may have, by"
            " --max-len-a, --max-len-b, --match-source-len and the positions of the model (--max-target-positions)"
        )
    if isinstance(error, KeyError) and error.args[0] in ONLY_REFINED and raised_in(error, "_main"):
        return f"{ONLY_REFINED[error.args[0]]}: this model does not decode by refinement, it has no such thing to show"
    if isinstance(error, RuntimeError) and "index k out of range" in text:
        searches = (frame.f_locals.get("self") for frame in frames(error))
        search = next((search for search in searches if hasattr(search, "sampling_topk")), None)
        if search is not None:
            return f"--sampling-topk {search.sampling_topk}: the target dictionary has {search.vocab_size} words"
    if isinstance(error, (ZeroDivisionError, UnboundLocalError)) and any(map(_counted_nothing, frames(error))):
        return (
            "there is no sentence in this subset or shard (--gen-subset, --valid-subset, --num-shards, "
            "--shard-id), or --skip-invalid-size-inputs-valid-test left all of them out"
        )
    return None


def _listed(numbers):
    return ", ".join(re.findall(r"\b\d+", numbers)) or numbers  # numpy writes np.int32(5)


def _counted_nothing(frame):
    count = COUNTED.get(module_of(frame))
    return count in frame.f_locals and not frame.f_locals[count]
