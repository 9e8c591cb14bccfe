"""What ``pypicache status`` prints: the figures of ``GET /+status`` for a terminal. Text out, no input or output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pypicache.web.figures import Download, Hits, Index, Status, counted, duration, in_bytes, percentage

BAR = 16  # characters between the brackets
LONGEST_NAME = 48  # of a file, before its middle is left out

_WHITE = re.compile(r"\s+")


def describe(result: Mapping[str, object]) -> str:
    """The figures as lines of text, without a final line feed.

    :param result: the ``result`` object of ``GET /+status``. Missing keys are left out or count as zero, because the
        daemon may be older or newer than the command.

    Characters that could steer the terminal are replaced; names and messages come from elsewhere.
    """
    return "\n".join(printable(line) for line in _lines(Status.read(result)))


def printable(line: str) -> str:
    """A line without control characters, escape sequences or marks that change the direction of writing."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def bar(share: float | None) -> str:
    """A progress bar, ``[####............]``; question marks if the share is unknown."""
    if share is None:
        return f"[{'?' * BAR}]"
    done = int(min(1.0, max(0.0, share)) * BAR)
    return f"[{'#' * done}{'.' * (BAR - done)}]"


def shortened(name: str) -> str:
    """A name of at most :data:`LONGEST_NAME` characters; what tells files apart is at both ends."""
    if len(name) <= LONGEST_NAME:
        return name
    end = (LONGEST_NAME - 3) // 2
    return f"{name[: LONGEST_NAME - 3 - end]}...{name[-end:]}"


def _lines(status: Status) -> Iterator[str]:
    version = f" {status.version}" if status.version else ""
    yield f"pypicache{version}, up for {duration(status.uptime)}"
    for sentence in status.warnings:
        yield f"WARNING: {_one_line(sentence)}"
    yield ""
    yield f"Cache   {status.fill}, {counted(status.files, 'file')}"
    if status.evicted_files:
        removed = counted(status.evicted_files, "file")
        yield f"        {removed} ({in_bytes(status.evicted_bytes)}) removed to make room"
    yield f"Ready   {status.ready.words} in memory; used: {status.ready.used.rate}"
    yield f"Busy    {status.turns.words}; last 5 minutes: {status.recent_turns.words}"
    yield f"Pages   {_rate(status.pages)}"
    yield f"Files   {_rate(status.downloaded)}"
    saved, fetched = in_bytes(status.bytes_from_cache), in_bytes(status.bytes_from_upstream)
    yield f"Bytes   {saved} from the cache, {fetched} from upstream"
    yield ""
    yield from _downloads(status.downloads)
    if status.upstreams:
        yield ""
        yield "Upstreams"
        for upstream in status.upstreams:
            yield f"  {_one_line(upstream.host)} {_one_line(upstream.words)}"
            if upstream.last_error and upstream.state != "closed":
                yield f"    {_one_line(upstream.last_error)}"
    if status.indexes:
        yield ""
        yield "Indexes"
        yield from map(_index, status.indexes)


def _rate(hits: Hits) -> str:
    return f"{hits.rate} from the cache, {counted(hits.total, 'request')}" if hits.total else hits.rate


def _downloads(downloads: tuple[Download, ...]) -> Iterator[str]:
    if not downloads:
        yield "No downloads under way"
        return
    yield "Downloads under way"
    # Lines are aligned, so that a person's eye finds the slow one.
    names = [shortened(_one_line(download.file)) for download in downloads]
    amounts = [download.amount for download in downloads]
    name_width, amount_width = max(map(len, names)), max(map(len, amounts))
    for download, name, amount in zip(downloads, names, amounts, strict=True):
        share = "  ?" if download.share is None else percentage(download.share, 0).removesuffix(" %")
        clients = counted(download.clients, "client")
        yield f"  {name:{name_width}}  {bar(download.share)}  {share:>3} %  {amount:{amount_width}}  {clients}"


def _index(index: Index) -> str:
    parts = [index.type, f"from {index.mirror_url}" if index.mirror_url else "", index.title or ""]
    if index.projects is not None:
        parts.append(counted(index.projects, "project"))
    rest = ", ".join(_one_line(part) for part in parts if part)
    return f"  {_one_line(index.name)}" + (f"  {rest}" if rest else "")


def _one_line(text: str) -> str:
    return _WHITE.sub(" ", text).strip()
