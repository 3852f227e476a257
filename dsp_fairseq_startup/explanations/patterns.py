"""Messages for errors of fairseq that can be recognised by the text of the error alone."""

import re

CHECKPOINT_PATH = "--path takes a file that fairseq-train wrote, such as checkpoints/checkpoint_best.pt"
NOT_MENDED = "{}: this does not work in fairseq 0.12.2 as it is installed, see docs/fairseq.md ({{}})"

# pattern that is searched in fairseq's message -> our message, in which {} stand for the groups of the pattern
RULES = {
    "^Model file not found: (.*)": f"checkpoint {{}} does not exist; {CHECKPOINT_PATH}",
    "^(--finetune-from-model.*)": "{}",
    r"^sentence at index (\d+) of size (\d+) exceeds max_tokens limit of (\d+)!": (
        "sentence {} (from 0 on) has {} words or pieces, more than --max-tokens {}"
    ),
    "^Sentences lengths should not exceed max_tokens=(.*)": (
        "--max-tokens {}: the longest sentence has more words or pieces"
    ),
    "^Unknown post_process option: (.*)": (
        "--post-process {}: subword_nmt, sentencepiece, wordpiece, letter, silence, _EOW, none, or the end of a piece, "
        "such as '@@ '"
    ),
    "^(--post-process=.*)": "{}; fairseq-eval-lm takes subword_nmt",
    r"^Could not load (tokenizer|bpe)/(\w+)": (
        "--{} {}: fairseq 0.12.2 registers it without its options, it cannot be chosen"
    ),
    "could not parse ModelProto from (.+)": "--sentencepiece-model {}: no model of sentencepiece",
    "^(cannot import name 'libnat')": NOT_MENDED.format(
        "levenshtein_transformer and insertion_transformer (they need an unbuilt library)"
    ),
    "^(argument --max-source-positions: conflicting option string)": NOT_MENDED.format("the denoising tasks"),
    "^('TranslationFromPretrainedBARTTask' object has no attribute 'args')": NOT_MENDED.format(
        "--task translation_from_pretrained_bart"
    ),
}

# beginnings of fairseq's messages that are clear and are shown unchanged
CLEAR = (
    "--encoder-layers must match",
    "--share-all-embeddings ",
    "--share-decoder-input-output-embed",
    "AdaptiveLoss is not compatible",
    "Cannot use a fixed learning rate schedule",
    "Size of sample #",
    "The dataset is empty",
    "Trying to use an uninitialized 'dummy' batch",
    "Valid paths ",
    "world size is ",
)


def explain(error):
    text = str(error)
    for pattern, message in RULES.items():
        found = re.search(pattern, text)
        if found:
            return message.format(*found.groups())
    words = " ".join(text.split())
    asks_for_a_package = isinstance(error, ImportError) and "install" in words
    return words if asks_for_a_package or words.startswith(CLEAR) else None
