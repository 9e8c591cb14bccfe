"""Stage indexes for tests: with users, and with releases that were put there directly."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred

from pypicache.core.changes import Change, FileSaved, IndexSaved, ReleaseSaved, UserSaved
from pypicache.core.spec import MirrorSpec
from pypicache.ledger.ledger import Decision, project_files, project_releases
from pypicache.settings import Settings
from tests.ring_one.house import UP, HouseCase

UPLOADED = {"what": "upload", "who": "alice", "when": [2026, 11, 20, 10, 5, 31], "dst": "alice/dev"}


class ShelvedCase(HouseCase):
    """A daemon with stage indexes over a mirror."""

    def settings(self) -> Settings:
        mirror = MirrorSpec.from_options("root/pypi", {"mirror_url": UP})
        return Settings(state=self.directory, indexes=(mirror,))

    def record(self, *changes: Change) -> None:
        """Put something into the ledger."""
        self.successResultOf(
            Deferred.fromCoroutine(self.house.ledger.change(lambda connection: Decision(changes, None)))
        )

    def stage(self, name: str, **options: object) -> None:
        """Make a stage index to which everybody may upload, unless the options say something else."""
        everything = {"type": "stage", "volatile": True, "acl_upload": [":ANONYMOUS:"], **options}
        owner = name.partition("/")[0]
        self.record(UserSaved(name=owner, record={}), IndexSaved(name=name, options=everything))

    def keep(self, key: str, content: bytes) -> None:
        """Put bytes onto the shelf."""
        self.house.shelf.write(key, content)

    def release(self, index: str, name: str, version: str, **metadata: object) -> None:
        """Register a version."""
        said = {"name": name, "version": version, **metadata}
        project = name.lower().replace(".", "-").replace("_", "-")
        self.record(ReleaseSaved(index=index, project=project, version=version, metadata=said))

    def file(self, index: str, project: str, version: str, name: str, content: bytes, **fields: Any) -> FileSaved:
        """Add a file to a version."""
        digest = sha256(content).hexdigest()
        directory = fields.pop("directory", f"+f/{digest[:3]}/{digest[3:16]}")
        usual: dict[str, Any] = {
            "index": index, "project": project, "version": version, "kind": "releasefile",
            "path": f"{directory}/{name}", "name": name, "hashes": {"sha256": digest}, "size": len(content),
            "uploaded": "2026-11-20T10:05:31.123456Z", "log": [UPLOADED],
        }  # fmt: skip
        saved = FileSaved(**{**usual, **fields})
        self.keep(f"{index}/{saved.path}", content)
        self.record(saved)
        return saved

    def stored(self, index: str, project: str) -> dict[str, FileSaved]:
        """What an index has of a project, by file name."""
        found = self.house.ledger.read_now(lambda connection: project_files(connection, index, project))
        return {file.name: file for file in found}

    def versions(self, index: str, project: str) -> Mapping[str, Any]:
        """The versions of a project and their metadata."""
        return self.house.ledger.read_now(lambda connection: project_releases(connection, index, project))

    def on_shelf(self, key: str) -> bytes:
        """The bytes under a key."""
        return self.house.shelf.path(key).read_bytes()
