"""What somebody has to be asked for comes through the lane as it comes on the normal path, and waits as patiently."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred

from pypicache.web.door import LoggedSite
from pypicache.web.served import Served
from tests.ring_one.files import bytes_of
from tests.ring_one.house import PIP, HouseCase, file_of, page_of
from tests.ring_one.lanes import DATE
from tests.ring_one.network import Network, NetworkAgent
from tests.ring_one.publishing import Sender

PAGE = "/root/pypi/+simple/demo/"
SMALL, LARGE = b"a small wheel", bytes_of(300_000)
METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"


def right(target: str) -> bool:
    """Whether the upstream has the bytes that its page promises, or none; a longer answer is cut off otherwise."""
    return "demo-3.0" not in target


class ComingTests(HouseCase):
    """Nobody has asked for anything before."""

    def setUp(self) -> None:
        super().setUp()
        self.houses = 0
        said: dict[str, object] = {"core-metadata": {"sha256": sha256(METADATA).hexdigest()}}
        files: dict[str, tuple[bytes, dict[str, object]]] = {
            "demo-1.0-py3-none-any.whl": (SMALL, said),
            "demo-2.0-py3-none-any.whl": (LARGE, {}),
            "demo-3.0-py3-none-any.whl": (b"with other bytes", {"hashes": {"sha256": "0" * 64}}),
            "demo-4.0-py3-none-any.whl": (b"of no date", {"upload-time": None}),
            "demo-5.0-py3-none-any.whl": (b"gone", {}),
            "demo-6.0-py3-none-any.whl": (b"", {}),
            "a-b-1.zip": (b"of a project that may be another", {}),
        }
        listed = [file_of(name, content, **keys) for name, (content, keys) in files.items()]
        self.up.pages["/simple/demo/"] = page_of("demo", *listed[:-1])
        self.up.pages["/simple/a-b/"] = page_of("a-b", listed[-1])
        self.up.files = {f"/packages/{name}": content for name, (content, _) in files.items()}
        self.up.files["/packages/demo-1.0-py3-none-any.whl.metadata"] = METADATA
        del self.up.files["/packages/demo-5.0-py3-none-any.whl"]
        self.targets = [*self._addresses("demo"), *self._addresses("a-b")]
        self.targets.append(self.targets[0] + ".metadata")
        self.enter(lane=True)

    def _addresses(self, project: str) -> list[str]:
        return [file["url"] for file in self.page(project).json()["files"]]

    def enter(self, *, lane: bool) -> None:
        """Begin anew with a house that knows nothing, behind a door with or without the lane."""
        self.houses += 1
        self.stop()
        state = self.directory / f"house-{self.houses}"
        state.mkdir()
        self.start(state=state)
        self.log: list[Served] = []
        self.network = Network(self.clock)
        self.site = LoggedSite(self.house.door, self.clock, self.house.lane if lane else None)
        self.site.served.listeners.append(lambda served: self.log.extend(served))

    def connect(self) -> Sender:
        """A client."""
        sender = Sender()
        NetworkAgent(self.network, self.site).connect(sender)
        return sender

    def arrive(self) -> None:
        """Let everything that is on its way arrive."""
        for _ in range(12):
            self.network.flush()
            self.upstream_agent.flush()

    def request(self, target: str, method: str = "GET", fields: Mapping[str, str] | None = None) -> bytes:
        """The bytes of a question."""
        named = {"host": "cache.example", "accept": PIP, **(fields or {})}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
        return "\r\n".join([*lines, "", ""]).encode()

    def heard(self, *requests: bytes) -> tuple[bytes, bool, list[object]]:
        """What comes back, without dates; whether the connection was closed; what the log says."""
        sender = self.connect()
        for request in requests:
            sender.send(request)
            self.arrive()
            self.advance(1)
            self.arrive()
        self.site.served.tell()
        log: list[object] = [tuple(one.fields().values()) for one in self.log]
        return DATE.sub(b"Date: then\r", sender.received), sender.closed, log

    def same(self, *requests: bytes) -> bytes:
        """What both doors say to questions that nobody asked before."""
        answers = []
        for lane in (False, True):
            self.enter(lane=lane)
            began = len(self.up.log)
            answers.append((*self.heard(*requests), [asked.path for asked in self.up.log[began:]]))
        self.assertEqual(*answers)
        self.assertTrue(answers[0][0])
        return answers[0][0]

    def test_pages(self) -> None:
        """A page, one that is not there, under either kind of address, in every form."""
        for target in (PAGE, PAGE.rstrip("/"), "/root/pypi/demo", "/root/pypi/+simple/nothing/", "/no/index/demo/"):
            for method in ("GET", "HEAD"):
                for fields in ({}, {"accept": "text/html"}, {"accept-encoding": "gzip"}, {"if-none-match": "*"}):
                    self.same(self.request(target, method, fields))

    def test_files(self) -> None:
        """Small and large ones, wrong and missing ones, whole and in part."""
        forms: tuple[dict[str, str], ...] = (
            {}, {"range": "bytes=2-5"}, {"if-none-match": "*"}, {"connection": "close"},
            {"if-modified-since": "Thu, 01 Jan 2026 00:00:00 GMT"},
        )  # fmt: skip
        for target in filter(right, self.targets):
            for method in ("GET", "HEAD"):
                for fields in forms:
                    self.same(self.request(target, method, fields))

    def test_again(self) -> None:
        """What came, and what is not there, asked for twice over the same connection."""
        for target in (PAGE, "/root/pypi/+simple/nothing/", *filter(right, self.targets)):
            self.same(self.request(target), self.request(target))

    def test_wrong_bytes(self) -> None:
        """Of a small file that is not what was promised nothing is sent, not even a status that means success."""
        [target] = [target for target in self.targets if not right(target)]
        data, closed, _ = self.heard(self.request(target))
        self.assertTrue(data.startswith(b"HTTP/1.1 502 "), data)
        self.assertFalse(closed)
        self.assertFalse(self.house.shelf.holds(target.lstrip("/")))

    def test_trouble(self) -> None:
        """An upstream that cannot be used, with and without something remembered."""
        for status in (500, 503, 404, 403, 429):
            self.up.status = status
            for target in (PAGE, self.targets[0]):
                self.same(self.request(target))
        self.up.status = 200

    def test_stale(self) -> None:
        """A page that is past its time, while the upstream is away."""
        for lane in (False, True):
            self.enter(lane=lane)
            self.heard(self.request(PAGE))
            self.advance(4000)
            self.up.status = 500
            data, _, _ = self.heard(self.request(PAGE))
            self.assertIn(b"x-pypicache-stale", data.lower(), lane)
            self.up.status = 200

    def test_the_lane_was_used(self) -> None:
        """Only the lane says the time of the daemon's own clock."""
        for target in (PAGE, self.targets[0], self.targets[-1]):
            self.enter(lane=True)
            sender = self.connect()
            sender.send(self.request(target))
            self.arrive()
            self.assertIn(b"14 Nov 2023", sender.received, target)

    def test_on_the_shelf(self) -> None:
        """What was sent from memory is kept."""
        self.heard(self.request(self.targets[0]))
        self.assertTrue(self.house.shelf.holds(self.targets[0].lstrip("/")))

    def test_one_after_the_other(self) -> None:
        """What the client sends while it waits is answered afterwards, in order."""
        self.up.gate = Deferred()
        sender = self.connect()
        sender.send(self.request(PAGE))
        self.arrive()
        sender.send(self.request("/+health/live") + self.request("/root/pypi/+simple/nothing/"))
        self.arrive()
        self.assertEqual(sender.received, b"")
        self._open()
        self.assertEqual(re.findall(rb"HTTP/1\.1 (\d+)", sender.received), [b"200", b"200", b"404"])

    def test_too_much_meanwhile(self) -> None:
        """A client that goes on sending is not read from, and answered in the end."""
        self.up.gate = Deferred()
        sender = self.connect()
        sender.send(self.request(PAGE))
        self.arrive()
        for _ in range(4_000):
            sender.send(self.request("/+health/live"))
        self.arrive()
        self.assertLess(len(self._awaited()), 200_000)
        self._open()
        for _ in range(40):
            self.arrive()
        self.assertEqual(sender.received.count(b"HTTP/1.1 200 OK"), 4_001)

    def _awaited(self) -> bytes:
        [channel] = [end.protocol for end in self.network.ends if isinstance(end.protocol, Sender) is False]
        held: Any = getattr(channel, "_channel", channel)._outgoing._held
        return bytes(held)

    def _open(self) -> None:
        gate: Deferred[Any] = self.up.gate or Deferred()
        gate.callback(None)
        self.arrive()

    def test_a_client_that_leaves(self) -> None:
        """The question goes on for others, and nothing is logged of the one who left."""
        self.up.gate = Deferred()
        sender, other = self.connect(), self.connect()
        for one in (sender, other):
            one.send(self.request(PAGE))
        self.arrive()
        sender.leave()
        self.arrive()
        self._open()
        self.assertEqual((sender.received, other.status), (b"", 200))
        self.assertEqual(self.up.asked("/simple/demo/"), 2)  # once to find the addresses out

    def test_a_long_wait(self) -> None:
        """A file that takes minutes is waited for; after that the client has its usual time."""
        self.heard(self.request(PAGE))
        self.up.gate = Deferred()
        sender = self.connect()
        sender.send(self.request(self.targets[0]))
        self.arrive()
        self.advance(25)
        self.arrive()
        self.assertFalse(sender.closed)
        self._open()
        self.assertEqual((sender.status, sender.closed), (200, False))
        self.advance(76)
        self.arrive()
        self.assertTrue(sender.closed)


class PatientTests(HouseCase):
    """There is always something to do, so files that were sent wait for the disk."""

    def setUp(self) -> None:
        super().setUp()
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.0-py3-none-any.whl", SMALL))
        self.up.files["/packages/demo-1.0-py3-none-any.whl"] = SMALL
        [file] = self.files("demo")
        self.url = file["url"]
        self.assertEqual(self.get(self.url).body, SMALL)

    def tearDown(self) -> None:
        self.successResultOf(self.house.tasks.stop())
        super().tearDown()

    def when_calm(self) -> Deferred[None]:
        return Deferred()

    def test_meanwhile(self) -> None:
        """They are sent to others, whole and in part, and nobody is asked again."""
        part = self.get(self.url, range="bytes=2-6")
        self.assertEqual((part.code, part.body), (206, SMALL[2:7]))
        self.assertFalse(self.house.shelf.holds(self.url.lstrip("/")))
        first = self.get(self.url)
        self.assertTrue(self.house.shelf.holds(self.url.lstrip("/")), "who is asked for again does not wait")
        again = self.get(self.url)
        self.assertEqual((first.body, first.headers), (again.body, again.headers))
        part = self.get(self.url, range="bytes=2-6")
        self.assertEqual((part.code, part.body), (206, SMALL[2:7]))
        self.assertEqual(self.up.asked("/packages/demo-1.0-py3-none-any.whl"), 1)

    def test_a_stop(self) -> None:
        """They are there after a restart, and so is the page."""
        self.stop()
        self.assertTrue(self.house.shelf.holds(self.url.lstrip("/")))
        self.start(offline=True)
        self.assertEqual(self.get(self.url).body, SMALL)
