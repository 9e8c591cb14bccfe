"""The fast lane answers as the normal path does: the same bytes, the same log, the same end of the connection."""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypicache.web.sheets import LARGE
from tests.ring_one.files import bytes_of
from tests.ring_one.house import PIP
from tests.ring_one.lanes import ACCEPT, AGENTS, BROWSER, DAY, EARLY, FIELDS, LATE, ODD, RANGES, Heard, LaneCase
from tests.ring_one.network import NetworkAgent
from tests.ring_one.publishing import Sender


class AnyStreamTests(LaneCase):
    """Whatever is sent to both doors, nobody can tell them apart."""

    counted: ClassVar[list[tuple[int, int]]] = []  # answers, and how many of them were the lane's, per example

    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def _send(self, data: Any) -> None:
        pieces, waits = data.draw(LaneCase.stream(self))
        slow, fast = self.same(pieces, waits)
        self.assertEqual(slow.fast, 0)
        self.counted.append((fast.answers, fast.fast))

    def test_any_stream(self) -> None:
        """Any bytes, in any pieces; a good part of them goes through the lane."""
        self.counted.clear()
        self._send()
        answers, fast = map(sum, zip(*self.counted, strict=True))
        self.assertGreater(fast, answers / 8, f"{fast} of {answers} answers came through the lane")


class SameTests(LaneCase):
    """Single streams that make a difference, or once made one."""

    def setUp(self) -> None:
        super().setUp()
        self.big = next(target for target in self.targets if "demo-3.0.zip" in target and "/root/" in target)
        self.demo = "/root/pypi/+simple/demo/"

    def ask(self, target: str, *fields: str, method: str = "GET") -> bytes:
        """A request."""
        return "\r\n".join([f"{method} {target} HTTP/1.1", "host: cache.example", *fields, "", ""]).encode("latin-1")

    def both(self, *pieces: bytes, wait: float = 0.0) -> Heard:
        """What both doors say; time passes after the last piece."""
        return self.same(pieces, [0.0] * (len(pieces) - 1) + [wait])[1]

    def test_every_target(self) -> None:
        """All there is, plainly asked for, through the lane where it is at hand."""
        fast = [self.both(self.ask(target, *self.proofs[0])).fast for target in self.targets]
        away = [target for target, one in zip(self.targets, fast, strict=True) if not one]
        self.assertTrue(all("demo-4.0" in target or "a-b-1" in target for target in away), away)

    def test_as_pip_writes_it(self) -> None:
        """Files and their metadata at hand, with the plus of the address quoted."""
        held = [
            target for target in self.targets if "/+f/" in target and "demo-4.0" not in target and "a-b" not in target
        ]
        fast = [self.both(self.ask(target.replace("+", "%2B"), *self.proofs[0])).fast for target in held]
        self.assertGreater(len(fast), 5)
        self.assertEqual(fast, [1] * len(held))

    def test_every_field(self) -> None:
        """Every field that is worth a thought, at an address of each kind, alone and with those that it goes with."""
        page, own = "/team/over/+simple/demo/", "/alice/dark/+simple/mine/"
        held = next(target for target in self.targets if "demo-1.0.tar.gz" in target and "/root/" in target)
        side = next(target for target in self.targets if target.endswith(".metadata") and "/alice/dark" in target)
        fast = 0
        for target in (page, own, held, side, self.big, "/root/pypi/demo"):
            tags = self.tags[target]
            alone = [f"{name}: {value}" for name, values in FIELDS.items() for value in values]
            alone += [f"if-none-match: {value}" for tag in tags for value in (tag, f"W/{tag}", f'"x", {tag}', tag[:-1])]
            sets = [[one] for one in [*alone, *ODD]]
            sets += [
                [f"range: {one}", f"if-range: {other}"]
                for one in RANGES[:3]
                for other in [*tags[:1], DAY, EARLY, '"x"']
            ]
            sets += [[f"if-none-match: {tag}", f"if-modified-since: {LATE}"] for tag in [*tags[:1], '"x"']]
            sets += [[f"accept: {PIP}", "cache-control: max-age=0", f"user-agent: {agent}"] for agent in AGENTS]
            sets += [[f"accept: {accept}", f"user-agent: {agent}"] for accept in ACCEPT for agent in ("pip/25.0", "x")]
            sets += [[one, one] for one in ("accept: text/html", "range: bytes=0-4", "connection: close", "x-a: b")]
            for number, fields in enumerate(sets):
                method = "HEAD" if number % 4 == 0 else "GET"
                fast += self.both(self.ask(target, *fields, *self.proofs[0], method=method)).fast
        self.assertGreater(fast, 300)

    def test_a_fresh_look(self) -> None:
        """Whoever wants the upstream to be asked has it asked, through this door as well."""
        for wish in ("cache-control: no-cache", "cache-control: max-age=0", "pragma: no-cache"):
            self.advance(1)  # so often it may be asked
            before = len(self.up.log)
            sender = Sender()
            NetworkAgent(self.network, self.fast.site).connect(sender)
            sender.send(self.ask(self.demo, wish, f"accept: {PIP}"))
            self.arrive()
            self.assertEqual((sender.status, len(self.up.log) - before), (200, 1), wish)

    def test_an_idle_client_after_a_large_file(self) -> None:
        """The connection is closed after the usual time, and not kept for ever."""
        heard = self.both(self.ask(self.big), wait=76)
        self.assertEqual((heard.fast, heard.closed), (1, True))
        self.assertFalse(self.both(self.ask(self.big), wait=74).closed)

    def test_time_while_a_large_file_goes_out(self) -> None:
        """A slow reader is not cut off for its slowness, and asks again afterwards."""
        sender = self.slowly(self.ask(self.big))
        for _ in range(3):
            self.advance(74)
            self.arrive()
        self.go_on(sender)
        self.assertIn(b"content-length: 200000\r\n", sender.received.lower())
        self.assertEqual((len(sender.received.partition(b"\r\n\r\n")[2]), sender.closed), (200_000, False))

    def test_a_client_that_reads_late(self) -> None:
        """What it asks for after a file that had to wait for room is sent as well."""
        filler = self.fill()
        sender = self.slowly(filler, self.ask(self.big))
        self.go_on(sender)
        before = len(sender.received)
        sender.send(self.ask(self.big, "cookie: a=b"))
        self.arrive()
        self.assertGreater(len(sender.received) - before, 200_000)

    def test_requests_while_a_large_file_goes_out(self) -> None:
        """They are answered one after the other, in their order."""
        requests = [self.ask(self.big), self.ask(self.demo, "accept: */*"), self.ask(self.big, "range: bytes=5-9")]
        heard = self.both(*requests)
        self.assertEqual((heard.answers, heard.fast), (3, 3))
        self.both(requests[0], b"".join(requests[1:]))
        self.both(b"".join(requests))
        self.both(self.ask(self.big, "connection: close"), *requests)
        self.both(requests[0], self.ask(self.demo, "connection: close"), *requests)

    def test_a_great_deal_of_requests_while_a_large_file_goes_out(self) -> None:
        """More than is read ahead: the client has to wait, and gets all of them."""
        sender = self.slowly(self.ask(self.big), *[self.ask(self.demo, "accept: */*", "x-pad: " + "x" * 3000)] * 60)
        self.go_on(sender)
        self.assertEqual(sender.received.count(b"HTTP/1.1 200 OK"), 61)

    def test_long_heads(self) -> None:
        """Around what is taken at most, in bytes and in lines."""
        for size in (15_000, 15_900, 16_000, 16_100, 16_250, 16_320, 16_384, 17_000, 40_000):
            self.both(self.ask(self.demo, "x-long: " + "x" * size))
        for number in (58, 59, 60, 61, 499, 500, 501, 600):
            self.both(self.ask(self.demo, *[f"x-{at}: {at}" for at in range(number)]))

    def test_empty_lines_before_a_request(self) -> None:
        """One is taken, a second one is not, wherever plain requests stand between."""
        plain = self.ask(self.demo, "accept: */*")
        for pieces in (
            [b"\r\n", plain, b"\r\n", plain], [b"\r\n", b"\r\n", plain], [plain, b"\r\n" + plain, plain],
            [b"\r\n" + plain], [plain, b"\r\n\r\n", plain], [b"\r", b"\n", plain],
        ):  # fmt: skip
            self.both(*pieces)

    def test_outside_urls(self) -> None:
        """Those that cannot be read are as if they had not been sent."""
        for url in ("http://[", "http://[::1]:80/pre", "http://]/", "http://out.example:x/", "http://a/../b", "///"):
            for target in (self.demo, f"/pre{self.demo}", f"/../b{self.demo}"):
                heard = self.both(self.ask(target, f"x-outside-url: {url}", "accept: */*"))
                self.assertNotIn(b"500 Internal", heard.data)
        self.assertIn(b"/pre/root/pypi/+f/", self.both(self.ask(self.demo, "x-outside-url: http://h/pre")).data)

    def test_one_file_for_two_projects(self) -> None:
        """A token that is limited to a project sees the files that may be of it."""
        for target in self.targets:
            for proof in self.proofs:
                self.both(self.ask(target, *proof))

    def test_a_file_that_is_shorter_than_it_was(self) -> None:
        """Neither door gives what looks like a whole file."""
        path = self.house.shelf.path(self.big.removeprefix("/"))
        kept = self.house.shelf.open(self.big.removeprefix("/"))
        assert kept is not None
        self.addCleanup(self.house.shelf.close, kept)
        sender = self.slowly(self.ask(self.big))
        path.write_bytes(bytes_of(150_000))
        self.go_on(sender)
        self.assertTrue(sender.closed)
        self.assertLess(len(sender.received), 200_000)

    def test_a_small_file_that_changes(self) -> None:
        """What is sent is what lies there now, and what was deleted is gone."""
        target = next(target for target in self.targets if "demo-9.0.zip" in target and "/team/dev" in target)
        shelf, key = self.house.shelf, target.removeprefix("/")
        before = self.both(self.ask(target))
        found = shelf.look(key)
        assert found is not None
        self.assertEqual(shelf.small.get(key, found.stamp), b"private")
        self.assertEqual(self.both(self.ask(target)).data, before.data)
        for content in (b"PRIVATE", b"longer than before"):
            shelf.path(key).write_bytes(content)
            for _ in range(2):
                self.assertTrue(self.both(self.ask(target)).data.endswith(b"\r\n\r\n" + content))
        shelf.path(key).unlink()
        self.assertNotIn(b"longer", self.both(self.ask(target)).data)

    def test_a_large_page(self) -> None:
        """It goes out like a large file, while more is asked for, and as it is when it has changed."""
        page = "/root/pypi/+simple/many/"
        for number in (800, 900):
            self.mirrored("many", *[part for n in range(number) for part in (f"many-{n}.zip", b"%d" % n)])
            self.advance(2000)
            self.learn(page)
            ask = self.ask(page, f"accept: {BROWSER}", "accept-encoding: identity")
            heard = self.both(ask, self.ask(self.demo, "accept: */*"), ask)
            self.assertEqual((heard.answers, heard.fast), (3, 3))
            self.assertGreater(len(heard.data), 2 * LARGE)
            self.assertEqual(heard.data.count(b"many-%d.zip</a>" % (number - 1)), 2)
            self.both(self.ask(page, f"accept: {BROWSER}", "connection: close"), self.ask(self.demo))
            self.both(self.ask(page, f"accept: {BROWSER}", method="HEAD"))

    def test_nothing_stays_open(self) -> None:
        """Whoever leaves in the middle of a file leaves nothing behind."""
        key = self.big.removeprefix("/")
        for range_ in ("", "bytes=0-99999", "bytes=-70000", "bytes=999999-", "bytes=5-9", "items=1-"):
            for method in ("GET", "HEAD"):
                sender = self.slowly(self.ask(self.big, *([f"range: {range_}"] if range_ else []), method=method))
                sender.leave()
                self.arrive()
                self.assertFalse(self.house.shelf.in_use(key), (range_, method))

    # -- a client that reads slowly --------------------------------------------------------------------------------

    def slowly(self, *pieces: bytes) -> Sender:
        """A client of the fast door that has sent this, and reads nothing yet."""
        sender = Sender()
        NetworkAgent(self.network, self.fast.site).connect(sender)
        sender.transport.pauseProducing()  # type: ignore[union-attr]  # an end of the network
        for piece in pieces:
            sender.send(piece)
            self.arrive()
        return sender

    def go_on(self, sender: Sender) -> None:
        """Let a client read."""
        sender.transport.resumeProducing()  # type: ignore[union-attr]  # an end of the network
        self.arrive()

    def fill(self) -> bytes:
        """A request whose answer almost fills the buffer of a connection."""
        head = len(self.both(self.ask(self.big, "range: bytes=10000-19999")).data) - 10_000
        request = self.ask(self.big, f"range: bytes=10000-{10_000 + 65_500 - head - 1}")
        self.assertIn(len(self.both(request).data), range(65_400, 65_536))
        return request
