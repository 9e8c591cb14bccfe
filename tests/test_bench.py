"""The parts of the benchmark that compute: what wrk printed, what a log says, what is served."""

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
from bench.commits import checked_out, compared, ratios
from bench.instructions import total
from bench.material import Material, Plan
from bench.processes import Failed
from bench.table import Cell, Row
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


class InstructionTests(SynchronousTestCase):
    """Dumps of callgrind."""

    def test_total(self) -> None:
        """The last line counts, not the part of it that belongs to a function or a thread."""
        self.assertEqual(total("summary: 12\n\nfn=(1)\n1 7\n\ntotals: 4711\n"), 4711)

    def test_none(self) -> None:
        """A dump that was cut off says nothing."""
        self.assertRaises(Failed, total, "version: 1\n")


class CommitTests(SynchronousTestCase):
    """Two commits."""

    def test_unknown(self) -> None:
        """What is no commit is named."""
        error = self.assertRaises(Failed, checked_out, "no-such-commit", Path())
        self.assertIn("no-such-commit", str(error))

    def test_rounds_are_compared(self) -> None:
        """Each round with the same round of the other; one that cannot be divided is left out."""
        before, after = Cell(3.0, details={"values": [2.0, 4.0, 0.0]}), Cell(6.0, details={"values": [3.0, 5.0, 1.0]})
        self.assertEqual(ratios(before, after), [1.5, 1.25])
        self.assertEqual(ratios(Cell(2.0), Cell(3.0)), [1.5])
        self.assertEqual(ratios(Cell(None), Cell(3.0)), [])

    def test_table(self) -> None:
        """The median of the ratios and how far they reach; a gap keeps its reason."""
        cells = {
            "before": Cell(2.0, details={"values": [1.0, 2.0, 4.0], "processor_us_per_request": 200.0}),
            "pypicache": Cell(3.0, 1, details={"values": [3.0, 3.0, 4.0], "processor_us_per_request": 100.0}),
        }
        lines = compared(
            [
                Row(figure="f", unit="s", cells=cells),
                Row(figure="g", unit="s", cells={"before": Cell(None, note="failed: why")}),
            ]
        ).splitlines()
        self.assertEqual(
            lines[2:],
            [
                "| f | s | 2 | 3 | 1.500 (1.000 to 3.000), 0 and 1 errors | 0.500 (200 to 100 µs) |",
                "| g | s | failed: why |  | - | - |",
            ],
        )


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
