"""``pypicache config`` tells what clients changed of what the file declares."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from pypicache.core.changes import IndexGone, IndexSaved, UserGone, UserSaved
from pypicache.ledger.ledger import Decision, all_indexes, all_users
from pypicache.settings import Settings, load
from pypicache.settings_text import compared, effective
from pypicache.work.declare import declare
from tests.databases import LedgerCase, OnPostgresql, OnSqlite

FILE = """
[server]
database = "{database}"
no_root_pypi = true
[users.alice]
password = "geheim"
email = "alice@team.example"
[users.bob]
pwhash = "{pwhash}"
[users.carol]
[indexes."team/up"]
type = "mirror"
mirror_url = "http://me:geheim@up.example/simple"
title = "Up"
[indexes."team/other"]
type = "mirror"
mirror_url = "http://other.example/"
"""
SAME = "# The users and indexes are as they are declared.\n"
HEAD = "# Users and indexes are not all as they are declared; what clients change stays:\n"
NONE = "# There is no ledger yet: users and indexes are made as they are declared when the daemon is started.\n"


class _Drifting(LedgerCase):
    def setUp(self) -> None:
        super().setUp()
        self.pwhash = PasswordHasher().hash("bob")
        self.settings = self.declared(FILE)
        declare(self.ledger, self.settings.users, self.settings.indexes)

    def declared(self, text: str) -> Settings:
        """The settings of a file."""
        file = self.directory / "pypicache.toml"
        file.write_text(text.format(database=self.database, pwhash=self.pwhash))
        return load({}, {}, file)

    def said(self, settings: Settings | None = None) -> str:
        """The differences, one a line."""
        text = compared(settings or self.settings)
        for secret in ("geheim", "neu", "argon2"):
            self.assertNotIn(secret, text)
        assert tomllib.loads(effective(self.settings) + text)["indexes"]
        return text.replace("# ", "").replace(HEAD.removeprefix("# "), "")

    def set_index(self, name: str, **options: object) -> None:
        """Change an index's options."""
        have = self.read(all_indexes)[name]
        self.change(IndexSaved(name=name, options={**have, **options}))

    def set_user(self, name: str, **record: object) -> None:
        """Change a user's record."""
        self.change(UserSaved(name=name, record={**self.read(all_users)[name], **record}))

    def test_nothing_was_changed(self) -> None:
        """By whom the database is open, or whether it is, does not matter."""
        self.assertEqual(compared(self.settings), SAME)
        self.ledger.close()
        self.assertEqual(compared(self.settings), SAME)

    def test_options_of_indexes(self) -> None:
        self.set_index("team/up", title=None, volatile=False, custom_data={"a": "b\x85\nc"})
        self.set_index("team/other", mirror_url="http://you:geheim@other.example/x")
        self.assertEqual(
            self.said().splitlines(),
            [
                'indexes."team/up".volatile: true -> false',
                'indexes."team/up".title: "Up" -> unset',
                'indexes."team/up".custom_data: unset -> {"a": "b\\x85\\nc"}',
                'indexes."team/other".mirror_url: "http://other.example/" -> "http://****:****@other.example/x"',
            ],
        )

    def test_only_the_credentials(self) -> None:
        self.set_index("team/up", mirror_url="http://me:neu@up.example/simple")
        self.assertEqual(self.said(), 'indexes."team/up".mirror_url has other credentials by now\n')

    def test_another_index_of_the_name(self) -> None:
        self.change(IndexGone(name="team/up"), IndexSaved(name="team/up", options={"webhook_secret": "neu"}))
        self.assertEqual(self.said(), 'indexes."team/up".type: "mirror" -> "stage"\n')
        self.change(IndexSaved(name="team/up", options={"type": "neu\n"}))
        self.assertIn("cannot be used", compared(self.settings))
        self.assertEqual(compared(self.settings).count("\n"), 2)

    def test_what_was_deleted_and_what_is_to_come(self) -> None:
        self.change(IndexGone(name="team/other"), UserGone(name="carol"))
        new = '[users.dan]\n[indexes."team/new"]\ntype = "mirror"\nmirror_url = "http://new.example/"\n'
        self.assertEqual(
            self.said(self.declared(FILE + new)).splitlines(),
            [
                'indexes."team/other" was deleted by a client',
                'indexes."team/new" will be made at the next start',
                "users.carol was deleted by a client",
                "users.dan will be made at the next start",
            ],
        )

    def test_a_declaration_that_was_changed(self) -> None:
        """The next start takes it over where no client was faster; what this says comes true."""
        self.set_index("team/other", title="Ours")
        changed = self.declared(FILE.replace("Up", "Upper").replace("//other.", "//another."))
        self.assertEqual(
            self.said(changed).splitlines(),
            [
                'indexes."team/up".title: "Upper" -> "Up" (until the next start)',
                'indexes."team/other".mirror_url: "http://another.example/" -> "http://other.example/"',
                'indexes."team/other".title: unset -> "Ours"',
            ],
        )
        declare(self.ledger, changed.users, changed.indexes)
        self.assertEqual(len(self.said(changed).splitlines()), 2)

    def test_users(self) -> None:
        self.set_user("alice", email="", title="A", pwhash=PasswordHasher().hash("neu"))
        self.set_user("bob", pwhash=PasswordHasher().hash("bob"))
        self.set_user("carol", pwhash=PasswordHasher().hash("carol"))
        self.assertEqual(
            self.said().splitlines(),
            [
                'users.alice.email: "alice@team.example" -> unset',
                'users.alice.title: unset -> "A"',
                "users.alice.password is another one by now",
                "users.bob.pwhash is another one by now",
                "users.carol.password is another one by now",
            ],
        )

    def test_another_version(self) -> None:
        """Neither the tables of a newer program nor those of an older one are guessed at."""

        def decide(connection: object) -> Decision[None]:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")  # type: ignore[attr-defined]
            return Decision((), None)

        self.ledger.change_now(decide)
        self.assertIn("of another version", compared(self.settings))


class SqliteTests(_Drifting, OnSqlite):
    def test_nothing_is_made_or_changed(self) -> None:
        """Neither beside a database that nobody uses, nor for one that is not there."""
        self.ledger.close()
        before = {path: path.read_bytes() for path in self.directory.iterdir()}
        self.said()
        self.assertEqual({path: path.read_bytes() for path in self.directory.iterdir()}, before)
        self.database = f"sqlite:///{self.directory}/none.sqlite"
        settings = self.declared(FILE)
        self.assertEqual(compared(settings), NONE)
        self.assertFalse((self.directory / "none.sqlite").exists())
        (self.directory / "none.sqlite").touch()
        self.assertEqual(compared(settings), NONE)
        self.assertEqual((self.directory / "none.sqlite").stat().st_size, 0)

    def test_while_somebody_writes(self) -> None:
        """What was committed is seen, though it is in the log only; what is under way is not waited for."""
        with self.ledger.database.transaction(writing=True) as connection:
            connection.execute("DELETE FROM users")
            self.assertEqual(compared(self.settings), SAME)
        self.assertEqual(len(self.said().splitlines()), 3)

    def test_after_a_crash(self) -> None:
        """The log of a daemon that was killed is read."""
        path = str(self.ledger.database.path)
        self.ledger.close()
        crash = (
            "import os, sqlite3, sys; driven = sqlite3.connect(sys.argv[1]); "
            "driven.execute('DELETE FROM users'); driven.commit(); os._exit(0)"
        )
        subprocess.run([sys.executable, "-c", crash, path], check=True)  # noqa: S603  # of this test
        self.assertTrue(Path(path + "-wal").stat().st_size)
        self.assertEqual(len(self.said().splitlines()), 3)

    def test_no_database(self) -> None:
        self.database = f"sqlite:///{self.directory}/text"
        (self.directory / "text").write_text("x" * 5000)
        self.assertIn("cannot be read. database = sqlite", compared(self.declared(FILE)))
        with sqlite3.connect(self.directory / "empty") as driven:
            driven.execute("CREATE TABLE other (x)")
        driven.close()
        self.database = f"sqlite:///{self.directory}/empty"
        self.assertIn("of another version", compared(self.declared(FILE)))


@pytest.mark.usefixtures("in_postgresql")
class PostgresqlTests(_Drifting, OnPostgresql):
    def test_no_ledger(self) -> None:
        self.database = self.make_database()
        self.assertEqual(compared(self.declared(FILE)), NONE)


del _Drifting
