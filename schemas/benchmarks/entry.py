"""The base of what stands in a registry file, and the texts that it may hold."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def expect(holds: bool, field: str, expected: str, got: object) -> None:
    """Raise ValueError that names a field and both sides, unless it holds."""
    if not holds:
        raise ValueError(f"{field}: expected {expected}, got {got}")


def _below(pattern: str) -> str:
    expect(
        bool(pattern) and not pattern.startswith("/") and ".." not in pattern.split("/"),
        "pattern",
        "a path below ROOT/<id>",
        repr(pattern),
    )
    return pattern


Identifier = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
SplitName = Annotated[str, Field(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$")]
FieldName = Annotated[str, Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$")]
Sentence = Annotated[str, Field(min_length=1)]
Pattern = Annotated[str, AfterValidator(_below)]


class Entry(BaseModel):
    """Base of what stands in a registry file: frozen, and strict about names and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
