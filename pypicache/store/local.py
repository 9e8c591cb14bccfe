"""The shelf: complete, verified files on disk, under their URL paths."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from attrs import frozen

from pypicache.store.small import SMALL, SmallFiles, Stamp

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR}
"""What an operating system answers when a place takes no more bytes."""


class Found(NamedTuple):
    """A file of the shelf as it is now."""

    key: str
    size: int  # bytes
    modified: float  # seconds since the epoch
    stamp: Stamp


@frozen(kw_only=True)
class Kept:
    """An open file of the shelf."""

    key: str
    descriptor: int
    size: int  # bytes
    modified: float  # seconds since the epoch
    stamp: Stamp


class Shelf:
    """Files below ``<state>/+files``, one per key; the key is the URL path without the leading slash.

    A file that exists under its key is complete and was verified: it is written elsewhere on the same file system,
    synced, and then linked into place.

    :ivar small: contents of small files that were read.
    """

    def __init__(self, state: Path) -> None:
        self.root = state / "+files"
        self.spool = state / "spool"
        self._top = str(self.root)  # Path takes longer than the question to the disk
        self._in_use: Counter[str] = Counter()
        self.small = SmallFiles()

    def prepare(self) -> None:
        """Make the directories, and remove what an earlier process left half done.

        :raises OSError: the state directory cannot be used.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self.spool.mkdir(parents=True, exist_ok=True)
        for left in self.spool.iterdir():
            if left.is_symlink() or not left.is_dir():  # directories are none of ours
                left.unlink()

    def path(self, key: str) -> Path:
        """Where the file of this key is, or would be."""
        return self.root / key

    def open(self, key: str) -> Kept | None:
        """Open a file; ``None`` if it is not there. The caller gives it back by :meth:`close`."""
        try:
            descriptor = os.open(f"{self._top}/{key}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        status = os.fstat(descriptor)
        self._in_use[key] += 1
        return Kept(key=key, descriptor=descriptor, size=status.st_size, modified=status.st_mtime, stamp=_stamp(status))

    def close(self, kept: Kept) -> None:
        """Take back a file that :meth:`open` gave."""
        os.close(kept.descriptor)
        self._in_use[kept.key] -= 1
        if not self._in_use[kept.key]:
            del self._in_use[kept.key]

    def look(self, key: str) -> Found | None:
        """Look at a file without opening it; ``None`` if it is not there."""
        try:
            status = os.stat(f"{self._top}/{key}")  # noqa: PTH116 -- Path takes longer than the disk
        except OSError:
            self.small.drop(key)
            return None
        return Found(key, status.st_size, status.st_mtime, _stamp(status))

    def open_found(self, found: Found) -> Kept | None:
        """Open a file that was found; ``None`` if there is another one by now, or none. Given back by :meth:`close`."""
        kept = self.open(found.key)
        if kept is None or kept.stamp == found.stamp:
            return kept
        self.close(kept)
        return None

    def read(self, found: Found, first: int, end: int) -> bytes | None:
        """Bytes of a file that was found, from memory if it is small; ``None`` if it is not as it was any more."""
        content = self.small.get(found.key, found.stamp)
        if content is not None:
            return content[first:end]
        kept = self.open_found(found)
        if kept is None:
            return None
        small = found.size <= SMALL
        try:
            read = os.pread(kept.descriptor, found.size, 0) if small else os.pread(kept.descriptor, end - first, first)
        finally:
            self.close(kept)
        if len(read) != (found.size if small else end - first):
            return None
        if small:
            self.small.put(found.key, found.stamp, read)
        return read[first:end] if small else read

    def in_use(self, key: str) -> bool:
        """Tell whether somebody has the file open."""
        return key in self._in_use

    def holds(self, key: str) -> bool:
        """Tell whether there is a file under this key."""
        try:
            return stat.S_ISREG(os.stat(f"{self._top}/{key}").st_mode)  # noqa: PTH116 -- Path takes longer than the disk
        except OSError:
            return False

    def keep(self, spooled: Path, key: str, modified: float | None, *, replaceable: bool = False) -> None:
        """Put a complete, verified file under its key. Blocks.

        After a power cut it is there as a whole; one that can be fetched again may also be missing as a whole, which
        saves a wait for the disk.

        :param modified: the time to give it, in seconds since the epoch.
        :raises OSError: the disk does not take it.
        """
        descriptor = os.open(spooled, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _finish(descriptor, modified)
        finally:
            os.close(descriptor)
        self._name(spooled, key)
        if not replaceable:
            _sync_directory(self.path(key).parent)

    def place(self, spooled: Path, content: bytes | bytearray, key: str, modified: float | None) -> None:
        """Put something small and verified, which can be had again, under its key. Blocks.

        :param spooled: the name that it has until it is whole.
        :param modified: the time to give it, in seconds since the epoch.
        :raises OSError: the disk does not take it; nothing is left then.
        """
        descriptor = os.open(spooled, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            try:
                view = memoryview(content)
                while view:
                    view = view[os.write(descriptor, view) :]
                _finish(descriptor, modified)
            finally:
                os.close(descriptor)
            self._name(spooled, key)
        except BaseException:
            with suppress(OSError):
                spooled.unlink(missing_ok=True)
            raise

    def _name(self, spooled: Path, key: str) -> None:
        place = f"{self._top}/{key}"
        _make_directory(place.rpartition("/")[0])
        with suppress(FileExistsError):  # somebody was faster with the same bytes
            os.link(spooled, place)
        spooled.unlink(missing_ok=True)

    def keep_together(self, files: Sequence[tuple[str, str]]) -> None:
        """Put complete, verified files under their keys, in place of what is there. Blocks.

        They survive a power cut from then on; each directory is synced once.

        :param files: where each is in the spool, and its key.
        :raises OSError: the disk does not take them.
        """
        _sync_files([spooled for spooled, _ in files])
        directories: dict[str, None] = {}
        for spooled, key in files:
            place = f"{self._top}/{key}"
            directory = place.rpartition("/")[0]
            if directory not in directories:
                _make_directory(directory)
                directories[directory] = None
            os.rename(spooled, place)  # noqa: PTH104 -- likewise
        for directory in directories:
            _sync_directory(directory)

    def write(self, key: str, content: bytes) -> None:
        """Put something small under a key, so that it survives a power cut. Blocks.

        :raises OSError: the disk does not take it.
        """
        descriptor, spooled = tempfile.mkstemp(dir=self.spool)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, 0o644)
            stream.write(content)
        self.keep(Path(spooled), key, None)

    def link(self, have: str, key: str) -> bool:
        """Give a file that is held a second name, for good; ``False`` if that did not work. Blocks."""
        place = self.path(key)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.link(self.path(have), place)
            _sync_directory(place.parent)
        except OSError:
            return False
        return True

    def remove(self, key: str) -> None:
        """Take a file off the shelf, and the directories that are empty then. Blocks."""
        place = self.path(key)
        place.unlink(missing_ok=True)
        for directory in place.parents:
            if directory == self.root:
                break
            try:
                directory.rmdir()
            except OSError:
                break

    def indexes(self) -> list[str]:
        """The indexes that have a directory, sorted. Blocks."""
        return sorted(str(place.relative_to(self.root)) for place in self.root.glob("*/*") if place.is_dir())

    def walk(self, index: str = "") -> Iterator[str]:
        """The keys of all files, or of those of one index. Blocks for as long as the disk takes."""
        waiting = [self.root / index]
        while waiting:
            with suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        yield str(Path(entry.path).relative_to(self.root))

    def room(self) -> tuple[int, int]:
        """Bytes that are free on the disk for us, and bytes that it has in all."""
        status = os.statvfs(self.spool)
        return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize


def _stamp(status: os.stat_result) -> Stamp:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _finish(descriptor: int, modified: float | None) -> None:
    if modified is not None:
        os.utime(descriptor, (modified, modified))
    os.fdatasync(descriptor)


def _sync_directory(directory: Path | str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_directory(place: str) -> None:
    try:
        os.mkdir(place)  # noqa: PTH102 -- Path takes longer
    except FileExistsError:
        pass
    except FileNotFoundError:
        Path(place).mkdir(parents=True, exist_ok=True)


def _sync_files(places: Sequence[str]) -> None:
    descriptors: list[int] = []
    try:
        descriptors.extend(os.open(place, os.O_RDONLY | os.O_CLOEXEC) for place in places)
        for descriptor in descriptors:
            os.fdatasync(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
