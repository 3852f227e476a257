"""The registered methods: ``METHODS[name]`` is the class of ``--pruning-method name``."""

import re
from collections.abc import Callable, Iterator

from .method import Method
from .option import Option

METHODS: dict[str, type[Method]] = {}


def register_method(name: str) -> Callable[[type[Method]], type[Method]]:
    """Class decorator that registers a method under its name for ``--pruning-method``."""

    def register(method: type[Method]) -> type[Method]:
        if name in METHODS:
            raise ValueError(f"there already is a pruning method {name}")
        METHODS[name] = method
        return method

    return register


def method_options() -> dict[str, Option]:
    """The options of all methods by name, in the order of ``--help``, each as its first method declares it."""
    found: dict[str, Option] = {}
    for method in METHODS.values():
        for option in method.OPTIONS:
            found.setdefault(option.name, option)
    return found


def readers_of(name: str) -> list[str]:
    """Names of the methods that read an option."""
    return [method for method, _ in _declarations(name)]


def help_of(option: Option) -> str:
    """Help text of an option with the defaults of all methods that read it."""
    return option.help.replace("{defaults}", _defaults(option.name))


def summary_of_methods() -> str:
    """Names and summaries of all methods as one text, such as ``ste (straight-through), none (all heads)``."""
    return ", ".join(f"{name} ({method.SUMMARY})" for name, method in METHODS.items())


def _declarations(name: str) -> Iterator[tuple[str, Option]]:
    """Pairs of a method's name and its declaration of the option."""
    for method, cls in METHODS.items():
        yield from ((method, option) for option in cls.OPTIONS if option.name == name)


def _defaults(name: str) -> str:
    """The defaults of an option as text, such as ``0.05 with dsp and l0; 0.2 with ste``."""
    declared = list(_declarations(name))
    pairs = [(option.default_words or _number(option.default), method) for method, option in declared]
    pairs += [
        (_number(option.pipelined), f"{method} with --pruning-mode pipelined")
        for method, option in declared
        if option.pipelined is not None
    ]
    methods: dict[str, list[str]] = {}
    for value, method in pairs:
        methods.setdefault(value, []).append(method)
    separator = "; " if max(map(len, methods.values())) > 1 else ", "
    return separator.join(f"{value} with {_listed(names)}" for value, names in methods.items())


def _number(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or "none"
    return re.sub("e-0", "e-", f"{value:g}")


def _listed(names: list[str]) -> str:
    if len(names) < 3:
        return " and ".join(names)
    return f"{', '.join(names[:-1])}, and {names[-1]}"
