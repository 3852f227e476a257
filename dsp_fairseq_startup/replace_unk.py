"""`--replace-unk` looks for a file named `@@ `, for alignments that were not asked for, and takes pairs for positions

Where: `fairseq.utils.load_align_dict` and `post_process_prediction`, `FairseqTask.build_generator`,
`BaseFairseqModel.prepare_for_inference_`. When: always. Attention is computed as for `--print-alignment`; an unknown
word becomes the source word with the most attention, or what the dictionary has for that. It happens before BPE is
removed, as both sides of an alignment are counted in the pieces that the model reads and writes.
"""

import copy
import functools

from .bad_checkpoint import WrongUse

COPY = "@@ "  # what the option means without a dictionary


def mend(module):
    if module.__name__ == "fairseq.utils":
        module.load_align_dict = load_align_dict
        module.replace_unk = replace_unk
        module.post_process_prediction = before_bpe_is_removed(module.post_process_prediction)
    elif module.__name__ == "fairseq.tasks.fairseq_task":
        task = module.FairseqTask
        task.build_generator = with_alignments(task.build_generator, 1)
    else:
        model = module.BaseFairseqModel
        model.prepare_for_inference_ = with_alignments(model.prepare_for_inference_, 0)


def with_alignments(method, position):
    """`method(self, ..., cfg)` sees alignments asked for when unknown words are to be replaced."""

    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        if len(args) > position:
            args = (*args[:position], asking_for_alignments(args[position]), *args[position + 1 :])
        return method(self, *args, **kwargs)

    return wrapper


def asking_for_alignments(cfg):
    generation = getattr(cfg, "generation", cfg)
    if getattr(generation, "replace_unk", None) is None or getattr(generation, "print_alignment", None) is not None:
        return cfg
    cfg = copy.deepcopy(cfg)
    getattr(cfg, "generation", cfg).print_alignment = "hard"
    return cfg


def load_align_dict(path):
    """None: nothing is replaced. Empty: by the source word itself."""
    if path is None:
        return None
    if path in (COPY, "") or not isinstance(path, str):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            pairs = [line.split() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"--replace-unk {path}: {getattr(error, 'strerror', None) or 'is not UTF-8'}") from error
    for number, pair in enumerate(pairs, 1):
        if len(pair) < 2:
            raise WrongUse(f"--replace-unk {path}: line {number} must be a source word and its translation")
    return {pair[0]: pair[1] for pair in pairs}


def before_bpe_is_removed(post_process_prediction):
    @functools.wraps(post_process_prediction)
    def wrapper(hypo_tokens, src_str, alignment, align_dict, tgt_dict, remove_bpe=None, extra_symbols_to_ignore=None):
        given, ignored = (hypo_tokens, src_str, alignment, align_dict, tgt_dict), extra_symbols_to_ignore
        if align_dict is None:
            return post_process_prediction(*given, remove_bpe, ignored)
        from fairseq.data import data_utils

        _, text, alignment = post_process_prediction(*given, None, ignored)
        text = data_utils.post_process(text, remove_bpe)
        return tgt_dict.encode_line(text, add_if_not_exist=True), text, alignment

    return wrapper


def replace_unk(hypo_str, src_str, alignment, align_dict, unk):
    source, words = getattr(src_str, "pieces", src_str).split(), hypo_str.split()
    places = source_of_target(alignment, len(source)) if source else {}
    for place, word in enumerate(words):
        if word == unk and place in places:
            original = source[places[place]]
            words[place] = align_dict.get(original, original)
    return " ".join(words)


def source_of_target(alignment, length):
    """Of hard alignments, pairs (source, target), or soft ones, for each target a text per source probability."""
    if len(alignment) and isinstance(alignment[0][0], str):
        rows = [list(map(float, row[:length])) for row in alignment]  # without the end of sentence
        return {target: row.index(max(row)) for target, row in enumerate(rows)}
    return {target: source for source, target in alignment}


class Source(str):
    """A source sentence as it is printed; `pieces` are the words that the model read, unknown ones as they were."""

    def __new__(cls, text, pieces):
        source = super().__new__(cls, text)
        source.pieces = pieces
        return source
