"""Listening: everywhere or nowhere, with or without a privileged start, and what the operator is told."""

from __future__ import annotations

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from pypicache import __version__
from pypicache.core.errors import BadInput
from pypicache.listening import CannotStart, Listening
from pypicache.settings import Settings, load
from pypicache.tap import Doorstep, Options, welcome

PLACES = ("tcp:80:interface=127.0.0.1", "tcp:81:backlog=7")
ON = f"pypicache {__version__} on"


class FullReactor(MemoryReactor):
    """A reactor on a machine where port 81 is taken."""

    def listenTCP(self, port: int, *more: object, **named: object) -> object:
        if port == 81:
            raise CannotListenError("", port, OSError(98, "Address already in use"))
        return super().listenTCP(port, *more, **named)


class ListeningTests(SynchronousTestCase):
    """What :class:`Listening` promises to whoever starts and stops it."""

    def test_listens_at_the_privileged_start_and_only_once(self) -> None:
        reactor, factory = MemoryReactor(), Factory()
        listening = Listening(PLACES, factory, reactor)
        self.assertEqual(reactor.tcpServers, [])
        listening.privilegedStartService()
        listening.startService()
        self.assertEqual(reactor.tcpServers, [(80, factory, 50, "127.0.0.1"), (81, factory, 7, "")])

    def test_listens_at_the_start_when_there_was_no_privileged_one(self) -> None:
        reactor = MemoryReactor()
        Listening(PLACES, Factory(), reactor).startService()
        self.assertEqual([port for port, *_ in reactor.tcpServers], [80, 81])

    def test_knows_its_addresses_until_it_stops(self) -> None:
        listening = Listening(PLACES, Factory(), MemoryReactor())
        listening.startService()
        self.assertEqual(
            [address.port for address in listening.addresses if isinstance(address, IPv4Address)], [80, 81]
        )
        self.assertEqual(listening.urls, ("http://127.0.0.1:80/", "http://127.0.0.1:81/"))
        self.successResultOf(listening.stopService())
        self.assertEqual(listening.addresses, ())

    def test_a_taken_port_is_one_line(self) -> None:
        listening = Listening(PLACES, Factory(), FullReactor())
        error = self.assertRaises(CannotStart, listening.privilegedStartService)
        self.assertEqual(str(error), "Address already in use: cannot listen on tcp:81:backlog=7")
        self.assertEqual(error.code, f"pypicache: {error}")
        self.assertEqual(listening.addresses, ())

    def test_what_cannot_start_ends_the_process_and_is_seen_by_twistd(self) -> None:
        self.assertTrue(issubclass(CannotStart, SystemExit))
        self.assertTrue(issubclass(CannotStart, Exception))


class Homeless(Service):
    """A daemon whose state directory cannot be made."""

    def privilegedStartService(self) -> None:
        raise BadInput("state = '/x': expected a directory")


class DoorstepTests(SynchronousTestCase):
    """What the daemon does for each program that starts it."""

    def test_wrong_input_at_the_start_is_one_line(self) -> None:
        for start in ("privilegedStartService", "startService"):
            told: list[str] = []
            doorstep = Doorstep(Homeless(), Settings(), told.append)
            error = self.assertRaises(CannotStart, getattr(doorstep, start))
            self.assertEqual(error.code, "pypicache: state = '/x': expected a directory")
            self.assertEqual(told, [])

    def test_the_daemon_is_started_and_stopped(self) -> None:
        inside = Service()
        doorstep = Doorstep(inside, Settings(), lambda _: None)
        doorstep.startService()
        self.assertTrue(inside.running)
        self.successResultOf(doorstep.stopService())
        self.assertFalse(inside.running)

    def test_tells_what_to_type(self) -> None:
        self.assertEqual(
            welcome(Settings(), ["http://127.0.0.1:3141/"]),
            [f"{ON} http://127.0.0.1:3141/", "pip install -i http://127.0.0.1:3141/root/pypi/+simple/ PACKAGE"],
        )

    def test_tells_the_address_that_clients_use(self) -> None:
        settings = Settings(outside_url="https://here.example/pypi")
        self.assertEqual(
            welcome(settings, ["unix:/run/x"]),
            [f"{ON} unix:/run/x", "pip install -i https://here.example/pypi/root/pypi/+simple/ PACKAGE"],
        )

    def test_tells_how_to_trust_a_host_without_tls(self) -> None:
        (_, line) = welcome(Settings(), ["http://10.0.0.1:80/"])
        self.assertEqual(line, "pip install -i http://10.0.0.1:80/root/pypi/+simple/ --trusted-host 10.0.0.1 PACKAGE")

    def test_tells_nothing_to_type_where_nothing_can_be_installed(self) -> None:
        self.assertEqual(welcome(Settings(), ["unix:/run/x"]), [f"{ON} unix:/run/x"])
        self.assertEqual(welcome(evolve(Settings(), indexes=()), ["http://127.0.0.1/"]), [f"{ON} http://127.0.0.1/"])


class OptionsTests(SynchronousTestCase):
    """The command line of the plugin."""

    def test_flags_become_settings(self) -> None:
        options = Options()
        options.parseOptions(["--listen", "tcp:1", "--listen=tcp:2", "--offline-mode", "--serverdir=/srv"])
        flags = {"listen": ["tcp:1", "tcp:2"], "offline-mode": True, "serverdir": "/srv"}
        self.assertEqual(options.settings, load(flags, {}, None))

    def test_mistakes_end_the_process_with_one_line(self) -> None:
        for arguments in (["--bogus"], ["word"], ["--port"], ["--port=x"], ["--config=/nonexistent/x.toml"]):
            error = self.assertRaises(SystemExit, Options().parseOptions, arguments)
            self.assertRegex(str(error.code), r"\Apypicache: .+\Z")

    def test_every_flag_is_in_the_help(self) -> None:
        text = str(Options())
        for flag in ("listen", "state", "serverdir", "offline-mode", "max-size", "host", "port", "config"):
            self.assertIn(f"--{flag}", text)
