"""A daemon with stage indexes, and files that are in the ledger and on the shelf as an upload would put them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from pypicache.core.changes import Change, FileSaved, ReleaseSaved
from pypicache.ledger.ledger import Decision
from tests.ring_one.accounts import AccountsCase, basic
from tests.ring_one.house import PIP, UP, Answer, file_of, page_of

ALICE = basic("alice", "pw-alice")
BOB = basic("bob", "pw-bob")
WHEN = "2024-05-06T07:08:09.101112Z"


class StagesCase(AccountsCase):
    """``alice/dev`` over the mirror ``root/pypi``, which has one file of ``demo``."""

    def setUp(self) -> None:
        super().setUp()
        self.mirrored("demo", "demo-1.0.tar.gz", b"from upstream")
        self.make("alice/dev", bases="root/pypi")

    def make(self, name: str, **options: object) -> None:
        """Make an index as its owner."""
        user = name.partition("/")[0]
        answer = self.send("PUT", f"/{name}", options, **basic(user, f"pw-{user}"))
        self.assertEqual(answer.code, 200, answer.body)

    def mirrored(self, project: str, *names_and_content: Any) -> None:
        """Have the upstream list files."""
        names, contents = names_and_content[::2], names_and_content[1::2]
        files = [file_of(name, content) for name, content in zip(names, contents, strict=True)]
        self.up.pages[f"/simple/{project}/"] = page_of(project, *files)
        for name, content in zip(names, contents, strict=True):
            self.up.files[f"/packages/{name}"] = content

    def record(self, *changes: Change) -> None:
        """Change the truth."""
        self.successResultOf(Deferred.fromCoroutine(self.house.ledger.change(lambda _: Decision(changes, None))))

    def have(self, index: str, name: str, content: bytes, *, version: str = "1.0", **keys: Any) -> str:
        """Put a file into an index as an upload does; gives its path below the index."""
        project = keys.pop("project", name.partition("-")[0])
        digest = sha256(content).hexdigest()
        path = keys.pop("path", f"+f/{digest[:3]}/{digest[3:16]}/{name}")
        place: Path = self.house.shelf.path(f"{index}/{path}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        log: list[Any] = [{"what": "upload", "who": "alice", "when": [2024, 5, 6, 7, 8, 9], "dst": index}]
        saved = FileSaved(
            index=index, project=project, version=version, kind=keys.pop("kind", "releasefile"), path=path, name=name,
            hashes={"sha256": digest}, size=len(content), uploaded=WHEN, log=log, **keys,
        )  # fmt: skip
        metadata = {"name": project, "version": version, "summary": f"of {index}"}
        self.record(ReleaseSaved(index=index, project=project, version=version, metadata=metadata), saved)
        return str(path)

    def held(self, index: str, path: str) -> bool:
        """Whether the bytes are on the shelf."""
        return self.house.shelf.holds(f"{index}/{path}")

    def listed(self, index: str, project: str, **headers: str) -> dict[str, str]:
        """The files of a page: name -> URL."""
        answer = self.simple(index, project, **headers)
        self.assertEqual(answer.code, 200, answer.body)
        return {file["filename"]: file["url"] for file in answer.json()["files"]}

    def simple(self, index: str, project: str, **headers: str) -> Answer:
        """A page as pip asks for it."""
        return self.get(f"/{index}/+simple/{project}/", **{"accept": PIP, **headers})


__all__ = ["ALICE", "BOB", "PIP", "UP", "WHEN", "StagesCase"]
