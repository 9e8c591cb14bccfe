"""The parts of the benchmark that compute: what wrk printed, what a log says, what the table shows, what is served."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
from twisted.trial.unittest import SynchronousTestCase

from bench.client import Rate
from bench.figures import median
from bench.material import Material, Plan
from bench.processes import Failed
from bench.table import Cell, Row, markdown, number
from bench.upstream import requests

WRK = """Running 2s test @ http://127.0.0.1:8000/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   656.91us  427.64us  10.32ms   91.02%
    Req/Sec    48.53k     2.36k   53.32k    76.19%
  Latency Distribution
     50%  584.00us
     75%  790.00us
     90%    1.06ms
     99%    1.27s
  101315 requests in 2.10s, 15.94MB read
  Socket errors: connect 1, read 2, write 0, timeout 4
  Non-2xx or 3xx responses: 30
Requests/sec:  48244.05
Transfer/sec:      7.59MB
"""


class RateTests(SynchronousTestCase):
    """The output of wrk."""

    def test_numbers(self) -> None:
        """The rate is per second, the percentiles are milliseconds whatever unit wrk chose."""
        rate = Rate.parse(WRK)
        self.assertEqual((rate.per_second, rate.p50, rate.p99), (48244.05, 0.584, 1270.0))

    def test_errors_are_added_up(self) -> None:
        """Broken connections and refusals both count."""
        self.assertEqual(Rate.parse(WRK).errors, 37)

    def test_no_errors(self) -> None:
        """wrk prints no line about errors if there were none."""
        clean = "".join(line for line in WRK.splitlines(True) if "errors" not in line and "Non-2xx" not in line)
        self.assertEqual(Rate.parse(clean).errors, 0)

    def test_hardly_an_answer(self) -> None:
        """Without a distribution there is a rate all the same, and nothing is said about latency."""
        rate = Rate.parse("  0 requests in 2.10s\nRequests/sec:      0.40\n")
        self.assertEqual((rate.per_second, rate.latency()), (0.4, ""))

    def test_other_output(self) -> None:
        """What is not a result is shown."""
        error = self.assertRaises(Failed, Rate.parse, "unable to connect to 127.0.0.1:8000 Connection refused\n")
        self.assertIn("unable to connect", str(error))


class LogTests(SynchronousTestCase):
    """The upstream's log."""

    def test_only_the_path_and_the_method_count(self) -> None:
        """A path that begins like another, a HEAD, and another path are not downloads."""
        log = (
            "GET /files/a/x.whl 200\nGET /files/a/x.whl.metadata 200\nHEAD /files/a/x.whl 200\nGET /files/a/x.whl 304\n"
        )
        self.assertEqual(requests(log, "/files/a/x.whl"), 2)
        self.assertEqual(requests(log, "/files/a/x.whl", "HEAD"), 1)


class TableTests(SynchronousTestCase):
    """The table."""

    def row(self, ours: Cell, theirs: Cell, more: bool = False) -> Row:
        """A row with a goal of 1.25."""
        cells = {"pypicache": ours, "nginx": theirs}
        return Row(figure="f", unit="s", cells=cells, goal=1.25, more_is_better=more)

    def test_goal(self) -> None:
        """A time may be at most the goal's multiple of the reference, a rate must be at least that."""
        self.assertEqual(self.row(Cell(2.5), Cell(2.0)).verdict(), "≤ 1.25 yes")
        self.assertEqual(self.row(Cell(2.6), Cell(2.0)).verdict(), "≤ 1.25 NO")
        self.assertEqual(self.row(Cell(2.4), Cell(2.0), more=True).verdict(), "≥ 1.25 NO")

    def test_errors_miss_the_goal(self) -> None:
        """However fast it was."""
        self.assertEqual(self.row(Cell(0.1, errors=1), Cell(2.0)).verdict(), "≤ 1.25 NO")

    def test_gaps_have_no_ratio(self) -> None:
        """Neither a missing server nor a reference of nothing can be divided."""
        for ours, theirs in [(Cell(None), Cell(2.0)), (Cell(1.0), Cell(None)), (Cell(1.0), Cell(0.0))]:
            row = self.row(ours, theirs)
            self.assertEqual((row.ratio(), row.verdict()), (None, "≤ 1.25"))

    def test_numbers(self) -> None:
        """Three digits are enough to compare."""
        self.assertEqual([number(value) for value in [0.012345, 12.345, 123.45, 12345.6, 3.0]],
                         ["0.0123", "12.3", "123", "12,346", "3"])  # fmt: skip

    def test_markdown(self) -> None:
        """A column per server in the order asked for, gaps named, text that cannot break the table."""
        rows = [
            Row(figure="a|b", unit="s", cells={"pypicache": Cell(3.0, 2, "why"), "nginx": Cell(2.0)}),
            Row(figure="c", unit="", cells={"pypicache": Cell(1.0), "nginx": Cell(None, note="not\ninstalled")}),
        ]
        self.assertEqual(
            markdown(rows, ["pypicache", "nginx", "devpi-server"]),
            "| figure | unit | pypicache | nginx | devpi-server | pypicache / reference | goal |\n"
            "| --- | --- | ---: | ---: | ---: | ---: | --- |\n"
            "| a\\|b | s | 3 (2 errors, why) | 2 | - | 1.5 (nginx) |  |\n"
            "| c |  | 1 | not installed | - |  |  |\n",
        )

    def test_median(self) -> None:
        """Failed rounds do not hide the others' numbers, and no error is lost."""
        cells = [Cell(9.0, 1), Cell(None, note="failed"), Cell(2.0), Cell(3.0, 2, "last")]
        self.assertEqual(median(cells), Cell(3.0, 3, "last"))
        self.assertEqual(median([Cell(None, note="failed")]), Cell(None, note="failed"))


class MaterialTests(SynchronousTestCase):
    """What the upstream serves."""

    def setUp(self) -> None:
        """A directory that goes away."""
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)

    def test_page_and_files_agree(self) -> None:
        """The page says what the files are, and RECORD what their members are."""
        material = Material(self.root)
        material.project("a-b", [material.wheel("a-b", 3_000, ["c", "d"])])
        page = self.root / "simple" / "a-b" / "index.json"
        [file] = orjson.loads(page.read_bytes())["files"]
        path = (page.parent / file["url"]).resolve()
        content = path.read_bytes()
        self.assertEqual(len(content), file["size"])
        self.assertEqual(hashlib.sha256(content).hexdigest(), file["hashes"]["sha256"])
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            metadata = wheel.read("a_b-1.0.dist-info/METADATA")
            record = wheel.read("a_b-1.0.dist-info/RECORD").decode()
            for line in record.splitlines()[:-1]:
                name, digest, size = line.split(",")
                body = wheel.read(name)
                expected = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
                self.assertEqual((digest, size), (f"sha256={expected}", str(len(body))))
        self.assertEqual(path.with_name(path.name + ".metadata").read_bytes(), metadata)
        self.assertEqual(hashlib.sha256(metadata).hexdigest(), file["core-metadata"]["sha256"])
        self.assertEqual(metadata.decode().splitlines()[-2:], ["Requires-Dist: c", "Requires-Dist: d"])

    def test_everything_is_listed(self) -> None:
        """Each requirement of an installation has a page of its own, and all pages are on the list of projects."""
        plan = Plan(set_size=3, slow_sets=1, pip_size=2, small=10, medium=10, mediums=1, big=10, many=5)
        Material(self.root).everything(plan)
        listed = {
            entry["name"] for entry in orjson.loads((self.root / "simple" / "index.json").read_bytes())["projects"]
        }
        on_disk = {path.name for path in (self.root / "simple").iterdir() if path.is_dir()}
        self.assertEqual(listed, on_disk)
        self.assertLessEqual({"cold-all", "cold-part-002", "slow0-some", "big", "medium-0", "many", "small"}, listed)
        self.assertEqual(len(orjson.loads((self.root / "simple" / "many" / "index.json").read_bytes())["files"]), 5)
