"""Types of fields whose description in the OpenAPI document says more than their Python type.

Which formats and types of platforms there are is known to other services only. Fields that depend on it carry a mark,
which `http/openapi/kinds.py` replaces.
"""

from typing import Annotated, Any

from pydantic import WithJsonSchema

NAME_OF, SETTINGS_OF = "x-name-of", "x-settings-of"
INSTEAD = "x-instead-of-settings"
"""On a field that replaces the name of a format and its options: an object has either."""
FORMATS, PLATFORM_TYPES = "Format", "PlatformType"


def _text(**schema: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **schema})


Id = Annotated[str, _text(format="uuid")]
Code = Annotated[str, _text(pattern="^[a-z][a-z0-9_]*$")]
Sha256 = Annotated[str, _text(pattern="^[0-9a-f]{64}$")]
RequestId = Annotated[str, _text(pattern="^[A-Za-z0-9._:-]{1,128}$")]
Url = Annotated[str, _text(format="uri")]
Time = Annotated[str, _text(format="date-time")]
UtcOffset = Annotated[str, _text(pattern="^[+-][0-9]{2}:[0-9]{2}(:[0-9]{2})?$")]
Count = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 0})]
Seconds = Annotated[float, WithJsonSchema({"type": "number", "minimum": 0})]

FormatName = Annotated[str, WithJsonSchema({NAME_OF: FORMATS})]
"""The name of a format."""
PlatformType = Annotated[str, WithJsonSchema({NAME_OF: PLATFORM_TYPES})]
"""The name of a type of platforms."""


def settings_of(sort: str, schemas: str) -> WithJsonSchema:
    """The description of an object whose schema depends on a format or type, which a field beside it may name.

    Args:
        sort: `FORMATS` or `PLATFORM_TYPES`.
        schemas: the name of its schemas, with `{}` for the name of the format or type.
    """
    return WithJsonSchema({"type": "object", SETTINGS_OF: [sort, schemas]})


JsonObject = Annotated[str, WithJsonSchema({"type": "object", "additionalProperties": True})]
"""The text of a JSON object. It is put into the body unchanged, so numbers keep all their digits."""
AnyObject = dict[str, Any]
