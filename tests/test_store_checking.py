"""Digests and lengths, and bytes that pass through."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from pypicache.core.errors import Broken, Corrupt
from pypicache.core.model import File
from pypicache.store.checking import Check
from pypicache.store.through import HIGH, Through
from pypicache.upstream.body import Answer

PIECES = st.lists(st.binary(min_size=1, max_size=50), max_size=8)


def file_with(**hashes: str) -> File:
    """A file of the page."""
    return File(name="demo-1.0.tar.gz", url="http://up.example/demo-1.0.tar.gz", hashes=hashes)


def broken(check: Check, length: int | None) -> bool:
    """Whether the bytes are refused."""
    try:
        check.judge(length)
    except Corrupt:
        return True
    return False


@given(PIECES, PIECES, st.sampled_from(["sha256", "sha512", "sha1", "md5"]), st.none() | st.integers(0, 400))
def test_check(came: list[bytes], promised: list[bytes], algorithm: str, length: int | None) -> None:
    """Bytes are accepted just if they are the promised ones and as many as the head said."""
    digest = hashlib.new(algorithm, b"".join(promised), usedforsecurity=False).hexdigest()
    check = Check(file_with(**{algorithm: digest}))
    for piece in came:
        check.take(piece)
    whole = b"".join(came)
    assert check.size == len(whole)
    assert check.sha256 == hashlib.sha256(whole).hexdigest()
    assert broken(check, length) == (whole != b"".join(promised) or length not in {None, len(whole)})


@given(PIECES, PIECES)
def test_copy(first: list[bytes], second: list[bytes]) -> None:
    """A copy goes on alone."""
    whole = b"".join(first + second)
    check = Check(file_with(md5=hashlib.md5(whole, usedforsecurity=False).hexdigest()))
    for piece in first:
        check.take(piece)
    twin = check.copy()
    for piece in second:
        twin.take(piece)
    assert not broken(twin, len(whole))
    assert check.size == len(b"".join(first))


@given(PIECES, st.integers(0, 400))
def test_no_more_than(pieces: list[bytes], most: int) -> None:
    """What is too much is not taken."""
    check = Check(file_with())
    try:
        for piece in pieces:
            check.take(piece, most)
    except Corrupt as error:
        assert str(most) in str(error)
        assert check.size <= most < len(b"".join(pieces))
    else:
        assert check.size == len(b"".join(pieces)) <= most


def test_an_algorithm_that_nobody_knows() -> None:
    """It does not decide, and the next one does."""
    assert not Check(file_with(sha257="0" * 64)).decides
    check = Check(file_with(sha257="0" * 64, md5="0" * 32))
    assert check.decides
    assert broken(check, None)


class Response:
    """An upstream's response whose body the test sends."""

    code = 200
    request = None

    def __init__(self, length: Any) -> None:
        self.length = length
        self.headers = Headers()
        self.body: Any = None
        self.paused = False
        self.dropped = False

    def deliverBody(self, body: Any) -> None:  # noqa: N802 -- the name is part of IResponse
        self.body = body
        body.makeConnection(self)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def loseConnection(self) -> None:
        self.dropped = True

    def end(self, reason: Exception) -> None:
        """The connection's end."""
        self.body.connectionLost(Failure(reason))


class ThroughTests(SynchronousTestCase):
    """:class:`Through`."""

    @given(PIECES, st.integers(0, 60), st.none() | st.integers(1, 300), st.lists(st.integers(1, 60), min_size=1))
    def test_spans(self, pieces: list[bytes], skip: int, end: int | None, limits: list[int]) -> None:
        """The reader gets just its span, whatever the pieces are and however it reads."""
        response = Response(None)
        whole = b"".join(pieces)
        wanted = whole[skip:] if end is None else whole[skip : skip + end]
        reader = Through(Answer(response, Clock()), skip=skip, end=end)  # type: ignore[arg-type]  # a response in memory
        for piece in pieces:
            response.body.dataReceived(piece)
        response.end(ResponseDone())
        got = b""
        for number in range(10_000):
            reading = Deferred.fromCoroutine(reader.read(limits[number % len(limits)]))
            if end is not None and len(wanted) < end:
                self.failureResultOf(reading, Broken)
                return
            piece = self.successResultOf(reading)
            self.assertLessEqual(len(piece), limits[number % len(limits)])
            got += piece
            if not piece:
                break
        self.assertEqual(got, wanted)

    @given(PIECES, st.booleans())
    def test_checked(self, pieces: list[bytes], right: bool) -> None:
        """Of a checked file the last byte comes only when all is right."""
        response = Response(None)
        whole = b"".join(pieces)
        digest = hashlib.sha256(whole if right else whole + b"!").hexdigest()
        reader = Through(Answer(response, Clock()), check=Check(file_with(sha256=digest)))  # type: ignore[arg-type]  # a response in memory
        for piece in pieces:
            response.body.dataReceived(piece)
        got = b""
        while len(got) < len(whole) - 1:
            got += self.successResultOf(Deferred.fromCoroutine(reader.read(7)))
        last = Deferred.fromCoroutine(reader.read(7))
        self.assertNoResult(last)
        response.end(ResponseDone())
        if right:
            self.assertEqual(got + self.successResultOf(last), whole)
        else:
            self.failureResultOf(last, Corrupt)

    def test_uncertain_end(self) -> None:
        """A connection that is just closed ends what a digest confirms, and nothing else."""
        for check in (None, Check(file_with())):
            response = Response(None)
            reader = Through(Answer(response, Clock()), check=check)  # type: ignore[arg-type]  # a response in memory
            response.body.dataReceived(b"data")
            response.end(PotentialDataLoss())
            reading = Deferred.fromCoroutine(reader.read(100))
            self.failureResultOf(reading, Broken)

    def test_flow(self) -> None:
        """The upstream waits while too much waits here, and goes on when that was read."""
        response = Response(None)
        clock = Clock()
        reader = Through(Answer(response, clock))  # type: ignore[arg-type]  # a response in memory
        sent = 0
        while not response.paused:
            response.body.dataReceived(bytes(10_000))
            sent += 10_000
        self.assertLessEqual(sent, HIGH + 10_000)
        clock.advance(1000)
        self.assertFalse(response.dropped)
        while response.paused:
            self.assertTrue(self.successResultOf(Deferred.fromCoroutine(reader.read(10_000))))
        reader.close()
        self.assertTrue(response.dropped)
        self.assertEqual(clock.getDelayedCalls(), [])
