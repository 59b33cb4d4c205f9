"""The words that the schemas are written in: objects with required fields, references, amounts, times."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

JSON = dict[str, Any]

TEXT: Final[JSON] = {"type": "string"}
FLAG: Final[JSON] = {"type": "boolean"}
COUNT: Final[JSON] = {"type": "integer", "minimum": 0}
VERSION: Final[JSON] = {"type": "integer", "minimum": 1}
ANY_OBJECT: Final[JSON] = {"type": "object"}
AMOUNT: Final[JSON] = {
    "type": "string",
    "pattern": r"^(0|[1-9][0-9]*)(\.[0-9]+)?$",
    "maxLength": 160,
    "description": "A plain decimal string in the asset's unit, never a number.",
}
DECIMALS: Final[JSON] = {"type": "integer", "minimum": 0, "maximum": 36}
TIME: Final[JSON] = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$",
}
OWN_ID: Final[JSON] = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9._:\-]{1,64}$",
    "description": "The backend's own id.",
}
METADATA: Final[JSON] = {"type": "object", "additionalProperties": TEXT}
BLOCK: Final[JSON] = {
    "type": "object",
    "required": ["height", "hash"],
    "properties": {
        "height": COUNT,
        "hash": {"anyOf": [TEXT, {"type": "null"}], "description": "null where a slot has none."},
        "time": {"anyOf": [TIME, {"type": "null"}]},
    },
    "description": "Where and when a balance is true.",
}
"""`as_of`."""


def one_of(*values: str) -> JSON:
    """An enum; values may be added."""
    return {"type": "string", "enum": list(values)}


def const(value: str | bool) -> JSON:  # noqa: FBT001  a JSON value, not a switch
    """One value and nothing else."""
    return {"const": value}


def our_id(prefix: str) -> JSON:
    """An id that we gave: `tu_…`, `evt_…`."""
    return {"type": "string", "pattern": f"^{prefix}_[A-Za-z0-9]+$"}


def nullable(schema: JSON) -> JSON:
    """That, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def listed(schema: JSON, *, least: int = 0) -> JSON:
    """An array."""
    return {"type": "array", "items": schema, **({"minItems": least} if least else {})}


def mapped(schema: JSON) -> JSON:
    """An object whose keys are names: networks, as a rule."""
    return {"type": "object", "additionalProperties": schema}


def ref(name: str) -> JSON:
    """Another schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def fields(required: Mapping[str, JSON], optional: Mapping[str, JSON] | None = None, *, about: str = "") -> JSON:
    """An object with these fields and perhaps more: receivers ignore what they don't know."""
    described = {"description": about} if about else {}
    return {
        "type": "object",
        **described,
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def page_of(name: str, items: Sequence[JSON] = ()) -> JSON:
    """A page of a list; `items` narrow what stands in it."""
    item = {"allOf": [ref(name), *items]} if items else ref(name)
    after = nullable({**TEXT, "description": "`after` of the next page; null on the last."})
    return fields({"object": const("list"), "data": listed(item), "next": after})
