"""Resumable uploads of the imitated Google Drive: offsets, 308 and `Range`, 404, 410 and 499."""

import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.contract.destinations.gdrive_store import Account, Item, Refusal, Store

GRAIN = 256 * 1024


@dataclass
class Session:
    """One upload, of a new file (`new` describes it) or of new content for an existing one (`changes`).

    `size` is None until the client says it, with the last part at the latest.
    """

    who: Account
    size: int | None
    mime: str
    new: Item | None = None
    changes: str = ""
    fields: str = ""
    received: bytearray = field(default_factory=bytearray)
    made: Item | None = None
    known: bool = False
    """Whether the client knows its URL; otherwise it cannot cancel it."""


class Sessions:
    """All uploads. `parts` are the received ranges; `keep_at_most` limits how many bytes of a part are kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[str, Session] = {}
        self._ended_with = 404
        self.started = 0
        self.parts: list[str] = []
        self.keep_at_most: int | None = None

    def begin(self, session: Session) -> str:
        """The new session's id."""
        upload_id = secrets.token_urlsafe(40)
        self._open[upload_id] = session
        self.started += 1
        return upload_id

    def finish_at_once(self, session: Session, content: bytes) -> Item:
        """The item of an upload in one request."""
        session.received += content
        self._finish(session)
        assert session.made is not None
        return session.made

    def unfinished(self) -> list[str]:
        """Uploads whose URL the client knows, neither finished nor cancelled."""
        unfinished = [(name, s) for name, s in self._open.items() if s.made is None and s.known]
        return [f"upload {name[:8]}: {len(session.received)} bytes" for name, session in unfinished]

    def expire(self, status: int = 404) -> None:
        """End all sessions, as Google does after a week."""
        self._open.clear()
        self._ended_with = status

    def of(self, upload_id: str) -> Session:
        """A session that is open or complete."""
        if upload_id not in self._open:
            raise Refusal(self._ended_with, "notFound", "Upload session not found.")
        self._open[upload_id].known = True
        return self._open[upload_id]

    def cancel(self, upload_id: str) -> None:
        """Cancel the session."""
        self.of(upload_id)
        del self._open[upload_id]

    async def put(self, session: Session, given: str | None, length: int | None, body: AsyncIterator[bytes]) -> bool:
        """Receive a part, or only a query of the offset; returns whether the upload is complete."""
        if session.made is not None:
            return True
        asked = re.fullmatch(r"bytes \*/(\d+|\*)", given or "")
        if asked is not None and (session.size is None or asked[1] in ("*", str(session.size))):
            if length != 0:
                raise Refusal(400, "badRequest", "Asking for the state takes no content.")
            if session.size is None and asked[1] == str(len(session.received)):  # all of it has been sent
                session.size = len(session.received)
                self._finish(session)
            return session.made is not None
        start, end = self._range(session, given, length)
        self.parts.append(f"{start}-{end - 1}")
        limit = end if self.keep_at_most is None else min(end, start + self.keep_at_most)
        held = bytearray()
        async for chunk in body:
            held += chunk
            # Whole grains are kept as they arrive, even if the connection breaks.
            whole = min(len(held) - len(held) % GRAIN, limit - len(session.received))
            session.received += held[:whole]
            del held[:whole]
        session.received += held[: limit - len(session.received)]
        if session.size is None or len(session.received) < session.size:
            return False
        self._finish(session)
        return True

    def _range(self, session: Session, given: str | None, length: int | None) -> tuple[int, int]:
        """Start and end (exclusive) of a part; refuses what Google would refuse."""
        if length is None:
            raise Refusal(411, "badRequest", "Content-Length is required.")
        if given is None:  # all in one
            if session.size not in (None, length) or session.received:
                raise Refusal(400, "badRequest", "The content is not as long as X-Upload-Content-Length.")
            session.size = length
            return 0, length
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", given)
        if found is None:
            raise Refusal(400, "badRequest", "Failed to parse Content-Range header.")
        start, end, size = int(found[1]), int(found[2]) + 1, None if found[3] == "*" else int(found[3])
        if session.size is None:
            session.size = size
        if size != session.size or end - start != length or (size is not None and end > size) or length == 0:
            raise Refusal(400, "badRequest", "Content-Range, Content-Length and the size do not agree.")
        if start != len(session.received):
            raise Refusal(400, "badRequest", f"The next byte is {len(session.received)}, not {start}.")
        if end != size and length % GRAIN:
            raise Refusal(400, "badRequest", "A part must be a multiple of 262144 bytes.")
        return start, end

    def _finish(self, session: Session) -> None:
        """Show the complete file in one step."""
        store, content = self._store, bytes(session.received)
        if session.new is not None:
            store.check_room(store.items[session.new.parent], session.who, new=True)
            store.check_id(session.new.id)
            session.new.content, session.new.modified = content, store.now()
            store.items[session.new.id] = session.made = session.new
            store.ids.discard(session.new.id)
        else:
            item = store.items.get(session.changes)
            if item is None:
                raise Refusal(404, "notFound", f"File not found: {session.changes}.")
            store.check_room(item, session.who, new=False)
            item.content, item.modified, item.mime = content, store.now(), session.mime
            session.made = item
        session.received = bytearray()
