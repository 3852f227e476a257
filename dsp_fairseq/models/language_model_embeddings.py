"""The embeddings that fairseq builds for a language model: a table, or one table for each band of words."""

import copy
from typing import Any

from fairseq.models.transformer_lm import TransformerLanguageModel
from fairseq.utils import eval_str_list

from ..errors import BadInput, flag


def embeddings_of(args: Any, task: Any) -> Any:
    """The embeddings of a stock ``transformer_lm`` with these options (a Namespace or an omegaconf container).

    Also sets ``args.max_target_positions`` as the stock model does. Raises BadInput when the cut-offs of an adaptive
    input do not fit the dictionary.
    """
    bare = copy.copy(args)
    bare.decoder_layers = 0
    _check_cutoff(args, "adaptive_input_cutoff", len(task.source_dictionary))
    _check_cutoff(args, "adaptive_softmax_cutoff", len(task.target_dictionary))
    stock = TransformerLanguageModel.build_model(bare, task)
    args.max_target_positions = bare.max_target_positions
    return stock.decoder.embed_tokens


def _check_cutoff(args: Any, name: str, words: int) -> None:
    text = getattr(args, name, None)
    last = max(eval_str_list(text, type=int), default=0) if text else 0
    if last > words:
        raise BadInput(f"{flag(name)} {text}: must not be above {words}, the words of the dictionary; leave out {last}")
