"""The options of exports that keep a manifest, or have only what changed since another export."""

import hashlib
import json
from dataclasses import replace
from itertools import islice
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from services.exporter.catalogue.columns import Selection, lineage
from services.exporter.catalogue.output_columns import NO_RULES, IfMissing, OutputColumns

FREE = (
    "changes_since",
    "deletions",
    "empty",
    "on_missing_baseline",
    "manifest",
    "filters",
    "limit",
    "order_by",
    "platform_ids",
    "file_name",
    "compression",
    "utf8_bom",
    "max_rows_per_file",
)
"""Options in which an export may differ from the one it is compared with: they do not decide how a row is written."""
CHANGE_COLUMN = "_change"
MAX_KEY_FIELDS = 8
MAX_VOLATILE_FIELDS = 100
_FieldName = Annotated[str, Field(strict=True, min_length=1, max_length=1024)]


class ChangeOptions(BaseModel):
    """Options of formats that can keep a manifest."""

    separate_deletions: ClassVar[bool] = False
    """Whether `deletions: "file"` is possible."""

    manifest: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="Keep the key and a hash of every row, so that a later export can have `changes_since` this one.",
    )
    key: Annotated[tuple[_FieldName, ...], Field(min_length=1, max_length=MAX_KEY_FIELDS)] = Field(
        default=("id",), description="The fields that identify a product; together they are different in every product."
    )
    volatile_fields: Annotated[tuple[_FieldName, ...], Field(max_length=MAX_VOLATILE_FIELDS)] = Field(
        default=(),
        description="Columns (in nested JSON: fields) that do not make a row a changed one when only they differ.",
        examples=[["updated_at"]],
    )
    changes_since: UUID | None = Field(
        default=None,
        description="The id of an earlier export: only the rows added, changed or deleted since (docs/deltas.md).",
    )
    deletions: Literal["column", "file", "none"] = Field(
        default="column",
        description="Where deleted rows are: among the others, in a file of their own (zip only), or nowhere.",
    )
    empty: Literal["deliver", "skip"] = Field(
        default="deliver", description="With `skip`, a file with changes is uploaded to no platform if there are none."
    )
    on_missing_baseline: Literal["fail", "full"] = Field(
        default="fail",
        description="If there is nothing to compare with: refuse the export, or make a file with all rows.",
    )

    @model_validator(mode="after")
    def _changes_are_sane(self) -> "ChangeOptions":
        if self.deletions == "file" and not self.separate_deletions:
            raise ValueError("deletions cannot be 'file' in this format; ask for zip, or write 'column' or 'none'")
        if len(set(self.key)) < len(self.key):
            raise ValueError("key names a field more than once")
        if twice := sorted(set(self.key).intersection(self.volatile_fields)):
            raise ValueError(f"{twice[0]!r} cannot be in key and in volatile_fields")
        if self.keeps_manifest and getattr(self, "explode", None) is not None:
            raise ValueError(
                "with explode, a product may have several rows; leave out explode, or manifest and changes_since"
            )
        if self.keeps_manifest:
            self._key_is_written()
        return self

    def _key_is_written(self) -> None:
        """Every field of the key must be in the file, or receivers could not tell which rows are deleted."""
        selection: Selection = self.selection  # type: ignore[attr-defined]  # of ExportOptions
        included = set(selection.include or ())
        if selection.output is None and (
            below := [n for n in self.volatile_fields if included.intersection(islice(lineage(n), 1, None))]
        ):
            raise ValueError(f"{below[0]!r} is below a field of include_fields; include the fields there one by one")
        if selection.output is None:
            unseen = [name for name in self.key if not selection.accepts(name)]
        else:
            unseen = [name for name in self.key if key_column(selection.output, name) is None]
            known = {column.header: column for column in selection.output.columns}
            if wrong := [
                n for n in self.volatile_fields if n in known and known[n].rules.if_missing != IfMissing.EMPTY
            ]:
                raise ValueError(f"the column {wrong[0]!r} cannot be volatile: its if_missing is not 'empty'")
        if unseen:
            raise ValueError(
                f"key has {unseen[0]!r}, which is not a column of the file; add it to the columns, or name other "
                "fields as the key"
            )

    @property
    def keeps_manifest(self) -> bool:
        """Whether the export stores a manifest."""
        return self.manifest or self.changes_since is not None


def change_options(options: BaseModel) -> ChangeOptions | None:
    """The options of a format as these; None if it cannot keep manifests, or the request does not ask for one."""
    return options if isinstance(options, ChangeOptions) and options.keeps_manifest else None


def key_column(output: OutputColumns, name: str) -> int | None:
    """The column that shows a field, and nothing else, as it is; None: there is none."""
    for at, column in enumerate(output.columns):
        is_plain = not column.is_template and replace(column.rules, if_missing=IfMissing.EMPTY) == NO_RULES
        if is_plain and column.pieces == ((name,),):
            return at
    return None


def options_id(form: str, options: BaseModel) -> str:
    """What stands in a manifest for the options that decide how a row is written."""
    fixed = options.model_dump(mode="json", by_alias=True, exclude=set(FREE), exclude_defaults=True)
    return hashlib.sha256(json.dumps([form, fixed], sort_keys=True).encode()).hexdigest()[:32]
