"""The contents of the imitated Google Drive: drives, folders, files, permissions, and Drive's errors."""

import hashlib
import itertools
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

FOLDER = "application/vnd.google-apps.folder"
WRITERS = ("owner", "organizer", "fileOrganizer", "writer")
DELETERS = ("owner", "organizer")
_TERMS = re.compile(
    r"(?:name\s*=\s*'(?P<name>(?:[^'\\]|\\['\\])*)'|'(?P<parent>(?:[^'\\]|\\['\\])*)'\s+in\s+parents"
    r"|name\s+contains\s+'(?P<prefix>(?:[^'\\]|\\['\\])*)'|trashed\s*=\s*(?P<trashed>true|false)"
    r"|mimeType\s*=\s*'(?P<mime>[^'\\]*)'|mimeType\s*!=\s*'(?P<other_mime>[^'\\]*)')"
)

_AND = re.compile(r"\s+and\s+")


class Refusal(Exception):
    """An error of Drive."""

    def __init__(self, status: int, reason: str, message: str, domain: str = "global", **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        error = {"message": message, "domain": domain, "reason": reason}
        self.body = {"error": {"code": status, "message": message, "errors": [error]}}


@dataclass(frozen=True)
class Account:
    """The account of a request."""

    email: str
    is_service: bool


@dataclass
class Item:
    """A file or folder. `roles` (of a folder) are the roles of accounts; `drive` is its shared drive."""

    id: str
    name: str
    mime: str
    parent: str
    drive: str
    owner: str
    modified: datetime
    content: bytes | None = None
    trashed: bool = False
    roles: dict[str, str] = field(default_factory=dict)


class Store:
    """All drives. `full`: no storage is left; `ids`: reserved and not yet used."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.ids: set[str] = set()
        self.gone: set[str] = set()
        self.full = False
        self._ticks = itertools.count()

    def add(self, name: str, parent: str, owner: str, *, mime: str = "text/csv", content: bytes | None = None) -> Item:
        """Add an existing item."""
        drive = self.items[parent].drive if parent in self.items else ""
        item = Item(self._new_id(), name, mime, parent, drive, owner, self.now(), content)
        self.items[item.id] = item
        return item

    def now(self) -> datetime:
        """A millisecond later than the last time."""
        return datetime(2026, 3, 15, tzinfo=UTC) + timedelta(milliseconds=next(self._ticks))

    def reserve(self, count: int) -> list[str]:
        """Reserve ids for new files."""
        made = [self._new_id() for _ in range(count)]
        self.ids.update(made)
        return made

    def _new_id(self) -> str:
        return "1" + secrets.token_urlsafe(24)

    def see(self, item_id: str, who: Account, *, all_drives: bool) -> Item:
        """An item, if this account may see it; `root` is its My Drive."""
        if item_id == "root":
            return self._root(who)
        found = self.items.get(item_id)
        if found is None or not self.role(found, who) or (found.drive and not all_drives):
            raise Refusal(404, "notFound", f"File not found: {item_id}.")
        return found

    def _root(self, who: Account) -> Item:
        for item in self.items.values():
            if item.owner == who.email and not item.parent and not item.drive:
                return item
        # Every account has one, and a service account's is empty.
        return self.add("My Drive", "", who.email, mime=FOLDER)

    def role(self, item: Item, who: Account) -> str:
        """The account's role at the item, its own or inherited from folders."""
        if item.owner == who.email and not item.drive:
            return "owner"
        if who.email in item.roles:
            return item.roles[who.email]
        above = self.items.get(item.parent)
        return self.role(above, who) if above is not None else ""

    def check_room(self, parent: Item, who: Account, *, new: bool) -> None:
        """Whoever creates a file outside of shared drives owns it; a service account has no storage."""
        if new and who.is_service and not parent.drive:
            text = (
                "Service Accounts do not have storage quota. Leverage shared drives, or use OAuth delegation instead."
            )
            raise Refusal(403, "storageQuotaExceeded", text, "usageLimits")
        if self.full:
            text = "The user's Drive storage quota has been exceeded."
            raise Refusal(403, "storageQuotaExceeded", text, "usageLimits")

    def new_item(self, body: Mapping[str, Any], who: Account, *, all_drives: bool, mime: str = "") -> Item:
        """The item that a request for a new file or folder describes, without content and not yet stored."""
        parent = self._parent(body, who, all_drives=all_drives)
        self.check_room(parent, who, new=True)
        if "id" in body:
            self.check_id(body["id"])
        mime = body.get("mimeType") or mime or "application/octet-stream"
        owner = "" if parent.drive else who.email
        new_id = body.get("id") or self.reserve(1)[0]
        return Item(new_id, body.get("name", "Untitled"), mime, parent.id, parent.drive, owner, self.now())

    def _parent(self, body: Mapping[str, Any], who: Account, *, all_drives: bool) -> Item:
        """The folder of a new file; that is the account's My Drive unless the request names another."""
        parents = body.get("parents", ["root"])
        if len(parents) != 1:
            raise Refusal(400, "invalid", "A file must have exactly one parent.")
        parent = self.see(parents[0], who, all_drives=all_drives)
        if parent.mime != FOLDER:
            raise Refusal(403, "parentNotAFolder", "The specified parent is not a folder.")
        if self.role(parent, who) not in WRITERS:
            raise Refusal(403, "insufficientParentPermissions", "Insufficient permissions for the specified parent.")
        return parent

    def check_id(self, new_id: str) -> None:
        """Check that the id was reserved and is not used."""
        if new_id in self.items or new_id in self.gone:
            raise Refusal(409, "fileIdInUse", "A file already exists with the provided ID.")
        if new_id not in self.ids:
            raise Refusal(400, "invalid", "The provided file ID is not usable.")

    def check_change(self, item: Item, who: Account) -> None:
        """Check that the account may change the item."""
        if self.role(item, who) not in WRITERS:
            text = "The user does not have sufficient permissions for this file."
            raise Refusal(403, "insufficientFilePermissions", text)

    def change(self, item: Item, body: Mapping[str, Any], who: Account) -> None:
        """Change an item's description."""
        self.check_change(item, who)
        if set(body) - {"trashed", "name", "mimeType"}:
            raise Refusal(403, "fieldNotWritable", "The resource body includes fields which are not directly writable.")
        item.trashed, item.name = body.get("trashed", item.trashed), body.get("name", item.name)
        item.mime = body.get("mimeType", item.mime)

    def delete(self, item: Item, who: Account) -> None:
        """Delete permanently; on a shared drive only its managers may."""
        if self.role(item, who) not in DELETERS:
            text = "The user does not have sufficient permissions for this file."
            raise Refusal(403, "insufficientFilePermissions", text)
        del self.items[item.id]
        self.gone.add(item.id)

    def select(self, query: str | None, who: Account, *, all_drives: bool) -> list[Item]:
        """The items that match a `q`, or all of them; names are compared case-insensitively."""
        wanted = {} if query is None else parse_query(query)
        if "parent" in wanted:
            wanted["parent"] = self.see(wanted["parent"], who, all_drives=all_drives).id
        return [
            item
            for item in self.items.values()
            if self.role(item, who)
            and (all_drives or not item.drive)
            and item.name.casefold() == wanted.get("name", item.name).casefold()
            and item.name.casefold().startswith(wanted.get("prefix", "").casefold())
            and item.mime == wanted.get("mime", item.mime)
            and item.mime != wanted.get("other_mime")
            and item.parent == wanted.get("parent", item.parent)
            and str(item.trashed).lower() == wanted.get("trashed", str(item.trashed).lower())
        ]

    def describe(self, item: Item, who: Account) -> dict[str, Any]:
        """The resource `files`."""
        found: dict[str, Any] = {
            "kind": "drive#file",
            "id": item.id,
            "name": item.name,
            "mimeType": item.mime,
            "parents": [item.parent],
            "trashed": item.trashed,
            "modifiedTime": item.modified.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "webViewLink": f"https://drive.google.com/file/d/{item.id}/view",
            "capabilities": {"canAddChildren": item.mime == FOLDER and self.role(item, who) in WRITERS},
        }
        if item.drive:
            found["driveId"] = item.drive
        if item.content is not None:
            found["size"] = str(len(item.content))
            found["md5Checksum"] = hashlib.md5(item.content).hexdigest()
            found["sha256Checksum"] = hashlib.sha256(item.content).hexdigest()
        return found


def parse_query(query: str) -> dict[str, str]:
    """The terms of a `q`, joined with `and`; Drive has more of them."""
    found: dict[str, str] = {}
    at = 0
    while True:
        term = _TERMS.match(query, at)
        if term is None:
            raise Refusal(400, "invalid", "Invalid Value")
        found |= {key: re.sub(r"\\(.)", r"\1", value) for key, value in term.groupdict().items() if value is not None}
        at = term.end()
        if at == len(query):
            return found
        joint = _AND.match(query, at)
        if joint is None:
            raise Refusal(400, "invalid", "Invalid Value")
        at = joint.end()
