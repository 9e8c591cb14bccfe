"""A mirror's pages: fresh, expired, revalidated, stale, unknown."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from pypicache.core.spec import MirrorSpec
from pypicache.settings import Settings
from tests.ring_one.house import UP, HouseCase, file_of, page_of

WHEEL = b"wheel " * 1000


class FreshnessTests(HouseCase):
    """When the upstream is asked, and what a client is told meanwhile."""

    def setUp(self) -> None:
        super().setUp()
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.0-py3-none-any.whl", WHEEL))

    def test_a_page_is_asked_for_once(self) -> None:
        """While a page is fresh, no client waits for the upstream."""
        assert self.page("demo").code == 200
        assert self.page("Demo").code == 200
        assert self.up.asked("/simple/demo/") == 1

    def test_file_is_streamed_kept_and_found_again(self) -> None:
        """The first client's bytes come from the upstream, the second one's from the disk."""
        self.up.files["/packages/demo-1.0-py3-none-any.whl"] = WHEEL
        url = self.files("demo")[0]["url"]
        first = self.get(url)
        assert (first.code, first.body, first.whole) == (200, WHEEL, True)
        second = self.get(url)
        assert (second.code, second.body) == (200, WHEEL)
        assert self.up.asked("/packages/demo-1.0-py3-none-any.whl") == 1

    def test_unknown_project(self) -> None:
        """404 means that there is no such project (conformance test 48)."""
        assert self.page("nothing").code == 404

    def test_upstream_down_and_nothing_known(self) -> None:
        """503 with a whole number of seconds (conformance test 49)."""
        self.up.status = 500
        answer = self.page("demo")
        assert answer.code == 503
        assert str(int(answer.header("retry-after") or "")) == answer.header("retry-after")

    def test_everybody_waits_for_one_question(self) -> None:
        """Any number of clients, one request to the upstream."""
        self.up.gate = Deferred()
        waiting = [self.begin("/root/pypi/+simple/demo/", accept="*/*") for _ in range(5)]
        assert not waiting[0].over
        self.up.gate.callback(None)
        assert all(one.over for one in waiting)
        assert [one.answer().code for one in waiting] == [200] * 5
        assert self.up.asked("/simple/demo/") == 1


class PromisedMetadataTests(HouseCase):
    """``mirror_provides_core_metadata``: the operator knows what the pages of the upstream do not say."""

    def settings(self) -> Settings:
        """A mirror with that option."""
        options = {"mirror_url": UP, "mirror_provides_core_metadata": True}
        return Settings(state=self.directory, indexes=(MirrorSpec.from_options("root/pypi", options),))

    def test_listed_and_served(self) -> None:
        """Every wheel's is listed, and comes from the upstream; an sdist has none."""
        sdist = file_of("demo-1.0.tar.gz", b"sdist")
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.0-py3-none-any.whl", WHEEL), sdist)
        self.up.files["/packages/demo-1.0-py3-none-any.whl.metadata"] = b"Metadata-Version: 2.1\n"
        wheel, other = self.files("demo")
        assert wheel["core-metadata"] is True
        assert "core-metadata" not in other
        assert self.get(wheel["url"] + ".metadata").body == b"Metadata-Version: 2.1\n"
