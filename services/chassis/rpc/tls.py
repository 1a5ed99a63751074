"""Certificates for mTLS between services: read from files, verified before use, reloaded when they change.

kubelet replaces a mounted secret by a symlink and cert-manager renews in place, so contents are compared, not times.
"""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import structlog
from prometheus_client import Gauge

from services.chassis import loops
from services.chassis.settings import ProcessSettings

log = structlog.get_logger()

RELOAD_SECONDS = 2.0
# Both have TLS_CERT_FILE as their label, so that there is no sample, and no alert, without mTLS.
EXPIRES = Gauge(
    "tls_certificate_expires_timestamp_seconds", "Expiry of the certificate in use, as a Unix timestamp.", ["file"]
)
REFUSED = Gauge(
    "tls_certificate_refused", "1 while the certificate files cannot be used and the old certificate is kept.", ["file"]
)


@dataclass(frozen=True, slots=True)
class Files:
    """Paths of certificate, private key and trusted CAs, in PEM."""

    certificate: Path
    key: Path
    authorities: Path


@dataclass(frozen=True, slots=True)
class Identity:
    """The contents of the files, in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)
    authorities: bytes

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Credentials that present this certificate and trust servers of the CAs with a matching name."""
        return grpc.ssl_channel_credentials(self.authorities, self.key, self.certificate)

    def server_configuration(self) -> grpc.ServerCertificateConfiguration:
        """Configuration that presents this certificate to clients."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.certificate)], self.authorities)


class Certificates:
    """The identity in use.

    Raises:
        OSError: a file cannot be read or used; the message says which, and why.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._last_error = ""
        self.current = _read(files)
        self._use(self.current)

    async def reload(self) -> None:
        """Use the current contents of the files. Unusable ones are logged once, and the old ones are kept."""
        try:
            found = _read(self._files)
            if found != self.current:
                self._use(found)
                log.info("certificate_taken_over", action="tls", file=str(self._files.certificate))
        except OSError as exc:
            if str(exc) != self._last_error:
                log.error("certificate_refused", action="tls", reason=str(exc))  # noqa: TRY400  the reason is enough
            self._last_error = str(exc)
            REFUSED.labels(self._files.certificate).set(1)
            return
        self._last_error = ""
        REFUSED.labels(self._files.certificate).set(0)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials of a server that accepts only clients with a certificate of the CAs; follows reloads."""

        def fetch() -> grpc.ServerCertificateConfiguration:
            """Called by grpcio in its own thread, once per connection, before the handshake."""
            return self.current.server_configuration()

        return grpc.dynamic_ssl_server_credentials(fetch(), fetch, require_client_authentication=True)

    def _use(self, found: Identity) -> None:
        expires = _verify(self._files)
        if _read(self._files) != found:
            raise OSError("the TLS files changed while they were read")  # the next reload finds them complete
        self.current = found
        EXPIRES.labels(self._files.certificate).set(expires)


@asynccontextmanager
async def certificates(settings: ProcessSettings) -> AsyncIterator[Certificates | None]:
    """The process's certificates, reloaded every two seconds; None when mTLS is off.

    Raises:
        OSError: they cannot be used.
    """
    if settings.tls_cert_file is None or settings.tls_key_file is None or settings.tls_ca_file is None:
        yield None
        return
    found = Certificates(Files(settings.tls_cert_file, settings.tls_key_file, settings.tls_ca_file))
    async with loops.running(loops.repeat("certificates", RELOAD_SECONDS, found.reload)):
        yield found


def _read(files: Files) -> Identity:
    return Identity(files.certificate.read_bytes(), files.key.read_bytes(), files.authorities.read_bytes())


def _verify(files: Files) -> float:
    """When the certificate expires, in seconds since the epoch; verified by a handshake with itself in memory.

    This finds what a real peer would refuse: a key that does not match, another CA, an expired certificate.

    Raises:
        OSError: it failed.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.verify_mode, client.check_hostname = ssl.CERT_REQUIRED, False
    for context in (server, client):
        _load(context, files)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking, asked = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    try:
        for side in (asking, asked, asking, asked):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        shown = asking.getpeercert() or {}
    except ssl.SSLError as exc:
        raise OSError(f"{files.certificate} is not accepted by a peer that trusts {files.authorities}: {exc}") from exc
    return ssl.cert_time_to_seconds(str(shown["notAfter"]))


def _load(context: ssl.SSLContext, files: Files) -> None:
    try:
        # The empty password: a key with a passphrase must not ask for it.
        context.load_cert_chain(files.certificate, files.key, password="")
    except (ssl.SSLError, ValueError) as exc:
        raise OSError(f"{files.certificate} and {files.key} are no PEM certificate with its key: {exc}") from exc
    try:
        context.load_verify_locations(files.authorities)
    except ssl.SSLError as exc:
        raise OSError(f"{files.authorities} holds no PEM certificates: {exc}") from exc
