"""Computing hashes: a few at a time, whoever comes and leaves; and who has to wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypicache.accounts.passwords import AT_ONCE, MOST_WAITING, Failures, Passwords, network
from pypicache.core.errors import TooMany

PWHASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$YWJjZGVmZ2hpamtsbW5vcA"


class PasswordsTests(SynchronousTestCase):
    """Threads that finish when the test says so."""

    def setUp(self) -> None:
        self.running: list[Callable[[], None]] = []
        self.passwords = Passwords(self.in_thread)

    def in_thread(self, function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self.running.append(lambda: result.callback(function(*arguments)))
        return result

    def check(self, password: str, permitted: Callable[[], None] = lambda: None) -> Deferred[bool]:
        return Deferred.fromCoroutine(self.passwords.fits(PWHASH, password, permitted))

    def test_a_few_at_a_time(self) -> None:
        """The next begins when one has ended."""
        checks = [self.check(f"guess-{n}") for n in range(5)]
        for done in range(5):
            self.assertEqual(len(self.running), min(AT_ONCE, 5 - done))
            self.running.pop(0)()
        self.assertEqual([self.successResultOf(check) for check in checks], [False] * 5)

    def test_those_who_leave_free_no_place(self) -> None:
        """Their computation goes on, and the next one waits for it."""
        left = [self.check(f"guess-{n}") for n in range(AT_ONCE)]
        for check in left:
            check.cancel()
            self.failureResultOf(check)
        waiting = self.check("another")
        self.assertEqual(len(self.running), AT_ONCE)
        self.running.pop(0)()
        self.assertEqual(len(self.running), AT_ONCE)
        while self.running:
            self.running.pop(0)()
        self.assertEqual(self.successResultOf(waiting), False)

    def test_a_queue_has_an_end(self) -> None:
        """Beyond it everybody is told to come again, and once it is shorter there is room."""
        checks = [self.check(f"guess-{n}") for n in range(MOST_WAITING)]
        self.failureResultOf(self.check("one too many"), TooMany)
        self.running.pop(0)()
        later = self.check("once more")
        while self.running:
            self.running.pop(0)()
        self.assertEqual({self.successResultOf(check) for check in [*checks, later]}, {False})

    def test_permission_counts_when_the_turn_comes(self) -> None:
        """Guesses that came all at once are refused one by one when enough of them were wrong."""
        failures = Failures(Clock())
        checks = [self.check(f"guess-{n}", lambda: failures.check("192.0.2.1", "alice")) for n in range(50)]
        computed = 0
        while self.running:
            self.running.pop(0)()
            failures.note("192.0.2.1", "alice")
            computed += 1
        self.assertLessEqual(computed, 3 + AT_ONCE)
        for check in checks[computed:]:
            self.failureResultOf(check, TooMany)
        for check in checks[:computed]:
            self.successResultOf(check)


class FailuresTests(SynchronousTestCase):
    """Who has to wait, and for how long."""

    def test_they_are_forgotten(self) -> None:
        """After a quarter of an hour without another one."""
        clock = Clock()
        failures = Failures(clock)
        for _ in range(10):
            failures.note("192.0.2.1", "alice")
        clock.advance(61)
        failures.check("192.0.2.1", "alice")
        clock.advance(900)
        for _ in range(2):
            failures.note("192.0.2.1", "alice")
            failures.check("192.0.2.1", "alice")
        failures.note("192.0.2.1", "alice")
        with self.assertRaisesRegex(TooMany, "again in 2 s"):
            failures.check("192.0.2.1", "alice")
        failures.clear("192.0.2.1", "alice")
        failures.check("192.0.2.1", "alice")

    def test_networks(self) -> None:
        """An IPv4 address is itself, however it is written; of IPv6 the first half counts."""
        self.assertEqual(network("192.0.2.1"), network("::ffff:192.0.2.1"))
        self.assertNotEqual(network("192.0.2.1"), network("192.0.2.2"))
        self.assertEqual(network("2001:db8::1"), network("2001:db8::ffff:1%eth0"))
        self.assertNotEqual(network("2001:db8::1"), network("2001:db8:0:1::1"))
        self.assertEqual(network("somewhere"), "somewhere")
