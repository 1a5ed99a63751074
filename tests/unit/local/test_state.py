"""Who runs the stack of a folder: the lock, and what the file says."""

from pathlib import Path

import pytest

from deploy.local.state import FILE, AlreadyRunning, State, claimed, running

UP = State(pid=1, url="http://127.0.0.1:8080", mongodb_uri="mongodb://127.0.0.1:1/", ports={"mongod": 1})


def test_a_stack_is_seen_from_beside_while_it_runs_only(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    with claimed(tmp_path) as claim:
        claim.write(UP)
        assert running(tmp_path) == UP
    assert running(tmp_path) is None


def test_a_stack_that_still_starts_is_not_there_yet(tmp_path: Path) -> None:
    with claimed(tmp_path) as claim:
        claim.write(State(pid=1, ports={"mongod": 1}))
        assert running(tmp_path) is None


def test_a_second_claim_is_refused_with_the_words_to_act_on(tmp_path: Path) -> None:
    with claimed(tmp_path) as claim:
        claim.write(UP)
        with (
            pytest.raises(AlreadyRunning, match=r"\(pid 1\) at http://127\.0\.0\.1:8080\..*LOCAL_DIR"),
            claimed(tmp_path),
        ):
            pass
    with claimed(tmp_path) as again:
        assert again.last == UP


@pytest.mark.parametrize("content", [b"", b'{"pid": 1, "por', b"[1]", b'{"nobody": "knows"}', b"\xff\x00"])
def test_a_file_that_was_cut_off_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with claimed(tmp_path) as claim:
        assert claim.last == State()


def test_a_shorter_state_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    with claimed(tmp_path) as claim:
        claim.write(UP)
        claim.write(State(pid=2))
    with claimed(tmp_path) as again:
        assert again.last == State(pid=2)
