"""YAML text <-> plain settings, with the line of every key. Nothing here knows which settings there are."""

import math
import re
from typing import Any

import yaml

from memjax.errors import ConfigError

Key = tuple[Any, ...]  # ("learning", "epochs")


class _Loader(yaml.SafeLoader):
    """YAML with the numbers and flags of YAML 1.2: 100e-3 is a float, 010 is ten, on and no are words."""


def _decimal(loader: yaml.SafeLoader, node: Any) -> int:
    return int(loader.construct_scalar(node))


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
):
    _starts = ["" if letter == "\0" else letter for letter in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _starts)
_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


class _Dumper(yaml.SafeDumper):
    """Quotes a word where `_Loader` would read something else."""


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def parse(text: str, name: str) -> tuple[dict, dict[Key, int]]:
    """Return the settings of a YAML text and the line of every key; raise ConfigError where it is no mapping."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines = _lines(node) if node is not None else {}
        data = loader.construct_document(node) if node is not None else None
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        reason = getattr(error, "problem", None) or str(error).split("\n")[0]
        raise ConfigError(f"{name} is no readable YAML{place}: {reason}") from error
    finally:
        if loader is not None:
            loader.dispose()
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{name} should hold settings (key: value), it holds a {type(data).__name__}")
    return data, lines


def _lines(node: yaml.Node, key: Key = ()) -> dict[Key, int]:
    """Return the line of every key below a node; raise ConfigError where a mapping has one key twice."""
    lines: dict[Key, int] = {}
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inner, line = (*key, name.value), name.start_mark.line + 1
            if not isinstance(name, yaml.ScalarNode):
                continue
            if inner in lines and name.value != "<<":
                raise ConfigError(f"{'.'.join(inner)} is given twice (lines {lines[inner]} and {line})")
            lines |= {inner: line, **_lines(value, inner)}
    return lines


def override(data: dict, text: str) -> Key:
    """Put "a.b=value" into data; return its key."""
    path, equals, value = text.partition("=")
    key = tuple(part.strip() for part in path.split("."))
    if not equals or not all(key):
        raise ConfigError(f"--set {text}: a setting is written key=value, such as learning.epochs=2")
    parsed, _ = parse(f"value: {value}", f"--set {text}")
    if list(parsed) != ["value"]:
        raise ConfigError(f"--set {text}: the value is no single YAML value")
    inner = data
    for part in key[:-1]:
        if inner.get(part) is None:
            inner[part] = {}
        inner = inner[part]
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {text}: {part} holds {inner!r}, which has no keys")
    inner[key[-1]] = parsed["value"]
    return key


def line(indent: str, key: str, value: Any, description: str | None) -> str:
    """Write one setting on one line, with what it means as a comment."""
    # In a flow list, where any value fits on one line and is quoted as it must be; then without the brackets.
    text = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, width=math.inf, sort_keys=False)
    return f"{indent}{key}: {text.strip()[1:-1]}" + (f"  # {description}" if description else "")
