"""Alignments: `--replace-unk` takes the right source word, and faster models return attention weights when asked.

With `--replace-unk` fairseq looks for a file named `@@ `, needs alignments without computing them, and uses pairs of
positions as if they were positions. Here attention is computed as for `--print-alignment`; an unknown word becomes the
source word with the most attention, or that word's entry in the dictionary. BPE is removed afterwards, because
alignments count the pieces that the model reads and writes.
"""

import copy

from ..errors import WrongUse
from ..mending import around, mend

NO_DICTIONARY = ("@@ ", "")


@around("fairseq.tasks.fairseq_task:FairseqTask.build_generator")
def build_with_alignments(build_generator, self, models, cfg, *args, **kwargs):
    return build_generator(self, models, asking_for_alignments(cfg), *args, **kwargs)


@around("fairseq.models.fairseq_model:BaseFairseqModel.prepare_for_inference_")
def prepare_with_alignments(prepare_for_inference_, self, cfg):
    return prepare_for_inference_(self, asking_for_alignments(cfg))


def asking_for_alignments(cfg):
    generation = getattr(cfg, "generation", cfg)
    if getattr(generation, "replace_unk", None) is None or getattr(generation, "print_alignment", None) is not None:
        return cfg
    cfg = copy.deepcopy(cfg)
    getattr(cfg, "generation", cfg).print_alignment = "hard"
    return cfg


@mend("fairseq.utils")
def replace_by_alignments(utils):
    utils.load_align_dict = load_align_dict
    utils.replace_unk = replace_unk


def load_align_dict(path):
    """The replacement of each source word, from the file at `path`.

    The result is empty when source words are to be copied, and None when nothing is to be replaced.
    """
    if path is None:
        return None
    if path in NO_DICTIONARY or not isinstance(path, str):
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


def replace_unk(hypo_str, src_str, alignment, align_dict, unk):
    source, words = getattr(src_str, "pieces", src_str).split(), hypo_str.split()
    positions = source_of_target(alignment, len(source)) if source else {}
    for position, word in enumerate(words):
        if word == unk and position in positions:
            original = source[positions[position]]
            words[position] = align_dict.get(original, original)
    return " ".join(words)


def source_of_target(alignment, length):
    """The position of the source word for each position of a target word.

    A hard alignment is a list of pairs (source, target). A soft alignment has, for each target word, a list with the
    probability of each source word as text. `length` is the number of source words.
    """
    if len(alignment) and isinstance(alignment[0][0], str):
        rows = [list(map(float, row[:length])) for row in alignment]  # [target][source], without the end of sentence
        return {target: row.index(max(row)) for target, row in enumerate(rows)}
    return {target: source for source, target in alignment}


@around("fairseq.utils:post_process_prediction")
def replace_before_bpe_is_removed(
    post_process_prediction,
    hypo_tokens,
    src_str,
    alignment,
    align_dict,
    tgt_dict,
    remove_bpe=None,
    extra_symbols_to_ignore=None,
):
    given, ignored = (hypo_tokens, src_str, alignment, align_dict, tgt_dict), extra_symbols_to_ignore
    if align_dict is None:
        return post_process_prediction(*given, remove_bpe, ignored)
    from fairseq.data import data_utils

    _, text, alignment = post_process_prediction(*given, None, ignored)
    text = data_utils.post_process(text, remove_bpe)
    return tgt_dict.encode_line(text, add_if_not_exist=True), text, alignment


class Source(str):
    """A source sentence as it is printed; `pieces` is the text that the model read, with the unknown words in it."""

    def __new__(cls, text, pieces):
        source = super().__new__(cls, text)
        source.pieces = pieces
        return source


@around("fairseq.sequence_generator:EnsembleModelWithAlignment.__init__")
def keep_attention(original_init, self, models):
    """`IndexError: Dimension out of range` when a model that decodes without attention weights is asked for alignments.

    The hub interface (`hub.translate(sentence, print_alignment="hard")`) prepares its models before it asks for
    alignments. So the method `show_attention` is called on models that have it; models of fairseq itself always
    return attention weights.
    """
    original_init(self, models)
    for model in models:
        getattr(model, "show_attention", lambda: None)()
