"""What a GET or HEAD asks for, read from the bytes of its head, where there is nothing unusual about it."""

from __future__ import annotations

import re
from functools import lru_cache

from attrs import field, frozen

from pypicache.core.dist import projects_of
from pypicache.core.errors import BadInput
from pypicache.core.model import ProjectName, project_name
from pypicache.core.outside import path_of, told_url
from pypicache.web.negotiation import (
    Coding,
    Format,
    choose_coding,
    choose_format,
    is_installer,
    wants_json,
    wants_revalidation,
)
from pypicache.web.served import MOST_AGENT, MOST_PATH

MOST_HEADERS = 60  # twisted.web takes 500; nobody sends as many
MOST_HEAD = 4096  # bytes of header fields whose reading is remembered
MOST_LINE = 512  # the same of the first line of a request
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*?)[ \t]*")
_LINE = re.compile(rb"(GET|HEAD) (\S+) HTTP/1\.1")
_PAGE = re.compile(rb"/([\w.~@-]+/[\w.~@-]+)/(\+simple/)?([\w.-]+)/?", re.ASCII)
_FILE = re.compile(rb"/([\w.~@-]+/[\w.~@-]+)/(\+f/[\w.~@-]+/[\w.~@-]+/([\w.~@-][\w.~@+-]*))", re.ASCII)

TURNED_AWAY = frozenset({"content-length", "transfer-encoding", "expect", "upgrade", "cookie"})
"""Fields with which a request is more than a question."""


@frozen(kw_only=True)
class PageAt:
    """An address of a project's page."""

    index: str  # user/index
    project: ProjectName
    simple: bool  # below +simple; otherwise the page is for installers only


@frozen(kw_only=True)
class FileAt:
    """An address of a file."""

    index: str
    path: str  # below the index
    projects: tuple[ProjectName, ...]  # to which a file of this name may belong
    key: str = field(init=False)  # of the shelf

    @key.default
    def _key(self) -> str:
        return f"{self.index}/{self.path}"


@frozen(kw_only=True)
class Line:
    """The first line of a GET or HEAD, for something that may be at hand."""

    uri: bytes
    bodiless: bool  # HEAD
    where: PageAt | FileAt
    method: str
    path: str  # as a log tells it


@frozen(kw_only=True)
class Asked:
    """The header fields of a request, as far as an answer depends on them."""

    format: Format | None  # None: what the client takes, we do not have
    coding: Coding
    fresh: bool  # wants the upstream to be asked
    close: bool  # the connection ends with the answer
    json: bool  # wants JSON as the devpi client reads it
    installer: bool
    tags: str | None  # If-None-Match
    since: str | None  # If-Modified-Since
    range: str | None
    if_range: str | None
    outside_url: str | None  # as a front end says it
    authorization: str | None
    devpi_auth: str | None
    agent: str  # as a log tells it

    @classmethod
    def plain(cls, format_: Format = Format.HTML, coding: Coding = Coding.IDENTITY) -> Asked:
        """Nothing but a representation."""
        return cls(
            format=format_, coding=coding, fresh=False, close=False, json=False, installer=True, tags=None, since=None,
            range=None, if_range=None, outside_url=None, authorization=None, devpi_auth=None, agent="-",
        )  # fmt: skip

    @property
    def conditional(self) -> bool:
        """Whether something other than the whole file may be the answer."""
        return self.tags is not None or self.since is not None or self.range is not None

    def wants_page(self, where: PageAt) -> bool:
        """Whether a page that is remembered answers this: nobody is to be asked, and it is what is meant."""
        return not self.fresh and (where.simple or self.installer or not self.json)


def read_head(fields: bytes) -> Asked | None:
    """Read the header fields of an HTTP/1.1 request, from after its first line to the end of the empty one.

    :return: ``None`` if there is anything that only the whole machinery of HTTP understands.
    """
    return _read(fields) if len(fields) > MOST_HEAD else _remembered(fields)


def _read(fields: bytes) -> Asked | None:
    *lines, rest = fields.removesuffix(b"\r\n").split(b"\r\n")
    if rest or not fields:
        return None  # it has not ended
    if len(lines) > MOST_HEADERS:
        return None
    found: dict[str, str] = {}
    for line in lines:
        matched = _FIELD.fullmatch(line)
        if matched is None:
            return None
        name, value = matched[1].decode("ascii").lower(), matched[2].decode("ascii")
        if name in found or name in TURNED_AWAY:
            return None
        if name == "connection" and value.lower() not in {"keep-alive", "close"}:
            return None
        found[name] = value
    accept, agent = found.get("accept"), found.get("user-agent")
    return Asked(
        format=choose_format(accept),
        coding=choose_coding(found.get("accept-encoding")),
        fresh=wants_revalidation(found.get("cache-control"), found.get("pragma"), agent),
        close=found.get("connection", "").lower() == "close",
        json=wants_json(accept),
        installer=is_installer(agent),
        tags=found.get("if-none-match"),
        since=found.get("if-modified-since"),
        range=found.get("range"),
        if_range=found.get("if-range"),
        outside_url=found.get("x-outside-url"),
        authorization=found.get("authorization"),
        devpi_auth=found.get("x-devpi-auth"),
        agent=(agent or "-")[:MOST_AGENT],
    )


_remembered = lru_cache(maxsize=1024)(_read)  # a client sends the same fields with every request


def read_line(line: bytes, prefix: str) -> Line | None:
    """Read the first line of a request.

    :param prefix: path of the outside URL.
    :return: ``None`` if it is not a GET or HEAD by HTTP/1.1, or the address is neither that of a page nor of a file.
    """
    return _read_line(line, prefix) if len(line) > MOST_LINE else _remembered_line(line, prefix)


def _read_line(line: bytes, prefix: str) -> Line | None:
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    uri = found[2]
    path = uri[len(prefix) :] if prefix and uri.startswith(prefix.encode() + b"/") else uri
    where = place(path.replace(b"%2B", b"+"))  # pip writes it so
    if where is None:
        return None
    return Line(
        uri=uri, bodiless=found[1] == b"HEAD", where=where, method=found[1].decode(), path=uri.decode()[:MOST_PATH]
    )


_remembered_line = lru_cache(maxsize=16384)(_read_line)


def place(path: bytes) -> PageAt | FileAt | None:
    """What an address means, without the path of the outside URL; ``None`` if it is neither a page nor a file."""
    found = _FILE.fullmatch(path)
    if found is not None:
        name = found[3].decode()
        return FileAt(
            index=found[1].decode(), path=found[2].decode(), projects=projects_of(name.removesuffix(".metadata"))
        )
    found = _PAGE.fullmatch(path)
    if found is None:
        return None
    try:
        project = project_name(found[3].decode())
    except BadInput:
        return None
    return PageAt(index=found[1].decode(), project=project, simple=found[2] is not None)


@lru_cache(maxsize=64)
def outside_path(by_front_end: str | None, configured: str | None) -> str | None:
    """The path of the outside URL, ``""`` or ``/prefix``; ``None`` if it is not a plain one."""
    told = told_url(by_front_end, configured)
    path = "" if told is None else path_of(told)
    return path if re.fullmatch(r"(?:/[\w.~-]+)*", path, re.ASCII) else None
