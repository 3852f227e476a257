"""`fairseq-interactive` continues after a line that is too long, and reads and aligns text as `fairseq-generate` does.

fairseq ends with a traceback at a line that is too long or not UTF-8 (it reads the standard input in the locale's
encoding), and with `--print-alignment soft`. `--replace-unk` replaces `<unk>` by `<unk>`, because fairseq looks up
the source word in the encoded sentence. Here lines that are too long are reported and left out; the exit status is
then 1, unless `--skip-invalid-size-inputs-valid-test` was given.
"""

import builtins
import logging
import sys

from ..errors import WrongUse
from ..mending import View, around, mend
from .alignments import Source

UNPAIRED = "\0"  # stands for the missing second half of a pair


class NotAllTranslated(RuntimeError):
    """Some lines were too long; the message says how many were not translated."""

    exit_code = 1


class Session:
    """The numbers of lines that one run of `main` has read and has left out."""

    lines = left_out = 0


@around("fairseq_cli.interactive:main")
def end_with_a_status(main, cfg, *args, **kwargs):
    Session.lines = Session.left_out = 0
    may_leave_out = cfg.dataset.skip_invalid_size_inputs_valid_test
    cfg.dataset.skip_invalid_size_inputs_valid_test = True
    logger = logging.getLogger("fairseq.tasks.fairseq_task")
    logger.addFilter(about_something_else)
    try:
        main(cfg, *args, **kwargs)
    finally:
        logger.removeFilter(about_something_else)
    if Session.left_out and not may_leave_out:
        raise NotAllTranslated(f"{Session.left_out} of {Session.lines} lines were not translated, as told above")


def about_something_else(record):
    """Hide fairseq's message about long sentences, which it numbers from 0 in each buffer.

    `report_too_long` reports the same sentences by their line in the input.
    """
    return "have invalid sizes" not in record.msg


@around("fairseq_cli.interactive:make_batches")
def batches_of_short_lines(make_batches, lines, cfg, task, max_positions, encode_fn):
    if cfg.generation.constraints:
        warn_of_unknown_constraints(lines, task.target_dictionary, encode_fn)
    done = set()
    for batch in make_batches(lines, cfg, task, max_positions, encode_fn):
        done.update(batch.ids.tolist())
        yield batch
    for place in sorted(set(range(len(lines))) - done):
        report_too_long(Session.lines + place + 1, len(encode_fn(lines[place]).split()) + 1, max_positions)
    Session.lines += len(lines)
    Session.left_out += len(lines) - len(done)
    if cfg.generation.replace_unk is not None:
        remember_words(task, [encode_fn(lines[place]) for place in sorted(done)])


def report_too_long(number, length, max_positions):
    longest = max_positions[0] if isinstance(max_positions, (tuple, list)) else max_positions
    print(
        f"fairseq-interactive: line {number} has {length} words or pieces, the end of the sentence included; "
        f"model and task take {longest} (--max-source-positions): not translated",
        file=sys.stderr,
    )


def warn_of_unknown_constraints(lines, dictionary, encode_fn):
    constraints = [encode_fn(constraint).split() for line in lines for constraint in line.split("\t")[1:]]
    unknown = sorted({word for words in constraints for word in words if dictionary.index(word) == dictionary.unk()})
    if unknown:
        print(
            f"fairseq-interactive: warning: --constraints: {', '.join(unknown)}: not in the target dictionary,"
            f" {dictionary.unk_string()} is demanded in its place",
            file=sys.stderr,
        )


def remember_words(task, sentences):
    """Make the source dictionary return these texts when `main` asks it for each sentence, once and in order."""
    from fairseq.data import data_utils

    texts = iter(sentences)

    def string(tokens, bpe_symbol=None, *args, **kwargs):
        pieces = next(texts)
        return Source(data_utils.post_process(pieces, bpe_symbol), pieces)

    task.source_dictionary.string = string


@mend("fairseq_cli.interactive")
def read_utf8_and_print_soft_alignments(interactive):
    utils = interactive.utils

    def post_process_prediction(**options):
        """Turn soft alignments, a list of probabilities for each word, into pairs, which fairseq can print."""
        tokens, text, alignment = utils.post_process_prediction(**options)
        if len(alignment) and isinstance(alignment[0][0], str):
            alignment = [(",".join(probabilities), UNPAIRED) for probabilities in alignment]
        return tokens, text, alignment

    interactive.utils = View(utils, post_process_prediction=post_process_prediction)
    interactive.print = lambda text: builtins.print(text.replace("-" + UNPAIRED, ""))
    interactive.buffered_read = buffered_read


def buffered_read(path, buffer_size):
    """Yield lists of `buffer_size` lines; the last list may be shorter. Only a line feed ends a line."""
    file = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115 (read to its end)
    buffer = []
    for number, line in enumerate(iter(file.readline, b""), 1):
        try:
            buffer.append(line.decode("utf-8").strip())
        except UnicodeDecodeError as error:
            if buffer:
                yield buffer
            raise WrongUse(
                f"{'standard input' if path == '-' else path}: line {number} is not UTF-8 (byte "
                f"{line[error.start]:#04x}); `iconv -t utf-8` converts it"
            ) from error
        if len(buffer) >= buffer_size:
            yield buffer
            buffer = []
    if buffer:
        yield buffer
