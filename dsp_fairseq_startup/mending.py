"""Decorators that declare a mend: which functions of fairseq it surrounds, or which modules it changes."""

import functools

MENDS: dict[str, list] = {}  # module -> [(mend, function that applies it to the module)]


def mend(*modules):
    """Decorator for a function of a module, which is called after each of these modules has been executed."""

    def declare(change):
        for module in modules:
            MENDS.setdefault(module, []).append((change, change))
        return change

    return declare


def around(*places):
    """Decorator for a function that replaces the functions of fairseq at these places.

    It is called as `function(original, ...)` with the original function and the arguments of the call. A place is
    written "module:name" or "module:Class.name".
    """

    def declare(replacement):
        for place in places:
            module, _, path = place.partition(":")
            change = functools.partial(_surround, path=path.split("."), replacement=replacement)
            MENDS.setdefault(module, []).append((replacement, change))
        return replacement

    return declare


def _surround(module, path, replacement):
    owner = functools.reduce(getattr, path[:-1], module)
    original = getattr(owner, path[-1])

    @functools.wraps(original)
    def surrounded(*args, **kwargs):
        return replacement(original, *args, **kwargs)

    setattr(owner, path[-1], surrounded)


def main_of(*commands):
    """The places of the functions `main` of these commands, such as "fairseq_cli.generate:main"."""
    return [f"fairseq_cli.{command}:main" for command in commands]


def command_of(function):
    """The command of a function of fairseq_cli: `generate` for a function of `fairseq_cli.generate`."""
    return function.__module__.rpartition(".")[2]


class View:
    """A module with some names replaced. One module of fairseq can get it without a change for all others."""

    def __init__(self, module, **names):
        vars(self).update(names, _module=module)

    def __getattr__(self, name):
        return getattr(self._module, name)
