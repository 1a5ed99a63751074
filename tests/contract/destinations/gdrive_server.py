"""A Google Drive for the tests that keeps the protocol of the API v3 and refuses what Google would refuse.

Tokens, ids, files and resumable uploads over real sockets, in its own thread and event loop. Google's documents it
follows: OAuth 2.0 for service accounts, "Upload file data", "Resolve errors", the reference of the resource `files`.
"""

import asyncio
import json
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.contract.destinations.gdrive_login import Logins, NoToken
from tests.contract.destinations.gdrive_sessions import Session, Sessions
from tests.contract.destinations.gdrive_store import FOLDER, Account, Item, Refusal, Store

PARAMETERS = frozenset(
    {"supportsAllDrives", "includeItemsFromAllDrives", "fields", "q", "orderBy", "pageSize", "pageToken", "count"}
    | {"uploadType", "upload_id", "alt", "space", "type"}
)
FILE_FIELDS = frozenset(
    {"kind", "id", "name", "mimeType", "parents", "trashed", "size", "md5Checksum", "sha256Checksum", "driveId"}
    | {"modifiedTime", "webViewLink", "capabilities"}
)
_FIELD = re.compile(r"(\w+)(?:\(([^()]*)\))?(?:,|$)")


@dataclass
class Trouble:
    """Refuses the next `times` calls whose method and path match."""

    refusal: Refusal
    times: int
    where: str


class DriveServer:
    """Google, on 127.0.0.1. `calls` are the methods and paths of all requests."""

    def __init__(self) -> None:
        self.port = 0
        self.clear()

    def clear(self) -> None:
        """Remove all files and accounts."""
        self.store = Store()
        self.logins = Logins()
        self.sessions = Sessions(self.store)
        self.calls: list[str] = []
        self._troubles: list[Trouble] = []

    def trouble(self, refusal: Refusal, times: int = 1, where: str = ".*") -> None:
        """Refuse the next calls whose `METHOD path` matches entirely."""
        self._troubles.append(Trouble(refusal, times, where))

    def start(self) -> None:
        """Listen on a free port."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gdrive", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def stop(self) -> None:
        """Stop."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        app = web.Application(middlewares=[self._refusing], client_max_size=1024 * 1024)
        files = "/drive/v3/files"
        app.add_routes(
            [
                web.post("/token", self._token),
                web.get(f"{files}/generateIds", self._generate_ids),
                web.get(files, self._list),
                web.get(f"{files}/{{id}}", self._get),
                web.patch(f"{files}/{{id}}", self._update),
                web.delete(f"{files}/{{id}}", self._delete),
                web.post(f"/upload{files}", self._begin_new),
                web.patch(f"/upload{files}/{{id}}", self._begin_change),
                web.put(f"/upload{files}", self._put),
                web.put(f"/upload{files}/{{id}}", self._put),
                web.delete(f"/upload{files}", self._cancel),
                web.delete(f"/upload{files}/{{id}}", self._cancel),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=1.0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]  # it listens

    @web.middleware
    async def _refusing(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        call = f"{request.method} {request.path}"
        self.calls.append(call)
        try:
            self._meet_trouble(call)
            unknown = set(request.query) - PARAMETERS
            if unknown:
                raise Refusal(400, "invalidParameter", f"Unknown parameters: {sorted(unknown)}.")
            return await handler(request)
        except Refusal as exc:
            return web.json_response(exc.body, status=exc.status, headers=exc.headers)
        except NoToken as exc:
            return web.json_response(exc.body, status=exc.status)

    def _meet_trouble(self, call: str) -> None:
        for trouble in self._troubles:
            if trouble.times > 0 and re.fullmatch(trouble.where, call):
                trouble.times -= 1
                raise trouble.refusal

    async def _token(self, request: web.Request) -> web.Response:
        if request.content_type != "application/x-www-form-urlencoded":
            raise NoToken(400, "invalid_request", "Bad Request")
        return web.json_response(self.logins.grant({**await request.post()}))

    def _who(self, request: web.Request) -> Account:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        account = self.logins.account(token)
        if kind != "Bearer" or account is None:
            raise Refusal(401, "authError", "Request had invalid authentication credentials.")
        return account

    def _seen(self, request: web.Request) -> tuple[Item, Account]:
        who = self._who(request)
        return self.store.see(request.match_info["id"], who, all_drives=_all_drives(request)), who

    async def _generate_ids(self, request: web.Request) -> web.Response:
        self._who(request)
        if set(request.query) - {"count", "space", "type"}:
            raise Refusal(400, "invalidParameter", "These are no parameters of generateIds.")
        count = _number(request, "count", 10, 1000)
        return web.json_response({"kind": "drive#generatedIds", "space": "drive", "ids": self.store.reserve(count)})

    async def _list(self, request: web.Request) -> web.Response:
        who = self._who(request)
        all_drives = _all_drives(request) and request.query.get("includeItemsFromAllDrives") == "true"
        found = self.store.select(request.query.get("q", ""), who, all_drives=all_drives)
        order = request.query.get("orderBy", "modifiedTime")
        if order not in ("modifiedTime", "modifiedTime desc"):
            raise Refusal(400, "invalid", "Sorting is by modifiedTime here.")
        found.sort(key=lambda item: item.modified, reverse=order.endswith("desc"))
        start, size = _number(request, "pageToken", 0, 10**9), _number(request, "pageSize", 100, 1000)
        page: dict[str, Any] = {"files": [self.store.describe(item, who) for item in found[start : start + size]]}
        if start + size < len(found):
            page["nextPageToken"] = str(start + size)
        selected = _fields(request.query.get("fields", "files(kind,id,name,mimeType)"), {"files", "nextPageToken"})
        of_files = _fields(selected.get("files", ""), FILE_FIELDS)
        page["files"] = [_chosen(file, of_files) for file in page["files"]]
        return web.json_response(_chosen(page, selected))

    async def _get(self, request: web.Request) -> web.Response:
        item, who = self._seen(request)
        if request.query.get("alt") == "media":
            if item.content is None:
                text = "Only files with binary content can be downloaded."
                raise Refusal(403, "fileNotDownloadable", text)
            return web.Response(body=item.content, content_type=item.mime)
        return self._described(item, who, request.query.get("fields"))

    async def _update(self, request: web.Request) -> web.Response:
        item, who = self._seen(request)
        self.store.check_change(item, who)
        body = await _json(request)
        if set(body) - {"trashed", "name"}:
            raise Refusal(403, "fieldNotWritable", "The resource body includes fields which are not directly writable.")
        item.trashed, item.name = body.get("trashed", item.trashed), body.get("name", item.name)
        return self._described(item, who, request.query.get("fields"))

    async def _delete(self, request: web.Request) -> web.Response:
        item, who = self._seen(request)
        self.store.delete(item, who)
        return web.Response(status=204)

    async def _begin_new(self, request: web.Request) -> web.Response:
        who, body = self._who(request), await _json(request)
        parent = self.store.check_new(body, who, all_drives=_all_drives(request))
        size, mime = _announced(request)
        self.store.check_room(parent, who, new=True)
        owner = "" if parent.drive else who.email
        new = Item(body["id"], body.get("name", "Untitled"), mime, parent.id, parent.drive, owner, self.store.now())
        return self._begun(request, Session(who, size, mime, new=new, fields=request.query.get("fields", "")))

    async def _begin_change(self, request: web.Request) -> web.Response:
        item, who = self._seen(request)
        body = await _json(request)
        if "parents" in body:
            raise Refusal(403, "fieldNotWritable", "The parents field is not directly writable in update requests.")
        self.store.check_change(item, who)
        if item.mime == FOLDER:
            raise Refusal(403, "fileNotUploadable", "A folder has no content.")
        size, mime = _announced(request)
        self.store.check_room(item, who, new=False)
        return self._begun(request, Session(who, size, mime, changes=item.id, fields=request.query.get("fields", "")))

    def _begun(self, request: web.Request, session: Session) -> web.Response:
        if request.query.get("uploadType") != "resumable":
            raise Refusal(400, "badRequest", "Only resumable uploads here.")
        upload_id = self.sessions.begin(session)
        uri = request.url.with_query(uploadType="resumable", upload_id=upload_id)
        return web.Response(headers={"Location": str(uri), "X-GUploader-UploadID": upload_id})

    async def _put(self, request: web.Request) -> web.Response:
        if "Authorization" in request.headers:
            self._who(request)
        session = self.sessions.of(request.query.get("upload_id", ""))
        given = request.headers.get("Content-Range")
        if "chunked" in request.headers.get("Transfer-Encoding", ""):
            raise Refusal(411, "badRequest", "Content-Length is required.")
        body = request.content.iter_any()
        if await self.sessions.put(session, given, request.content_length or 0, body):
            assert session.made is not None
            return self._described(session.made, session.who, session.fields or None)
        got = len(session.received)
        # aiohttp has no name for Google's own 308.
        return web.Response(
            status=308, reason="Resume Incomplete", headers={"Range": f"bytes=0-{got - 1}"} if got else {}
        )

    async def _cancel(self, request: web.Request) -> web.Response:
        self.sessions.cancel(request.query.get("upload_id", ""))
        return web.Response(status=499, reason="Client Closed Request")

    def _described(self, item: Item, who: Account, fields: str | None) -> web.Response:
        selected = _fields(fields or "kind,id,name,mimeType", FILE_FIELDS)
        return web.json_response(_chosen(self.store.describe(item, who), selected))


def _all_drives(request: web.Request) -> bool:
    return request.query.get("supportsAllDrives") == "true"


def _announced(request: web.Request) -> tuple[int, str]:
    length = request.headers.get("X-Upload-Content-Length", "")
    mime = request.headers.get("X-Upload-Content-Type", "")
    if not length.isdigit() or not mime:
        raise Refusal(400, "badRequest", "X-Upload-Content-Length and X-Upload-Content-Type are needed here.")
    return int(length), mime


def _number(request: web.Request, name: str, otherwise: int, most: int) -> int:
    text = request.query.get(name, str(otherwise))
    if not text.isdigit() or int(text) > most:
        raise Refusal(400, "invalidParameter", f"Invalid value '{text}' for {name}.")
    return int(text)


async def _json(request: web.Request) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise Refusal(400, "badContent", "Unsupported content with type: " + request.content_type)
    try:
        found = json.loads(await request.read())
    except ValueError as exc:
        raise Refusal(400, "parseError", "Parse Error") from exc
    if not isinstance(found, dict):
        raise Refusal(400, "parseError", "Parse Error")
    return found


def _fields(text: str, known: frozenset[str] | set[str]) -> dict[str, str]:
    """A `fields` parameter: names, each with what is chosen below it."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        one = _FIELD.match(text, at)
        if one is None or one[1] not in known:
            raise Refusal(400, "invalidParameter", f"Invalid field selection {text[at:]}")
        found[one[1]] = one[2] or ""
        at = one.end()
    return found


def _chosen(resource: Mapping[str, Any], selected: Mapping[str, str]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name in selected}
