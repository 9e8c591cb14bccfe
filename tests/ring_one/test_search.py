"""``pip search``: XML-RPC on the address of an index (contract devpi 15.1)."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

import pytest

from tests.ring_one.house import Answer, page_of
from tests.ring_one.shelved import ShelvedCase

DEV, PROD = "alice/dev", "alice/prod"
BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<methodCall><methodName>search</methodName><params><param><value>&b;</value></param></params></methodCall>"""


class SearchTests(ShelvedCase):
    """``POST /user/index`` with ``text/xml``."""

    def setUp(self) -> None:
        super().setUp()
        self.stage(PROD, bases=["root/pypi"])
        self.stage(DEV, bases=[PROD])
        self.stage("alice/other")
        self.release(DEV, "Golden.pkg", "1.9", summary="An old golden")
        self.release(DEV, "Golden.pkg", "1.10", summary="A golden package")
        self.release(DEV, "Golden.pkg", "2.0rc1", summary="A candidate")
        self.release(PROD, "silver", "1.0", summary="Nearly golden")
        self.release(PROD, "golden-pkg", "0.1", summary="Below")
        self.release("alice/other", "golden-other", "1.0", summary="Elsewhere")
        self.up.pages["/simple/goldfish/"] = page_of("goldfish")
        self.page("goldfish")

    def call(self, body: bytes, path: str = f"/{DEV}", **headers: str) -> Answer:
        """Send a call as it is."""
        return self.send("POST", path, body, **{"content_type": "text/xml", **headers})

    def search(self, *parameters: Any, path: str = f"/{DEV}") -> list[dict[str, Any]]:
        """What is found."""
        answer = self.call(xmlrpc.client.dumps(parameters, "search").encode(), path)
        assert answer.code == 200
        assert answer.header("content-type") == "text/xml"
        [found] = xmlrpc.client.loads(answer.body.decode())[0]
        assert isinstance(found, list)
        return found

    def names(self, *parameters: Any, path: str = f"/{DEV}") -> list[str]:
        """The names of what is found."""
        return [hit["name"] for hit in self.search(*parameters, path=path)]

    def test_as_pip_asks(self) -> None:
        """Names and summaries, of the index and its bases and no others; the best first."""
        found = self.search({"name": ["golden"], "summary": ["golden"]}, "or")
        assert found == [
            {"name": "Golden.pkg", "summary": "[alice/dev] A golden package", "version": "1.10", "_pypi_ordering": 2},
            {"name": "silver", "summary": "[alice/prod] Nearly golden", "version": "1.0", "_pypi_ordering": 1},
        ]
        assert self.names({"name": ["golden"]}, path=f"/{PROD}/") == ["golden-pkg"]

    def test_what_mirrors_are_known_to_have(self) -> None:
        """Without version and summary, of which nothing is known."""
        for path in ("/root/pypi", f"/{DEV}"):
            assert {"name": "goldfish", "summary": "[root/pypi]", "version": "", "_pypi_ordering": 1} in self.search(
                {"name": ["gold"]}, path=path
            )

    def test_operators(self) -> None:
        """As devpi reads them."""
        both = {"name": ["gold"], "summary": ["golden"]}
        assert self.names(both) == ["Golden.pkg"]
        assert self.names(both, "and") == ["Golden.pkg"]
        assert set(self.names(both, "or")) == {"Golden.pkg", "silver", "goldfish"}
        assert self.names(both, "andnot") == ["goldfish"]
        assert self.names(both, "andmaybe") == ["Golden.pkg", "goldfish"]
        assert self.names({"name": ["gold"]}, "not") == ["silver"]

    def test_the_name_itself_comes_first(self) -> None:
        """In any spelling."""
        self.release(DEV, "golden-pkg-extra", "1.0")
        assert self.names({"name": ["golden_pkg"]}) == ["Golden.pkg", "golden-pkg-extra"]
        assert self.names({"name": "GOLDEN.PKG"})[0] == "Golden.pkg"

    def test_nothing_is_found(self) -> None:
        """An empty list."""
        assert self.search({"name": ["nothing-like-it"]}) == []

    def test_what_cannot_be_written(self) -> None:
        """Control characters have no place in XML."""
        self.release(DEV, "odd", "1.0", summary="\x1b\x0b <&> é")
        assert self.search({"name": ["odd"]})[0]["summary"] == "[alice/dev] ?? <&> é"

    def test_faults(self) -> None:
        """With status 200, whatever is wrong with the call."""
        dump = xmlrpc.client.dumps
        calls: list[bytes] = [
            b"", b"no xml", b"<a>", b"<methodCall/>", BOMB, b"<methodResponse></methodResponse>",
            dump((), "search").encode(), dump(("text",), "search").encode(), dump(({},), "search").encode(),
            dump(({"name": ["a"]}, "xor"), "search").encode(), dump(({"name": [1]},), "search").encode(),
            dump((["a"],), "package_releases").encode(), dump(({"author": ["a"]},), "search").encode(),
            b"<methodCall><methodName>search</methodName><params><param><value><int>x</int></value></param></params>"
            b"</methodCall>",
        ]  # fmt: skip
        for call in calls:
            answer = self.call(call)
            assert answer.code == 200, call
            assert answer.header("content-type") == "text/xml"
            with pytest.raises(xmlrpc.client.Fault) as fault:
                xmlrpc.client.loads(answer.body.decode())
            assert fault.value.faultCode == 1

    def test_entities_are_not_expanded(self) -> None:
        """A document type is refused before anything is made of it."""
        call = xmlrpc.client.dumps(({"name": ["gold"]},), "search").encode()
        elsewhere = call.replace(b"<methodCall>", b'<!DOCTYPE methodCall SYSTEM "http://up.example/x"><methodCall>')
        for body in (BOMB, elsewhere):
            with pytest.raises(xmlrpc.client.Fault, match="a document type is not expected here"):
                xmlrpc.client.loads(self.call(body).body.decode())

    def test_an_index_that_is_not_there(self) -> None:
        """404, as for every other question."""
        assert self.call(b"", "/alice/nowhere").code == 404

    def test_who_may_not_read(self) -> None:
        """Is told nothing."""
        self.stage(DEV, acl_read=["alice"], acl_upload=["alice"])
        assert self.call(xmlrpc.client.dumps(({"name": ["a"]},), "search").encode()).code == 401
