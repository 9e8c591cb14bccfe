"""The publishing clients of the benchmark: forms, answers that come in pieces, pages, and what is put in beforehand."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import socket
import threading
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from multipart import MultipartParser
from twisted.trial.unittest import SynchronousTestCase

from bench.filling import INDEX, fill, long_wheel, write_dump
from bench.material import huge_wheel
from bench.processes import Failed
from bench.publishing import latency, spread
from bench.uploads import BOUNDARY, Answer, Line, listed, twine_form
from pypicache.ledger.ledger import Ledger, project_files


class FormTests(SynchronousTestCase):
    """What is uploaded."""

    def test_fields(self) -> None:
        """The body has the length that is promised, the file as it is, and its digests."""
        form = twine_form("a", "1.0", "a-1.0-py3-none-any.whl", b"the bytes\r\n--")
        self.assertIsInstance(form.content, bytes)
        body = form.head + b"the bytes\r\n--" + form.tail
        self.assertEqual(form.length(), len(body))
        parser = MultipartParser(io.BytesIO(body), BOUNDARY, len(body))
        parts = {part.name: part for part in parser}
        self.assertEqual(parts["content"].raw, b"the bytes\r\n--")
        self.assertEqual(parts["content"].filename, "a-1.0-py3-none-any.whl")
        self.assertEqual(parts["sha256_digest"].value, hashlib.sha256(b"the bytes\r\n--").hexdigest())
        self.assertEqual((parts[":action"].value, parts["name"].value), ("file_upload", "a"))

    def test_of_a_file(self) -> None:
        """A file on disk makes the same form as its bytes."""
        with TemporaryDirectory() as directory:
            path = Path(directory, "a-1.0-py3-none-any.whl")
            path.write_bytes(b"x" * 600_000)
            ours, other = (twine_form("a", "1.0", path.name, content) for content in (path, path.read_bytes()))
            self.assertEqual((ours.head, ours.size), (other.head, other.size))

    def test_spread(self) -> None:
        """Wheels of the size asked for, no two the same, neighbours in different projects."""
        forms = list(spread(90, 8_000))
        self.assertEqual(len({form.sha256 for form in forms}), 90)
        self.assertEqual(len({form.file_name for form in forms}), 90)
        self.assertTrue(all(abs(form.size - 8_000) < 100 for form in forms))
        self.assertNotEqual(forms[0].file_name.split("-")[0], forms[1].file_name.split("-")[0])

    def test_spread_of_little(self) -> None:
        """What is smaller than a wheel without data has none but its number."""
        self.assertEqual(len({form.sha256 for form in spread(3, 10)}), 3)

    def test_huge(self) -> None:
        """A large wheel is a readable archive with metadata, and as large as asked for."""
        with TemporaryDirectory() as directory:
            huge_wheel(Path(directory), "huge", 2_500_000)
            [path] = Path(directory).iterdir()
            with zipfile.ZipFile(path) as wheel:
                self.assertIsNone(wheel.testzip())
                self.assertEqual(wheel.getinfo("huge/data.bin").file_size, 2_500_000)
                self.assertIn(b"Name: huge\n", wheel.read("huge-1.0.dist-info/METADATA"))


class LineTests(SynchronousTestCase):
    """Reading answers."""

    def answers(self, sent: list[bytes], count: int) -> list[Answer]:
        """Read ``count`` answers that arrive in these pieces."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            line = Line(f"http://127.0.0.1:{server.getsockname()[1]}", 10)
            self.addCleanup(line.close)
            there, _ = server.accept()

            def send() -> None:
                with there:
                    for piece in sent:
                        there.sendall(piece)

            thread = threading.Thread(target=send)
            thread.start()
            self.addCleanup(thread.join)
            return [line.answer() for _ in range(count)]

    def test_two_after_each_other(self) -> None:
        """What follows an answer belongs to the next one, wherever the pieces end."""
        pieces = [b"HTTP/1.1 200 OK\r\nContent-", b"Length: 3\r\n\r\nab", b"cHTTP/1.1 404 Not Found\r\nX: y\r\n\r\n"]
        first, second = self.answers(pieces, 2)
        self.assertEqual((first.status, first.body), (200, b"abc"))
        self.assertEqual((second.status, second.reason, second.body), (404, "Not Found", b""))

    def test_chunks(self) -> None:
        """Chunks are put together."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        [answer] = self.answers([head, b"3\r\nabc\r\nA;x=y\r\n01234", b"56789\r\n0\r\n\r", b"\n"], 1)
        self.assertEqual(answer.body, b"abc0123456789")

    def test_cut_off(self) -> None:
        """Half an answer is an error."""
        with self.assertRaises(ConnectionError):
            self.answers([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"], 1)


class ListedTests(SynchronousTestCase):
    """Pages."""

    def test_both_formats(self) -> None:
        """JSON, compressed or not, and HTML say the same."""
        digest = "ab" * 32
        content = json.dumps({"files": [{"filename": "a.whl", "url": "x", "hashes": {"sha256": digest}}]}).encode()
        headers = {"content-type": "application/vnd.pypi.simple.v1+json"}
        zipped = {**headers, "content-encoding": "gzip"}
        html = f'<a href="../x/a.whl#sha256={digest}" data-requires-python="&gt;=3.8">a.whl</a><br/>'.encode()
        for page in (
            Answer(200, "OK", headers, content),
            Answer(200, "OK", zipped, gzip.compress(content)),
            Answer(200, "OK", {"content-type": "text/html"}, html),
        ):
            self.assertEqual(listed(page), {"a.whl": digest})

    def test_no_page(self) -> None:
        """An error page lists nothing."""
        self.assertRaises(Failed, listed, Answer(404, "Not Found", {}, b""))


class FillingTests(SynchronousTestCase):
    """What is put into the servers beforehand."""

    def test_pypicache(self) -> None:
        """The ledger of a new state directory lists each file that the dump has, with the digest of its bytes."""
        with TemporaryDirectory() as directory:
            dump, state = Path(directory, "dump"), Path(directory, "state")
            write_dump(dump, 19)
            fill(state, dump)
            ledger = Ledger(f"sqlite:///{state / 'ledger.sqlite'}", None, None)  # type: ignore[arg-type]  # unused
            self.addCleanup(ledger.close)
            found = ledger.read_now(lambda connection: project_files(connection, INDEX, "long"))
            wheels = [long_wheel(number) for number in range(19)]
            self.assertEqual(
                {(file.version, file.name) for file in found}, {(version, name) for version, name, _ in wheels}
            )
            self.assertEqual(
                {file.name: file.hashes["sha256"] for file in found},
                {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (dump / "files").iterdir()},
            )


class LatencyTests(SynchronousTestCase):
    """Percentiles."""

    def test_milliseconds(self) -> None:
        """Of seconds; of a single one there are none."""
        self.assertEqual(latency([0.001 * number for number in range(101)]), "p50 50 ms, p99 99 ms")
        self.assertEqual(latency([1.0]), "")
