"""Forms of uploaders, read while they arrive: small fields into memory, the file into the spool."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any
from urllib.parse import parse_qsl

from multipart import (
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypicache.core.errors import BadInput, TooLarge
from pypicache.core.form import Form
from pypicache.store.incoming import Incoming
from pypicache.tasks import InThread
from pypicache.web.bodies import BodyRequest

MOST_TEXT = 8 * 2**20  # bytes of all fields that are texts, descriptions among them
MOST_FIELDS = 4096
SYNCED = 32 * 2**20  # bytes after which the spool is brought to disk, so that little is left to do at the end
_PLAIN = re.compile(rb'\r\nContent-Disposition: form-data; name="([\w:.-]+)"', re.ASCII)  # head of a text in a form

log = Logger()


class FormIntake:
    """Takes a form in.

    :param judge: called with the headers; raises to refuse the request.
    :param answer: answers the request when the form is here.
    :param spool: makes the spool file for the one file of the form, by the name that the client gives it.
    :ivar incoming: the file of the field ``content``.
    """

    def __init__(
        self,
        request: BodyRequest,
        content_type: str,
        *,
        judge: Callable[[], Coroutine[Any, Any, None]],
        answer: Callable[[FormIntake], Coroutine[Any, Any, None]],
        spool: Callable[[str], Incoming],
        in_thread: InThread,
    ) -> None:
        self.incoming: Incoming | None = None
        self._request = request
        self._judge = judge
        self._answer = answer
        self._spool = spool
        self._in_thread = in_thread
        self._fields: dict[str, list[str]] = {}
        self._count = 0
        self._text_size = 0
        self._text = bytearray()
        self._segment: MultipartSegment | None = None
        self._syncing = False
        self._complete = False  # whether the last part was here
        self._begun = False  # whether the parser has been given anything
        kind, options = parse_options_header(content_type)
        self._parser: PushMultipartParser | None = None
        self._boundary = options.get("boundary") if kind == "multipart/form-data" else None
        self._is_multipart = kind == "multipart/form-data"

    async def admit(self) -> None:
        await self._judge()
        if self._is_multipart:
            try:
                self._parser = PushMultipartParser(self._boundary or "", strict=True)
            except MultipartError as error:
                raise BadInput(f"the form cannot be read: {error}") from error

    def answer(self) -> Coroutine[Any, Any, None]:
        return self._answer(self)

    def take(self, piece: bytes) -> None:
        if self._parser is None:
            self._add_text(piece)
            return
        if self._complete:
            return  # what follows the last part means nothing
        if not self._begun:
            self._begun = True
            piece = self._plain_fields(piece)
        try:
            for event in self._parser.parse(piece):
                self._event(event)
        except MultipartError as error:
            raise BadInput(f"the form cannot be read: {error}") from error
        self._complete = self._segment is None and _is_complete(self._parser)
        self._sync()

    def _plain_fields(self, piece: bytes) -> bytes:
        """Take in the texts at the beginning, as far as they are written in the usual way; the rest of the piece.

        The parser reads them in just the same way, but takes several times as long.
        """
        mark = b"--" + (self._boundary or "").encode()
        if not piece.startswith(mark):
            return piece
        end = b"\r\n" + mark
        at = len(mark)
        for part in piece[at:].split(end)[:-1]:
            head, blank, value = part.partition(b"\r\n\r\n")
            named = _PLAIN.fullmatch(head)
            if named is None or not blank:
                break
            self._count_field()
            self._count_text(len(value))
            self._put(named[1].decode(), value.decode("utf-8", "replace"))
            at += len(part) + len(end)
        return piece[at - len(mark) :]

    def _event(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            self._end()
        elif self._segment is not None and self._segment.filename is not None:
            if self._segment.name == "content" and self.incoming is not None:
                self.incoming.take(bytes(event))
        else:
            self._add_text(bytes(event))

    def _begin(self, segment: MultipartSegment) -> None:
        self._segment = segment
        self._text = bytearray()
        self._count_field()
        if segment.name == "content" and segment.filename is not None:
            if self.incoming is not None:
                raise BadInput("content: there are several files, expected one")
            self.incoming = self._spool(segment.filename)

    def _end(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None and segment.filename is None:
            self._put(segment.name, self._text.decode("utf-8", "replace"))

    def _count_field(self) -> None:
        self._count += 1
        if self._count > MOST_FIELDS:
            raise BadInput(f"the form has more than {MOST_FIELDS} fields")

    def _add_text(self, piece: bytes) -> None:
        self._count_text(len(piece))
        self._text += piece

    def _count_text(self, size: int) -> None:
        self._text_size += size
        if self._text_size > MOST_TEXT:
            raise TooLarge(f"the texts of the form may have {MOST_TEXT} bytes")

    def _put(self, name: str, value: str) -> None:
        # No database takes a null character.
        self._fields.setdefault(name, []).append(value.replace("\0", "\ufffd"))

    def _sync(self) -> None:
        """Bring the spool to disk now and then; a client that is faster than the disk waits for it."""
        incoming = self.incoming
        if incoming is None or self._syncing or incoming.unsynced < SYNCED:
            return
        self._syncing = True
        self._request.pause()
        self._in_thread(incoming.sync, incoming.begin_sync()).addBoth(self._synced)

    def _synced(self, result: object) -> None:
        self._syncing = False
        if isinstance(result, Failure):
            log.failure("the spool could not be brought to disk", result)  # keeping the file will fail, and say so
        self._request.resume()

    def form(self) -> Form:
        """The whole form, when the body is here.

        :raises BadInput: it is cut off, or none.
        """
        if self._parser is not None:
            try:
                self._parser.close()
            except MultipartError as error:
                raise BadInput("the form is not complete") from error
        else:
            try:
                pairs = parse_qsl(bytes(self._text).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
            except ValueError as error:
                raise BadInput(f"the form cannot be read: {error}") from error
            for name, value in pairs:
                self._put(name, value)
        return Form({name: tuple(values) for name, values in self._fields.items()})

    def hand_over(self) -> Incoming:
        """The file; whoever asks for it discards it.

        :raises BadInput: the form has none.
        """
        if self.incoming is None:
            raise BadInput("content file field not found")
        incoming, self.incoming = self.incoming, None
        return incoming

    def leave(self) -> None:
        if self.incoming is not None:
            self.incoming.discard()


def _is_complete(parser: PushMultipartParser) -> bool:
    """Whether a parser has met the end of the form; it says so only when it is closed, so another one is."""
    try:
        copy(parser).close()
    except MultipartError:
        return False
    return True
