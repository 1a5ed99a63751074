"""Claims of several tenants at one process: turns, the slot for newcomers, and what a query that is not made misses."""

import asyncio
from collections import Counter, deque

from services.chassis.leasing.fair_claims import Claimed, FairClaims


class Work:
    """The waiting work of each tenant, as a store would claim it."""

    def __init__(self, **counts: int) -> None:
        self.waiting = {tenant: deque(range(count)) for tenant, count in counts.items()}
        self.queries = 0

    async def tenants(self) -> set[str]:
        self.queries += 1
        return {tenant for tenant, work in self.waiting.items() if work}

    async def claim(self, tenant: str, preferred: str) -> str | None:
        await asyncio.sleep(0)
        work = self.waiting.get(tenant)
        if work and preferred and int(preferred) in work:
            work.remove(int(preferred))
            return f"{tenant}{preferred}"
        return f"{tenant}{work.popleft()}" if work else None


def claims_of(work: Work) -> FairClaims[str]:
    return FairClaims(work.tenants, work.claim)


async def taken(claims: FairClaims[str], count: int, max_running: int = 1_000) -> list[Claimed[str]]:
    found = [await claims.next(max_running) for _ in range(count)]
    return [claimed for claimed in found if claimed is not None]


async def test_a_tenants_work_is_claimed_in_order_until_none_is_left() -> None:
    assert [claimed.lease for claimed in await taken(claims_of(Work(a=3)), 5)] == ["a0", "a1", "a2"]


async def test_tenants_take_turns_however_much_one_of_them_has() -> None:
    order = await taken(claims_of(Work(a=1_000, b=3, c=3)), 9)
    assert Counter(claimed.tenant for claimed in order) == {"a": 3, "b": 3, "c": 3}


async def test_a_tenant_with_enough_work_running_is_skipped() -> None:
    claims = claims_of(Work(a=10, b=1))
    await taken(claims, 2)
    assert await claims.next(1) is None
    assert (await taken(claims, 1, 2))[0].tenant == "a"
    assert await claims.next(2) is None


async def test_preferred_work_is_claimed_only_when_it_is_its_tenants_turn() -> None:
    claims = claims_of(Work(a=3, b=3))
    found = [await claims.next(1_000, ("a", "2")) for _ in range(6)]
    order = [claimed.lease for claimed in found if claimed is not None]
    assert [lease for lease in order if lease[0] == "a"] == ["a2", "a0", "a1"]
    assert [lease for lease in order if lease[0] == "b"] == ["b0", "b1", "b2"]
    assert {lease[0] for lease in order[:2]} == {"a", "b"}, "they take turns all the same"


async def test_a_slot_that_ends_lets_its_tenant_claim_again() -> None:
    claims = claims_of(Work(a=2))
    [first] = await taken(claims, 1, 1)
    assert await claims.next(1) is None
    claims.ended(first)
    assert [claimed.lease for claimed in await taken(claims, 1, 1)] == ["a1"]


async def test_parallel_claims_never_exceed_what_one_tenant_may_run() -> None:
    claims = claims_of(Work(a=100))
    found = await asyncio.gather(*(claims.next(3) for _ in range(10)))
    assert sum(claimed is not None for claimed in found) == 3


async def test_a_tenant_that_announces_its_work_needs_no_query() -> None:
    work = Work(a=100)
    claims = claims_of(work)
    await taken(claims, 1)
    work.waiting["b"] = deque([0])
    queries = work.queries
    assert claims.arrived("b")
    assert [claimed.tenant for claimed in await taken(claims, 2)].count("b") == 1
    assert work.queries == queries
    assert not claims.arrived("a")  # it has work running here already
