"""botocore's client for one target: the platform's keys, checked addresses, no AWS configuration of this machine."""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession

from services.chassis.s3_models import s3_models
from services.delivery.destinations.egress import CONNECT_SECONDS, Egress, checked_connector

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

ATTEMPTS = 3
"""For each request, for faults that last only seconds."""
MAX_ANSWER = 8 * 1024 * 1024
"""Bytes of an answer that is not streamed; a list of 1,000 parts has less than 1 MiB."""
_CONNECTIONS = 4
# Profiles and config files of this machine belong to the operator, not to a tenant's platform.
_NO_LOCAL_CONFIG: dict[str, Any] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ca_bundle": (None, None, None, None),
}


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a bucket; without an endpoint it is AWS."""

    bucket: str
    access_key: str
    secret_key: str
    session_token: str | None
    region: str
    endpoint_url: str | None
    ca_certificate: str | None


@asynccontextmanager
async def client_for(access: Access, egress: Egress, silence: float, attempts: int) -> AsyncIterator["S3Client"]:
    """A client.

    Args:
        silence: seconds without a byte of an answer.
        attempts: for each request.
    """
    config = AioConfig(
        http_session_cls=partial(_CheckedSession, egress, access.ca_certificate),  # type: ignore[arg-type]  # only called
        proxies={},  # a proxy would resolve names itself
        ignore_configured_endpoint_urls=True,
        signature_version="s3v4",
        s3={"addressing_style": "path" if access.endpoint_url else "auto"},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=silence,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=_CONNECTIONS,
        # Checksums are sent as headers, which old servers ignore; they refuse botocore's trailing checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    made = _session().create_client(
        "s3",
        region_name=access.region,
        endpoint_url=access.endpoint_url,
        verify=True,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        aws_session_token=access.session_token,
        config=config,
    )
    async with made as client:
        yield client


@cache
def _session() -> AioSession:
    """The session of all clients; it holds nothing of any platform, and takes 15 ms to make."""
    session = AioSession(session_vars=_NO_LOCAL_CONFIG)
    session.register_component("data_loader", s3_models())
    return session


@lru_cache(maxsize=64)
def _trust(ca_certificate: str | None) -> ssl.SSLContext:
    """The CAs of this machine, and the platform's; reading them takes 25 ms."""
    context = ssl.create_default_context()
    if ca_certificate:
        context.load_verify_locations(cadata=ca_certificate)
    return context


class _CheckedSession(AIOHTTPSession):
    """aiobotocore's HTTP session with connections under the egress rules."""

    def __init__(
        self,
        egress: Egress,
        ca_certificate: str | None,
        *,
        timeout: tuple[float, float],
        max_pool_connections: int,
        **options: Any,
    ) -> None:
        super().__init__(max_pool_connections=max_pool_connections, **options)
        self._egress = egress
        self._ca_certificate = ca_certificate
        self._timeout = aiohttp.ClientTimeout(sock_connect=timeout[0], sock_read=timeout[1])
        self._connections = max_pool_connections
        self._made: aiohttp.ClientSession | None = None

    async def __aexit__(self, *exc_info: Any) -> None:
        if self._made is not None:
            await self._made.close()
        await super().__aexit__(*exc_info)

    async def _get_session(self, proxy_url: str | None) -> "_Requests":  # noqa: ARG002  there is no proxy
        if self._made is None:
            self._made = aiohttp.ClientSession(
                connector=checked_connector(self._egress, limit=self._connections, ssl=_trust(self._ca_certificate)),
                timeout=self._timeout,
                skip_auto_headers={"CONTENT-TYPE"},
                auto_decompress=False,
                response_class=_BoundedResponse,
            )
        return _Requests(self._made)


class _BoundedResponse(aiohttp.ClientResponse):
    """Limits `read`, by which botocore reads all answers except the content of objects."""

    async def read(self) -> bytes:
        if self._body is None:
            body = bytearray()
            async for chunk in self.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER:
                    self.close()
                    raise aiohttp.ClientPayloadError(f"an answer of more than {MAX_ANSWER} bytes")
            self._body = bytes(body)
        return await super().read()


class _Requests:
    """The only method of a `ClientSession` that aiobotocore calls."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, *, headers: Any, **options: Any) -> aiohttp.ClientResponse:
        """Send a request; botocore follows redirects itself, since each request is signed."""
        # aiohttp would wait for the 100 that some servers and proxies never send.
        headers.popall("Expect", None)
        return await self._session.request(method, headers=headers, allow_redirects=False, **options)
