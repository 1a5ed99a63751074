"""JetStream for wake-ups and events: publish, fetch one message at a time, and recreate streams that were lost.

Any message may be lost; the truth is in MongoDB. The process starts and works without a NATS server, and connects as
soon as one is available.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError
from opentelemetry.trace import Span, SpanKind
from prometheus_client import Gauge

from services.chassis.faults import Fault, Unavailable
from services.chassis.telemetry import tracing

log = structlog.get_logger()

CONNECTED = Gauge("nats_connected", "Whether this process is connected to NATS: 1 or 0.")

# What the client raises when the server is down, slow, restarting, or has lost its store.
FAULTS = (nats.errors.Error, asyncio.TimeoutError, OSError)
SUBJECT_IS_FULL = 10077
"""The server's error code: the subject holds as many messages as it may."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream's name, its subject pattern, and whether a message is removed once it is acknowledged."""

    name: str
    subjects: str
    work_queue: bool
    one_per_subject: bool = False
    """Publishing to a subject that has a message changes nothing."""
    max_age: float = 7 * 24 * 3600.0
    """Seconds."""

    @property
    def config(self) -> StreamConfig:
        """As the stream is created."""
        found = StreamConfig(
            name=self.name,
            retention=RetentionPolicy.WORK_QUEUE if self.work_queue else RetentionPolicy.LIMITS,
            max_age=self.max_age,
            storage=StorageType.FILE,
        )
        return found.evolve(**self.required)

    @property
    def required(self) -> dict[str, Any]:
        """The part of the configuration that the services rely on; an operator may change the rest."""
        return {
            "subjects": [self.subjects],
            "discard": DiscardPolicy.NEW if self.one_per_subject else DiscardPolicy.OLD,
            "discard_new_per_subject": self.one_per_subject,
            "max_msgs_per_subject": 1 if self.one_per_subject else -1,
        }


class JetStream:
    """The connection of this process."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._context = client.jetstream(timeout=2.0)

    @property
    def is_connected(self) -> bool:
        """Whether the client is connected now."""
        return self._client.is_connected

    async def publish(
        self,
        stream: Stream,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        destination: str = "",
    ) -> None:
        """Publish a message with the current trace in its headers; creates the stream if it does not exist.

        Args:
            destination: the name that the span shows, if the subject is one of many.

        Raises:
            Unavailable: the server did not confirm; the message may or may not be stored.
        """
        if not self.is_connected:
            raise Unavailable("queue_unavailable", "The message queue is not connected.")
        shown = destination or subject
        with tracing.span(f"send {shown}", kind=SpanKind.PRODUCER, attributes=span_attributes("send", shown)):
            try:
                await self._store(stream, subject, payload, headers or {})
            except FAULTS as exc:
                raise Unavailable(
                    "queue_unavailable", f"The message queue did not confirm the message: {exc!r}"
                ) from exc

    async def _store(self, stream: Stream, subject: str, payload: bytes, headers: Mapping[str, str]) -> None:
        sent = {**headers, **tracing.headers()} or None
        try:
            try:
                await self._context.publish(subject, payload, timeout=2.0, headers=sent)
            except (NoStreamResponseError, TimeoutError, nats.errors.TimeoutError):
                # Where others listen to the subject, a stream that was lost looks like a server that is slow.
                await self.ensure(stream)
                await self._context.publish(subject, payload, timeout=2.0, headers=sent)
        except APIError as exc:
            if not stream.one_per_subject or exc.err_code != SUBJECT_IS_FULL:
                raise

    async def remove(self, stream: Stream, subject: str) -> None:
        """Remove the messages of a subject, also those that a consumer holds. A failure is not reported."""
        if self.is_connected:
            await _settle(self._context.purge_stream(stream.name, subject=subject))

    async def count(self, stream: Stream) -> int:
        """How many messages the stream holds.

        Raises:
            Unavailable: the server does not answer.
        """
        try:
            return int((await self._context.stream_info(stream.name)).state.messages)
        except NotFoundError:
            return 0
        except FAULTS as exc:
            raise Unavailable("queue_unavailable", f"The message queue did not answer: {exc!r}") from exc

    async def listen(self, subject: str, handle: Callable[[Msg], Awaitable[None]]) -> None:
        """Call `handle` with every message published to `subject` from now on, until the connection is closed.

        The messages are stored in their stream as well; here they are only heard, and may be missed.

        Raises:
            Unavailable: the server is not connected.
        """
        try:
            await self._client.subscribe(subject, cb=handle)
        except FAULTS as exc:
            raise Unavailable(
                "queue_unavailable", f"The message queue did not accept the subscription: {exc!r}"
            ) from exc

    async def announce(self, subject: str) -> None:
        """Tell those who listen now, without storing anything. A failure is not reported."""
        if self.is_connected:
            await _settle(self._client.publish(subject))

    async def ensure(self, stream: Stream, replicas: int = 1) -> None:
        """Create the stream, or change what the services rely on in one that an older version created.

        Args:
            replicas: an existing stream with fewer gets as many; one with more keeps them.
        """
        try:
            found = (await self._context.stream_info(stream.name)).config
        except NotFoundError:
            await self._context.add_stream(stream.config.evolve(num_replicas=replicas))
            log.info("stream_created", action="jetstream", stream=stream.name, replicas=replicas)
            return
        required = stream.required if stream.one_per_subject else {}
        required = {**required, "num_replicas": max(found.num_replicas or 1, replicas)}
        if all(getattr(found, name) == value for name, value in required.items()):
            return
        await self._context.update_stream(found.evolve(**required))
        for subject in set(found.subjects or ()) - set(
            required.get("subjects") or found.subjects or ()
        ):  # no consumer would ever fetch these messages
            await self._context.purge_stream(stream.name, subject=subject)
        log.info("stream_updated", action="jetstream", stream=stream.name, replicas=required["num_replicas"])

    async def subscription(self, stream: Stream, durable: str, ack_wait: float) -> JetStreamContext.PullSubscription:
        """A pull subscription of the durable consumer; creates stream and consumer if they do not exist.

        Attempts are counted in MongoDB, so deliveries are unlimited; no BackOff list, it would override `ack_wait`.
        """
        await self.ensure(stream)
        config = ConsumerConfig(
            durable_name=durable,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ack_wait,
            max_deliver=-1,
            max_ack_pending=10_000,
            filter_subject=stream.subjects,
        )
        await self._context.add_consumer(stream.name, config=config)
        return await self._context.pull_subscribe_bind(consumer=durable, stream=stream.name)

    async def consumer_exists(self, stream: Stream, durable: str) -> bool:
        """Whether the server has the consumer; it may lose it, for example when its store is deleted."""
        try:
            await self._context.consumer_info(stream.name, durable)
        except NotFoundError:
            return False
        return True


NAK_SECONDS = 5.0
"""Delay before a message that could not be handled is delivered again."""


class Inbox:
    """Messages of one durable consumer, one at a time; survives restarts and lost stores of the server.

    Use it from one loop only: concurrent fetches on one consumer block each other (nats.py#933).
    """

    FETCH_SECONDS = 1.0
    GATHER_SECONDS = 0.02
    """After the last message of a batch, for another one to arrive."""
    WATCHDOG_SECONDS = 5.0

    def __init__(self, jetstream: JetStream, stream: Stream, durable: str, *, ack_wait: float) -> None:
        self._jetstream = jetstream
        self._stream = stream
        self._durable = durable
        self._ack_wait = ack_wait
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._checked = 0.0

    async def next(self, timeout: float = FETCH_SECONDS) -> Msg | None:
        """The next message, or None after `timeout` seconds without one."""
        if not self._jetstream.is_connected:
            await self._drop()
            await asyncio.sleep(0.1)
            return None
        try:
            subscription = await self._bound()
            [message] = await subscription.fetch(1, timeout=timeout)
        except (TimeoutError, nats.errors.TimeoutError):
            await self._watch()
            return None
        except FAULTS as exc:
            log.warning("fetch_failed", action="jetstream", stream=self._stream.name, reason=repr(exc))
            await self._drop()
            await asyncio.sleep(0.5)
            return None
        self._checked = time.monotonic()
        return message

    async def take(self, handle: Callable[[Msg], Awaitable[None]]) -> None:
        """Call `handle` with the next message, if one arrives, in the message's trace.

        If that raises a Fault, the message is delivered again later.
        """
        message = await self.next()
        if message is None:
            return
        try:
            with _processing(message):
                await handle(message)
        except Fault as fault:
            log.warning("message_postponed", action="jetstream", subject=message.subject, reason=fault.message)
            await _settle(message.nak(delay=NAK_SECONDS))
        else:
            await _settle(message.ack())

    async def take_batch(self, handle: Callable[[Sequence[Msg]], Awaitable[None]], limit: int) -> None:
        """Call `handle` with the messages that are there, or with those that arrive first; at most `limit`.

        If that raises a Fault, all of them are delivered again later. Each has a span in its own trace.
        """
        messages: list[Msg] = []
        while len(messages) < limit:
            message = await self.next(self.GATHER_SECONDS if messages else self.FETCH_SECONDS)
            if message is None:
                break
            messages.append(message)
        if not messages:
            return
        try:
            with ExitStack() as spans:
                for message in messages:
                    spans.enter_context(_processing(message))
                await handle(messages)
        except Fault as fault:
            log.warning("messages_postponed", action="jetstream", messages=len(messages), reason=fault.message)
            for message in messages:
                await _settle(message.nak(delay=NAK_SECONDS))
        else:
            for message in messages:
                await _settle(message.ack())

    async def _bound(self) -> JetStreamContext.PullSubscription:
        if self._subscription is None:
            self._subscription = await self._jetstream.subscription(self._stream, self._durable, self._ack_wait)
            self._checked = time.monotonic()
        return self._subscription

    async def _watch(self) -> None:
        """Check from time to time that the consumer exists; a fetch from a lost consumer only times out."""
        if time.monotonic() - self._checked < self.WATCHDOG_SECONDS:
            return
        self._checked = time.monotonic()
        with suppress(*FAULTS):
            if not await self._jetstream.consumer_exists(self._stream, self._durable):
                log.warning("consumer_lost", action="jetstream", stream=self._stream.name)
                await self._drop()

    async def _drop(self) -> None:
        if self._subscription is not None:
            with suppress(*FAULTS):
                await self._subscription.unsubscribe()
        self._subscription = None


def span_attributes(operation: str, subject: str) -> dict[str, tracing.Attribute]:
    """The attributes of a span that sends or processes a message, by the semantic conventions for messaging."""
    return {"messaging.system": "nats", "messaging.operation.name": operation, "messaging.destination.name": subject}


def _processing(message: Msg) -> AbstractContextManager[Span]:
    """A span in the message's trace."""
    return tracing.span(
        f"process {message.subject}",
        kind=SpanKind.CONSUMER,
        parent=tracing.from_headers(message.headers or {}),
        attributes=span_attributes("process", message.subject),
    )


async def _settle(settling: Awaitable[object]) -> None:
    try:
        await settling
    except FAULTS as exc:  # the message is delivered again, which is harmless
        log.debug("not_settled", action="jetstream", reason=repr(exc))


@asynccontextmanager
async def connecting(url: str, *, name: str, ca_file: Path | None = None) -> AsyncIterator[JetStream]:
    """A `JetStream` that connects in the background, and reconnects whenever the connection is lost.

    Args:
        url: `nats://host:port`, or `tls://` for TLS; several are separated by commas.
        name: of the service, also for its inbox.
        ca_file: PEM of the CAs for TLS; None: those of the system.

    Raises:
        OSError: the URL is invalid, or the file contains no CA.
    """
    servers = [_checked(part.strip()) for part in url.split(",")]
    client = Client()
    task = asyncio.create_task(_connect(client, servers, name, _trust(ca_file)))
    try:
        yield JetStream(client)
    finally:
        task.cancel()
        if client.is_connected or client.is_connecting or client.is_reconnecting:  # otherwise there is nothing to close
            with suppress(*FAULTS):
                await asyncio.wait_for(client.close(), timeout=2.0)
        await asyncio.gather(task, return_exceptions=True)


async def _connect(client: Client, servers: list[str], name: str, trust: ssl.SSLContext) -> None:
    reported = False

    async def on_error(exc: Exception) -> None:
        nonlocal reported
        if not reported:  # once per outage; the client retries every second
            reported = True
            log.warning("nats_error", action="jetstream", reason=repr(exc))

    async def on_connected() -> None:
        nonlocal reported
        reported = False
        CONNECTED.set(1)
        log.info("nats_connected", action="jetstream")

    async def on_disconnected() -> None:
        CONNECTED.set(0)
        log.warning("nats_disconnected", action="jetstream")

    while not client.is_connected:
        try:
            await client.connect(
                servers=servers,
                name=name,
                # Answers to this service only: a server with users lets each subscribe to its own (docs/security.md).
                inbox_prefix=f"_INBOX.{name}",
                tls=trust,
                connect_timeout=2,
                reconnect_time_wait=1,
                max_reconnect_attempts=-1,
                error_cb=on_error,
                reconnected_cb=on_connected,
                disconnected_cb=on_disconnected,
            )
            await on_connected()
        except FAULTS as exc:
            log.warning("nats_unreachable", action="jetstream", reason=repr(exc))
            await asyncio.sleep(1.0)


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise OSError(f"NATS_CA_FILE {ca_file} cannot be used: {exc}") from exc


def _checked(url: str) -> str:
    if urlsplit(url).scheme not in ("nats", "tls", "ws", "wss") or not urlsplit(url).hostname:
        raise OSError("NATS_URL must be nats://host:port, or several of these, separated by commas")
    return url
