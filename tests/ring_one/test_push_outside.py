"""Pushing a release to a repository elsewhere (contract devpi 13.2 and 22)."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

import pytest
from multipart import parse_form_data
from treq.testing import _SynchronousProducer
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from pypicache.core.addresses import is_private, web_address
from pypicache.core.errors import BadInput
from pypicache.core.kinds import file_type
from tests.ring_one.house import Answer, Pending
from tests.ring_one.shelved import ShelvedCase

DEV = "alice/dev"
POST = "http://repository.example/legacy/"


class Received:
    """One request that reached the repository."""

    def __init__(self, request: Request) -> None:
        assert request.content is not None
        self.method = request.method
        self.authorization = request.getHeader("authorization")
        self.agent = request.getHeader("user-agent")
        body = request.content.read()
        kind = request.getHeader("content-type") or ""
        self.fields: list[tuple[str, str]] = []
        self.files: dict[str, tuple[str, bytes]] = {}
        if kind.startswith("multipart/"):
            environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body))}
            forms, files = parse_form_data({**environ, "wsgi.input": io.BytesIO(body)}, strict=True)
            self.fields = [(name, value) for name in forms for value in forms.getall(name)]
            self.files = {name: (part.filename, part.file.read()) for name, part in files.items()}
        else:
            assert kind == "application/x-www-form-urlencoded"
            self.fields = parse_qsl(body.decode(), keep_blank_values=True)

    def all(self, name: str) -> list[str]:
        """The values of one field."""
        return [value for key, value in self.fields if key == name]


class OutsideTests(ShelvedCase):
    """``PUSH /user/index`` with ``posturl``."""

    def setUp(self) -> None:
        super().setUp()
        self.stage(DEV)
        self.received: list[Received] = []
        self.codes = [200] * 10
        self.text = b"fine"
        self.up.special["/legacy/"] = self.receive

    def fill(self) -> None:
        """A release with documentation."""
        self.release(
            DEV, "golden.pkg", "1.0", metadata_version="2.1", summary="Ein gülden Päckchen", author="",
            classifiers=["a", "b"], requires_dist=[],
        )  # fmt: skip
        self.big = bytes(range(256)) * 1024
        self.sdist = self.file(DEV, "golden-pkg", "1.0", "golden_pkg-1.0.tar.gz", self.big)
        self.wheel = self.file(DEV, "golden-pkg", "1.0", "golden_pkg-1.0-py3-none-any.whl", b"wheel")
        self.file(DEV, "golden-pkg", "1.0", "golden-pkg-1.0.doc.zip", b"docs", kind="doczip")

    def receive(self, request: Request) -> bytes:
        """The repository."""
        self.received.append(Received(request))
        request.setResponseCode(self.codes.pop(0))
        return self.text

    def push(self, **order: Any) -> Answer:
        """Push, and let time pass until it is done."""
        usual = {"name": "golden.pkg", "version": "1.0", "posturl": POST, "username": "alice", "password": "s3cret"}
        given = {key: value for key, value in (usual | order).items() if value is not None}
        named = Headers({"accept": ["application/json"], "content-type": ["application/json"]})
        url = f"http://cache.example/{DEV}"
        body = _SynchronousProducer(json.dumps(given).encode())
        pending = Pending(self, self.agent.request(b"PUSH", url.encode(), named, body), url)
        for _ in range(200):
            if pending.over:
                break
            self.advance(0.001)
        return pending.answer()

    def test_the_files(self) -> None:
        """Each is a form of its own, as upload tools send it."""
        self.fill()
        answer = self.push()
        assert answer.code == 200, answer
        assert answer.json() == {
            "type": "actionlog",
            "result": [
                [200, "upload", f"{DEV}/{self.wheel.path}", ""],
                [200, "upload", f"{DEV}/{self.sdist.path}", ""],
                [200, "docfile", "golden.pkg"],
            ],
        }
        wheel, sdist, docs = self.received
        assert sdist.method == b"POST"
        assert sdist.authorization == "Basic YWxpY2U6czNjcmV0"
        assert sdist.agent is not None
        assert sdist.agent.startswith("pypicache/")
        assert dict(sdist.fields) == {
            ":action": "file_upload", "filetype": "sdist", "pyversion": "source",
            "sha256_digest": sha256(self.big).hexdigest(), "name": "golden.pkg", "version": "1.0",
            "metadata_version": "2.1", "summary": "Ein gülden Päckchen", "author": "", "classifiers": "b",
        }  # fmt: skip
        assert sdist.all("classifiers") == ["a", "b"]
        assert sdist.files == {"content": ("golden_pkg-1.0.tar.gz", self.big)}
        assert (wheel.all("filetype"), wheel.all("pyversion")) == (["bdist_wheel"], ["3"])
        assert docs.all(":action") == ["doc_upload"]
        assert docs.files == {"content": ("golden.pkg.zip", b"docs")}

    def test_registering_first(self) -> None:
        """Where it is wanted; that PyPI calls it gone is no reason to stop."""
        self.fill()
        self.codes[0] = 410
        answer = self.push(register_project=True, no_docs=True)
        assert answer.code == 200
        assert answer.json()["result"][0] == [410, "register", "golden.pkg", "1.0"]
        assert len(self.received) == 3
        assert self.received[0].all(":action") == ["submit"]
        assert self.received[0].all("classifiers") == ["a", "b"]

    def test_registering_fails(self) -> None:
        """Nothing is sent after it."""
        self.fill()
        self.codes[0] = 403
        answer = self.push(register_project=True)
        assert answer.code == 502
        assert answer.json() == {"type": "actionlog", "result": [[403, "register", "golden.pkg", "1.0"]]}
        assert len(self.received) == 1

    def test_the_repository_refuses(self) -> None:
        """The client is told what was said; the others are sent all the same."""
        self.fill()
        self.codes[:2] = [400, 200]
        self.text = b"no, thanks"
        answer = self.push(no_docs=True)
        assert [action[0] for action in answer.json()["result"]] == [400, 200]
        assert answer.json()["result"][0][3] == "no, thanks"
        assert answer.code == 200, "the last one counts"
        self.codes[:2] = [200, 500]
        assert self.push(no_docs=True).code == 502

    def test_the_repository_cannot_be_reached(self) -> None:
        """That is no failure of ours."""
        self.fill()

        def broken(request: Request) -> bytes:
            request.transport.loseConnection()  # type: ignore[union-attr]  # it has one
            return b""

        self.up.special["/legacy/"] = broken
        answer = self.push(no_docs=True)
        assert answer.code == 502
        for action in answer.json()["result"]:
            assert action[:2] == [-1, "exception on release upload:"]
            assert action[2].startswith(POST)
            assert "s3cret" not in action[2]
        assert self.push(register_project=True).json()["result"][0][:2] == [-1, "exception on register:"]

    def test_redirects_are_not_followed(self) -> None:
        """They could lead anywhere."""
        self.fill()
        self.codes[:2] = [302, 302]
        assert self.push(no_docs=True).code == 502
        assert len(self.received) == 2

    def test_bytes_that_are_lost(self) -> None:
        """Told, like anything else that goes wrong."""
        self.fill()
        self.house.shelf.remove(f"{DEV}/{self.sdist.path}")
        answer = self.push(no_docs=True)
        assert answer.code == 502
        assert answer.json()["result"][1][:2] == [-1, "exception on release upload:"]

    # -- refusals --------------------------------------------------------------------------------------------------

    def test_who_may_not_upload(self) -> None:
        """May not make this server send what it has, either."""
        self.fill()
        self.stage(DEV, acl_upload=["alice"])
        assert self.push().code == 401
        assert self.received == []

    def test_addresses_that_are_not_asked(self) -> None:
        """What is no web page, has credentials in it, or is not in the open network."""
        self.fill()
        for url in (
            "ftp://repository.example/", "file:///etc/passwd", "repository.example", "", 7, "http://", "http://a b/",
            "http://user:secret@repository.example/", "http://127.0.0.1:8080/", "https://localhost/",
            "http://169.254.169.254/latest/", "http://[::1]/", "http://10.1.2.3/",
        ):  # fmt: skip
            answer = self.push(posturl=url)
            assert answer.code == 400, url
            assert "secret" not in answer.json()["message"], url
        assert self.received == []

    def test_private_networks_where_they_are_allowed(self) -> None:
        """An operator may have a repository there."""
        self.fill()
        self.house.memory.close()
        self.start(private_networks=True)
        assert self.push(posturl="http://10.1.2.3/legacy/").code == 200

    def test_offline(self) -> None:
        """Nothing is sent."""
        self.fill()
        self.house.memory.close()
        self.start(offline=True)
        assert self.push().code == 502
        assert self.received == []

    def test_orders_that_are_not_complete(self) -> None:
        """Without a name or a password; with something that is not known."""
        self.fill()
        for order in ({"username": None}, {"password": None}, {"password": 7}, {"foo": 1}):
            assert self.push(**order).code == 400, order
        assert self.received == []


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "a.localhost", "LOCALHOST.", "127.0.0.1", "127.1", "0x7f000001", "2130706433", "0.0.0.0",  # noqa: S104 -- judged, not bound
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "::1", "fe80::1%eth0",
        "fd00::1", "::ffff:127.0.0.1", "2002:7f00:1::", "::",
    ],
)  # fmt: skip
def test_private_addresses(host: str) -> None:
    """In every spelling that resolvers know."""
    assert is_private(host)


@pytest.mark.parametrize("host", ["example.org", "93.184.216.34", "2606:2800:220:1::1", "a1.example", "10.example"])
def test_public_addresses(host: str) -> None:
    """Names are public until they are resolved."""
    assert not is_private(host)


def test_an_address_is_shown_without_secrets() -> None:
    """Also where it is refused for them."""
    with pytest.raises(BadInput) as refused:
        web_address("posturl", "https://alice:s3cret@repository.example/")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a-1.0.tar.gz", ("sdist", "source")),
        ("a-1.0.zip", ("sdist", "source")),
        ("a-1.0-py3-none-any.whl", ("bdist_wheel", "3")),
        ("a-1.0-1-py3-none-any.whl", ("bdist_wheel", "3")),
        ("a-1.0-py2.py3-none-any.whl", ("bdist_wheel", "2.7")),
        ("a-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", ("bdist_wheel", "3.11")),
        ("a-1.0-py2.7.egg", ("bdist_egg", "2.7")),
        ("a-1.0.win32-py2.7.exe", ("bdist_wininst", "2.7")),
        ("a-1.0-1.noarch.rpm", ("bdist_rpm", "any")),
        ("broken.whl", ("bdist_wheel", "any")),
    ],
)
def test_what_forms_call_a_file(name: str, expected: tuple[str, str]) -> None:
    """``filetype`` and ``pyversion``."""
    assert file_type(name) == expected
