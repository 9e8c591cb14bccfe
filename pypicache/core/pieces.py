"""A page in pieces that are compressed on their own, so that only what changed is compressed again.

Pieces that are compressed apart from one another, and end at a byte, can be joined to one member of gzip (RFC 1951, RFC
1952), which every client reads.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import pairwise

from attrs import frozen

GZIP_LEVEL = 5
GZIP_STRATEGY = (
    zlib.Z_FILTERED
)  # pages are mostly digests, of which a few digits are cheaper to repeat than to refer to
SHORTEST = 16 * 2**10  # bytes of a piece before it is compressed; in shorter ones too little repeats
_CUT = re.compile(rb"/\+f/0[01]")  # the address of every 128th file, whichever files stand before it
_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # deflate; neither time nor system are told
_END = b"\x03\0"  # an empty last block
ENTRY = 280  # bytes; what it takes to remember where a piece lies

Spans = Mapping[bytes, tuple[int, int]]
"""Where pieces begin and end, by their digests."""


@frozen
class Pieces:
    """A page cut where its text says so: what is added or taken away changes the pieces around it, and no others."""

    page: bytes
    pieces: Sequence[memoryview]
    digests: Sequence[bytes]  # of each piece

    @property
    def digest(self) -> str:
        """The same for the same page, and for no other; 32 hexadecimal digits."""
        return sha256(b"".join(self.digests)).hexdigest()[:32]


@frozen
class Gzipped:
    """A page in gzip."""

    body: bytes
    spans: Spans  # of the compressed pieces in the body; empty if the page is a single one


def cut(page: bytes) -> Pieces:
    """Cut a page; one without digests in its addresses stays in one piece."""
    ends = [0]
    while found := _CUT.search(page, ends[-1] + SHORTEST):
        ends.append(found.start())
    ends.append(len(page))
    view = memoryview(page)
    pieces = [view[start:end] for start, end in pairwise(ends)]
    return Pieces(page, pieces, [sha256(piece).digest() for piece in pieces])


def gzipped(cut: Pieces, before: Gzipped | None = None) -> Gzipped:
    """Compress a page.

    :param before: how the page was; the pieces that it had as well are taken from there.
    """
    known: Spans = {} if before is None else before.spans
    body, spans = bytearray(_HEAD), {}
    for piece, digest in zip(cut.pieces, cut.digests, strict=True):
        span = known.get(digest)
        begun = len(body)
        body += deflated(piece) if span is None or before is None else before.body[span[0] : span[1]]
        spans[digest] = (begun, len(body))
    body += _END + struct.pack("<II", zlib.crc32(cut.page), len(cut.page) % 2**32)
    return Gzipped(bytes(body), spans if len(spans) > 1 else {})


def deflated(piece: memoryview) -> bytes:
    """Compress a piece: blocks of deflate that refer to nothing before them, with an empty one that ends at a byte."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, GZIP_STRATEGY)
    return packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
