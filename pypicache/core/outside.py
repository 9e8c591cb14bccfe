"""Under which address the daemon is seen from outside (contract devpi 1.7), as far as texts say it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")


def told_url(by_front_end: str | None, configured: str | None) -> str | None:
    """The outside URL that a front end's header says, or else the configuration; ``None`` if neither can be one."""
    for candidate in (by_front_end, configured):
        if candidate is not None:
            try:
                parts = urlsplit(candidate)
            except ValueError:  # brackets that hold no address
                continue
            if parts.scheme in {"http", "https"} and HOST.fullmatch(parts.netloc) and _PATH.fullmatch(parts.path):
                return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return None


def path_of(url: str) -> str:
    """The path of an outside URL, ``""`` or ``/prefix``."""
    return urlsplit(url).path.rstrip("/")
