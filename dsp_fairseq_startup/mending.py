"""How a mend is declared: which functions of fairseq it surrounds, or which modules it changes."""

import functools

MENDS: dict[str, list] = {}  # module -> [(mend, function that applies it to the module)]


def mend(*modules):
    """Decorator: the function is called with each of these modules, as soon as that module has been executed."""

    def declare(change):
        for module in modules:
            MENDS.setdefault(module, []).append((change, change))
        return change

    return declare


def around(*places):
    """Decorator: `function(original, ...)` is called wherever fairseq calls `original`, the function at each place.

    A place is written "module:name" or "module:Class.name".
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
    """Places of the functions `main` of some commands."""
    return [f"fairseq_cli.{command}:main" for command in commands]


def command_of(function):
    """`generate` for a function of `fairseq_cli.generate`."""
    return function.__module__.rpartition(".")[2]


class View:
    """A module as one module of fairseq sees it: the names given here, and everything else of the module itself."""

    def __init__(self, module, **names):
        vars(self).update(names, _module=module)

    def __getattr__(self, name):
        return getattr(self._module, name)
