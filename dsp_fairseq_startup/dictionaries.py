"""A traceback that does not name the file: `Incorrect dictionary format`, `Duplicate word found`

Where: `fairseq.data.Dictionary.add_from_file`. When: always.
"""

import functools

from .bad_checkpoint import WrongUse


def mend(dictionary):
    dictionary.Dictionary.add_from_file = naming_the_file(dictionary.Dictionary.add_from_file)


def naming_the_file(add_from_file):
    @functools.wraps(add_from_file)
    def wrapper(self, f):
        try:
            return add_from_file(self, f)
        except OSError:
            raise
        except Exception as error:  # fairseq raises three kinds here
            if not isinstance(f, str):
                raise
            what = " ".join(str(error).partition(". ")[0].split())  # it may quote a line, with its end
            raise WrongUse(
                f"dictionary {f} is damaged ({what}); copy it again, or make it anew with fairseq-preprocess"
            ) from error

    return wrapper
