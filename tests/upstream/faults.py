"""The switches: how the server answers, for every path or for those that match a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from attrs import define, evolve, field, fields_dict, frozen


@frozen(kw_only=True)
class Switches:
    """Everything that can be set; the defaults are a well-behaved modern index."""

    # the answer
    status: int | None = None  # answer this status instead of the real answer
    retry_after: str | None = None  # with a status
    auth: str | None = None  # "user:password" that must be given (Basic)
    redirect: bool = False  # 302 to the same path on the other port
    first_byte: float = 0  # seconds before the answer begins
    rate: int | None = None  # bytes per second of the body
    cut: float | None = None  # close the connection after this many per cent of the body
    hold: float | None = None  # stop after this many per cent of the body until released by a control request
    corrupt: bool = False  # one byte in the middle of a file is wrong
    ranges: bool = True
    etag: str = "strong"  # strong, weak, none
    last_modified: bool = True
    gzip: bool = False  # pages, for clients that accept it
    chunked: bool = False  # no Content-Length
    # the page
    html: bool = False  # HTML whatever the client accepts
    base_href: bool = False  # HTML: names relative to a <base>
    links: str = "absolute"  # absolute, root, relative, other (the second port)
    hashes: tuple[str, ...] = field(default=("sha256",), converter=tuple)
    size: bool = True
    upload_time: bool = True
    core_metadata: bool = True  # advertised
    serve_metadata: bool = True  # and there
    provenance: bool = False
    project_status: str | None = None
    unknown_keys: bool = False
    serial: int | None = None  # X-PyPI-Last-Serial
    # pages that hurt
    padding: int = 0  # bytes of blanks inside the page
    endless: bool = False
    bomb: int = 0  # bytes that a small gzip body unpacks to
    hostile: bool = False  # names and links that must never reach a path, a page or a client


@define
class Rule:
    """Switches for the requests that match.

    :ivar path: a pattern with ``*``, for the path without its query.
    :ivar times: how many more requests it applies to; ``None``: all.
    """

    given: Mapping[str, Any]
    path: str = "*"
    method: str = "*"
    times: int | None = None

    @classmethod
    def from_json(cls, rule: Mapping[str, Any]) -> Rule:
        """Read ``{"path": ..., "method": ..., "times": ..., SWITCH: VALUE}``.

        :raises ValueError: a key that is no switch.
        """
        given = {key: value for key, value in rule.items() if key not in {"path", "method", "times"}}
        if unknown := sorted(set(given) - set(fields_dict(Switches))):
            raise ValueError(f"no such switch: {', '.join(unknown)}")
        evolve(Switches(), **given)
        return cls(given, rule.get("path", "*"), rule.get("method", "*"), rule.get("times"))

    def matches(self, method: str, path: str) -> bool:
        """Whether the rule applies to a request now."""
        return self.times != 0 and fnmatchcase(path, self.path) and fnmatchcase(method, self.method)


@define
class Panel:
    """The rules in force; where two set the same switch, the later one wins."""

    rules: list[Rule] = field(factory=list)

    def switches(self, method: str, path: str) -> Switches:
        """The switches for one request. Counted rules that apply are used up by one."""
        given: dict[str, Any] = {}
        for rule in self.rules:
            if rule.matches(method, path):
                given.update(rule.given)
                if rule.times is not None:
                    rule.times -= 1
        return evolve(Switches(), **given)
