"""Under which address the daemon is seen from outside (contract devpi 1.7)."""

from __future__ import annotations

from twisted.web.server import Request

from pypicache.core.outside import HOST, told_url
from pypicache.web.answers import header


def outside_url(request: Request, configured: str | None) -> str:
    """The address of the daemon's root as the client sees it, without a trailing slash.

    The header ``X-outside-url`` of a front end wins over the configuration, that over the connection's own host.
    """
    told = told_url(header(request, "x-outside-url"), configured)
    if told is not None:
        return told
    scheme = "https" if request.isSecure() else "http"
    host = header(request, "host") or ""
    if not HOST.fullmatch(host):
        place = request.getHost()
        host = f"{getattr(place, 'host', 'localhost')}:{getattr(place, 'port', 80)}"
    return f"{scheme}://{host}"
