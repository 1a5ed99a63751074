"""An S3 server for errors that a healthy one does not produce: moto's, behind a proxy that answers in its place.

The proxy checks what moto does not: signatures, hashes, free space. The bucket is read from the server's own memory.
"""

import base64
import hashlib
import io
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3 import models
from moto.s3.models import s3_backends
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Request, Response

from services.delivery.destinations.kit.timeouts import Timeouts
from services.delivery.destinations.s3.destination import S3, Bucket
from tests.contract.destinations.rigs.s3 import PREFIX

ACCESS_KEY, SECRET_KEY = "AKIATESTS", "correct/horse+battery"
PART_BYTES = 256 * 1024
SMALLEST = "S3_UPLOAD_PART_MIN_SIZE"
"""moto's minimum for parts, which is that of AWS and would make the tests slow."""


def refusal(status: int, code: str, message: str = "Not now") -> Response:
    """An error answer of S3."""
    return Response(f"<Error><Code>{code}</Code><Message>{message}</Message></Error>", status)


class S3Proxy:
    """Checks requests and passes them on to moto.

    `answers` may answer a request instead of moto; it returns None to pass the request on.
    """

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.clear()

    def clear(self) -> None:
        self.full = False
        self.answers: Callable[[Request], Response | None] = lambda _: None
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        self.asked.append((request.method, request.full_path, dict(request.headers)))
        answer = self._refused(request, body, length) or self.answers(request)
        if answer is not None:
            return answer(environ, start_response)
        environ["wsgi.input"] = io.BytesIO(body)
        passed: Iterable[bytes] = self._moto(environ, start_response)
        return passed

    def _refused(self, request: Request, body: bytes, length: int) -> Response | None:
        if len(body) < length:
            return refusal(400, "IncompleteBody")
        key, signature = _credential(request), _between(request.headers["Authorization"], "Signature=", ",")
        if key[0] != ACCESS_KEY:
            return refusal(403, "InvalidAccessKeyId")
        if signature != _signature(request, region=key[2]):
            return refusal(403, "SignatureDoesNotMatch")
        if request.headers["X-Amz-Content-SHA256"] != hashlib.sha256(body).hexdigest():
            return refusal(400, "XAmzContentSHA256Mismatch")
        checksum = request.headers.get("x-amz-checksum-sha256")
        if checksum and checksum != base64.b64encode(hashlib.sha256(body).digest()).decode():
            return refusal(400, "BadDigest")
        return refusal(507, "XMinioStorageFull") if self.full and request.method == "PUT" else None


def _credential(request: Request) -> list[str]:
    return _between(request.headers["Authorization"], "Credential=", ",").split("/")


def _signature(request: Request, region: str) -> str:
    names = _between(request.headers["Authorization"], "SignedHeaders=", ",").split(";")
    headers = {name: request.headers[name] for name in names}
    asked = AWSRequest(request.method, f"http://{request.host}{request.environ['RAW_URI']}", headers)
    asked.context["timestamp"] = request.headers["X-Amz-Date"]
    auth = S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", region)
    return str(auth.signature(auth.string_to_sign(asked, auth.canonical_request(asked)), asked))


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


class _Handler(MotoRequestHandler):
    """Keeps the tests' output clean."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: object, **__: object) -> None: ...


class MotoRig:
    """The server, with one bucket."""

    kind: type[Bucket] = S3
    scale = 1

    def __init__(self) -> None:
        self.port = 0
        self.proxy = S3Proxy()
        self.bucket = f"bucket-{uuid.uuid4().hex[:12]}"

    def start(self) -> None:
        self._smallest, vars(models)[SMALLEST] = vars(models)[SMALLEST], 1
        self._server: BaseWSGIServer = make_server("127.0.0.1", 0, self.proxy, threaded=True, request_handler=_Handler)
        self._server.daemon_threads = True  # type: ignore[attr-defined]  # of the class it is mixed with
        self.port = self._server.port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="s3", daemon=True)
        self._thread.start()
        self._storage.create_bucket(self.bucket, "us-east-1")

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        vars(models)[SMALLEST] = self._smallest

    def clear(self) -> None:
        self.proxy.clear()
        found = self._storage.buckets[self.bucket]
        found.keys.clear()
        found.multiparts.clear()

    def destination(self, seconds: float) -> Bucket:
        return self.kind(Timeouts(silence=seconds), part_bytes=PART_BYTES, attempts=1)

    def config(self, port: int | None = None) -> dict[str, Any]:
        return {
            "endpoint_url": f"http://127.0.0.1:{port or self.port}",
            "bucket": self.bucket,
            "prefix": PREFIX,
            "region": "us-east-1",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        }

    def wrong_credentials(self) -> dict[str, Any]:
        return {**self.config(), "secret_access_key": "wrong+horse"}

    def files(self) -> dict[str, bytes]:
        """The objects below the prefix."""
        while True:
            found = list(self._storage.buckets[self.bucket].keys.items())
            try:
                return {key.removeprefix(PREFIX + "/"): stored.value for key, stored in found}
            except ValueError:  # moto closed an object's buffer, since it was replaced after the listing
                continue

    def leftovers(self) -> list[str]:
        return sorted(upload.key_name for upload in self._storage.buckets[self.bucket].multiparts.values())

    def uploads(self) -> Any:
        """Open uploads by id."""
        return self._storage.buckets[self.bucket].multiparts

    def begin(self, key: str) -> None:
        """Open an upload, as another program would."""
        self._storage.create_multipart_upload(self.bucket, key, {}, "STANDARD", [], None, None, None)

    def write(self, key: str, data: bytes, etag: str | None = None) -> None:
        """Write an object, as another program would."""
        self._storage.put_object(self.bucket, key, data, etag=etag)

    def metadata(self, name: str) -> dict[str, str]:
        """Metadata, storage class and encryption of an object."""
        stored = self._storage.buckets[self.bucket].keys[f"{PREFIX}/{name}"]
        return {**stored.metadata, "storage_class": stored.storage_class, "encryption": stored.encryption or ""}

    def fill(self) -> None:
        self.proxy.full = True

    def unfill(self) -> None:
        self.proxy.full = False

    @property
    def _storage(self) -> Any:
        return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
