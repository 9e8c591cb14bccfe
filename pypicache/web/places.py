"""Under which address the daemon is seen from outside (contract devpi 1.7)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from twisted.web.server import Request

from pypicache.web.answers import header

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")


def outside_url(request: Request, configured: str | None) -> str:
    """The address of the daemon's root as the client sees it, without a trailing slash.

    The header ``X-outside-url`` of a front end wins over the configuration, that over the connection's own host.
    """
    told = told_url(header(request, "x-outside-url"), configured)
    if told is not None:
        return told
    scheme = "https" if request.isSecure() else "http"
    host = header(request, "host") or ""
    if not _HOST.fullmatch(host):
        place = request.getHost()
        host = f"{getattr(place, 'host', 'localhost')}:{getattr(place, 'port', 80)}"
    return f"{scheme}://{host}"


def told_url(by_front_end: str | None, configured: str | None) -> str | None:
    """The outside URL that a front end's header says, or else the configuration; ``None`` if neither can be one."""
    for candidate in (by_front_end, configured):
        if candidate is not None:
            parts = urlsplit(candidate)
            if parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.netloc) and _PATH.fullmatch(parts.path):
                return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return None


def path_of(url: str) -> str:
    """The path of an outside URL, ``""`` or ``/prefix``."""
    return urlsplit(url).path.rstrip("/")
