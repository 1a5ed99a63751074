"""Profiles in REST: bodies of requests, and answers made of the exporter's messages."""

from typing import Annotated

from pydantic import Field

from services.gateway.answers.described import FORMATS, AnyObject, FormatName, Id, settings_of
from services.gateway.answers.jobs import at, with_platforms
from services.gateway.answers.models import Answer, Instant, Page, WithOptions
from services.gateway.answers.platforms import Body, Name
from services.wire import profiles_pb2 as pb

ProfileFormat = Annotated[FormatName, Field(min_length=1, max_length=50)]
Version = Annotated[int, Field(ge=1, description="1 when it is created, one more with every change.")]


ProfileId = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        json_schema_extra={"format": "uuid"},
        description="Id of a profile.",
    ),
]


class NewProfile(Body):
    """An export to save as a profile."""

    name: Name
    format: ProfileFormat
    options: Annotated[AnyObject, settings_of(FORMATS, "{}Options")] = Field(default_factory=dict)


class ProfileChange(Body):
    """What is to change of a profile; what is absent stays."""

    name: Name | None = None
    format: ProfileFormat | None = None
    options: Annotated[AnyObject, settings_of(FORMATS, "{}Options")] | None = Field(
        default=None, description="All options of the format; they replace the earlier ones."
    )


class ProfileRun(Body):
    """What is to be different in one export of a profile."""

    options: Annotated[AnyObject, settings_of(FORMATS, "{}OptionsChange")] = Field(
        default_factory=dict, description="Replace those of the profile, each as a whole; null removes one."
    )


class Profile(WithOptions):
    """A profile, or an earlier version of it."""

    id: Id
    name: str
    format: FormatName
    options: Annotated[str, settings_of(FORMATS, "{}Options")]
    version: Version
    created_at: Instant = Field(description="Of the profile.")
    updated_at: Instant = Field(description="When this version was made.")


class ProfilePage(Page[Profile]):
    """Profiles, newest first."""


class ProfileVersionPage(Page[Profile]):
    """Versions of a profile, newest first."""


class ProfileContent(WithOptions):
    """The body of a request for a new profile."""

    name: str
    format: FormatName


class OpenColumn(Answer):
    """A column that no field was found for. It is written empty."""

    header: str
    near: list[str] = Field(description="Fields that may be meant, best first.")


class ProposedProfile(Answer):
    """A profile with the header of a file. It is not stored."""

    profile: ProfileContent = Field(description="Complete what is open, and send it to `POST /exports/profiles`.")
    open: list[OpenColumn] = Field(description="Columns that no field was found for.")

    def text(self) -> str:
        """The body, with the options as the service has written them."""
        rest = self.model_dump_json(exclude={"profile"})
        return f'{{"profile":{self.profile.text()},{rest.removeprefix("{")}'


def proposed(name: str, found: pb.ProposeProfileResponse) -> ProposedProfile:
    """A proposed profile with its open columns."""
    return ProposedProfile(
        profile=ProfileContent(name=name, format=found.format, options=found.options_json),
        open=[OpenColumn(header=one.header, near=list(one.near_fields)) for one in found.open_columns],
    )


def profile(found: pb.Profile) -> Profile:
    """A profile with all its fields."""
    return Profile(
        id=found.id,
        name=found.name,
        version=found.version,
        created_at=at(found.created_at),
        format=found.format,
        options=with_platforms(found),
        updated_at=at(found.updated_at),
    )
