"""A daemon with a private index, and uploaders whose forms are those of the real tools (contract clients 2.1)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b, md5, sha256
from pathlib import Path
from typing import Any

from attrs import frozen
from treq.testing import _SynchronousProducer
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers

from pypicache.core.changes import IndexSaved
from pypicache.core.stage import StageSpec
from pypicache.ledger.ledger import Decision
from tests.ring_one.files import Client, FileCase
from tests.ring_one.house import Answer
from tests.upstream import dists

BOUNDARY = "c0ffee-and-some-more-0123456789"
ANYBODY = ":ANONYMOUS:"
Field = tuple[str, str | bytes]


@frozen
class Dist:
    """A distribution file."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Digest, lower case hex."""
        return sha256(self.content).hexdigest()

    @property
    def path(self) -> str:
        """Where it is below its index."""
        return f"+f/{self.sha256[:3]}/{self.sha256[3:16]}/{self.name}"


def wheel(name: str = "demo", version: str = "1.0", extra: Sequence[str] = (), size: int = 0) -> Dist:
    """A wheel as a build backend makes it."""
    with tempfile.TemporaryDirectory() as directory:
        place = dists.build_wheel(Path(directory), name, version, extra=extra, size=size)
        return Dist(place.name, place.read_bytes())


def sdist(name: str = "demo", version: str = "1.0", extra: Sequence[str] = ()) -> Dist:
    """A source archive as a build backend makes it."""
    with tempfile.TemporaryDirectory() as directory:
        place = dists.build_sdist(Path(directory), name, version, extra=extra)
        return Dist(place.name, place.read_bytes())


def multipart(
    fields: Iterable[Field], file: Dist | None = None, file_type: str | None = "application/octet-stream"
) -> bytes:
    """A form as it is on the wire; the file comes last, as all tools send it."""
    parts = []
    for name, value in fields:
        text = value if isinstance(value, bytes) else value.encode()
        parts.append(f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + text)
    if file is not None:
        head = f'Content-Disposition: form-data; name="content"; filename="{file.name}"\r\n'
        head += f"Content-Type: {file_type}\r\n" if file_type else ""
        parts.append(head.encode() + b"\r\n" + file.content)
    marked = b"".join(b"--" + BOUNDARY.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return marked + b"--" + BOUNDARY.encode() + b"--\r\n"


def plain(dist: Dist, name: str = "demo", version: str = "1.0", **more: str) -> list[Field]:
    """The fields that every tool sends, and no digest."""
    kind = "bdist_wheel" if dist.name.endswith(".whl") else "sdist"
    fields = {":action": "file_upload", "protocol_version": "1", "filetype": kind, "metadata_version": "2.1"}
    fields |= {"name": name, "version": version, "pyversion": "py3" if kind == "bdist_wheel" else "source"}
    return list({**fields, **more}.items())


def digests(dist: Dist, *algorithms: str) -> list[Field]:
    """Fields with digests."""
    made = {
        "md5": md5(dist.content, usedforsecurity=False).hexdigest(),
        "sha256": dist.sha256,
        "blake2_256": blake2b(dist.content, digest_size=32).hexdigest(),
    }
    return [(f"{algorithm}_digest", made[algorithm]) for algorithm in algorithms]


class PublishCase(FileCase):
    """A daemon with the private index ``team/dev``, to which anybody may upload."""

    options: Mapping[str, Any] = {"acl_upload": [ANYBODY], "volatile": False}

    def start(self, **changes: Any) -> Any:
        house = super().start(**changes)
        if "team/dev" not in house.state.specs:
            self.make("team/dev", **self.options)
        return house

    def make(self, name: str, **options: Any) -> None:
        """Make an index, or change its options."""
        saved = IndexSaved(name=name, options=StageSpec.from_options(name, options).stored())
        self.successResultOf(Deferred.fromCoroutine(self.house.ledger.change(lambda _: Decision([saved], None))))

    @property
    def serial(self) -> int:
        """Of the last change."""
        return self.house.ledger.serial

    def post(self, body: bytes, path: str = "/team/dev/", **headers: str) -> Client:
        """Begin to send a form."""
        named = {"content-type": f"multipart/form-data; boundary={BOUNDARY}", "accept": "*/*"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://cache.example{path}"
        raw = Headers({name: [value] for name, value in named.items()})
        client = Client(self, self.agent.request(b"POST", url.encode(), raw, _SynchronousProducer(body)), url)
        self.settle()
        return client

    def upload(
        self, dist: Dist, fields: Iterable[Field] | None = None, path: str = "/team/dev/", **headers: str
    ) -> Answer:
        """Upload a file."""
        chosen = [*plain(dist), *digests(dist, "sha256")] if fields is None else fields
        return self.post(multipart(chosen, dist), path, **headers).answer()

    def listing(self, project: str = "demo", index: str = "team/dev") -> list[dict[str, Any]]:
        """The files of a project's page."""
        answer = self.get(f"/{index}/+simple/{project}/", accept="application/vnd.pypi.simple.v1+json")
        if answer.code == 404:
            return []
        found: list[dict[str, Any]] = answer.json()["files"]
        return found

    def reason(self, client: Client) -> str:
        """The reason phrase of an answer."""
        phrase: bytes = client.response.phrase
        return phrase.decode("latin-1")

    def own(self) -> list[str]:
        """The keys of the files of private indexes that are on the shelf."""
        root = self.directory / "+files"
        return [str(path.relative_to(root)) for path in self.shelf()]

    def assert_clean(self) -> None:
        """Nothing of a refused upload is left anywhere."""
        self.assertEqual(self.own(), [])
        self.assertEqual(self.spooled(), [])
        self.assertEqual(self.listing(), [])
