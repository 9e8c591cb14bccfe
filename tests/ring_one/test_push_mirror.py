"""Pushing what a mirror lists: it is fetched first (contract devpi 13.1)."""

from __future__ import annotations

import io
from hashlib import sha256
from zipfile import ZipFile

from tests.ring_one.house import Answer, file_of, page_of
from tests.ring_one.shelved import ShelvedCase

PROD = "alice/prod"
METADATA = b"Metadata-Version: 2.1\nName: a\nVersion: 1.0\n"


def a_wheel() -> bytes:
    """A wheel of the project ``a``."""
    stream = io.BytesIO()
    with ZipFile(stream, "w") as archive:
        archive.writestr("a-1.0.dist-info/METADATA", METADATA)
    return stream.getvalue()


class MirrorPushTests(ShelvedCase):
    """``PUSH /root/pypi``."""

    def setUp(self) -> None:
        super().setUp()
        self.stage(PROD, volatile=False)
        self.wheel, self.sdist = a_wheel(), b"sdist"
        self.up.pages["/simple/a/"] = page_of(
            "a",
            file_of("a-1.0.tar.gz", self.sdist, **{"requires-python": ">=3.9"}),
            file_of("a-1.0-py3-none-any.whl", self.wheel),
            file_of("a-2.0.tar.gz", b"other"),
        )
        self.up.files["/packages/a-1.0.tar.gz"] = self.sdist
        self.up.files["/packages/a-1.0-py3-none-any.whl"] = self.wheel

    def push(self, version: str = "1.0", **order: object) -> Answer:
        """Push."""
        return self.send("PUSH", "/root/pypi", {"name": "a", "version": version, "targetindex": PROD, **order})

    def path(self, content: bytes, name: str) -> str:
        """Where a file is below its index."""
        digest = sha256(content).hexdigest()
        return f"+f/{digest[:3]}/{digest[3:16]}/{name}"

    def test_the_files_are_fetched(self) -> None:
        """All of the version and no others; the stage has them for good."""
        answer = self.push()
        assert answer.code == 200, answer
        sdist, wheel = self.path(self.sdist, "a-1.0.tar.gz"), self.path(self.wheel, "a-1.0-py3-none-any.whl")
        assert answer.json()["result"] == [
            [200, "register", "a", "1.0", "->", PROD],
            [200, "store_releasefile", f"{PROD}/{wheel}"],
            [200, "store_releasefile", f"{PROD}/{sdist}"],
        ]
        assert self.on_shelf(f"{PROD}/{sdist}") == self.sdist
        there = self.stored(PROD, "a")
        assert there["a-1.0.tar.gz"].requires_python == ">=3.9"
        assert there["a-1.0.tar.gz"].uploaded == "2024-01-02T03:04:05.678901Z"
        assert [item["what"] for item in there["a-1.0.tar.gz"].log] == ["push"]
        assert self.versions(PROD, "a")["1.0"]["name"] == "a"
        self.up.status = 500
        assert self.get(f"/{PROD}/{wheel}").body == self.wheel

    def test_a_wheel_brings_its_metadata(self) -> None:
        """Out of the wheel, whether the upstream has it or not."""
        self.push()
        wheel = self.stored(PROD, "a")["a-1.0-py3-none-any.whl"]
        assert wheel.core_metadata == sha256(METADATA).hexdigest()
        assert self.get(f"/{PROD}/{wheel.path}.metadata").body == METADATA

    def test_the_version_in_another_spelling(self) -> None:
        """A mirror's versions are those of its files, however they are written."""
        assert self.push("1.0.0").code == 200
        assert set(self.versions(PROD, "a")) == {"1.0.0"}

    def test_no_digest_from_the_upstream(self) -> None:
        """The stage knows it even so."""
        self.up.pages["/simple/a/"] = page_of("a", file_of("a-1.0.tar.gz", self.sdist, hashes={}))
        assert self.push().code == 200
        assert self.get(f"/{PROD}/{self.path(self.sdist, 'a-1.0.tar.gz')}").body == self.sdist

    def test_a_file_that_cannot_be_had(self) -> None:
        """Nothing is recorded."""
        del self.up.files["/packages/a-1.0.tar.gz"]
        serial = self.house.ledger.serial
        assert self.push().code in {404, 502, 503}
        assert self.house.ledger.serial == serial

    def test_what_it_does_not_list(self) -> None:
        """Versions and projects that are not there."""
        for name, version in [("a", "9"), ("other", "1.0")]:
            answer = self.push(version, name=name)
            assert answer.code == 400
            assert answer.json()["message"] == f"there are no files for {name} {version} on stage root/pypi"

    def test_it_has_no_documentation(self) -> None:
        """So nothing is left where only that is wanted."""
        assert self.push(only_docs=True).code == 404

    def test_the_upstream_is_down(self) -> None:
        """Nobody can tell what there is."""
        self.up.status = 500
        assert self.push().code == 503
