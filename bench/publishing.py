"""The figures of publishing: many small uploads, the page after one of them, and one large upload."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import define, field

from bench.accounts import Account, publisher
from bench.figures import Run
from bench.filling import INDEX, PROJECT, long_wheel
from bench.material import huge_wheel, packed
from bench.peers import TAKES_UPLOADS, Peer
from bench.processes import Failed, Missing
from bench.table import Cell, Goal, Row
from bench.uploads import Answer, Form, Line, Publishers, listed, twine_form

_INDEX = "/bench/dev/"
_PROJECTS = 40  # among which the small uploads are spread
_PAGES = 10  # measured uploads with a page after each
_PIP = {
    "Accept": "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "pip/25.0",
}
_HTML = {**_PIP, "Accept": "text/html"}


@define
class Publishing:
    """Uploads to each server that takes them, with a new index on each."""

    run: Run
    accounts: dict[str, Account] = field(factory=dict)
    small: list[Form] = field(factory=list)

    def account(self, server: Peer) -> Account:
        """Who uploads.

        :raises Missing: the server takes no uploads.
        """
        if server.name not in TAKES_UPLOADS:
            raise Missing("takes no uploads")
        if server.name not in self.accounts:
            self.accounts[server.name] = publisher(server.server())
        return self.accounts[server.name]

    def clients(self, server: Peer) -> Publishers:
        """Eight of them."""
        return Publishers(server.server(), _INDEX, self.account(server).basic())

    def rate(self, server: Peer, number: int) -> dict[str, Cell]:
        """Uploads per second of small wheels, and what the server says of them afterwards."""
        warm = self.clients(server)
        warm.run(list(spread(16, self.run.plan.small, "warm")), 60)
        if warm.wrong:
            raise Failed(warm.wrong[0])
        if not self.small:
            self.small = list(spread(self.run.plan.uploads, self.run.plan.small))
        clients = self.clients(server)
        used = server.process.processor_seconds()
        seconds = clients.run(self.small, self.run.plan.upload_seconds)
        used = server.process.processor_seconds() - used
        wrong = len(clients.wrong) + self._lost(server, clients.sent)
        note = f"{len(clients.sent)} files, {latency(clients.times)}, CPU {used:.1f} s"
        return {"rate": Cell(len(clients.sent) / seconds, wrong, ", ".join([note, *clients.wrong[:1]]))}

    def _lost(self, server: Peer, sent: list[Form]) -> int:
        """How many files of successful uploads are not on the pages, or with another digest."""
        with closing(Line(server.server())) as line:
            pages = {number: listed(_page(line, _INDEX, f"small-{number:02}", _PIP)) for number in range(_PROJECTS)}
        kept = {name: digest for page in pages.values() for name, digest in page.items()}
        return sum(kept.get(form.file_name) != form.sha256 for form in sent)

    def page(self, server: Peer, number: int) -> dict[str, Cell]:
        """The page of a project with many files, asked for right after an upload into it."""
        if server.name not in TAKES_UPLOADS:
            raise Missing("takes no uploads")
        count, path = self.run.plan.many, f"/{INDEX}/"
        root = Account.login(server.server())
        fresh = iter(range(count, count + 2 * _PAGES + 1))
        cells: dict[str, Cell] = {}
        uploads: list[float] = []
        with closing(Line(server.server())) as line:

            def after_upload(headers: dict[str, str]) -> tuple[float, Answer, bool]:
                version, name, content = long_wheel(next(fresh))
                form = twine_form(PROJECT, version, name, content)
                begun = time.perf_counter()
                answer = line.post(path, root.basic(), form)
                uploads.append(time.perf_counter() - begun)
                if answer.status != 200:
                    raise Failed(f"{name}: {answer.status} {answer.reason}")
                begun = time.perf_counter()
                page = _page(line, path, PROJECT, headers)
                return time.perf_counter() - begun, page, listed(page).get(name) == form.sha256

            there = len(listed(after_upload(_PIP)[1]))
            if there != count + 1:
                raise Failed(f"the page has {there} of {count + 1} files")
            uploads.clear()
            for key, headers in (("json", _PIP), ("html", _HTML)):
                seen = [after_upload(headers) for _ in range(_PAGES)]
                times = [taken for taken, _, _ in seen]
                wrong = sum(not right for _, _, right in seen)
                cells[key] = Cell(statistics.median(times) * 1000, wrong, f"{latency(times)}, {_shape(seen[-1][1])}")
        cells["into"] = Cell(statistics.median(uploads) * 1000, note=latency(uploads))
        return cells

    def huge(self, server: Peer, number: int) -> dict[str, Cell]:
        """One large upload, and how much memory it takes."""
        account = self.account(server)
        with TemporaryDirectory(prefix="huge-", dir=self.run.work) as directory:
            huge_wheel(Path(directory), "huge", self.run.plan.huge)
            [wheel] = Path(directory).iterdir()
            form = twine_form("huge", "1.0", wheel.name, wheel)
            os.sync()  # what was written for this one is not written back while the server writes
            before = server.process.memory().now
            server.process.forget_peak()
            with closing(Line(server.server(), 900)) as line:
                begun = time.perf_counter()
                answer = line.post(_INDEX, account.basic(), form)
                taken = time.perf_counter() - begun
                if answer.status != 200:
                    raise Failed(f"{answer.status} {answer.reason}")
                wrong = listed(_page(line, _INDEX, "huge", _PIP)).get(form.file_name) != form.sha256
            growth = max(0, server.process.memory().peak - before)
        return {"seconds": Cell(taken, int(wrong), f"{form.size / taken / 1e6:.0f} MB/s"), "growth": Cell(growth)}


def spread(count: int, size: int, label: str = "small") -> Iterator[Form]:
    """Distinct wheels of ``size`` bytes, each of another project than the one before, one file to a release."""
    block = os.urandom(max(0, size - len(packed(f"{label}-00", "1.0", b"")[1]) - 4))
    for number in range(count):
        project, version = f"{label}-{number % _PROJECTS:02}", f"{number // _PROJECTS}.0"
        name, content, _ = packed(project, version, block + number.to_bytes(4, "big"))
        yield twine_form(project, version, name, content)


def latency(times: list[float]) -> str:
    """Percentiles of seconds, told in milliseconds."""
    if len(times) < 2:
        return ""
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return f"p50 {cuts[49] * 1000:.3g} ms, p99 {cuts[98] * 1000:.3g} ms"


def _page(line: Line, index: str, project: str, headers: dict[str, str]) -> Answer:
    path = f"{index}+simple/{project}/"
    answer = line.get(path, headers)
    if answer.status != 200:
        raise Failed(f"{path}: {answer.status} {answer.reason}")
    return answer


def _shape(page: Answer) -> str:
    """Kind, coding and size of a page."""
    kind = "JSON" if "json" in page.headers.get("content-type", "") else "HTML"
    return f"{kind} {page.headers.get('content-encoding', 'identity')} {len(page.body) / 1000:,.0f} kB"


def publishing(run: Run) -> list[Row]:
    """All of them, in one round."""
    plan, devpi = run.plan, "devpi-server"
    figures = Publishing(run)
    figure = f"uploads of {plan.small // 1000} KB wheels, 8 clients"
    row = Row(figure=figure, unit="uploads/s", goals=(Goal(5, devpi),), more_is_better=True)
    rows = run.rows({"rate": row}, figures.rate, direct=False)
    after, goals = f"page of {plan.many:,} files right after an upload", (Goal(0.2, devpi),)
    pages = {
        "json": Row(figure=f"{after}, as pip asks for it", unit="ms", goals=goals),
        "html": Row(figure=f"{after}, HTML", unit="ms", goals=goals),
        "into": Row(figure=f"upload into a project of {plan.many:,} files, 1 client", unit="ms", goals=goals),
    }
    rows += run.rows(pages, figures.page, direct=False)
    figure = f"upload of one wheel of {plan.huge / 1e6:,.0f} MB"
    huge = {
        "seconds": Row(figure=figure, unit="s", goals=(Goal(None, devpi),)),
        "growth": Row(figure=f"{figure}: growth of memory at most", unit="MiB", goals=()),
    }
    return rows + run.rows(huge, figures.huge, direct=False)


def uploading(server: Peer, stop: threading.Event) -> int:
    """Upload small files, ten a second, until told to stop; how many were refused."""
    account = publisher(server.server(), "mixed")
    forms = spread(1_000_000, 8_000, "mixed")
    wrong = 0
    with closing(Line(server.server())) as line:
        while not stop.wait(0.1):
            wrong += line.post("/mixed/dev/", account.basic(), next(forms)).status != 200
    return wrong
