"""Where the daemon can be reached: listens at start, remembers the ports, lets go of them at the end."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IReactorCore
from twisted.logger import Logger
from twisted.python.failure import Failure

EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared with, not bound to


class CannotStart(SystemExit, Exception):
    """Something that the daemon needs is not there; the process ends with one line and exit code 1.

    It is an ``Exception`` as well, because twistd removes its pid file and tells the waiting parent process for those
    only; and a ``SystemExit``, because anything else is printed with a traceback.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)  # the parent process shows the first hundred bytes of it
        self.code = f"pypicache: {sentence}"  # what is printed when the process ends


class Listening(Service):
    """Listens on some places with one factory.

    :param endpoints: server endpoint strings.
    :param reactor: provides whatever the endpoints need.
    """

    log = Logger()

    def __init__(self, endpoints: Iterable[str], factory: IProtocolFactory, reactor: IReactorCore) -> None:
        self._endpoints = tuple(endpoints)
        self._factory = factory
        self._reactor = reactor
        self._ports: list[tuple[str, IListeningPort]] = []
        self._begun = False

    @property
    def addresses(self) -> tuple[IAddress, ...]:
        """Where it listens now; a port that was 0 is the one that the system chose."""
        return tuple(port.getHost() for _, port in self._ports)

    @property
    def ports(self) -> tuple[IListeningPort, ...]:
        """The ports where it listens now."""
        return tuple(port for _, port in self._ports)

    @property
    def urls(self) -> tuple[str, ...]:
        """The same as URLs for somebody on this machine; ``unix:`` and the path for a socket file."""
        return tuple(
            _url("https" if kind == "ssl" else "http", address)
            for (kind, _), address in zip(self._ports, self.addresses, strict=True)
        )

    def privilegedStartService(self) -> None:
        """Listen everywhere, or nowhere.

        :raises CannotStart: a place cannot be had.
        """
        self._begun = True
        try:
            for endpoint in self._endpoints:
                self._listen(endpoint)
        except CannotStart:
            self._stop_listening()
            raise

    def startService(self) -> None:
        """Listen, if nobody with more rights did so before."""
        if not self._begun:
            self.privilegedStartService()
        super().startService()

    def stopService(self) -> Deferred[object]:
        """Accept no more connections; those that are open stay."""
        super().stopService()
        self._begun = False
        return self._stop_listening()

    def _listen(self, endpoint: str) -> None:
        """Listen on one place; plugins of Twisted may take their time, all others answer at once."""
        kind = endpoint.partition(":")[0]
        try:
            listening = serverFromString(self._reactor, endpoint).listen(self._factory)
        except LookupError:
            raise CannotStart(f"systemd passed no such socket: cannot listen on {endpoint}") from None
        except Exception as error:  # what an endpoint needs is read now, its files for instance
            raise CannotStart(f"{error}: cannot listen on {endpoint}") from error
        now: list[Failure] = []

        def listens(port: IListeningPort) -> None:
            self._ports.append((kind, port))

        def failed(failure: Failure) -> None:
            now.append(failure)
            if started:
                self.log.critical("cannot listen on {endpoint}: {reason}", endpoint=endpoint, reason=failure.value)
                self._reactor.stop()

        started = False
        listening.addCallbacks(listens, failed)
        started = True
        if now:
            raise CannotStart(f"{_reason(now[0])}: cannot listen on {endpoint}") from None

    def _stop_listening(self) -> Deferred[object]:
        ports, self._ports = self._ports, []
        stopping = [stopped for _, port in ports if (stopped := port.stopListening()) is not None]
        return DeferredList(stopping, consumeErrors=True)  # type: ignore[return-value]  # nobody reads the list


def _reason(failure: Failure) -> str:
    """Why a port cannot be had, in the system's words."""
    error = failure.value
    cause = error.socketError if isinstance(error, CannotListenError) else error
    return getattr(cause, "strerror", None) or str(cause)


def _url(scheme: str, address: IAddress) -> str:
    """An address as a URL for somebody on this machine."""
    match address:
        case IPv6Address(host=host, port=port):
            return f"{scheme}://[{EVERY_ADDRESS.get(host, host)}]:{port}/"
        case IPv4Address(host=host, port=port):
            return f"{scheme}://{EVERY_ADDRESS.get(host, host)}:{port}/"
        case UNIXAddress(name=name):
            return f"unix:{'' if name is None else name.decode(errors='replace')}"
        case _:
            return str(address)
