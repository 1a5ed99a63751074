"""Google Drive, imitated by a server of these tests: a person's My Drive, and a service account on a shared drive."""

import json
from typing import Any, Literal

from yarl import URL

from services.delivery.destinations.gdrive.credentials import AuthorizedUser, Credentials
from services.delivery.destinations.gdrive.destination import Endpoints, GoogleDrive
from services.delivery.destinations.gdrive.http import DriveTimeouts
from services.delivery.destinations.gdrive.upload import GRAIN
from tests.contract.destinations.gdrive_login import new_key
from tests.contract.destinations.gdrive_server import DriveServer
from tests.contract.destinations.gdrive_store import FOLDER, Account, Item

SERVICE = "exports@shop-123.iam.gserviceaccount.com"
PERSON = "anna@example.com"
SECRET, REFRESH = "GOCSPX-secret", "1//refresh"


def local(credentials: Credentials) -> Endpoints:
    """The host of the credentials' `token_uri`, which the real destination ignores."""
    return Endpoints(credentials.token_uri, str(URL(credentials.token_uri).origin()))


class DriveRig:
    """The server and an independent view of its files."""

    scale = 1

    def __init__(self, kind: Literal["service", "person"]) -> None:
        self.kind = kind
        self.server = DriveServer()

    @property
    def port(self) -> int:
        return self.server.port

    def start(self) -> None:
        self._key, self._other_key = new_key(), new_key()
        self.clear()
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def clear(self) -> None:
        self.server.clear()
        self.server.logins.service_keys[SERVICE] = self._key.public
        self.server.logins.people[PERSON] = AuthorizedUser("client-1", SECRET, REFRESH, "")
        store = self.server.store
        root = store.add("My Drive", "", PERSON, mime=FOLDER)
        self.mine = store.add("Catalogue", root.id, PERSON, mime=FOLDER)
        drive = store.add("Shop", "", "", mime=FOLDER)
        drive.drive, drive.roles = drive.id, {SERVICE: "fileOrganizer"}
        self.shared = store.add("Catalogue", drive.id, "", mime=FOLDER)

    @property
    def folder(self) -> Item:
        """The target folder."""
        return self.shared if self.kind == "service" else self.mine

    @property
    def account(self) -> Account:
        """The account that delivers."""
        return Account(SERVICE, is_service=True) if self.kind == "service" else Account(PERSON, is_service=False)

    def destination(self, seconds: float, part: int = GRAIN) -> GoogleDrive:
        timeouts = DriveTimeouts(
            connect=seconds, silence=seconds, work=2 * seconds, waits=(0.01, 0.01, 0.01), max_wait=seconds
        )
        return GoogleDrive(local, timeouts, part)

    def config(self, port: int | None = None) -> dict[str, Any]:
        return {"credentials": self.credentials(self._key.private, REFRESH, port), "folder_id": self.folder.id}

    def wrong_credentials(self) -> dict[str, Any]:
        credentials = self.credentials(self._other_key.private, "1//revoked", None)
        return {"credentials": json.dumps(credentials), "folder_id": self.folder.id}

    def credentials(self, private_key: str, refresh_token: str, port: int | None) -> dict[str, str]:
        """A service account's key file, or a person's OAuth credentials."""
        token_uri = f"http://127.0.0.1:{port or self.port}/token"
        if self.kind == "service":
            return {
                "type": "service_account",
                "project_id": "shop-123",
                "private_key_id": "1",
                "private_key": private_key,
                "client_email": SERVICE,
                "token_uri": token_uri,
            }
        return {
            "type": "authorized_user",
            "client_id": "client-1",
            "client_secret": SECRET,
            "refresh_token": refresh_token,
            "token_uri": token_uri,
        }

    def files(self) -> dict[str, bytes]:
        """The files in the folder; a second file of the same name is marked."""
        seen: dict[str, bytes] = {}
        for item in list(self.server.store.items.values()):
            if item.parent == self.folder.id and not item.trashed and item.content is not None:
                seen[f"second {item.name}" if item.name in seen else item.name] = item.content
        return seen

    def leftovers(self) -> list[str]:
        return self.server.sessions.unfinished()

    def fill(self) -> None:
        self.server.store.full = True

    def unfill(self) -> None:
        self.server.store.full = False


RIGS = [DriveRig("person"), DriveRig("service")]
