"""What is said of pages and files, as header fields: pure functions, the same for the lane and the normal path."""

from __future__ import annotations

from pypicache.web.conditions import http_date

VARY = "Accept, Accept-Encoding"
STALE = {"x-pypicache-stale": "the upstream could not be asked"}
FOR_EVER = "max-age=365000000, immutable, public"
ASK_AGAIN = "no-cache"
OCTETS = b"application/octet-stream"


def freshness(checked: float | None, stale: bool, now: float, client_max_age: float) -> str:
    """``Cache-Control`` of a page (contract clients 6, freshness arithmetic).

    :param checked: when the upstream confirmed it, in seconds since the epoch; ``None``: there is none, it is ours.
    :param client_max_age: seconds for which clients may take a page for fresh, counted from then; 0: never.
    """
    if stale or not client_max_age or checked is None:
        return ASK_AGAIN
    return f"max-age={max(0, int(client_max_age) - int(now - checked))}, public"


def page_fields(fresh: str, etag: str, serial: int | None, stale: bool) -> dict[str, str]:
    """What is said of a page, in 200 and 304 alike.

    :param fresh: its ``Cache-Control``.
    :param serial: of the project, at the upstream.
    """
    fields = {"cache-control": fresh, "etag": f'"{etag}"', "vary": VARY}
    if serial is not None:
        fields["x-pypi-last-serial"] = str(serial)
    return fields | STALE if stale else fields


def file_fields(cached: str, etag: str, modified: float) -> dict[str, str]:
    """What is said of a file on the shelf, in 200, 206 and 304 alike, besides its type.

    :param cached: its ``Cache-Control``.
    :param modified: in seconds since the epoch.
    """
    return {
        "cache-control": cached,
        "accept-ranges": "bytes",
        "etag": f'"{etag}"',
        "last-modified": http_date(modified).decode(),
    }


def for_one(value: str) -> str:
    """``Cache-Control`` of an answer that depends on who asks, made from what would be said to everybody."""
    if "no-store" in value:
        return value
    if "immutable" in value:  # the client may keep for ever what it was given, for itself
        return value.replace("public", "private")
    return "private, no-cache"


def lifetime(path: str) -> str:
    """``Cache-Control`` of the file at a path below its index.

    Only a digest in the address makes it mean the same bytes for ever. The list of a wheel's variants may be written
    again even so (PEP 825).
    """
    return FOR_EVER if path.startswith("+f/") and not path.endswith("-variants.json") else ASK_AGAIN
