"""A template's copier.yml, read as Copier reads it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

# Copier joins these over all documents; for any other key, the last one counts.
_JOINED = ("_exclude", "_jinja_extensions", "_secret_questions", "_skip_if_exists")

Fetch = Callable[[str], None]
"""Brings the files that match a pattern into a folder."""


def read(text: str, root: Path, fetch: Fetch | None = None) -> dict[str, object]:
    """All documents of `text` as one mapping, with the files below `root` that it includes.

    `fetch` brings those files there, unless all are there already.

    Raises:
        ValueError: a document is not a mapping, or includes a file that is not in the template.
        yaml.YAMLError: one is not YAML.
    """
    documents = list(_flat(yaml.load_all(text, _loader(root.resolve(), fetch))))
    if not documents or not all(isinstance(each, dict) for each in documents):
        raise ValueError("copier.yml holds no mapping")
    mappings = [each for each in documents if isinstance(each, dict)]
    config: dict[str, object] = {}
    for each in mappings:
        config |= each
    return config | {key: _joined(key, mappings) for key in _JOINED if key in config}


def _joined(key: str, mappings: list[dict[str, object]]) -> list[object]:
    lists = [each.get(key) or [] for each in mappings]
    if not all(isinstance(each, list) for each in lists):
        raise ValueError(f"{key} is not a list")
    return [value for each in lists if isinstance(each, list) for value in each]


def _flat(documents: Iterator[object] | list[object]) -> Iterator[object]:
    """The documents that are not empty; `!include` gives a list of documents."""
    for each in documents:
        if isinstance(each, list):
            yield from _flat(each)
        elif each:
            yield each


def _loader(root: Path, fetch: Fetch | None) -> type[yaml.CSafeLoader]:
    class Loader(yaml.CSafeLoader):
        """Knows `!include PATTERN`."""

    def include(loader: yaml.CSafeLoader, node: yaml.Node) -> list[object]:
        pattern = node.value if isinstance(node, yaml.ScalarNode) else ""
        is_inside = not Path(pattern).is_absolute()
        if is_inside and fetch:
            fetch(pattern)
        # Sorted, since the order in which questions are asked follows from it.
        files = sorted(root.glob(pattern)) if is_inside else []
        if not (is_inside and all(file.resolve().is_relative_to(root) for file in files)):
            raise ValueError(f"it includes {pattern!r}, which is outside the template")
        return [each for file in files for each in yaml.load_all(file.read_bytes(), type(loader))]

    Loader.add_constructor("!include", include)
    return Loader
