"""Requests whose body is judged by their headers, by somebody who takes time (:mod:`pypicache.web.bodies`)."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from pypicache.core.errors import Denied, PypicacheError, TooLarge
from pypicache.web.bodies import SMALL, BodyRequest, Collected, Intake
from pypicache.web.door import Door, LoggedSite
from tests.ring_one.network import Network, NetworkAgent
from tests.ring_one.publishing import Sender

LARGE = SMALL + 100


class Judged:
    """Takes what it is told to take, when it is told."""

    def __init__(self) -> None:
        self.verdict: Deferred[None] = Deferred()
        self.taken = b""
        self.left = 0
        self.most = 10**9

    async def admit(self) -> None:
        await self.verdict

    def take(self, piece: bytes) -> None:
        if len(self.taken) + len(piece) > self.most:
            raise TooLarge("too much")
        self.taken += piece

    def answer(self) -> None:
        return None

    def leave(self) -> None:
        self.left += 1


class Said(Door):
    """Answers with the number of bytes that were taken."""

    def __init__(self, judged: Judged) -> None:
        super().__init__(self, {"x-house": "yes"}, None, lambda: 7)
        self.judged = judged
        self.rendered = 0

    def stream(self, request: BodyRequest, method: bytes, uri: bytes, length: int | None) -> Intake | None:
        return self.judged if method == b"POST" else None

    def render(self, request: Request) -> bytes | int:
        self.rendered += 1
        refused = getattr(request, "refused", None)
        request.setResponseCode(200 if refused is None else 403)
        request.write(b"%d" % len(self.judged.taken))
        request.finish()
        return NOT_DONE_YET


class BodyTests(SynchronousTestCase):
    """What becomes of the body while nobody knows whether it is wanted."""

    def setUp(self) -> None:
        clock = Clock()
        self.network = Network(clock)
        self.judged = Judged()
        self.door = Said(self.judged)
        self.client = Sender()
        NetworkAgent(self.network, LoggedSite(self.door, clock)).connect(self.client)

    def send(self, *data: bytes) -> None:
        """Let the client send."""
        for piece in data:
            self.client.send(piece)
        self.network.flush()

    def begin(self, length: int) -> None:
        """Send the head of a request."""
        self.send(b"POST /u/i/ HTTP/1.1\r\nHost: cache.example\r\nContent-Length: %d\r\n\r\n" % length)

    def judge(self, error: PypicacheError | None = None) -> None:
        """Say whether the body is wanted."""
        if error is None:
            self.judged.verdict.callback(None)
        else:
            self.judged.verdict.errback(error)
        self.network.flush()

    def test_what_came_before_the_verdict_is_taken_after_it(self) -> None:
        self.begin(10)
        self.send(b"01234")
        self.assertEqual(self.judged.taken, b"")
        self.judge()
        self.assertEqual(self.judged.taken, b"01234")
        self.send(b"56789")
        self.assertEqual((self.judged.taken, self.client.status), (b"0123456789", 200))

    def test_a_whole_body_before_the_verdict(self) -> None:
        self.send(b"POST /u/i/ HTTP/1.1\r\nHost: cache.example\r\nContent-Length: 5\r\n\r\n01234")
        self.assertEqual(self.door.rendered, 0)
        self.judge()
        self.assertEqual((self.judged.taken, self.client.status, self.door.rendered), (b"01234", 200, 1))

    def test_nothing_more_is_read_before_the_verdict(self) -> None:
        self.begin(LARGE)
        self.send(b"x" * (LARGE - 1))
        waiting = sum(len(end.out) for end in self.network.ends)
        self.assertGreater(waiting, SMALL - 2**17, "the bytes wait on the wire, not in memory")
        self.judge()
        self.assertEqual(len(self.judged.taken), LARGE - 1)

    def test_refused_after_a_while(self) -> None:
        self.begin(LARGE)
        self.send(b"x" * 1000)
        self.judge(Denied("you may not"))
        self.assertEqual(self.client.status, 403)
        self.assertIn(b"you may not", self.client.received)
        self.assertIn(b"X-House: yes", self.client.received)
        self.assertEqual((self.judged.taken, self.judged.left), (b"", 1))
        self.send(b"x" * (LARGE - 1000))
        self.assertTrue(self.client.closed)
        self.assertEqual(self.door.rendered, 0)

    def test_refused_when_it_is_all_here(self) -> None:
        self.send(b"POST /u/i/ HTTP/1.1\r\nHost: cache.example\r\nContent-Length: 5\r\n\r\n01234")
        self.judge(Denied("you may not"))
        self.assertEqual((self.client.status, self.door.rendered), (403, 1))
        self.assertFalse(self.client.closed)

    def test_refused_in_the_middle(self) -> None:
        self.judged.most = 1000
        self.begin(LARGE)
        self.judge()
        self.send(b"x" * 1000)
        self.assertIsNone(self.client.status)
        self.send(b"x")
        self.assertEqual((self.client.status, self.judged.left), (413, 1))

    def test_a_failure_of_our_own(self) -> None:
        self.begin(10)
        self.judged.verdict.errback(ZeroDivisionError())
        self.send(b"0123456789")
        self.assertEqual(self.client.status, 403)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_client_that_leaves_before_the_verdict(self) -> None:
        self.begin(10)
        self.send(b"01234")
        self.client.transport.abortConnection()  # type: ignore[union-attr]  # an End of the network
        self.network.flush()
        self.assertEqual(self.judged.left, 1)
        self.judge()
        self.assertEqual(self.judged.taken, b"")

    def test_collected_bodies_have_a_limit(self) -> None:
        async def judge() -> None:
            return None

        collected = Collected(judge, 10)
        collected.take(b"0123456789")
        with self.assertRaises(TooLarge):
            collected.take(b"x")
