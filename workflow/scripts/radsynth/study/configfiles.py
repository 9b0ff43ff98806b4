"""Configuration files as they are written: what YAML would pass over without a word."""

from pathlib import Path

import yaml

from radsynth.common.errors import UserError

#: Values of a configuration, with all that aliases repeat.
MOST_VALUES = 100_000


def check_file(path: str | Path) -> None:
    """Raise UserError, naming file and line, for a key that stands twice, or for more values than a study can have.

    Of equal keys YAML takes the last one; aliases of aliases can stand for billions of values.
    """
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return  # Snakemake says what is wrong with it
    if root is not None:
        _count(root, path, {})


def _count(node: yaml.Node, path: str | Path, known: dict[int, int]) -> int:
    """Return the number of values of a node, those that aliases repeat as often as they do."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MOST_VALUES + 1  # of a node that holds itself
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        seen: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else (key.tag, str(line))
            if name in seen:
                raise UserError(f"{path}: the key {key.value} stands twice, in lines {seen[name]} and {line}")
            seen[name] = line
            parts += [key, value]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    known[id(node)] = 1 + sum(_count(part, path, known) for part in parts)
    if known[id(node)] > MOST_VALUES:
        raise UserError(f"{path}: more than {MOST_VALUES:,} values, by aliases that repeat others; write them out")
    return known[id(node)]
