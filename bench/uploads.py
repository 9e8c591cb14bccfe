"""Publishing clients: forms as twine sends them, made before the clock starts, over connections that stay open."""

from __future__ import annotations

import gzip
import hashlib
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import orjson
from attrs import define, field, frozen

from bench.processes import Failed

BOUNDARY = "0f2a-of-the-bench-8d41"
_CHUNK = 1 << 18


@frozen
class Form:
    """One file with the fields that twine sends along; ``head``, the file, and ``tail`` make the body of a request.

    :ivar sha256: of the file, in hex.
    """

    file_name: str
    sha256: str
    head: bytes
    content: bytes | Path
    size: int  # of the file, in bytes
    tail: bytes = f"\r\n--{BOUNDARY}--\r\n".encode()

    def length(self) -> int:
        """Bytes of the body."""
        return len(self.head) + self.size + len(self.tail)


def twine_form(name: str, version: str, file_name: str, content: bytes | Path) -> Form:
    """The form for a wheel, with all three digests (contract of PyPI's upload API)."""
    md5, sha256, blake2 = hashlib.md5(usedforsecurity=False), hashlib.sha256(), hashlib.blake2b(digest_size=32)
    size = 0
    for piece in _pieces(content):
        size += len(piece)
        for digest in (md5, sha256, blake2):
            digest.update(piece)
    fields = [
        ("name", name),
        ("version", version),
        ("filetype", "bdist_wheel"),
        ("pyversion", "py3"),
        ("metadata_version", "2.1"),
        ("requires_python", ">=3.8"),
        ("md5_digest", md5.hexdigest()),
        ("sha256_digest", sha256.hexdigest()),
        ("blake2_256_digest", blake2.hexdigest()),
        (":action", "file_upload"),
        ("protocol_version", "1"),
    ]
    text = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields
    )
    text += (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="content"; filename="{file_name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return Form(file_name, sha256.hexdigest(), text.encode(), content, size)


def _pieces(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


@frozen
class Answer:
    """What a server said."""

    status: int
    reason: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def plain(self) -> bytes:
        """The body without gzip."""
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body


@define
class Line:
    """A connection that stays open for as long as the server allows; it does little, so that it costs little.

    :ivar limit: seconds of silence after which it gives up.
    """

    server: str  # http://host:port
    limit: float = 300
    connection: socket.socket = field(init=False)
    netloc: str = field(init=False)
    waiting: bytes = b""  # received, not read yet

    def __attrs_post_init__(self) -> None:
        """Connect."""
        self.netloc = urlsplit(self.server).netloc
        self.connect()

    def connect(self) -> None:
        """Connect, or connect again."""
        parts = urlsplit(self.server)
        self.connection = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=self.limit)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waiting = b""

    def close(self) -> None:
        """Hang up."""
        self.connection.close()

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Ask for a page."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.netloc}\r\n{lines}\r\n".encode())
        return self.answer()

    def post(self, path: str, authorization: str, form: Form) -> Answer:
        """Upload a file."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self.netloc}\r\nAuthorization: {authorization}\r\n"
            f"User-Agent: twine/6.1.0\r\nAccept: */*\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
            f"Content-Length: {form.length()}\r\n\r\n"
        ).encode()
        if isinstance(form.content, bytes):
            self.connection.sendall(b"".join((head, form.head, form.content, form.tail)))
        else:
            self.connection.sendall(head + form.head)
            with form.content.open("rb") as file:
                self.connection.sendfile(file)
            self.connection.sendall(form.tail)
        return self.answer()

    def answer(self) -> Answer:
        """Read one answer.

        :raises ConnectionError: it ended early.
        """
        while b"\r\n\r\n" not in self.waiting:
            self._more()
        head, _, self.waiting = self.waiting.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        _, status, reason = (first + " ").split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._chunks()
        else:
            body = self._exactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
            self.connect()
        return Answer(int(status), reason.strip(), headers, body)

    def _exactly(self, count: int) -> bytes:
        pieces, missing = [self.waiting[:count]], count - len(self.waiting)
        self.waiting = self.waiting[count:]
        while missing > 0:
            piece = self._received()
            pieces.append(piece[:missing])
            self.waiting = piece[missing:]
            missing -= len(piece)
        return b"".join(pieces)

    def _chunks(self) -> bytes:
        pieces: list[bytes] = []
        while not pieces or pieces[-1]:
            while b"\r\n" not in self.waiting:
                self._more()
            length, _, self.waiting = self.waiting.partition(b"\r\n")
            pieces.append(self._exactly(int(length.split(b";")[0], 16)))
            self._exactly(2)
        return b"".join(pieces)

    def _more(self) -> None:
        self.waiting += self._received()

    def _received(self) -> bytes:
        piece = self.connection.recv(_CHUNK)
        if not piece:
            raise ConnectionError("the server hung up before its answer was complete")
        return piece


@define
class Publishers:
    """Clients that upload forms as fast as they are answered, each over a connection of its own, in a thread.

    :ivar times: seconds of each upload that was answered with 200.
    :ivar wrong: what the others were answered.
    """

    server: str
    path: str
    authorization: str
    clients: int = 8
    times: list[float] = field(factory=list, init=False)
    sent: list[Form] = field(factory=list, init=False)
    wrong: list[str] = field(factory=list, init=False)

    def run(self, forms: Sequence[Form], limit: float) -> float:
        """Upload the forms in their order, until there is none or the time is over.

        :param limit: seconds after which none is begun.
        :return: seconds until the last answer.
        """
        left = iter(forms)
        taking = threading.Lock()
        lines = [Line(self.server) for _ in range(self.clients)]
        begun = time.perf_counter()

        def work(line: Line) -> None:
            with closing(line):
                while time.perf_counter() - begun < limit:
                    with taking:
                        form = next(left, None)
                    if form is None or not self._one(line, form):
                        return

        threads = [threading.Thread(target=work, args=(line,), daemon=True) for line in lines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begun

    def _one(self, line: Line, form: Form) -> bool:
        """Upload one; tell whether the connection can go on."""
        asked = time.perf_counter()
        try:
            answer = line.post(self.path, self.authorization, form)
        except OSError as error:
            self.wrong.append(str(error))
            return False
        if answer.status != 200:
            self.wrong.append(f"{answer.status} {answer.reason}")
        else:
            self.times.append(time.perf_counter() - asked)
            self.sent.append(form)
        return True


def listed(page: Answer) -> dict[str, str]:
    """File names and SHA-256 of a page, in JSON (PEP 691) or HTML (PEP 503).

    :raises Failed: it is no page.
    """
    kind = page.headers.get("content-type", "")
    if page.status != 200:
        raise Failed(f"page: {page.status} {page.reason}")
    body = page.plain()
    if "json" in kind:
        return {file["filename"]: file["hashes"].get("sha256", "") for file in orjson.loads(body)["files"]}
    return {name: digest for digest, name in re.findall(r"#sha256=([0-9a-f]{64})[^>]*>([^<]+)</a>", body.decode())}
