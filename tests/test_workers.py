"""What a worker keeps, and how it and the daemon understand one another, without processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pypicache.core.model import Project, ProjectName
from pypicache.store.local import Shelf
from pypicache.web.asked import Asked, FileAt, PageAt, place
from pypicache.web.negotiation import Coding, Format
from pypicache.web.offers import Ready
from pypicache.workers.messages import Unpacker, packed
from pypicache.workers.replica import LIGHT, Question, Replica, file_offer, page_offer
from pypicache.workers.turns import REST, take_turns

PLAIN = Asked.plain(Format.JSON, Coding.GZIP)
NEVER = float("inf")


def page_question(project: str, prefix: str = "", coding: str = "GZIP") -> Question:
    return ("page", "root/pypi", project, prefix, "JSON", coding)


def offer(project: str, body: bytes = b"body", until: float = NEVER) -> tuple[object, ...]:
    value = Project(name=ProjectName(project), revision="r", serial=7, checked=3.0)
    return page_offer(value, Ready(etag="tag", body=body), until)


def at(project: str) -> PageAt:
    found = place(f"/root/pypi/+simple/{project}/".encode())
    assert isinstance(found, PageAt)
    return found


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.advance(1_000)
    return clock


@pytest.fixture
def replica(tmp_path: Path, clock: Clock) -> Replica:
    shelf = Shelf(tmp_path)
    shelf.prepare()
    return Replica(shelf, clock, 10 * (LIGHT + 1000))


def test_a_page_is_answered_as_it_was_offered(replica: Replica) -> None:
    replica.take(page_question("demo"), offer("demo"))
    found = replica.page(at("demo"), PLAIN, "")
    assert found is not None
    assert (found.ready.etag, found.ready.body, found.private) == ("tag", b"body", False)
    assert (found.project.serial, found.project.checked, found.project.stale) == (7, 3.0, False)
    assert replica.uses == {page_question("demo"): 1}
    assert replica.missed is None


@pytest.mark.parametrize(
    ("asked", "prefix", "missed"),
    [
        (Asked.plain(Format.JSON, Coding.ZSTD), "", page_question("demo", coding="ZSTD")),
        (PLAIN, "/pre", page_question("demo", "/pre")),
    ],
)
def test_what_was_not_offered_is_to_be_asked_for(asked: Asked, prefix: str, missed: Question, replica: Replica) -> None:
    replica.take(page_question("demo"), offer("demo"))
    assert replica.page(at("demo"), asked, prefix) is None
    assert replica.missed == missed
    assert not replica.uses


def test_an_offer_has_an_end(replica: Replica, clock: Clock) -> None:
    replica.take(page_question("demo"), offer("demo", until=1_010))
    clock.advance(9)
    assert replica.page(at("demo"), PLAIN, "") is not None
    clock.advance(1)
    assert replica.page(at("demo"), PLAIN, "") is None
    assert replica.missed == page_question("demo")


@pytest.mark.parametrize(("changed", "left"), [("one", {"two"}), (None, set()), ("three", {"one", "two"})])
def test_what_changed_is_forgotten(changed: str | None, left: set[str], replica: Replica) -> None:
    for project in ("one", "two"):
        replica.take(page_question(project), offer(project))
        replica.take(page_question(project, coding="ZSTD"), offer(project))
    replica.forget(changed)
    for coding in (Coding.GZIP, Coding.ZSTD):
        asked = Asked.plain(Format.JSON, coding)
        assert {name for name in ("one", "two") if replica.page(at(name), asked, "") is not None} == left


def test_what_is_not_used_for_the_longest_goes_first(replica: Replica) -> None:
    for number in range(10):
        replica.take(page_question(f"p{number}"), offer(f"p{number}", b"x" * 1000))
    assert replica.page(at("p0"), PLAIN, "") is not None
    replica.take(page_question("more"), offer("more", b"x" * 1000))
    kept = {name for name in [f"p{number}" for number in range(10)] if replica.page(at(name), PLAIN, "") is not None}
    assert kept == {f"p{number}" for number in range(10)} - {"p1"}


def test_the_same_page_again_takes_no_more_room(replica: Replica) -> None:
    for _ in range(100):
        replica.take(page_question("demo"), offer("demo", b"x" * 1000))
    replica.take(page_question("other"), offer("other", b"x" * 1000))
    assert replica.page(at("demo"), PLAIN, "") is not None


def test_a_file_is_looked_for_each_time(replica: Replica, tmp_path: Path) -> None:
    found = place(b"/root/pypi/+f/123/4567890123456/demo-1.0-py3-none-any.whl")
    assert isinstance(found, FileAt)
    key = f"root/pypi/{found.path}"
    question = ("file", "root/pypi", "demo", found.path)
    assert replica.file(found, PLAIN) is None
    assert replica.missed == question
    replica.take(question, file_offer(key, "tag", 5.0, "no-cache", NEVER))
    assert replica.file(found, PLAIN) is None, "it is not on the shelf"
    path = tmp_path / "+files" / key
    path.parent.mkdir(parents=True)
    path.write_bytes(b"wheel")
    held = replica.file(found, PLAIN)
    assert held is not None
    assert (held.found.size, held.etag, held.modified, held.cache_control) == (5, "tag", 5.0, "no-cache")
    Shelf(tmp_path).root.joinpath(key).unlink()
    assert replica.file(found, PLAIN) is None


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_messages_come_whole_however_they_are_cut(size: int) -> None:
    sent = [("ask", 1, ("page", "a/b")), ("changed", None, 5), ("answer", 2, ("x", b"\0" * 300, 1.5, None))]
    stream = b"".join(packed(*message) for message in sent)
    unpacker = Unpacker()
    got = [message for at in range(0, len(stream), size) for message in unpacker.feed(stream[at : at + size])]
    assert got == sent


def test_a_message_of_no_sane_length_is_none() -> None:
    with pytest.raises(ValueError, match="bytes"):
        list(Unpacker().feed(b"\xff" * 8))


class _Port:
    """A listening socket with clients that wait, as take_turns sees one."""

    def __init__(self, clock: Clock, waiting: int) -> None:
        self.reactor = clock
        self.waiting = waiting
        self.sessionno = 0
        self.numberAccepts = 100
        self.reading = self.connected = True
        self.disconnecting = False

    def doRead(self) -> None:  # noqa: N802 -- a method of twisted's
        taken = min(self.waiting, self.numberAccepts)
        self.waiting -= taken
        self.sessionno += taken

    def stopReading(self) -> None:  # noqa: N802 -- a method of twisted's
        self.reading = False

    def startReading(self) -> None:  # noqa: N802 -- a method of twisted's
        self.reading = True


def test_a_connection_is_left_to_the_others_after_each() -> None:
    clock = Clock()
    port = take_turns(_Port(clock, 8))
    port.doRead()
    assert (port.waiting, port.reading) == (7, False)
    clock.advance(REST)
    assert port.reading
    clock.advance(1)
    port.doRead()
    assert port.waiting == 6


def test_a_rush_is_taken_in_longer_turns() -> None:
    clock = Clock()
    clock.advance(100)
    port = take_turns(_Port(clock, 1_000))
    turns = 0
    while port.waiting:
        port.doRead()
        clock.advance(REST)
        turns += 1
    assert turns < 30


def test_nobody_rests_for_nothing() -> None:
    port = take_turns(_Port(Clock(), 0))
    port.doRead()
    assert port.reading


def test_a_port_that_was_closed_meanwhile_stays_so() -> None:
    clock = Clock()
    port = take_turns(_Port(clock, 1))
    port.doRead()
    port.connected = False
    clock.advance(1)
    assert not port.reading
