"""A session of `fairseq-interactive` ends with a traceback at a line that is too long or not UTF-8, and with
`--print-alignment soft`; `--replace-unk` replaces one `<unk>` by another

Where: `fairseq_cli.interactive`, its `buffered_read` (the standard input in the locale's encoding, no bad byte
allowed), its `make_batches` and `main` (alignments are printed as pairs; unknown words are looked up in the encoded
sentence).
When: always. A line that is too long is told and left out, and the exit status is 1 at the end, unless
`--skip-invalid-size-inputs-valid-test` was given.
"""

import builtins
import functools
import logging
import sys

from .bad_checkpoint import WrongUse
from .replace_unk import Source

UNPAIRED = "\0"  # where a pair has no second half


class NotAllTranslated(RuntimeError):
    """One line: how many sentences are missing."""

    exit_code = 1


def mend(interactive):
    session = Session(interactive)
    interactive.buffered_read = buffered_read
    interactive.make_batches = session.telling_what_is_too_long(interactive.make_batches)
    interactive.main = session.ending_with_a_status(interactive.main)
    interactive.utils = UtilsWithSoftAlignments(interactive.utils)
    interactive.print = lambda text: builtins.print(text.replace("-" + UNPAIRED, ""))


def buffered_read(path, buffer_size):
    """Lists of `buffer_size` lines, the last may be shorter; only a line feed ends a line."""
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


class Session:
    """What one run of `main` has read and left out."""

    def __init__(self, interactive):
        self.interactive = interactive
        self.lines = self.left_out = 0
        self.may_leave_out = False

    def ending_with_a_status(self, main):
        @functools.wraps(main)
        def wrapper(cfg, *args, **kwargs):
            self.lines = self.left_out = 0
            self.may_leave_out = cfg.dataset.skip_invalid_size_inputs_valid_test
            cfg.dataset.skip_invalid_size_inputs_valid_test = True
            logger = logging.getLogger("fairseq.tasks.fairseq_task")
            logger.addFilter(of_other_things)
            try:
                main(cfg, *args, **kwargs)
            finally:
                logger.removeFilter(of_other_things)
            if self.left_out and not self.may_leave_out:
                raise NotAllTranslated(f"{self.left_out} of {self.lines} lines were not translated, as told above")

        return wrapper

    def telling_what_is_too_long(self, make_batches):
        @functools.wraps(make_batches)
        def wrapper(lines, cfg, task, max_positions, encode_fn):
            if cfg.generation.constraints:
                tell_unknown_constraints(lines, task.target_dictionary, encode_fn)
            done = set()
            for batch in make_batches(lines, cfg, task, max_positions, encode_fn):
                done.update(batch.ids.tolist())
                yield batch
            for place in sorted(set(range(len(lines))) - done):
                self.tell(self.lines + place + 1, len(encode_fn(lines[place]).split()) + 1, max_positions)
            self.lines += len(lines)
            self.left_out += len(lines) - len(done)
            if cfg.generation.replace_unk is not None:
                remember_words(task, [encode_fn(lines[place]) for place in sorted(done)])

        return wrapper

    @staticmethod
    def tell(number, length, max_positions):
        longest = max_positions[0] if isinstance(max_positions, (tuple, list)) else max_positions
        print(
            f"fairseq-interactive: line {number} has {length} words or pieces, the end of the sentence included; "
            f"model and task take {longest} (--max-source-positions): not translated",
            file=sys.stderr,
        )


def of_other_things(record):
    """fairseq counts what is too long, in each buffer from 0; `tell` has the line of the input."""
    return "have invalid sizes" not in record.msg


def tell_unknown_constraints(lines, dictionary, encode_fn):
    constraints = [encode_fn(constraint).split() for line in lines for constraint in line.split("\t")[1:]]
    unknown = sorted({word for words in constraints for word in words if dictionary.index(word) == dictionary.unk()})
    if unknown:
        print(
            f"fairseq-interactive: warning: --constraints: {', '.join(unknown)}: not in the target dictionary,"
            f" {dictionary.unk_string()} is demanded in its place",
            file=sys.stderr,
        )


def remember_words(task, sentences):
    """`main` asks the source dictionary for the text of every sentence, once and in order, to print and to look up."""
    from fairseq.data import data_utils

    texts = iter(sentences)

    def string(tokens, bpe_symbol=None, *args, **kwargs):
        pieces = next(texts)
        return Source(data_utils.post_process(pieces, bpe_symbol), pieces)

    task.source_dictionary.string = string


class UtilsWithSoftAlignments:
    """`fairseq.utils` as `main` sees it: a soft alignment, a list of probabilities for each word, becomes pairs too."""

    def __init__(self, utils):
        self._utils = utils

    def __getattr__(self, name):
        return getattr(self._utils, name)

    def post_process_prediction(self, **options):
        tokens, text, alignment = self._utils.post_process_prediction(**options)
        if len(alignment) and isinstance(alignment[0][0], str):
            alignment = [(",".join(probabilities), UNPAIRED) for probabilities in alignment]
        return tokens, text, alignment
