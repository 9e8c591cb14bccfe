"""What others have yet to be told, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import pytest
from attrs import evolve

from pypicache.core.changes import FileGone, FileSaved, IndexGone, IndexSaved, ReleaseGone, ReleaseSaved
from pypicache.core.errors import Conflict
from pypicache.ledger.ledger import Decision
from pypicache.ledger.migrations import upgrade
from pypicache.ledger.migrations.engines import engine_of
from pypicache.ledger.outbox import TRIGGER, WEBHOOK, Letter, Queue, first, note, take_out, waiting
from tests.databases import LedgerCase, OnPostgresql, OnSqlite

DEV = "alice/dev"
BOTH = IndexSaved(name=DEV, options={"type": "stage", WEBHOOK: "http://hooks.example/", TRIGGER: "http://ci.example/"})
RELEASE = ReleaseSaved(index=DEV, project="a", version="1.0", metadata={"name": "a"})
FILE = FileSaved(
    index=DEV, project="a", version="1.0", kind="releasefile", path="+f/000/0000000000000/a-1.0.zip", name="a-1.0.zip",
    hashes={"sha256": "0" * 64}, size=1, uploaded="2026-11-20T10:05:31.000000Z",
)  # fmt: skip


class OutboxContract(LedgerCase):
    """What holds on every database."""

    __test__ = False

    def take_out(self, queue: Queue, serial: int) -> None:
        """What whoever told it does."""

        def decide(connection: object) -> Decision[None]:
            take_out(connection, queue, serial)  # type: ignore[arg-type]  # it is one
            return Decision((), None)

        self.ledger.change_now(decide)

    def test_noted_with_what_is_recorded(self) -> None:
        """Everything for the webhook; a release once for the trigger, if files came to it."""
        self.change(BOTH)
        assert self.read(waiting) == []
        self.change(RELEASE)
        assert self.read(waiting) == [Queue(DEV, WEBHOOK)]
        self.change(FILE, evolve(FILE, path="+f/1", kind="doczip"), evolve(FILE, path="+f/2", version="2.0+ä"))
        about = [Queue(DEV, TRIGGER, "a/1.0"), Queue(DEV, TRIGGER, "a/2.0+ä")]
        assert self.read(waiting) == [*about, Queue(DEV, WEBHOOK)]
        self.change(FileGone(index=DEV, path=FILE.path), ReleaseGone(index=DEV, project="a", version="2.0+ä"))
        assert self.read(waiting) == [*about, Queue(DEV, WEBHOOK)]

    def test_taken_out_in_order(self) -> None:
        """Each letter has what its serial says of its index, and nothing else."""
        self.change(BOTH, IndexSaved(name="bob/dev", options={"type": "stage"}))
        self.change(RELEASE, evolve(RELEASE, index="bob/dev"))
        self.change(FILE)
        queue = Queue(DEV, WEBHOOK)
        letter: Letter = self.read(first, queue)
        assert (letter.serial, letter.changes) == (2, [RELEASE])
        assert letter.at.endswith("Z")
        assert self.read(first, queue) == letter, "as long as it is there"
        self.take_out(queue, 2)
        letter = self.read(first, queue)
        assert (letter.serial, letter.changes) == (3, [FILE])
        self.take_out(queue, 3)
        assert self.read(first, queue) is None
        assert self.read(waiting) == [Queue(DEV, TRIGGER, "a/1.0")], "others have their own"
        assert self.ledger.serial == 3, "that it was told is no change of the truth"

    def test_nobody_wants_to_know(self) -> None:
        """Other indexes, options that are empty, and what is not recorded."""
        self.change(IndexSaved(name=DEV, options={"type": "stage", WEBHOOK: "", TRIGGER: None}))
        self.change(RELEASE, FILE)
        self.change(BOTH)
        self.change(evolve(RELEASE, index="bob/dev"))

        def refuse(connection: object) -> Decision[None]:
            note(connection, 99, [RELEASE])  # type: ignore[arg-type]  # it is one
            raise Conflict("it is there")

        with pytest.raises(Conflict):
            self.ledger.change_now(refuse)
        assert self.read(waiting) == []

    def test_nobody_wants_to_know_any_more(self) -> None:
        """An option is unset, or the index is deleted; others keep theirs."""
        self.change(BOTH, evolve(BOTH, name="bob/dev"))
        self.change(FILE, evolve(FILE, index="bob/dev"))
        self.change(IndexSaved(name=DEV, options={"type": "stage", WEBHOOK: "http://other.example/"}))
        others = [Queue("bob/dev", TRIGGER, "a/1.0"), Queue("bob/dev", WEBHOOK)]
        assert self.read(waiting) == [Queue(DEV, WEBHOOK), *others]
        self.change(FileGone(index=DEV, path=FILE.path), IndexGone(name=DEV))
        assert self.read(waiting) == others

    def test_it_outlives_the_process(self) -> None:
        """Like everything that was committed."""
        self.change(BOTH)
        self.change(RELEASE)
        self.ledger.close()
        self.ledger = self.open()
        assert self.read(waiting) == [Queue(DEV, WEBHOOK)]
        assert self.read(first, Queue(DEV, WEBHOOK)).changes == [RELEASE]

    def test_a_ledger_of_the_version_before(self) -> None:
        """It gets an empty outbox, and keeps what it has."""
        self.change(BOTH)
        with self.ledger.database.transaction(writing=True) as connection:
            connection.execute("DROP TABLE outbox")
            connection.execute("UPDATE alembic_version SET version_num = '0001'")
        engine = engine_of(self.database)
        self.addCleanup(engine.dispose)
        upgrade(engine, self.directory / "backups")
        assert self.read(waiting) == []
        self.change(RELEASE)
        assert self.read(waiting) == [Queue(DEV, WEBHOOK)]
        row = f"('{DEV}', '{WEBHOOK}', '', 2)"
        with (
            pytest.raises(self.ledger.database.errors, match=r"(?i)unique"),
            self.ledger.database.transaction(writing=True) as connection,
        ):
            connection.execute(f'INSERT INTO outbox ("index", hook, about, serial) VALUES {row}')  # noqa: S608


class SqliteOutbox(OutboxContract, OnSqlite):
    """On SQLite."""

    __test__ = True


@pytest.mark.usefixtures("in_postgresql")
class PostgresqlOutbox(OutboxContract, OnPostgresql):
    """On PostgreSQL."""

    __test__ = True
