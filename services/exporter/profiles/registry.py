"""Creates, changes and deletes profiles. A profile whose format or options no export could have is rejected."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.chassis.display_names import checked_name
from services.chassis.faults import BadRequest, Outdated, Violation, check_unchanged
from services.chassis.rpc.requests import chosen_id
from services.chassis.timestamps import now_in_milliseconds
from services.exporter.errors import (
    ProfileIdReused,
    ProfileNotFound,
    ProfileVersionNotFound,
    TooManyProfiles,
    UnknownFormat,
    WrongState,
)
from services.exporter.formats.contract import Format
from services.exporter.profiles.profile import MAX_VERSIONS, Profile, creation_hash, naming_options
from services.exporter.profiles.store import ProfileStore
from services.exporter.requests.request import check_request, parse_options
from services.limits import Limits

TRIES = 5
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Change:
    """The changes to a profile; None leaves a field as it is."""

    name: str | None = None
    format: str | None = None
    options_json: str | None = None


class ProfileRegistry:
    """The profiles of all tenants."""

    def __init__(self, formats: Mapping[str, Format], store: ProfileStore, limits: Limits) -> None:
        self._formats = formats
        self._store = store
        self._limits = limits

    async def create(
        self, tenant: str, name: str, form: str, options_json: str, profile_id: str
    ) -> tuple[Profile, bool]:
        """Create a profile; returns whether an earlier call with the same id has done it.

        Raises:
            BadRequest: names the invalid fields.
            ProfileIdReused: another profile has this id.
            TooManyProfiles: the tenant has reached the limit.
        """
        chosen = chosen_id(profile_id, "profile_id")
        named = checked_name(name)
        mark = creation_hash(named, form, parse_options(options_json))
        known = await self._store.get(tenant, chosen)
        is_replay = known is not None
        if known is None:
            self._check(form, options_json)
            await self._check_limit(tenant)
            now = now_in_milliseconds()
            known = await self._store.add(Profile(chosen, tenant, named, form, options_json, now, now, mark))
        if (known.tenant, known.request_hash) != (tenant, mark):
            raise ProfileIdReused
        return known, is_replay

    async def get(self, tenant: str, profile_id: str) -> Profile:
        """One profile.

        Raises:
            ProfileNotFound: the tenant has no profile with this id.
        """
        found = await self._store.get(tenant, profile_id)
        if found is None:
            raise ProfileNotFound(profile_id)
        return found

    async def version(self, tenant: str, profile_id: str, number: int) -> Profile:
        """A version of a profile.

        Raises:
            ProfileNotFound: as above.
            ProfileVersionNotFound: it has no version with this number, or that is not kept any more.
        """
        found = await self._store.version(await self.get(tenant, profile_id), number)
        if found is None:
            raise ProfileVersionNotFound(number, MAX_VERSIONS)
        return found

    async def update(
        self,
        tenant: str,
        profile_id: str,
        change: Change,
        expected: datetime | None = None,
        *,
        is_repeat: bool = False,
    ) -> Profile:
        """Change a profile, which makes a new version if something is different then.

        Args:
            expected: when it has to have been changed last.
            is_repeat: the same call may have done it already, and its answer was lost.

        Raises:
            BadRequest, ProfileNotFound: as above.
            Outdated: it was changed at another time than expected.
            WrongState: other requests changed it at the same time, `TRIES` times in a row.
        """
        for _ in range(TRIES):
            old = await self.get(tenant, profile_id)
            new = self._changed(old, change)
            is_done = new.content == old.content
            if not (is_done and is_repeat):
                check_unchanged(old.updated_at, expected)
            if is_done:
                return old
            kept = await self._store.change(old, new)
            if kept is not None:
                return kept
        raise WrongState("profile_changing", "Other requests are changing the profile; try again.")

    async def delete(self, tenant: str, profile_id: str, expected: datetime | None = None) -> None:
        """Delete a profile with its versions; jobs that it has made stay.

        Args:
            expected: when it has to have been changed last.

        Raises:
            ProfileNotFound: as above.
            Outdated: it was changed at another time than expected.
        """
        if not await self._store.delete(tenant, profile_id, expected):
            check_unchanged((await self.get(tenant, profile_id)).updated_at, expected)
            raise Outdated

    def check_format(self, name: str) -> None:
        """Refuse a format that no profile can have.

        Raises:
            BadRequest: there is no such format; names `format`.
        """
        if name not in self._formats:
            raise BadRequest([Violation("format", UnknownFormat(name, self._formats).message)])

    async def _check_limit(self, tenant: str) -> None:
        limit = self._limits.of(tenant).max_profiles
        if await self._store.count(tenant, limit) >= limit:
            raise TooManyProfiles(limit)

    def _changed(self, old: Profile, change: Change) -> Profile:
        # Later than the last change even where the clock is not: `expected` tells versions apart by this time.
        now = max(now_in_milliseconds(), old.updated_at + MILLISECOND)
        new = replace(
            old,
            name=old.name if change.name is None else checked_name(change.name),
            format=old.format if change.format is None else change.format,
            options_json=old.options_json if change.options_json is None else change.options_json,
            updated_at=now,
        )
        if change.format is not None or change.options_json is not None:
            self._check(new.format, new.options_json)
        return new

    def _check(self, form: str, options_json: str) -> None:
        """Refuse what an export would be refused for, whatever the catalogue has.

        Raises:
            BadRequest: names `format`, or options as `options_json.<option>`.
        """
        self.check_format(form)
        with naming_options():
            check_request(self._formats, form, options_json)
