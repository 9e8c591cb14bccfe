"""Bytes of a deleted file are removed at the moment at which somebody puts the same file back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.ring_one.publishing import BOUNDARY, multipart, plain, wheel
from tests.ring_one.shelved import ShelvedCase

FROM, TO = "alice/from", "alice/to"
DIST = wheel()


class RemovalRaces(ShelvedCase):
    """Every order of the two that threads allow."""

    def setUp(self) -> None:
        self.held: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.hold: Callable[[str], bool] = lambda name: False
        super().setUp()
        for index in (FROM, TO):
            self.stage(index)
            assert self.upload(index) == 200
        self.place = f"{TO}/{DIST.path}"

    def recording(self, function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
        return self._perhaps("record", super().recording, function, *arguments)

    def in_thread(self, function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
        return self._perhaps(function.__name__, super().in_thread, function, *arguments)

    def _perhaps(self, name: str, run: Callable[..., Deferred[Any]], *arguments: Any) -> Deferred[Any]:
        if not self.hold(name):
            return run(*arguments)
        waiting: Deferred[Any] = Deferred()
        self.held.append((waiting, lambda: run(*arguments)))
        return waiting

    def go_on(self) -> None:
        """Let the thread that was held longest do its work."""
        waiting, run = self.held.pop(0)
        run().chainDeferred(waiting)
        self.settle()

    def upload(self, index: str) -> int:
        """Upload the file."""
        content_type = f"multipart/form-data; boundary={BOUNDARY}"
        answer = self.send("POST", f"/{index}/", multipart(plain(DIST), DIST), content_type=content_type)
        return answer.code

    def push(self) -> Any:
        """Begin to push the file."""
        return self.sending("PUSH", f"/{FROM}", {"name": "demo", "version": "1.0", "targetindex": TO})

    def delete(self) -> Any:
        """Begin to delete the file."""
        return self.begin(f"/{self.place}", "DELETE")

    def check(self) -> None:
        """The file is listed, with its bytes and what lies beside it."""
        assert self.held == []
        assert list(self.stored(TO, "demo")) == [DIST.name]
        assert self.on_shelf(self.place) == DIST.content
        assert self.get(f"/{self.place}").body == DIST.content
        assert self.get(f"/{self.place}.metadata").code == 200

    def test_the_bytes_go_when_nobody_puts_them_back(self) -> None:
        """Or the other tests would prove nothing."""
        assert self.delete().answer().code == 200
        assert not self.house.shelf.holds(self.place)
        assert not self.house.shelf.holds(self.place + ".metadata")
        assert self.house.shelf.holds(f"{FROM}/{DIST.path}")

    def test_pushed_while_the_removal_is_late(self) -> None:
        """The thread that unlinks comes to it only after the push."""
        self.hold = lambda name: name.startswith("remove")
        assert self.delete().answer().code == 200
        assert self.push().answer().code == 200
        self.hold = lambda name: False
        while self.held:
            self.go_on()
        self.check()

    def test_uploaded_while_the_removal_is_late(self) -> None:
        """The same with an upload."""
        self.hold = lambda name: name.startswith("remove")
        assert self.delete().answer().code == 200
        assert self.upload(TO) == 200
        self.hold = lambda name: False
        while self.held:
            self.go_on()
        self.check()

    def test_the_push_commits_between(self) -> None:
        """After the deletion, before the removal."""
        self.hold = lambda name: name == "record"
        delete = self.delete()
        push = self.push()
        while self.held:
            self.go_on()
        assert (delete.answer().code, push.answer().code) == (200, 200)
        self.check()

    def test_the_push_commits_after(self) -> None:
        """The bytes were removed, and the push links them again."""
        assert self.delete().answer().code == 200
        assert self.push().answer().code == 200
        self.check()

    def test_the_upload_commits_after(self) -> None:
        """It has looked whether there is such a file, put its bytes there and waits; then they are removed."""
        self.hold = lambda name: name == "record"
        delete = self.delete()
        self.go_on()  # the deletion is recorded, and the removal waits
        assert delete.answer().code == 200
        content_type = f"multipart/form-data; boundary={BOUNDARY}"
        upload = self.sending("POST", f"/{TO}/", multipart(plain(DIST), DIST), content_type=content_type)
        assert len(self.held) == 1  # both wait for one thread
        while self.held:
            self.go_on()
        assert upload.answer().code == 200
        self.check()
