"""What twistd, twist and ``pypicache serve`` start: command line options, and the daemon as a service."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.application.app import ServerOptions
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger, globalLogBeginner
from twisted.python import usage
from twisted.python.logfile import LogFile

from pypicache import __version__
from pypicache.core.errors import BadInput
from pypicache.listening import CannotStart, Listening
from pypicache.log_lines import LogLines
from pypicache.process import running_reactor
from pypicache.settings import HOST, KEYS, PORT, Settings, load

log = Logger()

LOOPBACK = {"127.0.0.1", "::1", "localhost"}  # pip trusts these without TLS


class Options(usage.Options):
    """The command line of the plugin: a flag for each setting, and the configuration file.

    Whatever is wrong ends the process with one line; twistd would print its whole help in front of it.
    """

    optParameters = [  # noqa: RUF012  # Twisted reads it as it is
        ["config", "c", None, "The configuration file."],
        ["host", None, None, f"Listen on this address, instead of --listen [default: {HOST}]."],
        ["port", None, None, f"Listen on this port, instead of --listen [default: {PORT}]."],
        *(
            [flag, None, None, key.help if flag == key.flags[0] else f"The same as --{key.flags[0]}."]
            for key in KEYS
            if not key.is_switch and not key.is_list
            for flag in key.flags
        ),
    ]
    optFlags = [[flag, None, key.help] for key in KEYS if key.is_switch for flag in key.flags]  # noqa: RUF012  # as above
    settings: Settings
    lines: LogLines | None = None  # the log, where it is ours to write

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, place: str) -> None:
        """Listen here: an endpoint such as tcp:3141:interface=127.0.0.1, or host:port; may be given several times."""
        self["listen"].append(place)

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"pypicache {__version__}")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line.

        :raises SystemExit: it is not understood.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"pypicache: {error}; --help lists what there is") from None

    def postOptions(self) -> None:
        """Read the settings.

        :raises SystemExit: they are wrong.
        """
        switches = {flag for key in KEYS if key.is_switch for flag in key.flags}
        flags = {name: bool(value) if name in switches else value for name, value in self.items() if name != "config"}
        try:
            self.settings = load(flags, os.environ, None if self["config"] is None else Path(self["config"]))
        except BadInput as error:
            raise SystemExit(f"pypicache: {error}") from None
        if isinstance(self.parent, ServerOptions) and not (self.parent["logger"] or self.parent.get("syslog")):
            self.lines = LogLines(machine=self.settings.log_format == "json")
            self.parent["logger"] = f"{__name__}.{_TwistdLog.begin.__qualname__}"
            _TwistdLog.options = self.parent
            _TwistdLog.lines = self.lines


class _TwistdLog:
    """The log that twistd begins to write; it finds its observer by a name, so it is kept under one.

    The log goes where twistd would write it; its own way to write is too slow for a line per request.
    """

    options: Mapping[str, Any]
    lines: LogLines

    @classmethod
    def begin(cls) -> LogLines:
        """Open the log.

        :raises SystemExit: it cannot be written as the command line wants it.
        """
        twistd = cls.options
        name = twistd["logfile"] or ("-" if twistd["nodaemon"] else "twistd.log")
        cls.lines.begin(sys.stdout)
        if name != "-":
            file = LogFile.fromFullPath(name)
            if not signal.getsignal(signal.SIGUSR1):
                signal.signal(signal.SIGUSR1, lambda *_: file.rotate())
            cls.lines.begin(file)
        elif not twistd["nodaemon"]:
            raise SystemExit("pypicache: --logfile=-: a daemon in the background cannot log to stdout")
        return cls.lines


class Doorstep(Service):
    """The daemon as each of the programs that start it can start it.

    ``twist`` never calls ``privilegedStartService``; and an error while starting is a line for the operator.

    :param announce: is given each line of what to tell once clients are answered.
    """

    def __init__(self, daemon: IService, settings: Settings, announce: Callable[[str], None]) -> None:
        self._daemon = daemon
        self._settings = settings
        self._announce = announce
        self._begun = False

    def privilegedStartService(self) -> None:
        """Make what is needed and listen, with the rights of the user who starts the daemon.

        :raises CannotStart: the state directory or a place to listen on cannot be had.
        """
        self._begun = True
        try:
            self._daemon.privilegedStartService()
        except BadInput as error:
            raise CannotStart(str(error)) from None

    def startService(self) -> None:
        """Answer clients, and tell the operator where."""
        if not self._begun:
            self.privilegedStartService()
        super().startService()
        try:
            self._daemon.startService()
        except BadInput as error:
            raise CannotStart(f"pypicache: {error}") from None
        listening = getattr(self._daemon, "listening", None)
        for line in welcome(self._settings, listening.urls if isinstance(listening, Listening) else ()):
            self._announce(line)

    def stopService(self) -> Deferred[object]:
        """Stop in order."""
        super().stopService()
        self._begun = False
        return maybeDeferred(self._daemon.stopService)


def welcome(settings: Settings, urls: Sequence[str]) -> list[str]:
    """What to tell when the daemon answers: where, and what to type to use it."""
    places = [f"{settings.outside_url}/"] if settings.outside_url else list(urls)
    lines = [f"pypicache {__version__} on {' '.join(urls) or 'no port'}"]
    usable = next((place for place in places if place.startswith("http")), None)
    if usable is not None and settings.indexes:
        parts = urlsplit(usable)
        untrusted = parts.scheme == "http" and parts.hostname not in LOOPBACK
        trust = f" --trusted-host {parts.hostname}" if untrusted else ""
        lines.append(f"pip install -i {usable}{settings.indexes[0].name}/+simple/{trust} PACKAGE")
    return lines


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this process have: each client and each upstream takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS names a limit that it does not allow; what there is must do
        log.info("the limit of open files stays as it is")


def _assembled(settings: Settings, announce: Callable[[str], None], lines: LogLines | None) -> tuple[Doorstep, Any]:
    """The daemon, and the reactor that it runs in."""
    running = running_reactor()
    # Imported late: some of it imports what installs a reactor.
    from pypicache.daemon import assemble

    raise_file_limit()
    return Doorstep(assemble(settings, running, lines), settings, announce), running


def makeService(options: Options) -> IService:
    """The daemon for twistd and twist."""
    return _assembled(options.settings, _log_line, options.lines)[0]


def run(settings: Settings) -> None:
    """Serve in the foreground until SIGINT or SIGTERM, with the log on stdout.

    :raises CannotStart: the line says why.
    """
    machine = settings.log_format == "json"
    lines = LogLines(machine=machine)
    lines.begin(sys.stdout)
    service, reactor = _assembled(settings, _log_line if machine else partial(print, flush=True), lines)
    globalLogBeginner.beginLoggingTo([lines], redirectStandardIO=False)
    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


def _log_line(line: str) -> None:
    """Announce by way of the log."""
    log.info("{line}", line=line)
