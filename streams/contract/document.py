"""Writes `docs/schemas/*.json` and `docs/asyncapi.json`: `python -m streams.contract.document`."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from streams.contract.asyncapi import document
from streams.contract.schemas import file_name, schema
from streams.contract.topics import Topics


def generated() -> dict[str, str]:
    """Every generated file of the contract, by its path under `docs/`."""
    files: dict[str, Any] = {"asyncapi.json": document(Topics(), version("duoshou"))}
    for topic in Topics():
        for message in (*topic.messages, *([topic.headers] if topic.headers else [])):
            files[f"schemas/{file_name(message)}"] = schema(message)
    return {path: _text(content) for path, content in files.items()}


def write(docs: Path) -> None:
    """Write the generated files under a folder, which is made if need be."""
    for path, text in generated().items():
        target = docs / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _text(content: object) -> str:
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs"))
