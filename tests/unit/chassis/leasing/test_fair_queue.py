"""Start-time fair queueing over tenants."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.leasing.fair_queue import FairQueue


def served(queue: FairQueue, backlog: dict[str, list[float]], turns: int) -> list[str]:
    """Serve `turns` items from a backlog of costs by client; returns who was served, in order."""
    order = []
    for _ in range(turns):
        waiting = [client for client, costs in backlog.items() if costs]
        if not waiting:
            break
        client = queue.order(waiting)[0]
        queue.serve(client, backlog[client].pop(0))
        order.append(client)
    return order


def test_clients_take_turns() -> None:
    assert served(FairQueue(), {"a": [1.0] * 3, "b": [1.0] * 3}, 6) == ["a", "b", "a", "b", "a", "b"]


def test_a_client_that_arrives_late_is_served_next_despite_the_others_backlog() -> None:
    queue = FairQueue()
    backlog = {"a": [1.0] * 1_000}
    served(queue, backlog, 300)
    backlog["b"] = [1.0]
    assert "b" in served(queue, backlog, 2)


def test_a_client_gets_no_credit_for_the_time_it_did_not_ask() -> None:
    queue = FairQueue()
    backlog = {"a": [1.0] * 1_000}
    served(queue, backlog, 300)
    backlog["b"] = [1.0] * 100
    assert Counter(served(queue, backlog, 100)) == {"a": 50, "b": 50}


def test_large_items_count_for_more() -> None:
    order = Counter(served(FairQueue(), {"large": [10.0] * 100, "small": [1.0] * 100}, 55))
    assert order["small"] == 50
    assert order["large"] == 5


def test_an_adjusted_cost_is_paid_back_later() -> None:
    queue = FairQueue()
    queue.serve("a", 1.0)
    queue.adjust("a", 4.0)
    assert served(queue, {"a": [1.0] * 9, "b": [1.0] * 9}, 5) == ["b"] * 5


def test_clients_that_have_nothing_outstanding_are_forgotten() -> None:
    queue = FairQueue()
    for number in range(10_000):
        queue.serve(f"client {number}", 0.5)
        queue.serve("a", 1.0)
    assert len(queue._finish) < 10


@given(st.lists(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=30), min_size=1, max_size=5), st.data())
def test_the_work_of_any_two_backlogged_clients_differs_by_at_most_one_item_each(
    costs: list[list[float]], data: st.DataObject
) -> None:
    """The fairness bound of the paper, for equal weights: |W_a - W_b| <= largest item of a + largest item of b."""
    backlog = {f"client {number}": list(items) for number, items in enumerate(costs)}
    turns = data.draw(st.integers(0, min(len(items) for items in costs)))
    original = {client: list(items) for client, items in backlog.items()}
    order = served(FairQueue(), backlog, turns)
    work = {client: sum(original[client][: order.count(client)]) for client in original}
    for a, costs_of_a in original.items():
        for b, costs_of_b in original.items():
            assert abs(work[a] - work[b]) <= max(costs_of_a) + max(costs_of_b) + 1e-9
