"""The calls of the Drive API v3 that a delivery makes, for one account and one folder."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.gdrive.credentials import Credentials, ServiceAccount
from services.delivery.destinations.gdrive.errors import Answer, no_such_folder, refused, without_quota
from services.delivery.destinations.gdrive.http import Http, answered
from services.delivery.destinations.gdrive.tokens import Tokens

FOLDER = "application/vnd.google-apps.folder"
FIELDS = "id,name,size,md5Checksum,sha256Checksum,trashed,webViewLink,modifiedTime"
GENERATE_IDS = "/drive/v3/files/generateIds"
MAX_PAGES = 20
ALL_DRIVES = {"supportsAllDrives": "true"}
"""Without it, Drive hides shared drives."""


@dataclass(frozen=True, slots=True)
class DriveFile:
    """A file as Drive describes it; checksums are empty where Drive gives none."""

    id: str
    name: str
    size: int
    md5: str
    sha256: str
    url: str
    modified: str


def drive_file(data: Mapping[str, Any]) -> DriveFile | None:
    """Drive's description of a file; None if it is in the trash, or has no content."""
    if data.get("trashed") or not re.fullmatch(r"\d+", str(data.get("size", ""))):
        return None
    names = ("id", "name", "md5Checksum", "sha256Checksum", "webViewLink", "modifiedTime")
    found_id, name, md5, sha256, url, modified = (str(data.get(key, "")) for key in names)
    return DriveFile(found_id, name, int(data["size"]), md5, sha256, url, modified)


class DriveApi:
    """Google Drive as one account sees it.

    Args:
        base: scheme and host of the API.
    """

    def __init__(self, http: Http, tokens: Tokens, credentials: Credentials, folder: str, base: str) -> None:
        self.http = http
        self._tokens = tokens
        self._email = credentials.email if isinstance(credentials, ServiceAccount) else ""
        self.folder = folder
        self._base = base
        self._shared = False
        self._checked = False

    async def check_folder(self) -> None:
        """Check once per session that the folder exists, is a folder, and accepts files.

        Raises:
            DestinationError: at the step write.
        """
        if self._checked:
            return
        fields = "id,mimeType,trashed,driveId,capabilities(canAddChildren)"
        found = await self.call(Step.WRITE, "GET", self._file(self.folder), query={"fields": fields}, accept=(404,))
        data = found.data
        if found.status == 404 or data.get("trashed"):
            raise no_such_folder(self.folder, self._email)
        if data.get("mimeType") != FOLDER:
            text = f"{self.folder!r} is a file, not a folder: check `folder_id`."
            raise DestinationError(Step.WRITE, "not_a_folder", text, transient=False)
        if not data.get("capabilities", {}).get("canAddChildren"):
            who = self._email or "the account"
            text = f"{who} may not add files to the folder: make it an editor there (or a content manager)."
            raise DestinationError(Step.WRITE, "permission_denied", text, transient=False)
        self._shared, self._checked = bool(data.get("driveId")), True

    async def named(self, name: str, step: Step) -> list[DriveFile]:
        """The files of exactly this name, the last modified first; Drive allows several and compares names loosely."""
        query = {
            "q": f"name = '{_quoted(name)}' and '{_quoted(self.folder)}' in parents and trashed = false",
            "fields": f"nextPageToken,files({FIELDS})",
            "orderBy": "modifiedTime desc",
            "pageSize": "100",
            "includeItemsFromAllDrives": "true",
        }
        found: list[DriveFile] = []
        for _ in range(MAX_PAGES):
            answer = await self.call(step, "GET", self.url("/drive/v3/files"), query=query, accept=(404,))
            if answer.status == 404:
                raise no_such_folder(self.folder, self._email)
            seen = [drive_file(entry) for entry in answer.data.get("files", ())]
            found += [file for file in seen if file is not None and file.name == name]
            if not answer.data.get("nextPageToken"):
                break
            query["pageToken"] = answer.data["nextPageToken"]
        return found

    async def get(self, file_id: str, step: Step) -> DriveFile | None:
        """The file of this id, unless it does not exist or is in the trash."""
        answer = await self.call(step, "GET", self._file(file_id), query={"fields": FIELDS}, accept=(404,))
        return drive_file(answer.data) if answer.status == 200 else None

    async def new_id(self) -> str:
        """A new id for a file that does not exist yet."""
        query = {"count": "1", "space": "drive", "type": "files"}
        answer = await self.call(Step.WRITE, "GET", self.url(GENERATE_IDS), query=query)
        ids = answer.data.get("ids")
        if not isinstance(ids, list) or not ids:
            raise refused(Step.WRITE, answer)
        return str(ids[0])

    async def remove(self, file_id: str) -> None:
        """Delete a file, or move it to the trash where the account may not delete, as on many shared drives."""
        answer = await self.call(Step.DELETE, "DELETE", self._file(file_id), accept=(403, 404))
        if answer.status == 403:
            await self.call(Step.DELETE, "PATCH", self._file(file_id), json={"trashed": True}, accept=(404,))

    @asynccontextmanager
    async def content(self, file_id: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response with the file's bytes."""
        query = {"alt": "media", **ALL_DRIVES}
        headers = await self.authorization()
        async with self.http.opened(Step.READ, self._file(file_id), params=query, headers=headers) as response:
            if response.status != 200:
                raise refused(Step.READ, await answered(response, Step.READ))
            yield response

    async def call(
        self,
        step: Step,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (),
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> Answer:
        """One request, repeated with a new token if Google refuses the first one, and while Google is busy.

        Args:
            accept: statuses to return as answers, besides success.

        Raises:
            DestinationError: it was refused, or there was no answer.
        """
        # generateIds has no such parameter, and Google may refuse parameters that a method does not have.
        asked = {**({} if url.endswith(GENERATE_IDS) else ALL_DRIVES), **(query or {})}

        async def once() -> Answer:
            authorized = {**await self.authorization(), **(headers or {})}
            return await self.http.ask(step, method, url, params=asked, headers=authorized, **request)

        answer = await self.http.retry_overloaded(once)
        if answer.status == 401:
            await self.renew()
            answer = await self.http.retry_overloaded(once)
        if answer.status // 100 == 2 or (answer.status in accept and not answer.overloaded):
            return answer
        raise self.refused(step, answer)

    def refused(self, step: Step, answer: Answer) -> DestinationError:
        """The error of a refusal, for this account and folder."""
        error = refused(step, answer)
        return without_quota(error) if error.code == "quota_exceeded" and self._email and not self._shared else error

    async def authorization(self, url: str = "") -> dict[str, str]:
        """The header with the token; none for a server other than the API's."""
        if url and URL(url).origin() != URL(self._base).origin():
            return {}
        return {"Authorization": f"Bearer {await self._tokens.get()}"}

    async def renew(self) -> None:
        """Replace a token that was refused."""
        self._tokens.forget(await self._tokens.get())

    def url(self, path: str) -> str:
        """The URL of a path of the API."""
        return f"{self._base}{path}"

    def _file(self, file_id: str) -> str:
        return self.url(f"/drive/v3/files/{file_id}")


def _quoted(text: str) -> str:
    """Escape text for a string of Drive's query language."""
    return text.replace("\\", "\\\\").replace("'", "\\'")
