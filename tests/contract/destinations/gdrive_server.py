"""A Google Drive for the tests that keeps the protocol of the API v3 and refuses what Google would refuse.

Every request is checked against Google's discovery document, and Google's own client is tested against this server.
Tokens, ids, files and resumable uploads over real sockets, in its own thread and event loop. Google's documents it
follows: OAuth 2.0 for service accounts, "Upload file data", "Resolve errors", the reference of the resource `files`.
"""

import asyncio
import email
import json
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.contract.destinations.gdrive_document import check, check_body, selected, selection
from tests.contract.destinations.gdrive_login import Logins, NoToken
from tests.contract.destinations.gdrive_sessions import Session, Sessions
from tests.contract.destinations.gdrive_store import FOLDER, Account, Item, Refusal, Store

PARAMETERS = frozenset(
    {"supportsAllDrives", "includeItemsFromAllDrives", "fields", "q", "orderBy", "pageSize", "pageToken", "count"}
    | {"uploadType", "alt", "space", "spaces", "type", "prettyPrint"}
)
"""What is imitated; others are refused, as ignoring one would be wrong."""
OF_A_FILE = "kind,id,name,mimeType"
OF_A_LIST = f"kind,incompleteSearch,nextPageToken,files({OF_A_FILE})"
ORDERS: dict[str, Callable[[Item], Any]] = {
    "modifiedTime": lambda item: item.modified,
    "name": lambda item: item.name,
    "folder": lambda item: item.mime != FOLDER,
}
MAX_SIMPLE = 5 * 1024 * 1024
"""Bytes of an upload that is not resumable."""


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
        app = web.Application(middlewares=[self._refusing], client_max_size=2 * MAX_SIMPLE)
        files = "/drive/v3/files"
        app.add_routes(
            [
                web.post("/token", self._token),
                web.get(f"{files}/generateIds", self._generate_ids),
                web.get(files, self._list),
                web.post(files, self._create),
                web.get(f"{files}/{{id}}", self._get),
                web.patch(f"{files}/{{id}}", self._update),
                web.delete(f"{files}/{{id}}", self._delete),
                web.post(f"/upload{files}", self._upload_new),
                web.patch(f"/upload{files}/{{id}}", self._upload_change),
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
            await self._check(request)
            return await handler(request)
        except Refusal as exc:
            return web.json_response(exc.body, status=exc.status, headers=exc.headers)
        except NoToken as exc:
            return web.json_response(exc.body, status=exc.status)

    async def _check(self, request: web.Request) -> None:
        """Check a request against Google's document; requests to an upload's own URL are not in it."""
        if request.path == "/token" or "upload_id" in request.query:
            return
        method = check(request.method, request.path, request.query)
        if unknown := set(request.query) - PARAMETERS:
            raise Refusal(501, "notImplemented", f"This server does not imitate {sorted(unknown)}.")
        if request.content_type == "application/json" and request.can_read_body:
            check_body(await _json(request), method.body)

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
        ids = self.store.reserve(int(request.query.get("count", 10)))
        return _answer(request, {"kind": "drive#generatedIds", "space": "drive", "ids": ids}, "*")

    async def _list(self, request: web.Request) -> web.Response:
        who = self._who(request)
        all_drives = _all_drives(request) and request.query.get("includeItemsFromAllDrives") == "true"
        found = self.store.select(request.query.get("q"), who, all_drives=all_drives)
        for order in reversed(request.query.get("orderBy", "modifiedTime").split(",")):
            name, _, direction = order.partition(" ")
            if name not in ORDERS or direction not in ("", "desc"):
                raise Refusal(400, "invalid", f"Sorting by {order} is not imitated.")
            found.sort(key=ORDERS[name], reverse=direction == "desc")
        token, size = request.query.get("pageToken", "0"), int(request.query.get("pageSize", 100))
        if not token.isdigit():
            raise Refusal(400, "invalid", "Invalid Value")
        start = int(token)
        page: dict[str, Any] = {"kind": "drive#fileList", "incompleteSearch": False}
        page["files"] = [self.store.describe(item, who) for item in found[start : start + size]]
        if start + size < len(found):
            page["nextPageToken"] = str(start + size)
        return _answer(request, page, OF_A_LIST)

    async def _get(self, request: web.Request) -> web.Response:
        item, who = self._seen(request)
        if request.query.get("alt") == "media":
            return _content(request, item)
        return _answer(request, self.store.describe(item, who), OF_A_FILE)

    async def _update(self, request: web.Request) -> web.Response:
        item, who = self._seen(request)
        self.store.change(item, await _json(request), who)
        return _answer(request, self.store.describe(item, who), OF_A_FILE)

    async def _delete(self, request: web.Request) -> web.Response:
        item, who = self._seen(request)
        self.store.delete(item, who)
        return web.Response(status=204)

    async def _create(self, request: web.Request) -> web.Response:
        """A folder, or a file without content."""
        who = self._who(request)
        item = self.store.new_item(await _json(request), who, all_drives=_all_drives(request))
        item.content = None if item.mime == FOLDER else b""
        self.store.items[item.id] = item
        return _answer(request, self.store.describe(item, who), OF_A_FILE)

    async def _upload_new(self, request: web.Request) -> web.Response:
        who, sent = self._who(request), await _sent(request)
        new = self.store.new_item(sent.described, who, all_drives=_all_drives(request), mime=sent.mime)
        return await self._take(request, Session(who, sent.size, new.mime, new=new, fields=_chosen(request)), sent)

    async def _upload_change(self, request: web.Request) -> web.Response:
        item, who = self._seen(request)
        sent = await _sent(request)
        if "parents" in sent.described:
            raise Refusal(403, "fieldNotWritable", "The parents field is not directly writable in update requests.")
        self.store.check_change(item, who)
        if item.mime == FOLDER:
            raise Refusal(403, "fileNotUploadable", "A folder has no content.")
        self.store.check_room(item, who, new=False)
        mime = sent.described.get("mimeType") or sent.mime or item.mime
        return await self._take(request, Session(who, sent.size, mime, changes=item.id, fields=_chosen(request)), sent)

    async def _take(self, request: web.Request, session: Session, sent: "Sent") -> web.Response:
        """Start a resumable upload, or finish one whose content is in this request."""
        if sent.content is not None:
            made = self.sessions.finish_at_once(session, sent.content)
            return _answer(request, self.store.describe(made, session.who), OF_A_FILE)
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
            described = self.store.describe(session.made, session.who)
            return web.json_response(selected(described, selection(session.fields or OF_A_FILE)))
        got = len(session.received)
        # aiohttp has no name for Google's own 308.
        return web.Response(
            status=308, reason="Resume Incomplete", headers={"Range": f"bytes=0-{got - 1}"} if got else {}
        )

    async def _cancel(self, request: web.Request) -> web.Response:
        self.sessions.cancel(request.query.get("upload_id", ""))
        return web.Response(status=499, reason="Client Closed Request")


@dataclass
class Sent:
    """What an upload begins with: the file's description, and its content unless that is sent part by part."""

    described: dict[str, Any]
    mime: str
    size: int | None
    content: bytes | None


async def _sent(request: web.Request) -> Sent:
    kind = request.query.get("uploadType")
    if kind == "resumable":
        size, mime = (request.headers.get(f"X-Upload-Content-{name}", "") for name in ("Length", "Type"))
        if size and not size.isdigit():
            raise Refusal(400, "badRequest", "X-Upload-Content-Length is not a number.")
        return Sent(await _json(request), mime, int(size) if size else None, None)
    body = await request.read()
    if kind == "multipart" and request.content_type == "multipart/related":
        return _related(request.headers["Content-Type"], body)
    if kind != "media":
        raise Refusal(400, "badRequest", "uploadType must be media, multipart or resumable.")
    return Sent({}, request.content_type, len(body), _simple(body))


def _related(content_type: str, body: bytes) -> Sent:
    """The two parts of a multipart upload: description and content."""
    message = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    parts: Any = message.get_payload()
    if not isinstance(parts, list) or len(parts) != 2 or parts[0].get_content_type() != "application/json":
        raise Refusal(400, "badContent", "A multipart upload has a JSON part and a part with the content.")
    described, content = (part.get_payload(decode=True) for part in parts)
    return Sent(json.loads(described), parts[1].get_content_type(), len(content), _simple(content))


def _simple(content: bytes) -> bytes:
    if len(content) > MAX_SIMPLE:
        raise Refusal(413, "uploadTooLarge", "Use a resumable upload for more than 5 MB.")
    return content


def _content(request: web.Request, item: Item) -> web.Response:
    """The file's bytes, or the range that was asked for."""
    if item.content is None:
        raise Refusal(403, "fileNotDownloadable", "Only files with binary content can be downloaded.")
    size = len(item.content)
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if asked is None:
        return web.Response(body=item.content, content_type=item.mime)
    start, end = int(asked[1]), min(int(asked[2] or size), size - 1) + 1
    if start >= size:
        headers = {"Content-Range": f"bytes */{size}"}
        raise Refusal(416, "requestedRangeNotSatisfiable", "Request range not satisfiable", **headers)
    headers = {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return web.Response(status=206, body=item.content[start:end], content_type=item.mime, headers=headers)


def _all_drives(request: web.Request) -> bool:
    return request.query.get("supportsAllDrives") == "true"


def _chosen(request: web.Request) -> str:
    return str(request.query.get("fields", ""))


def _answer(request: web.Request, resource: dict[str, Any], usually: str) -> web.Response:
    """The selected fields of an answer."""
    return web.json_response(selected(resource, selection(_chosen(request) or usually)))


async def _json(request: web.Request) -> dict[str, Any]:
    body = await request.read()
    if not body:
        return {}
    if request.content_type != "application/json":
        raise Refusal(400, "badContent", "Unsupported content with type: " + request.content_type)
    try:
        found = json.loads(body)
    except ValueError as exc:
        raise Refusal(400, "parseError", "Parse Error") from exc
    if not isinstance(found, dict):
        raise Refusal(400, "parseError", "Parse Error")
    return found
