"""The memory against a model, and what it survives."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from pypicache.calm import BITE
from pypicache.memory import Content, Held, Memory, Page

INDEXES = ("root/pypi", "team/other")
PROJECTS = ("demo", "other")


def at_once(function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
    """Run it in this thread."""
    return maybeDeferred(function, *arguments)


KEYS = st.builds(lambda index, number: f"{index}/+f/{number}", st.sampled_from(INDEXES), st.integers(0, 3))
FILES = st.builds(
    lambda key, project, content, made, used: Held(
        key=key, project=project, sha256=str(content), size=content * 100, made=made, used=used
    ),
    KEYS, st.sampled_from(PROJECTS), st.integers(1, 4), st.booleans(), st.integers(0, 9).map(float),
)  # fmt: skip
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), FILES),
        st.tuples(st.just("drop"), KEYS),
        st.tuples(st.just("use"), st.tuples(st.integers(0, 99).map(float), KEYS)),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=20,
)
PAGES = st.builds(
    Page,
    source=st.just("http://up.example/simple/"), url=st.text(max_size=9), content_type=st.text(max_size=9),
    body=st.binary(max_size=200), etag=st.none() | st.text(max_size=9), modified=st.none() | st.text(max_size=9),
    serial=st.none() | st.integers(0, 2**62), checked=st.floats(0, 2e9), missing=st.none() | st.floats(0, 2e9),
)  # fmt: skip


class MemoryTests(SynchronousTestCase):
    """:class:`Memory` with a real database."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pypicache-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.numbers = iter(range(10**9))

    def fresh(self) -> Memory:
        """An empty memory."""
        return Memory(self.directory / f"{next(self.numbers)}.sqlite", at_once, lambda: succeed(None))

    @settings(max_examples=40, deadline=None)
    @given(STEPS)
    def test_files(self, steps: list[tuple[str, Any]]) -> None:
        """What is held, in which order it is old, and how much it is, through restarts."""
        memory = self.fresh()
        model: dict[str, Held] = {}
        for step, value in steps:
            if step == "hold":
                self.successResultOf(memory.hold([value]))
                model[value.key] = value
            elif step == "drop":
                self.successResultOf(memory.drop([value]))
                model.pop(value, None)
            elif step == "use":
                when, key = value
                self.successResultOf(memory.note_used([], [(when, key)]))
                if key in model:
                    old = model[key]
                    model[key] = Held(
                        key=key, project=old.project, sha256=old.sha256, size=old.size, made=old.made, used=when
                    )
            else:
                self.successResultOf(memory.close())
        self.agree(memory, model)
        self.successResultOf(memory.close())

    def agree(self, memory: Memory, model: dict[str, Held]) -> None:
        """Every question has the model's answer."""
        self.assertEqual(self.successResultOf(memory.keys()), set(model))
        contents = {(file.sha256, file.size) for file in model.values()}
        self.assertEqual(self.successResultOf(memory.amount()), (len(model), sum(size for _, size in contents)))
        for index in INDEXES:
            for project in PROJECTS:
                held = self.successResultOf(memory.held(index, project))
                wanted = [file for file in model.values() if (file.index, file.project) == (index, project)]
                self.assertEqual(sorted(held, key=repr), sorted(wanted, key=repr))
        for digest in {file.sha256 for file in model.values()}:
            found = self.successResultOf(memory.held_with(digest))
            self.assertEqual({file.key for file in found}, {key for key in model if model[key].sha256 == digest})
        oldest: list[Content] = []
        after = (-1.0, "")
        while batch := self.successResultOf(memory.oldest(after, 2)):
            oldest += batch
            after = (batch[-1].used, batch[-1].sha256)
        last: dict[str, float] = {}
        for file in model.values():
            if not file.made:
                last[file.sha256] = max(last.get(file.sha256, 0.0), file.used)
        self.assertEqual([(one.used, one.sha256) for one in oldest], sorted((last[one], one) for one in last))

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(INDEXES), st.sampled_from(PROJECTS), PAGES), max_size=6))
    def test_pages(self, pages: list[tuple[str, str, Page]]) -> None:
        """A page comes back as it was saved last, of its own index only."""
        memory = self.fresh()
        model: dict[tuple[str, str], Page] = {}
        for index, project, page in pages:
            self.successResultOf(memory.save_page(index, project, page, 5.0))
            model[index, project] = page
        for index in INDEXES:
            for project in PROJECTS:
                self.assertEqual(self.successResultOf(memory.page(index, project)), model.get((index, project)))
            there = [name for name in PROJECTS if (index, name) in model and model[index, name].missing is None]
            self.assertEqual(self.successResultOf(memory.projects(index)), there)
            self.assertEqual(self.successResultOf(memory.count_projects(index)), len(there))
        self.successResultOf(memory.close())

    def test_pages_used(self) -> None:
        """Those that clients used lately and that were not confirmed lately, the oldest first."""
        memory = self.fresh()
        for name, checked, used, missing in (
            ("late", 50.0, 900.0, None), ("early", 10.0, 900.0, None), ("unused", 10.0, 100.0, None),
            ("confirmed", 800.0, 900.0, None), ("gone", 10.0, 900.0, 5.0),
        ):  # fmt: skip
            page = Page(
                source="s", url="u", content_type="c", body=b"", etag=None, modified=None, serial=None,
                checked=checked, missing=missing,
            )  # fmt: skip
            self.successResultOf(memory.save_page("root/pypi", name, page, used))
        found = self.successResultOf(memory.pages_used("root/pypi", 500.0, 500.0, 10))
        self.assertEqual(found, [("early", 10.0), ("late", 50.0)])
        self.assertEqual(self.successResultOf(memory.pages_used("root/pypi", 500.0, 500.0, 1)), [("early", 10.0)])
        self.successResultOf(memory.note_used([(901.0, "root/pypi", "unused")], []))
        self.assertEqual(len(self.successResultOf(memory.pages_used("root/pypi", 500.0, 500.0, 10))), 3)
        self.successResultOf(memory.confirm_page("root/pypi", "early", 700.0, None))
        self.successResultOf(memory.forget_page("root/pypi", "late"))
        found = self.successResultOf(memory.pages_used("root/pypi", 500.0, 500.0, 10))
        self.assertEqual(found, [("unused", 10.0)])
        self.successResultOf(memory.close())

    def test_a_damaged_page(self) -> None:
        """One row that cannot be read sets the database aside; the question has an answer all the same."""
        memory = self.fresh()
        page = Page(
            source="s", url="u", content_type="c", body=b"page", etag=None, modified=None, serial=None, checked=1.0
        )
        self.successResultOf(memory.save_page("root/pypi", "demo", page, 1.0))
        with sqlite3.connect(memory.database._path) as connection:
            connection.execute("UPDATE pages SET body = ?", (b"no zlib",))
        connection.close()
        self.assertIsNone(self.successResultOf(memory.page("root/pypi", "demo")))
        self.successResultOf(memory.save_page("root/pypi", "demo", page, 1.0))
        self.assertEqual(self.successResultOf(memory.page("root/pypi", "demo")), page)
        self.successResultOf(memory.close())

    def test_a_change_that_fails_leaves_nothing(self) -> None:
        """Half a change is no change, and the next one works."""
        memory = self.fresh()
        good = Held(key="root/pypi/+f/1", project="demo", sha256="1", size=1)
        bad = Held(key="root/pypi/+f/2", project="demo", sha256="2", size=2**70)
        self.failureResultOf(memory.hold([good, bad]), OverflowError)
        self.assertEqual(self.successResultOf(memory.keys()), set())
        self.successResultOf(memory.hold([good]))
        self.assertEqual(self.successResultOf(memory.keys()), {good.key})
        self.successResultOf(memory.close())

    def test_changes_that_wait_together(self) -> None:
        """They share a transaction; one that fails is nobody else's failure, and what is asked afterwards sees all."""
        memory = self.fresh()
        self.successResultOf(memory.keys())
        trips: list[Callable[[], object]] = []

        def later(function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
            gone: Deferred[Any] = Deferred()
            trips.append(lambda: maybeDeferred(function, *arguments).chainDeferred(gone))
            return gone

        memory.database._in_thread = later
        held = [Held(key=f"root/pypi/+f/{n}", project="demo", sha256=str(n), size=n) for n in range(1, 4)]
        bad = Held(key="root/pypi/+f/9", project="demo", sha256="9", size=2**70)
        good = [memory.hold([one]) for one in held[:2]]
        wrong, last = memory.hold([bad]), memory.hold(held[2:])
        asked = memory.keys()
        leaving = memory.hold([Held(key="root/pypi/+f/4", project="demo", sha256="4", size=4)])
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        statements: list[str] = []
        assert memory.database._connection is not None
        memory.database._connection.set_trace_callback(statements.append)
        while trips:
            trips.pop(0)()
        for change in (*good, last):
            self.assertIsNone(self.successResultOf(change))
        self.failureResultOf(wrong, OverflowError)
        self.assertLessEqual({one.key for one in held}, self.successResultOf(asked))
        statements.clear()
        more = [memory.drop([one.key]) for one in held]
        while trips:
            trips.pop(0)()
        for change in more:
            self.successResultOf(change)
        self.assertEqual([text for text in statements if not text.startswith("DELETE")], ["BEGIN IMMEDIATE", "COMMIT"])
        self.assertEqual(len(statements), 5)
        memory.close()
        while trips:
            trips.pop(0)()

    def test_a_patient_change(self) -> None:
        """It waits for a calm moment, a few of them at a time; a question, or another change, does not wait for it."""
        moments: list[Deferred[None]] = []

        def when_calm() -> Deferred[None]:
            moments.append(Deferred())
            return moments[-1]

        memory = Memory(self.directory / "patient.sqlite", at_once, when_calm)
        page = Page(
            source="", url="", content_type="", body=b"x", etag=None, modified=None, serial=None, checked=1.0,
        )  # fmt: skip
        saved = [memory.save_page("root/pypi", f"p-{number}", page, 1.0) for number in range(BITE + 1)]
        self.assertEqual(len(moments), 1)
        self.assertNoResult(saved[0])
        moments[0].callback(None)
        self.successResultOf(saved[BITE - 1])
        self.assertNoResult(saved[BITE])
        self.assertEqual(len(moments), 2)
        self.assertEqual(self.successResultOf(memory.page("root/pypi", f"p-{BITE}")), page)
        moments[1].callback(None)
        late = memory.save_page("root/pypi", "late", page, 1.0)
        self.successResultOf(memory.forget_page("root/pypi", "late"))
        self.successResultOf(late)
        self.assertIsNone(self.successResultOf(memory.page("root/pypi", "late")))
        last = memory.save_page("root/pypi", "last", page, 1.0)
        self.successResultOf(memory.close())
        self.successResultOf(last)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(FILES, max_size=8), st.booleans())
    def test_what_is_not_there(self, files: list[Held], restarted: bool) -> None:
        """Nobody is asked for what was never there, and everybody for what may be."""
        memory = self.fresh()
        for held in files:
            self.successResultOf(memory.hold([held]))
        if restarted:
            self.successResultOf(memory.close())
            memory = Memory(memory.database._path, at_once, lambda: succeed(None))
        self.successResultOf(memory.keys())
        trips: list[object] = []

        def counted(function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
            trips.append(function)
            return at_once(function, *arguments)

        memory.database._in_thread = counted
        for index in INDEXES:
            for project in PROJECTS:
                there = [held for held in files if (held.index, held.project) == (index, project)]
                kept = {held.key: held for held in files}
                found = self.successResultOf(memory.held(index, project))
                expected = {key for key, held in kept.items() if (held.index, held.project) == (index, project)}
                self.assertEqual({held.key for held in found}, expected)
                if expected or not there:
                    self.assertEqual(bool(trips), bool(expected))
                trips.clear()
        self.successResultOf(memory.close())

    def test_a_place_that_cannot_work(self) -> None:
        """It costs memories, not answers; as soon as the place works, things are remembered."""
        memory = Memory(self.directory / "missing" / "memory.sqlite", at_once, lambda: succeed(None))
        held = Held(key="root/pypi/+f/1", project="demo", sha256="1", size=1)
        self.successResultOf(memory.hold([held]))
        self.assertEqual(self.successResultOf(memory.keys()), set())
        self.assertIsNone(self.successResultOf(memory.page("root/pypi", "demo")))
        (self.directory / "missing").mkdir()
        self.successResultOf(memory.hold([held]))
        self.assertEqual(self.successResultOf(memory.keys()), {held.key})
        self.successResultOf(memory.close())
