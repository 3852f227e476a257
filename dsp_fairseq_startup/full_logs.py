"""A traceback of 20 lines for every line of a log whose disk is full

Where: `logging`, which goes on without the line, as it should: `--log-file`, `preprocess.log`. When: always.
"""

import contextlib
import logging
import sys

from .not_written import of_the_disk


def tell_once():
    """Each such log is told once, in one line. What else goes wrong in a log is told as before."""
    handle = logging.Handler.handleError
    told = set()

    def handle_error(self, record):
        problem = of_the_disk(sys.exc_info()[1])
        if problem is None:
            return handle(self, record)
        if id(self) not in told:
            told.add(id(self))
            with contextlib.suppress(OSError):
                print(f"warning: lines are missing in a log: {problem}", file=sys.stderr)

    logging.Handler.handleError = handle_error
