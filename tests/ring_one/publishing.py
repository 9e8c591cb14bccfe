"""A daemon with a private index, and uploaders whose forms are those of the real tools (contract clients 2.1)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b, md5, sha256
from pathlib import Path
from typing import Any, ClassVar

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from pypicache.core.changes import FileSaved, IndexSaved
from pypicache.core.stage import StageSpec
from pypicache.ledger.ledger import Decision, project_files
from tests.ring_one.accounts import basic
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


@implementer(IBodyProducer)
class _Body:
    def __init__(self, content: bytes) -> None:
        self.length = len(content)
        self._content = content

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._content)
        return succeed(None)

    def stopProducing(self) -> None:
        pass

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass


class PublishCase(FileCase):
    """A daemon with the private index ``team/dev``, to which anybody may upload."""

    options: ClassVar[Mapping[str, Any]] = {"acl_upload": [ANYBODY], "volatile": False}

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
        client = Client(self, self.agent.request(b"POST", url.encode(), raw, _Body(body)), url)
        self.settle()
        return client

    def upload(
        self, dist: Dist, fields: Iterable[Field] | None = None, path: str = "/team/dev/", **headers: str
    ) -> Answer:
        """Upload a file."""
        chosen = [*plain(dist), *digests(dist, "sha256")] if fields is None else fields
        return self.post(multipart(chosen, dist), path, **headers).answer()

    def sender(self, *data: bytes) -> Sender:
        """A client that has sent these bytes so far."""
        sender = Sender()
        self.agent.connect(sender)
        for piece in data:
            sender.send(piece)
        self.settle()
        return sender

    def more(self, sender: Sender, *data: bytes) -> None:
        """Let a client send more."""
        for piece in data:
            sender.send(piece)
        self.settle()

    def account(self, name: str) -> Any:
        """Make a user; the header of HTTP Basic."""
        self.assertEqual(self.send("PUT", f"/{name}", {"password": f"pw-{name}"}).code, 201)
        return basic(name, f"pw-{name}")

    def stored(self, project: str = "demo") -> list[FileSaved]:
        """What the ledger has of a project."""
        return self.house.ledger.read_now(lambda connection: project_files(connection, "team/dev", project))

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


class Sender(Protocol):
    """A client that sends its request by hand, piece by piece."""

    def __init__(self) -> None:
        self.received = b""
        self.closed = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.closed = True

    def send(self, data: bytes) -> None:
        """Send some bytes."""
        assert self.transport is not None
        self.transport.write(data)

    def leave(self) -> None:
        """Close the connection."""
        assert self.transport is not None
        self.transport.loseConnection()

    @property
    def status(self) -> int | None:
        """The status code, once it is here."""
        return int(self.received.split()[1]) if self.received else None


def head(length: int | None, path: str = "/team/dev/", **headers: str) -> bytes:
    """The head of an upload; without a length it comes in chunks."""
    named = {"host": "cache.example", "content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    named |= {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    """A chunk of a body without length."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
