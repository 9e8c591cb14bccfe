"""Two doors to one house, with the fast lane and without it, and streams of bytes that clients might send to either."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from attrs import define, field, frozen
from hypothesis import strategies as st

from pypicache.store.small import SmallFiles
from pypicache.web.conditions import http_date
from pypicache.web.door import LoggedSite
from pypicache.web.served import Served
from tests.ring_one.accounts import basic, bearer, devpi
from tests.ring_one.files import bytes_of
from tests.ring_one.house import JSON, PIP, UV
from tests.ring_one.network import Network, NetworkAgent
from tests.ring_one.publishing import Sender, wheel
from tests.ring_one.stages import ALICE, BOB, StagesCase

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ACCEPT = (PIP, UV, JSON, BROWSER, "*/*", "application/json", "text/html", "text/plain", "*/*;q=0", "", "nonsense;;q=x")
CODINGS = ("gzip, deflate, br, zstd", "gzip", "identity", "identity;q=0, *;q=0", "zstd;q=0.5, gzip", "", "x-gzip")
AGENTS = ("pip/25.0 {}", "pip/26.2", "uv/0.5.1", "devpi-client/7.0", "Mozilla/5.0 (X11)", "setuptools/70", "", "-", "'")
DAY = http_date(1_700_000_000).decode()
LATE = http_date(2_000_000_000).decode()
EARLY = http_date(1_000_000_000).decode()
RANGES = (
    "bytes=0-9", "bytes=5-", "bytes=-7", "bytes=0-", "bytes=0-0", "bytes=-0", "bytes=99999999-", "bytes=3-2", "bytes=",
    "bytes=0-1,5-6", "items=0-5", "BYTES=1-2", "bytes=1-99999999", "bytes = 1-2", " bytes=2-3", "bytes=70000-150000",
)  # fmt: skip
ODD = (
    "content-length: 0", "content-length: 5", "transfer-encoding: chunked", "transfer-encoding: identity",
    "expect: 100-continue", "connection: upgrade", "connection: close, te", "connection: keep-alive, close",
    "upgrade: h2c", "cookie: a=b",
    "host: a b", "host:", "host: \x00", "x-thing: caf\xe9", "x-thing: \x00", " folded: 1", "\tfolded", "no colon",
    "x-thing : 1", ": nameless", "x y: 1", "x-thing:\x0b1", "accept-language: de\x7f", "accept:\t text/html \t",
    "x-forwarded-for: 198.51.100.7", "x-real-ip: 198.51.100.7", "x-outside-url: http://out.example/pre",
    "x-outside-url: http://out.example", "x-outside-url: http://[", "x-outside-url: http://out.example/a%20b/",
    "x-outside-url: ftp://out.example/pre", "x-outside-url: https://out.example:8/pre/", "x-outside-url: //x//pre",
    "origin: http://evil.example", "if-match: *", "if-unmodified-since: " + EARLY, "keep-alive: 300", "te: trailers",
    "content-type: application/x-www-form-urlencoded", "x-big: " + "b" * 5000, "x-big: " + "b" * 17000, "trailer: x",
)  # fmt: skip
FIELDS = {
    "accept": ACCEPT,
    "accept-encoding": CODINGS,
    "user-agent": AGENTS,
    "range": RANGES,
    "if-none-match": ('"other"', "*", "other", 'W/"x"', "", '"a", *'),
    "if-modified-since": (DAY, LATE, EARLY, "yesterday", ""),
    "cache-control": ("no-cache", "max-age=0", "no-store", "max-age=1"),
    "pragma": ("no-cache", "x"),
    "connection": ("close", "keep-alive", "Close", "KEEP-ALIVE", "te"),
}
VERSIONS = ("HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP/11", "")
METHODS = ("GET", "HEAD", "get", "POST", "OPTIONS", "BREW", "G\x00T", "")
DATE = re.compile(rb"^Date: ([A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT)\r$", re.MULTILINE)
INDEXES = ("root/pypi", "team/dev", "team/over", "alice/shut", "alice/dark")


@define
class Way:
    """One door, and what its log says."""

    site: LoggedSite
    log: list[Served] = field(factory=list)

    def told(self) -> list[tuple[object, ...]]:
        """What the log said since the last time, but the moments."""
        self.site.served.tell()
        told, self.log = self.log, []
        return [tuple(one.fields().values()) for one in told]


@frozen
class Heard:
    """What came back over one connection.

    :ivar answers: how many answers there are.
    :ivar fast: how many of them have the date of the daemon's own clock, which only the lane gives them; twisted.web
        asks the system.
    """

    data: bytes
    answers: int
    fast: int
    closed: bool


class LaneCase(StagesCase):
    """A mirror, a public stage, one over both, a private mirror and a concealed stage, all with something at hand."""

    def setUp(self) -> None:
        super().setUp()
        # As if every file had been there for a while: small ones are sent from memory then.
        self.house.shelf.small = SmallFiles(now=lambda: time.time() + 60)
        self.network = Network(self.clock)
        self.slow, self.fast = self.way(lane=False), self.way(lane=True)
        self.targets: list[str] = []
        self.tags: dict[str, list[str]] = {}
        self.build()

    def way(self, *, lane: bool) -> Way:
        """A door to the house as it is now."""
        way = Way(LoggedSite(self.house.door, self.clock, self.house.lane if lane else None))
        way.site.served.listeners.append(lambda served: way.log.extend(served))
        return way

    def build(self) -> None:
        """Fill the house, and note the addresses of what is in it."""
        made = wheel("demo", "2.0")
        big = bytes_of(200_000)
        self.mirrored(
            "demo", "demo-1.0.tar.gz", b"from upstream", made.name, made.content, "demo-3.0.zip", big,
            "demo-4.0.zip", b"never fetched", "demo-5.0.zip", b"",
        )  # fmt: skip
        self.mirrored("a-b", "a-b-1.zip", b"whose is it")
        self.mirrored("a", "a-2.zip", b"of a")
        closed: dict[str, dict[str, object]] = {
            "alice/shut": {"type": "mirror", "mirror_url": "http://up.example/simple/", "acl_read": ["alice"]},
            "alice/dark": {"bases": "root/pypi", "acl_read": ["alice"], "conceal": True},
        }
        for stage, options in closed.items():
            self.make(stage, **options)
        self.assertEqual(self.send("PUT", "/team", {"password": "pw-team"}).code, 201)
        self.make("team/dev")
        self.make("team/over", bases=["team/dev", "root/pypi"])
        own = wheel("mine", "1.0")
        for index in ("team/dev", "alice/dark"):
            said = b"Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n"
            path = self.have(index, own.name, own.content, core_metadata=sha256(said).hexdigest())
            self.house.shelf.write(f"{index}/{path}.metadata", said)
            self.have(index, "mine-2.0.zip", big[:100_000], version="2.0", yanked="broken")
            self.have(index, "demo-9.0.zip", b"private", version="9.0", project="demo", yanked=True)
        for index in INDEXES:
            for project in ("demo", "mine", "a-b", "a", "nothing"):
                page = f"/{index}/+simple/{project}/"
                answer = self.get(page, accept=JSON, **ALICE)
                if answer.code == 200:
                    self.learn(page)
                    self.learn(f"/{index}/{project}")
                    for file in answer.json()["files"]:
                        self.learn(file["url"], fetch="demo-4" not in file["url"])
                    for file in self.get(page, accept=JSON, **ALICE).json()["files"]:
                        if file.get("core-metadata"):
                            self.learn(file["url"] + ".metadata")
        token = self.send("POST", "/alice/+token-create", {}, **self.as_("alice")).json()["result"]["token"]
        some = {"projects": ["demo"], "indexes": ["alice/shut", "alice/dark"]}
        narrow = self.send("POST", "/alice/+token-create", some, **self.as_("alice")).json()["result"]["token"]
        brief = {"expires": self.clock.seconds() + 1}
        over = self.send("POST", "/alice/+token-create", brief, **self.as_("alice")).json()["result"]["token"]
        write = {"allowed": "upload"}
        blind = self.send("POST", "/alice/+token-create", write, **self.as_("alice")).json()["result"]["token"]
        login = self.login("alice")
        self.advance(2)
        proofs = [
            ALICE, BOB, basic("alice", "wrong"), basic("nobody", "x"), basic("alice", ""), basic("root", ""),
            basic("alice", login), basic("__token__", token), basic("bob", token), basic("", narrow), bearer(token),
            bearer(narrow), bearer(over), bearer(blind), bearer(login), bearer("x"), devpi("alice", login),
            devpi("alice", "pw-alice"), {"authorization": "Basic !!!"}, {"authorization": "basic  " + "QTpi"},
            {"authorization": "Digest x"}, {"authorization": ""},
        ]  # fmt: skip
        self.proofs = [[f"{name.replace('_', '-')}: {value}" for name, value in one.items()] for one in proofs]

    def learn(self, target: str, *, fetch: bool = True) -> None:
        """Note an address, and the tags of what is there."""
        self.targets.append(target)
        tags = self.tags.setdefault(target, [])
        if fetch:
            for accept, coding in ((PIP, "gzip"), (BROWSER, "identity"), (JSON, "zstd")):
                answer = self.get(target, accept=accept, accept_encoding=coding, **ALICE)
                etag = answer.header("etag")
                if etag is not None and etag not in tags:
                    tags.append(etag)

    # -- sending ---------------------------------------------------------------------------------------------------

    def heard(self, pieces: Sequence[bytes], waits: Sequence[float]) -> tuple[Heard, Heard]:
        """Send the same pieces to both doors at the same moments; what came back from the slow and the fast one."""
        self.network = Network(self.clock)
        senders = (Sender(), Sender())
        for way, sender in zip((self.slow, self.fast), senders, strict=True):
            NetworkAgent(self.network, way.site).connect(sender)
        began = int(self.clock.seconds())
        fresh = re.search(rb"no-cache|max-age=0", b"".join(pieces).lower()) is not None
        for number, (piece, wait) in enumerate(zip(pieces, waits, strict=True)):
            for sender in senders:
                sender.send(piece)
                self.arrive()
            if fresh and (len(pieces) < 8 or number == len(pieces) - 1):
                for _ in range(5):  # the upstream is asked once per second, and others wait for their turn
                    self.advance(1)
                    self.arrive()
            if wait:
                self.advance(wait)
                self.arrive()
        moments = range(began, int(self.clock.seconds()) + 1)
        heard = (self._heard(senders[0], moments), self._heard(senders[1], moments))
        for sender in senders:
            if not sender.closed:
                sender.leave()
        self.arrive()
        return heard

    def same(self, pieces: Sequence[bytes], waits: Sequence[float]) -> tuple[Heard, Heard]:
        """What both doors say, after making sure that it is the same."""
        self.slow.told()
        self.fast.told()
        slow, fast = self.heard(pieces, waits)
        self.assertEqual(fast.data, slow.data, pieces)
        self.assertEqual(fast.closed, slow.closed, pieces)
        self.assertEqual(self.fast.told(), self.slow.told(), pieces)
        return slow, fast

    def arrive(self) -> None:
        """Let everything that is on its way arrive."""
        for _ in range(3):
            self.network.flush()
            self.upstream_agent.flush()
        self.network.flush()

    def _heard(self, sender: Sender, moments: range) -> Heard:
        ours = {http_date(moment) for moment in moments}
        dates = DATE.findall(sender.received)
        fast = sum(date in ours for date in dates)
        data = DATE.sub(b"Date: then\r", sender.received)
        if b"<h2" in data:  # pages for people tell how often something was asked for, also by the other door
            data = re.sub(rb"[\d.,%]+ ?|requests?", b"", data)
        return Heard(data=data, answers=len(dates), fast=fast, closed=sender.closed)

    # -- streams ---------------------------------------------------------------------------------------------------

    @st.composite
    @staticmethod
    def _target(draw: Any, case: LaneCase) -> tuple[str, list[str]]:
        known = draw(st.sampled_from(case.targets))
        tags = case.tags.get(known, [])
        change = draw(st.sampled_from(range(44)))
        index = draw(st.sampled_from(INDEXES))
        match change:
            case 0:
                known = known.replace("demo", "De__Mo").replace("mine", "MINE")
            case 1:
                known = known.rstrip("/") if known.endswith("/") else known + "/"
            case 2:
                known = f"http://cache.example{known}"
            case 3:
                known += draw(
                    st.sampled_from(["?", "?format=application/vnd.pypi.simple.v1+json", "?x=1", "#frag", ";a"])
                )
            case 4:
                known = known.replace("e", "%65", 1)
            case 5:
                known = known[:-1] + draw(st.sampled_from(["0", "%", "%zz", "\xe9", "%c3%a9", " ", "\\", "//"]))
            case 6:
                known = "/pre" + known
            case 7:
                known = known.replace("/", "//", 1)
            case 8:
                known = known.replace("+simple", "%2Bsimple").replace("+f", "%2Bf")
            case 9:
                known = draw(st.sampled_from([
                    "/", "*", "/+status", "/+api", f"/{index}", f"/{index}/", f"/{index}/+simple/", f"/{index}/+api",
                    f"/{index}/+simple", f"/{index}/mine/1.0", f"/{index}/+f/", f"/{index}/..", "/root/pypi/../demo",
                    f"/{index}/+simple/-bad-/", f"/{index}/+f/000/0000000000000/demo-1.0.tar.gz", f"/{index}/mine/json",
                    f"/{index}/+f/000/0000000000000/demo-2.0-py3-none-any.whl.metadata", "/nobody/none/+simple/demo/",
                    f"/{index}/+f/../../x", f"/{index}/+e/x/demo-1.0.zip", "/+static/style.css", "/+health/live",
                ]))  # fmt: skip
            case 10:
                known = re.sub("^/[^+]+/", f"/{index}/", known)
            case _:
                pass
        return known, tags

    @st.composite
    @staticmethod
    def request(draw: Any, case: LaneCase) -> bytes:
        """One request, more often than not a plain one."""
        target, tags = draw(LaneCase._target(case))
        fields = ["host: cache.example"]
        some = st.integers(0, 7).map(lambda number: number == 0)

        def add(name: str, values: Any, often: bool = False) -> None:
            if draw(some) or (often and draw(some.map(lambda no: not no))):
                fields.append(f"{name}: {draw(values)}")

        tag = st.sampled_from([*tags, '"other"', "*", "other", 'W/"x"', ""])
        dates = st.sampled_from([DAY, EARLY, LATE])
        lists = st.lists(tag, min_size=1, max_size=3).map(", ".join)
        add("accept", st.sampled_from(ACCEPT), often=True)
        add("accept-encoding", st.sampled_from(CODINGS))
        add("user-agent", st.sampled_from(AGENTS))
        add("if-none-match", st.one_of(tag, lists, tag.map(lambda one: f"W/{one}")))
        add("if-modified-since", st.sampled_from([DAY, LATE, EARLY, "yesterday", ""]))
        add("range", st.sampled_from(RANGES))
        closed = "/alice/" in target
        if draw(some) or (closed and draw(some.map(lambda no: not no))):
            fields += draw(st.sampled_from(case.proofs[:1] * 40 + case.proofs))
        if draw(some):
            fields += [f"range: {draw(st.sampled_from(RANGES))}", f"if-range: {draw(st.one_of(tag, dates))}"]
        if draw(some):
            fields.append(draw(st.sampled_from([
                "connection: close", "connection: keep-alive", "Connection: Close", "CONNECTION: Keep-Alive",
            ])))  # fmt: skip
        if draw(st.integers(0, 7)) == 0:
            fields.append(draw(st.sampled_from([
                "cache-control: no-cache", "pragma: no-cache", "cache-control: max-age=0", "cache-control: no-store",
            ])))  # fmt: skip
        method, version, end = draw(st.sampled_from(["GET", "GET", "GET", "HEAD"])), "HTTP/1.1", ""
        match draw(st.sampled_from(range(27))):
            case 0:
                fields += draw(st.lists(st.sampled_from(ODD), min_size=1, max_size=3))
            case 1:
                version = draw(st.sampled_from(VERSIONS))
            case 2:
                method = draw(st.sampled_from(METHODS))
            case 3:
                fields.append(draw(st.sampled_from(fields)))
            case 4:
                fields = [line.upper() if draw(some) else line.title() for line in fields]
            case 5:
                fields = [
                    line.replace(":", draw(st.sampled_from([":\t", ":  ", ":", " :", ": \t ", ":\r "])))
                    for line in fields
                ]
            case 6:
                number = draw(st.sampled_from([58, 61, 120, 499, 600]))
                fields += [f"x-{at}: {at}" for at in range(number)]
            case 7:
                fields = fields[1:]
            case 8:
                fields += [draw(st.sampled_from(["content-length: 5", "content-length: 0"]))]
                end = draw(st.sampled_from(["", "12345", "abc"]))
            case _:
                pass
        fields = draw(st.permutations(fields)) if len(fields) < 12 else fields
        line = " ".join(part for part in (method, target, version) if part)
        break_ = "\n" if draw(st.integers(0, 60)) == 0 else "\r\n"
        before = "\r\n" if draw(st.integers(0, 30)) == 0 else ""
        return (before + break_.join([line, *fields, "", ""]) + end).encode("latin-1")

    @st.composite
    @staticmethod
    def stream(draw: Any, case: LaneCase) -> tuple[list[bytes], list[float]]:
        """Up to four requests, in pieces, and the seconds that pass after each piece."""
        requests = draw(st.lists(LaneCase.request(case), min_size=1, max_size=4))
        whole = b"".join(requests)
        match draw(st.sampled_from(["each"] * 7 + ["one", "cut", "bytes"])):
            case "each":
                pieces = requests
            case "one":
                pieces = [whole]
            case "bytes" if len(whole) < 800:
                pieces = [whole[at : at + 1] for at in range(len(whole))]
            case _:
                cuts = sorted(draw(st.sets(st.integers(0, len(whole)), max_size=5)))
                pieces = [whole[first:end] for first, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        pieces = [piece for piece in pieces if piece]
        waits = [
            draw(st.sampled_from([*[0.0] * 12, 1.0, 74.0, 76.0, 2000.0])) if len(pieces) < 6 else 0.0 for _ in pieces
        ]
        return pieces, waits
