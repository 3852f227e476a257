"""Words for what fairseq raises in decoding, validation and scoring when options, data and model do not fit."""

import re

from .wrong_use import MAKES_IT, frames, last_frame, raised_in

# what these have counted before they divide by it to say how it went
COUNTED = {"fairseq_cli.generate": "num_sentences", "fairseq_cli.validate": "log_outputs"}
ONLY_REFINED = {"steps": "--print-step", "history": "--retain-iter-history"}


def explain(error):
    for explanation in (_sizes, _search, _scores, _pieces, _missing_package, _missing_side, _nothing):
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
            f"sentence {sentence} (from 0 on) has {_listed(sizes)} words or pieces, source and target, the most "
            f"that model and task take is {_listed(most)}; --skip-invalid-size-inputs-valid-test leaves such "
            "sentences out"
        )
    found = re.match(r"sentence at index (\d+) of size (\d+) exceeds max_tokens limit of (\d+)!", text)
    if found:
        return "sentence {} (from 0 on) has {} words or pieces, more than --max-tokens {}".format(*found.groups())
    if text.startswith("Sentences lengths should not exceed max_tokens="):
        return f"--max-tokens {text.rpartition('=')[2]}: the longest sentence has more words or pieces"
    return None


def _listed(numbers):
    return ", ".join(re.findall(r"\b\d+", numbers)) or numbers  # numpy writes np.int32(5)


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
            f"--post-process {str(error).rpartition(': ')[2]}: subword_nmt, sentencepiece, wordpiece, letter, "
            "silence, _EOW, none, or the end of a piece, such as '@@ '"
        )
    if isinstance(error, NotImplementedError) and str(error).startswith("--post-process="):
        return f"{error}; fairseq-eval-lm takes subword_nmt"
    return None


def _pieces(error):
    """Of `--tokenizer` and `--bpe`, before anything is loaded or when their files are."""
    text = str(error)
    found = re.search(r"Error merging override (tokenizer|bpe)\.(\w+)=null", text)
    if found:
        kind, option = found.groups()
        return f"--{option.replace('_', '-')} is missing: this --{kind} needs it"
    found = re.match(r"Could not load (tokenizer|bpe)/(\w+)", text)
    if found:
        return "--{} {}: fairseq 0.12.2 registers it without its options, it cannot be chosen".format(*found.groups())
    found = re.search(r"could not parse ModelProto from (.+)", text)
    if found:
        return f"--sentencepiece-model {found.group(1)}: no model of sentencepiece"
    return None


def _missing_package(error):
    if isinstance(error, ModuleNotFoundError) and last_frame(error).f_globals["__name__"].startswith("fairseq."):
        return f"the Python package {error.name} is needed for this and is not installed"
    return str(error) if isinstance(error, ImportError) and str(error).startswith("Please install ") else None


def _missing_side(error):
    """Data of one language only are enough to translate, not to train, to validate or to score."""
    if not isinstance(error, (TypeError, AttributeError)):
        return None
    for frame in frames(error):
        sample, task = frame.f_locals.get("sample"), frame.f_locals.get("task") or frame.f_locals.get("self")
        task = getattr(task, "task", task)
        if isinstance(sample, dict) and sample.get("target", "") is None and hasattr(task, "datasets"):
            subsets = [name for name, data in task.datasets.items() if getattr(data, "tgt", "") is None]
            return (
                f"{task.cfg.data} has no {task.cfg.target_lang} side of {', '.join(subsets)}, which this needs; "
                f"{MAKES_IT} with both"
            )
    return None


def _nothing(error):
    if not isinstance(error, (ZeroDivisionError, UnboundLocalError)):
        return None
    for frame in frames(error):
        counted = COUNTED.get(frame.f_globals["__name__"])
        if counted in frame.f_locals and not frame.f_locals[counted]:
            return (
                "there is no sentence in this subset or shard (--gen-subset, --valid-subset, --num-shards, "
                "--shard-id), or --skip-invalid-size-inputs-valid-test left all of them out"
            )
    return None
