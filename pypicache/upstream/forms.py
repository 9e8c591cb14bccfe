"""Forms as we send them: read from disk while they go out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from treq.multipart import MultiPartProducer
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.task import Cooperator
from twisted.web.client import FileBodyProducer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

PIECE = 64 * 2**10  # bytes read at a time

Fields = Iterable[tuple[str, str]]


def fields_of(metadata: Mapping[str, object]) -> list[tuple[str, str]]:
    """The fields of a form that says what a release's metadata says: lists are repeated, empty ones are left out."""
    fields: list[tuple[str, str]] = []
    for key, value in metadata.items():
        values = value if isinstance(value, list | tuple) else [value]
        fields += [(key, str(one)) for one in values if one is not None]
    return fields


def plain_form(fields: Fields) -> tuple[str, bytes]:
    """A form without files: its content type and the body."""
    return "application/x-www-form-urlencoded", urlencode(list(fields)).encode("ascii")


def bytes_body(content: bytes) -> IBodyProducer:
    """A body that is in memory."""
    return _Bytes(content)


@implementer(IBodyProducer)
class _Bytes:
    """Written at once; bodies of this kind are small."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length = len(content)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


def form_with_file(fields: Fields, name: str, place: Path, clock: IReactorTime) -> tuple[str, IBodyProducer]:
    """A form with a file in the field ``content``, which is read while the form is sent: content type and body.

    :param name: of the file, as it is told.
    :raises OSError: the file cannot be opened.
    """
    cooperator = Cooperator(scheduler=lambda work: clock.callLater(0, work))
    boundary = uuid4().hex.encode("ascii")
    content = FileBodyProducer(place.open("rb"), cooperator, PIECE)
    parts: list[tuple[str, Any]] = [*fields, ("content", (name, "application/octet-stream", content))]
    producer = MultiPartProducer(parts, boundary, cooperator)
    return f"multipart/form-data; boundary={boundary.decode()}", producer
