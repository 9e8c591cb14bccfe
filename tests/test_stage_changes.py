"""What a stage remembers of a project, brought up to date change by change, is what the ledger lists."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from pypicache.core.changes import Change, FileGone, FileSaved, ReleaseGone, ReleaseSaved
from pypicache.core.errors import NotFound
from pypicache.core.model import Project, ProjectName
from pypicache.core.stage import StageSpec
from pypicache.index.stage import Stage
from pypicache.ledger.ledger import Decision, Ledger
from pypicache.store.library import Library

INDEX, DEMO, OTHER = "team/dev", ProjectName("demo"), ProjectName("other")


def saved(number: int, project: str, kind: str, yanked: bool) -> FileSaved:
    """A file of a project."""
    name = f"{project}-{number}.tar.gz" + ("" if kind == "releasefile" else ".toxresult-1")
    digest = f"{9 - number}{number:063}"
    return FileSaved(
        index=INDEX, project=project, version=str(number), kind=kind, path=f"+f/{digest[:3]}/{digest[3:16]}/{name}",
        name=name, hashes={"sha256": digest}, size=1, uploaded="2024-01-01T00:00:00.000000Z", yanked=yanked,
    )  # fmt: skip


NUMBERS, PROJECTS = st.integers(0, 5), st.sampled_from([DEMO, OTHER])
SAVED = st.builds(saved, NUMBERS, PROJECTS, st.sampled_from(["releasefile", "toxresult"]), st.booleans())
CHANGES: st.SearchStrategy[Change] = st.one_of(
    SAVED,
    SAVED.map(lambda file: FileGone(index=INDEX, path=file.path)),
    st.builds(
        ReleaseSaved,
        index=st.just(INDEX),
        project=PROJECTS,
        version=NUMBERS.map(str),
        metadata=st.just({"name": "d"}),
    ),
    st.builds(ReleaseGone, index=st.just(INDEX), project=PROJECTS, version=NUMBERS.map(str)),
)


class StageTests(SynchronousTestCase):
    def listing(self, stage: Stage, name: ProjectName) -> Project | None:
        """What a stage lists."""

        async def ask() -> Project | None:
            try:
                return await stage.project(name)
            except NotFound:
                return None

        return self.successResultOf(Deferred.fromCoroutine(ask()))

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.lists(CHANGES, min_size=1, max_size=3), max_size=8))
    def test_as_the_ledger_says(self, steps: Sequence[Sequence[Change]]) -> None:
        """After each step: files, their order, versions and the revision."""
        with tempfile.TemporaryDirectory() as directory:
            ledger = Ledger(f"sqlite:///{directory}/ledger.sqlite", maybeDeferred, maybeDeferred)
            ledger.open(Path(directory) / "backups")
            spec = StageSpec.from_options(INDEX, {"bases": []})
            library = cast(Library, None)  # it is not asked for what is listed
            stage = Stage(spec, ledger, library)
            ledger.listeners.append(stage.forget)
            for changes in steps:

                def decide(_: Any, changes: Sequence[Change] = changes) -> Decision[None]:
                    return Decision(changes, None)

                self.successResultOf(Deferred.fromCoroutine(ledger.change(decide)))
                for name in (DEMO, OTHER):
                    self.assertEqual(self.listing(stage, name), self.listing(Stage(spec, ledger, library), name))
            ledger.close()
