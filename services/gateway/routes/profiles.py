"""Profiles: exports that are saved under a name, their versions, and exports that are made with them."""

import uuid

from aiohttp import web

from services.chassis.display_names import checked_name
from services.chassis.faults import BadRequest
from services.gateway.answers import models
from services.gateway.answers import profiles as answers
from services.gateway.answers.described import FORMATS, NAME_OF
from services.gateway.clients.exporter import ExporterClient, split_platforms
from services.gateway.clients.profiles import ProfileClient
from services.gateway.clients.scheduler import SchedulerClient
from services.gateway.errors import BadQuery, ProfileInUse, UnknownVersion
from services.gateway.http.bodies import file_body, json_object, options_in, parse_body
from services.gateway.http.etags import IF_MATCH, IF_NONE_MATCH, expected
from services.gateway.http.idempotency import KEY_PARAMETER, REPLAYED, chosen_id, idempotency_key, naming_the_key
from services.gateway.http.ids import id_in_path
from services.gateway.http.pages import LIST_PARAMETERS, flag, requested_page
from services.gateway.http.prefer import WAIT_PARAMETER
from services.gateway.http.route import BYTES_TYPE, PREFIX, Caller, Parameter, Route, respond
from services.gateway.routes.jobs import JobRoutes
from services.wire import profiles_pb2 as pb
from services.wire import scheduler_pb2

ALL, ONE = "/exports/profiles", "/exports/profiles/{profile_id}"
MAX_NAMED = 20
"""Schedules that are named when a profile cannot be deleted because of them."""
MAX_VERSION = 2**31 - 1
DEFAULT_NAME = "New profile"
CSV_TYPE, XLSX_TYPE = "text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
FILE_TYPES = (CSV_TYPE, XLSX_TYPE)
ZIP_START = b"PK\x03\x04"
NAME = Parameter("name", f"Of the profile. Default: `{DEFAULT_NAME}`.")
FORCE = Parameter("force", "Delete it even if schedules export it.", {"type": "boolean", "default": False})
PROFILE_FILTERS = (
    *LIST_PARAMETERS,
    Parameter("name", "Only profiles whose name contains this, in upper or lower case."),
    Parameter("format", "Only profiles of this format.", {NAME_OF: FORMATS}),
)


class ProfileRoutes:
    """`/exports/profiles`."""

    def __init__(
        self, profiles: ProfileClient, exporter: ExporterClient, scheduler: SchedulerClient | None, jobs: JobRoutes
    ) -> None:
        self._profiles = profiles
        self._exporter = exporter
        self._scheduler = scheduler
        self._jobs = jobs

    @Route(
        "POST",
        ALL,
        "exports:write",
        (201, answers.Profile),
        parameters=[KEY_PARAMETER],
        body=answers.NewProfile,
        action="profile.create",
        headers=("Location", "Idempotent-Replayed"),
    )
    async def create_profile(self, request: web.Request, caller: Caller) -> web.Response:
        """Create a profile."""
        key, body = idempotency_key(request), await parse_body(request, answers.NewProfile)
        options = options_in(await json_object(request))
        await self._jobs.check_platforms(caller.tenant, options, "options.")
        options, platforms = split_platforms(options)
        new = pb.CreateProfileRequest(
            tenant=caller.tenant,
            name=body.name,
            format=body.format,
            options_json=options,
            platforms=platforms,
            profile_id=chosen_id("profile", caller.tenant, key),
        )
        with naming_the_key(key):
            made = await self._profiles.create(new)
        headers = {"Location": f"{PREFIX}{ALL}/{made.profile.id}"}
        return respond(answers.profile(made.profile), 201, {**headers, **(REPLAYED if made.is_replay else {})})

    @Route("GET", ALL, "exports:read", (200, answers.ProfilePage), parameters=PROFILE_FILTERS, faults=(422,))
    async def list_profiles(self, request: web.Request, caller: Caller) -> answers.ProfilePage:
        """List profiles, newest first."""
        query, wanted = request.query, requested_page(request.query)
        if query.get("format") == "":
            raise BadQuery("format", "must be the name of a format")
        found = await self._profiles.list(
            pb.ListProfilesRequest(
                tenant=caller.tenant,
                page_size=wanted.limit,
                page_token=wanted.cursor,
                name_contains=query.get("name", ""),
                format=query.get("format", ""),
            )
        )
        items = [answers.profile(one) for one in found.profiles]
        return answers.ProfilePage(items=items, next_cursor=found.next_page_token or None)

    # Before the routes with an id in their path.
    @Route(
        "POST",
        f"{ALL}/from-header",
        "exports:read",
        (200, answers.ProposedProfile),
        parameters=[NAME],
        is_file_sent=True,
    )
    async def propose_profile(self, request: web.Request, caller: Caller) -> answers.ProposedProfile:
        """Propose a profile for a receiver's blank file.

        The file is a CSV file (`text/csv`), or an Excel workbook (.xlsx) whose first sheet counts. Sent as plain bytes,
        it is recognized by its content. Only its header is read. Columns are matched to fields of the catalogue by
        their names. Nothing is stored.
        """
        try:
            name = checked_name(request.query.get(NAME.name, DEFAULT_NAME))
        except BadRequest as exc:
            raise BadQuery(NAME.name, exc.violations[0].message) from exc
        content = await file_body(request, (*FILE_TYPES, BYTES_TYPE))
        media_type = request.content_type
        if media_type == BYTES_TYPE:
            media_type = XLSX_TYPE if content.startswith(ZIP_START) else CSV_TYPE
        found = await self._profiles.propose(caller.tenant, content, media_type)
        return answers.proposed(name, found)

    @Route("GET", ONE, "exports:read", (200, answers.Profile), [IF_NONE_MATCH], faults=(404,), has_etag=True)
    async def get_profile(self, request: web.Request, caller: Caller) -> answers.Profile:
        """Get a profile."""
        return answers.profile(await self._profiles.get(caller.tenant, id_in_path(request, "profile")))

    @Route(
        "PATCH",
        ONE,
        "exports:write",
        (200, answers.Profile),
        parameters=[IF_MATCH],
        body=answers.ProfileChange,
        faults=(404, 409, 412),
        action="profile.update",
    )
    async def update_profile(self, request: web.Request, caller: Caller) -> answers.Profile:
        """Change a profile, which makes a new version.

        Schedules export the new version from their next run on.
        """
        profile_id = id_in_path(request, "profile")
        body = await parse_body(request, answers.ProfileChange)
        change = pb.UpdateProfileRequest(
            tenant=caller.tenant,
            profile_id=profile_id,
            name=body.name,
            format=body.format,
            expected_updated_at=expected(request),
        )
        if body.options is not None:
            options = options_in(await json_object(request))
            await self._jobs.check_platforms(caller.tenant, options, "options.")
            change.options_json, platforms = split_platforms(options)
            if platforms is not None:
                change.platforms.CopyFrom(platforms)
        return answers.profile(await self._profiles.update(change))

    @Route(
        "DELETE",
        ONE,
        "exports:write",
        (204, None),
        parameters=[FORCE, IF_MATCH],
        faults=(404, 409, 412, 422),
        action="profile.delete",
    )
    async def delete_profile(self, request: web.Request, caller: Caller) -> None:
        """Delete a profile with its versions.

        Jobs that were made with it stay. A schedule that is given the profile at the same time fails at its next run.

        Raises:
            ProfileInUse: schedules export it, and `force` is not true.
        """
        profile_id = id_in_path(request, "profile")
        if not flag(request.query, FORCE.name) and self._scheduler is not None:
            users = await self._scheduler.list(
                scheduler_pb2.ListSchedulesRequest(tenant=caller.tenant, profile_id=profile_id, page_size=MAX_NAMED)
            )
            if users.schedules:
                names = [f"{one.schedule_name!r} ({one.id})" for one in users.schedules]
                raise ProfileInUse(names, more=bool(users.next_page_token))
        await self._profiles.delete(caller.tenant, profile_id, expected(request))

    @Route(
        "GET",
        f"{ONE}/versions",
        "exports:read",
        (200, answers.ProfileVersionPage),
        parameters=LIST_PARAMETERS,
        faults=(404, 422),
    )
    async def list_profile_versions(self, request: web.Request, caller: Caller) -> answers.ProfileVersionPage:
        """List the versions of a profile, newest first.

        The newest 50 are kept.
        """
        wanted = requested_page(request.query)
        found = await self._profiles.versions(
            pb.ListProfileVersionsRequest(
                tenant=caller.tenant,
                profile_id=id_in_path(request, "profile"),
                page_size=wanted.limit,
                page_token=wanted.cursor,
            )
        )
        items = [answers.profile(one) for one in found.versions]
        return answers.ProfileVersionPage(items=items, next_cursor=found.next_page_token or None)

    @Route("GET", f"{ONE}/versions/{{version}}", "exports:read", (200, answers.Profile), faults=(404,))
    async def get_profile_version(self, request: web.Request, caller: Caller) -> answers.Profile:
        """Get a version of a profile."""
        profile_id, number = id_in_path(request, "profile"), _version_in_path(request)
        return answers.profile(await self._profiles.version(caller.tenant, profile_id, number))

    @Route(
        "POST",
        f"{ONE}/run",
        "exports:write",
        (202, models.Accepted),
        also=(201, models.Job),
        parameters=[KEY_PARAMETER, WAIT_PARAMETER],
        body=answers.ProfileRun,
        faults=(404, 409),
        action="job.create",
        headers=("Location", "Retry-After", "Idempotent-Replayed", "Preference-Applied"),
    )
    async def run_profile(self, request: web.Request, caller: Caller) -> web.Response:
        """Export products with a profile.

        The response is that of `POST /exports/{format}/products`. The job keeps the options, so later changes of the
        profile do not change it.
        """
        profile_id = id_in_path(request, "profile")
        await parse_body(request, answers.ProfileRun)
        overrides = options_in(await json_object(request))
        await self._jobs.check_platforms(caller.tenant, overrides, "options.")
        made = await self._exporter.run_profile(
            caller.tenant, profile_id, overrides, key=idempotency_key(request), job_id=str(uuid.uuid4())
        )
        return await self._jobs.started(request, caller, made)

    @Route(
        "POST",
        f"{ONE}/preflight",
        "exports:read",
        (200, models.Preflight),
        body=answers.ProfileRun,
        faults=(404,),
    )
    async def preflight_profile(self, request: web.Request, caller: Caller) -> models.Preflight:
        """Preview an export of products with a profile.

        Checks the options like an export, and reads the first products. Nothing is stored.
        """
        profile_id = id_in_path(request, "profile")
        await parse_body(request, answers.ProfileRun)
        overrides = options_in(await json_object(request))
        found = await self._exporter.preview(caller.tenant, overrides, profile_id=profile_id)
        return await self._jobs.preflight(caller, found, overrides)


def _version_in_path(request: web.Request) -> int:
    """The number of a version in the path.

    Raises:
        UnknownVersion: it is not a number, so no version has it.
    """
    text = request.match_info["version"]
    if not (text.isascii() and text.isdigit() and len(text) < 11 and 1 <= int(text) <= MAX_VERSION):
        raise UnknownVersion(text)
    return int(text)
