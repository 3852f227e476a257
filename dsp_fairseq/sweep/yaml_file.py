"""Reads a YAML file, and refuses what YAML reads otherwise than people do."""

import re
from typing import Any

import yaml

from ..errors import BadInput


def load(path: str) -> Any:
    """The content of the file; raises BadInput when it is not YAML."""
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.load(file, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadInput(f"{path}{line}: is not YAML: {error.problem}") from error
    except RecursionError as error:
        raise BadInput(f"{path}: is nested too deeply; a sweep needs three levels") from error
    except Exception as error:  # PyYAML passes on Python's own errors for wrong numbers and dates
        raise BadInput(f"{path}: is not YAML: {' '.join(str(error).split())}") from error


class _Loader(yaml.SafeLoader):
    """Refuses a key that occurs twice, of which PyYAML would silently take the last one.

    It also refuses numbers that YAML reads otherwise than people do: 012 is 10, 1:30 is 90, 0x10 is 16, 1_0 is 10.
    """

    def construct_yaml_int(self, node):
        if not re.fullmatch(r"[-+]?(0|[1-9]\d{0,17})", node.value):
            shown = node.value if len(node.value) <= 30 else node.value[:27] + "..."
            problem = f"{shown} is no plain number of at most 18 digits; write one, or put it between quotation marks"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return int(node.value)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} stands twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
