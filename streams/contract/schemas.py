"""JSON Schemas (draft 2020-12) of the messages, with the description of every field."""

import inspect
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from streams.contract.examples import EXAMPLES

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def file_name(message: type[msgspec.Struct]) -> str:
    """Name of the schema file of a message type.

    Example:
        >>> from streams.contract.messages import LimitUpdate
        >>> file_name(LimitUpdate)
        'limit-update.json'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "-", message.__name__).lower() + ".json"


def documented(message: type[msgspec.Struct]) -> tuple[str, dict[str, str]]:
    """What a struct's docstring says: of the whole, and of each field by its name on the wire.

    Raises:
        ValueError: A field is missing in the docstring, or the other way round.
    """
    whole, _, attributes = inspect.cleandoc(message.__doc__ or "").partition("Attributes:\n")
    said = {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(attributes)}
    fields = {each.name: each.encode_name for each in msgspec.structs.fields(message)}
    if set(said) != set(fields):
        odd = ", ".join(sorted(set(said) ^ set(fields)))
        raise ValueError(f"{message.__name__}: docstring and fields differ in {odd}")
    return " ".join(whole.split()), {fields[name]: text for name, text in said.items()}


def examples(message: type[msgspec.Struct]) -> list[Any]:
    """The examples of a type, as JSON values."""
    return [
        msgspec.json.decode(msgspec.json.encode(example)) for example in EXAMPLES.get(message, ())
    ]


def components(
    messages: Sequence[type[msgspec.Struct]], ref_template: str
) -> dict[str, dict[str, Any]]:
    """Schemas of the messages and of all that they refer to, by name of the type.

    Args:
        messages: The types.
        ref_template: How one schema refers to another, with `{name}` for the other.
    """
    _, schemas = msgspec.json.schema_components(messages, ref_template=ref_template)
    for name, message in _structs(messages).items():
        whole, fields = documented(message)
        schema = schemas[name]
        schema["description"] = whole
        for name_on_the_wire, text in fields.items():
            properties = schema["properties"]
            properties[name_on_the_wire] = _described(properties[name_on_the_wire], text)
        if shown := examples(message):
            schema["examples"] = shown
    return schemas


def schema(message: type[msgspec.Struct]) -> dict[str, Any]:
    """The stand-alone JSON Schema of one message, as it is committed in `docs/schemas/`."""
    schemas = components([message], "#/$defs/{name}")
    root = schemas.pop(message.__name__)
    return {"$schema": DRAFT, **root, **({"$defs": schemas} if schemas else {})}


def _structs(messages: Sequence[type[msgspec.Struct]]) -> dict[str, type[msgspec.Struct]]:
    """Every struct that the messages are made of, by name."""
    found: dict[str, type[msgspec.Struct]] = {}
    waiting: list[Any] = [msgspec.inspect.type_info(message) for message in messages]
    while waiting:
        part = waiting.pop()
        if isinstance(part, msgspec.inspect.Metadata):
            waiting.append(part.type)
        elif isinstance(part, msgspec.inspect.UnionType):
            waiting.extend(part.types)
        elif isinstance(part, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
            waiting.append(part.item_type)
        elif isinstance(part, msgspec.inspect.StructType) and part.cls.__name__ not in found:
            found[part.cls.__name__] = part.cls
            waiting.extend(each.type for each in part.fields)
    return found


def _described(schema: dict[str, Any], text: str) -> dict[str, Any]:
    """The schema of a field with its own text before that of its type."""
    inner = schema.pop("description", "")
    for choice in schema.get("anyOf", ()):
        inner = choice.pop("description", inner)
    return {"description": f"{text} {inner}".strip(), **schema}
