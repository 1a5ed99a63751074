"""Clients: each submits, repeats, cancels, retries, downloads and deletes, and compares what it gets."""

import hashlib
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.torture.account import DUPLICATED, LOST, STUCK, WRONG, Account, Job
from tests.torture.destinations import Destination
from tests.torture.orders import ENDED, Order, References, drawn
from tests.torture.rest import Answer, NoAnswer, Rest, Stopped

JOB_DEADLINE = 420.0
"""Seconds from the acceptance of a job, or of a delivery's start, to its end. Faults go on meanwhile."""
POLL = 0.25
MAX_BACKLOG = 12
"""Completed jobs whose deliveries a client has not seen end yet."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A registered platform of a tenant."""

    id: str
    destination: Destination


class Client(threading.Thread):
    """One client. It works until `finish` is set, then sees its last jobs to their end.

    Args:
        rests: a REST client of each tenant.
        ordered: what it orders, by share.
        pause: seconds between two jobs, on average.
    """

    def __init__(
        self,
        number: int,
        seed: int,
        rests: Mapping[str, Rest],
        platforms: Mapping[str, Sequence[Platform]],
        ordered: list[Order],
        references: References,
        account: Account,
        finish: threading.Event,
        pause: float,
    ) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._rng = random.Random(f"client {number} {seed}")
        self._rests = rests
        self._platforms = platforms
        self._references = references
        self._account = account
        self._finish = finish
        self._pause = pause
        self._orders = ordered
        self._made = 0
        self._backlog: deque[tuple[Job, float]] = deque()

    def run(self) -> None:
        try:
            while not self._finish.is_set():
                self._guarded(self._one_job)
                if len(self._backlog) >= MAX_BACKLOG or (self._backlog and self._rng.random() < 0.7):
                    self._guarded(self._settle_oldest)
                self._finish.wait(self._rng.uniform(0, 2 * self._pause))
            while self._backlog:
                self._guarded(self._settle_oldest)
        except Stopped:
            pass
        except Exception as exc:  # the harness is at fault, and the account is not complete
            self._account.found("harness", f"{self.name} ended: {exc!r}")
            raise

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except NoAnswer as exc:
            self._account.found(STUCK, str(exc))

    def _one_job(self) -> None:
        order = drawn(self._rng, self._orders)
        rest = self._rests[order.tenant]
        offered = list(self._platforms[order.tenant])
        chosen = self._rng.sample(offered, self._rng.choice((0, 1, 1, 2, 3)))
        self._made += 1
        key = f"{self.name}-{self._made}"
        requested_at = time.monotonic()
        job = self._submitted(rest, order, key, tuple(platform.id for platform in chosen))
        if job is None:
            return
        cancelled = self._rng.random() < 0.1 and self._cancelled(rest, job)
        final = self._ended(rest, job, cancelled=cancelled)
        if final is None or final["status"] != "completed":
            return
        self._account.completed(requested_at)
        if self._rng.random() < 0.7:
            self._downloaded(rest, job)
        self._backlog.append((job, time.monotonic()))

    def _submitted(self, rest: Rest, order: Order, key: str, platforms: tuple[str, ...]) -> Job | None:
        path, body = f"/exports/{order.form}/products", {**order.body, "platform_ids": list(platforms)}
        answer = rest.call("POST", path, body, key=key)
        if answer.status != 202:
            self._account.found(WRONG, f"{order.name}, key {key}: {answer.status} {answer.body[:300]!r}")
            return None
        job = Job(answer.json["id"], order.tenant, order, platforms, key, is_ambiguous=answer.tries > 1)
        self._account.accepted(job)
        if self._rng.random() < 0.3:
            self._account.count("requests repeated")
            again = rest.call("POST", path, body, key=key)
            job.is_ambiguous |= again.tries > 1
            if again.status != 202 or again.json["id"] != job.id:
                self._account.found(DUPLICATED, f"job {job.id}, key {key}: repeated, answered {again.body[:300]!r}")
        return job

    def _cancelled(self, rest: Rest, job: Job) -> bool:
        """Try to cancel, at a random moment."""
        self._finish.wait(self._rng.choice((0.0, 0.1, 0.5)))
        answer = rest.call("POST", f"/exports/jobs/{job.id}/cancel")
        job.is_ambiguous |= answer.tries > 1
        if answer.status == 200 and answer.json["status"] == "cancelled":
            self._account.count("jobs cancelled")
            return True
        if answer.code != "job_ended":
            self._unexpected(job, "cancel", answer)
        return answer.tries > 1

    def _ended(self, rest: Rest, job: Job, *, cancelled: bool) -> Mapping[str, object] | None:
        """The job once it has ended; a cancelled one is mostly retried."""
        deadline = time.monotonic() + JOB_DEADLINE
        while time.monotonic() < deadline:
            answer = rest.call("GET", f"/exports/jobs/{job.id}")
            if answer.status != 200:
                self._account.found(LOST, f"job {job.id}: {answer.status} {answer.body[:300]!r}")
                return None
            state: Mapping[str, object] = answer.json
            if state["status"] not in ENDED:
                time.sleep(POLL)
                continue
            job.final = state
            if state["status"] == "completed":
                self._account.count("jobs completed")
                return state
            if state["status"] != "cancelled" or not cancelled:
                self._account.found(WRONG, f"job {job.id} is {state['status']}: {state.get('error')}")
                return state
            if self._rng.random() < 0.2:
                return state
            self._retried(rest, job)
        self._account.found(STUCK, f"job {job.id} has not ended after {JOB_DEADLINE:.0f} s: {job.final}")
        return None

    def _retried(self, rest: Rest, job: Job) -> None:
        answer = rest.call("POST", f"/exports/jobs/{job.id}/retry")
        job.is_ambiguous |= answer.tries > 1
        self._account.count("jobs retried")
        if answer.status not in (200, 202) and not (answer.code == "job_not_retriable" and answer.tries > 1):
            self._unexpected(job, "retry", answer)

    def _downloaded(self, rest: Rest, job: Job) -> None:
        answer = rest.call("GET", f"/exports/jobs/{job.id}/download")
        deadline = time.monotonic() + JOB_DEADLINE
        while answer.code == "job_not_finished" and time.monotonic() < deadline:  # a primary that was just elected
            time.sleep(POLL)
            answer = rest.call("GET", f"/exports/jobs/{job.id}/download")
        self._account.count("downloads compared")
        if answer.status != 200:
            self._unexpected(job, "download", answer)
            return
        if hashlib.sha256(answer.body).hexdigest() != job.final["sha256"]:
            self._account.found(WRONG, f"job {job.id}: the download's hash is not {job.final['sha256']}")
        if not self._references.is_right(job.order, answer.body, int(str(job.final["total_records"]))):
            self._account.found(WRONG, f"job {job.id}: the file is not what was ordered: {job.order.name}")

    def _settle_oldest(self) -> None:
        """See the deliveries of the oldest completed job to their end; then mostly delete the job."""
        job, since = self._backlog[0]
        rest = self._rests[job.tenant]
        while not self._all_delivered(rest, job):
            if time.monotonic() > since + JOB_DEADLINE:
                self._account.found(STUCK, f"job {job.id} is not delivered after {JOB_DEADLINE:.0f} s")
                break
            if len(self._backlog) < MAX_BACKLOG and not self._finish.is_set():
                return
            time.sleep(POLL)
        self._backlog.popleft()
        if self._rng.random() < 0.7 and not job.is_ambiguous:
            self._deleted(rest, job)

    def _all_delivered(self, rest: Rest, job: Job) -> bool:
        found = rest.call("GET", f"/exports/jobs/{job.id}/deliveries?limit=200").json["items"]
        by_platform = {one["platform_id"]: one for one in found}
        if len(by_platform) < len(found) or not by_platform.keys() <= set(job.platforms):
            self._account.found(DUPLICATED, f"job {job.id} has deliveries {found}, expected {job.platforms}")
        ended = [one for one in found if one["status"] in ("delivered", "failed")]
        if by_platform.keys() != set(job.platforms) or len(ended) < len(found):
            return False
        for one in found:
            if one["status"] == "failed":
                self._account.found(WRONG, f"delivery {one['id']} of job {job.id} has failed: {one['error']}")
        self._account.count("files delivered", len(found))
        return True

    def _deleted(self, rest: Rest, job: Job) -> None:
        self._check_objects(job)
        answer = rest.call("DELETE", f"/exports/jobs/{job.id}")
        if answer.status != 204 and not (answer.status == 404 and answer.tries > 1):
            self._unexpected(job, "delete", answer)
            return
        job.is_deleted = True
        self._account.count("jobs deleted")

    def _check_objects(self, job: Job) -> None:
        """Whether each destination has the job's file now; at the end, all of them are looked at once more."""
        for platform in self._platforms[job.tenant]:
            if platform.id in job.platforms and (
                platform.destination.sha256(job.tenant, job.object_name) != job.final["sha256"]
            ):
                self._account.found(LOST, f"job {job.id}: {platform.destination.kind} lacks its file, or has another")

    def _unexpected(self, job: Job, what: str, answer: Answer) -> None:
        self._account.found(WRONG, f"{what} of job {job.id}: {answer.status} {answer.body[:300]!r}")
