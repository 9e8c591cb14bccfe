"""Requests to addresses that users name: where releases are pushed to, and who wants to hear of changes."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer

from pypicache.core.addresses import web_address
from pypicache.core.errors import BadInput, Broken, Offline, UpstreamDown
from pypicache.core.spec import masked
from pypicache.tasks import TimedOut, within
from pypicache.upstream.body import Answer, Drain

HEAD_WAIT = 900.0  # seconds from the first byte of a request to the head of its answer: large files go this way
TEXT_WAIT = 30.0  # seconds for the text of an answer
MOST_TEXT = 64 * 2**10  # bytes of an answer that are read


class Outside:
    """Sends what users want to be sent.

    :param agent: sends one request; refuses to connect to private networks, unless they are allowed.
    :param private: whether private networks are allowed.
    """

    def __init__(
        self, agent: IAgent, clock: IReactorTime, *, user_agent: str, offline: bool = False, private: bool = False
    ) -> None:
        self._agent = agent
        self._clock = clock
        self._user_agent = user_agent
        self.offline = offline
        self.private = private

    async def post(
        self, url: str, headers: Mapping[str, str], body: IBodyProducer, wait: float = HEAD_WAIT
    ) -> tuple[int, str]:
        """Send a POST request.

        :param wait: seconds from the first byte of the request to the head of the answer.
        :return: the status code and the beginning of the answer's text. Redirects are not followed.
        :raises BadInput: the address may not be asked.
        :raises UpstreamDown: there was no answer.
        """
        web_address("URL", url, self.private)
        if self.offline:
            raise Offline(f"{masked(url)} is not asked: the server runs offline")
        named = Headers({"User-Agent": [self._user_agent], "Accept": ["*/*"], "Accept-Encoding": ["identity"]})
        for name, value in headers.items():
            named.setRawHeaders(name, [value])
        try:
            response = await within(self._clock, wait, self._agent.request(b"POST", url.encode("ascii"), named, body))
        except (CancelledError, GeneratorExit):
            raise
        except TimedOut:
            raise UpstreamDown(f"{masked(url)}: no answer within {wait:.0f} s") from None
        except Exception as error:  # whatever resolving, connecting, TLS and parsing can raise
            why = getattr(error, "reasons", None)
            sentence = str(why[0].value if why else error) or type(error).__name__
            raise UpstreamDown(f"{masked(url)}: {sentence}") from error
        return response.code, await self._text(Answer(response, self._clock))

    async def _text(self, answer: Answer) -> str:
        drain = Drain(MOST_TEXT, answer.header("content-encoding"))
        try:
            await within(self._clock, TEXT_WAIT, answer.pump(drain.take))
            return drain.whole().decode("utf-8", "replace")
        except (Broken, TimedOut, BadInput):
            answer.abort()
            return ""
