"""Addresses that users name, and whether the server may connect to them."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from pypicache.core.errors import BadInput
from pypicache.core.spec import masked


def web_address(key: str, url: object, private: bool = False) -> str:
    """Check an address that a user named.

    :param private: whether it may be in a private network. What a name stands for is checked when it is connected to.
    :raises BadInput: it is none, or one that may not be asked.
    """
    if not isinstance(url, str):
        raise BadInput(f"{key} = {url!r}: expected a URL")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        valid = valid and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        valid = False
    if not valid:
        raise BadInput(f"{key} = {masked(url)!r}: expected a URL that begins with http:// or https://")
    if "@" in parts.netloc:
        raise BadInput(f"{key} = {masked(url)!r}: expected no credentials in it")
    if not private and is_private(parts.hostname or ""):
        raise BadInput(f"{key} = {url!r}: this address is in a private network, which is not allowed here")
    return url


def is_private(host: str) -> bool:
    """Whether an address is one of this machine or of a private network; a name is only if it says so."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        # Resolvers read 127.1 and 0x7f000001 as addresses, too.
        return bool(name) and (name.rpartition(".")[2].isdigit() or name.rpartition(".")[2].startswith("0x"))
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return not (mapped or address).is_global or address.is_multicast
