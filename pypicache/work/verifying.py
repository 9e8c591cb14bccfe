"""Whether the files that were uploaded are there, with the bytes that were uploaded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from hashlib import sha256

from pypicache.ledger.ledger import Ledger, all_indexes, index_files
from pypicache.store.local import Shelf


def faults(ledger: Ledger, shelf: Shelf) -> Iterator[str]:
    """A sentence for each file of private indexes that is not what they say. Blocks, and reads every byte."""
    for name, options in sorted(ledger.read_now(all_indexes).items()):
        if options.get("type") == "mirror":
            continue
        for file in ledger.read_now(partial(index_files, index=name)):
            key = f"{name}/{file.path}"
            wanted = {key: file.hashes["sha256"]}
            if file.core_metadata is not None:
                wanted[f"{key}.metadata"] = file.core_metadata
            for place, digest in wanted.items():
                found = _digest(shelf, place)
                if found is None:
                    yield f"{place}: is not there, or cannot be read"
                elif found != digest:
                    yield f"{place}: has the sha256 {found}, expected {digest}"


def _digest(shelf: Shelf, key: str) -> str | None:
    digest = sha256()
    try:
        with shelf.path(key).open("rb") as stream:
            while piece := stream.read(2**20):
                digest.update(piece)
    except OSError:
        return None
    return digest.hexdigest()
