"""``X-Devpi-Serial`` of an answer (contract devpi 1.2): replicas and scripts wait for it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.ring_one.house import Answer
from tests.ring_one.publishing import BOUNDARY, multipart, plain, wheel
from tests.ring_one.stages import ALICE, StagesCase


class SerialTests(StagesCase):
    """A write says its own serial, a read the one of its beginning."""

    def serial(self, answer: Answer) -> int:
        """What an answer says, and that it says it once."""
        assert answer.headers.getRawHeaders("x-devpi-serial") == [answer.header("x-devpi-serial")]
        return int(answer.header("x-devpi-serial") or "")

    @property
    def last(self) -> int:
        """The last serial of the ledger."""
        return self.house.ledger.serial

    def test_a_write(self) -> None:
        """The serial after the commit, whatever kind of answer it is."""
        dist = wheel()
        form = multipart(plain(dist), dist)
        content_type = f"multipart/form-data; boundary={BOUNDARY}"
        for ask in (
            lambda: self.send("PUT", "/alice/new", {}, **ALICE),
            lambda: self.send("PATCH", "/alice/new", {"title": "New"}, **ALICE),
            lambda: self.send("POST", "/alice/dev/", form, **{**ALICE, "content_type": content_type}),
            lambda: self.send("DELETE", "/alice/new", **ALICE),
        ):
            before = self.last
            answer = ask()
            assert answer.code in {200, 201}, answer
            assert self.last == before + 1
            assert self.serial(answer) == self.last

    def test_nothing_was_changed(self) -> None:
        """Refused, or as it was: the serial that there is."""
        before = self.last
        assert self.serial(self.send("PUT", "/alice/new", {"foo": "bar"}, **ALICE)) == before
        assert self.serial(self.send("PUT", "/alice/new", {})) == before
        assert self.serial(self.get("/alice/nothing/here/at/all")) == before

    def test_a_read(self) -> None:
        """What was recorded while the answer was made may be missing in it."""
        self.up.gate = Deferred()
        before = self.last
        page = self.begin("/root/pypi/+simple/demo/")
        self.send("PUT", "/alice/new", {}, **ALICE)
        assert self.last == before + 1
        gate: Deferred[Any] = self.up.gate
        gate.callback(None)
        assert self.serial(page.answer()) == before
