"""Files on their way: first bytes at once, one download for all, ranges and HEAD meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from tests.ring_one.files import FileCase, bytes_of

CONTENT = bytes_of(300_000)
LARGE = bytes_of(4 * 2**20)


class FollowingTests(FileCase):
    """Clients follow the spool."""

    def test_first_bytes_at_once(self) -> None:
        """The client has the first byte while the upstream has sent no more than a few (conformance test 44)."""
        client = self.begin(self.demo(CONTENT))
        coming = self.incoming
        coming.head()
        self.assertIsNone(client.code)
        coming.send(2)
        self.settle()
        self.assertEqual((client.code, client.received), (200, CONTENT[:1]))
        coming.send(999)
        self.assertEqual(client.received, CONTENT[:1000])
        self.assertEqual(client.length, len(CONTENT))

    def test_one_download_for_fifty(self) -> None:
        """Fifty clients, one request to the upstream, the same bytes for all (conformance test 44)."""
        url = self.demo(CONTENT)
        clients = [self.begin(url) for _ in range(25)]
        coming = self.incoming
        coming.head()
        coming.send(1000)
        clients += [self.begin(url) for _ in range(25)]
        self.assertTrue(all(client.received for client in clients))
        coming.rest()
        for client in clients:
            self.assertTrue(client.ended_well)
            self.assertEqual(client.answer().body, CONTENT)
        self.assertEqual(self.up.incoming, [])
        self.assertEqual(len(self.shelf()), 1)
        self.assertEqual(self.spooled(), [])

    def test_nothing_is_asked_twice_while_the_database_is_slow(self) -> None:
        """Clients that came before the file was kept do not fetch it again, however late they look or are told."""
        for number, looks_late in enumerate((True, False)):
            name = f"demo-{number}-py3-none-any.whl"
            url = self.demo(CONTENT[number:], name=name, by_hand=False)
            held: list[Deferred[object]] = []
            memory = self.house.memory
            ask = memory.database._in_thread
            memory.database._seen.complete = False  # as while it is being opened: everybody has to ask

            def slowly(
                function: object,
                *arguments: object,
                _held: list[Deferred[object]] = held,
                _ask: Callable[..., Deferred[object]] = ask,
                _late: bool = looks_late,
            ) -> Deferred[object]:
                gate: Deferred[object] = Deferred()
                _held.append(gate)
                if _late:
                    return gate.addCallback(lambda _: _ask(function, *arguments))
                answer = _ask(function, *arguments)
                return gate.addCallback(lambda _: answer)

            memory.database._in_thread = slowly
            clients = [self.begin(url), self.begin(url)]
            self.assertEqual(len(held), 2)
            second = held.pop()
            while held:
                held.pop().callback(None)
                self.settle()
            second.callback(None)
            self.settle()
            while held:
                held.pop().callback(None)
                self.settle()
            memory.database._in_thread = ask
            self.assertEqual([client.answer().body == CONTENT[number:] for client in clients], [True, True])
            self.assertEqual(self.up.asked(f"/packages/{name}"), 1)

    def test_the_last_byte_is_held_back(self) -> None:
        """Until length and digest are right nobody can complete the file."""
        client = self.begin(self.demo(CONTENT))
        coming = self.incoming
        coming.head()
        coming.send(len(CONTENT))
        # The upstream's head gave the length, so the answer ends with the last byte; one before, it does not.
        self.assertTrue(client.ended_well)
        second = self.demo(CONTENT[:-1], name="demo-2.0-py3-none-any.whl")
        client = self.begin(second)
        coming = self.incoming
        coming.head(chunked=True)
        coming.send(len(CONTENT) - 1)
        self.assertEqual(len(client.received), len(CONTENT) - 2)
        coming.end()
        self.assertEqual(client.answer().body, CONTENT[:-1])

    def test_an_empty_file(self) -> None:
        """A file without bytes is a file."""
        client = self.begin(self.demo(b""))
        coming = self.incoming
        coming.head()
        coming.end()
        self.assertEqual((client.answer().code, client.answer().body, client.ended_well), (200, b"", True))

    def test_size_unknown_to_all(self) -> None:
        """Neither page nor upstream say how long the file is: it is chunked, and whole when it ends."""
        client = self.begin(self.demo(CONTENT, size=None))
        coming = self.incoming
        coming.head(chunked=True)
        coming.send(1000)
        self.assertEqual(client.received, CONTENT[:999])
        self.assertIsNone(client.length)
        coming.rest()
        self.assertTrue(client.ended_well)
        self.assertEqual(client.answer().body, CONTENT)

    def test_a_crowd_is_told_of_larger_pieces(self) -> None:
        """Many clients are given what came after a moment, all of them the same; a few have it at once."""
        url = self.demo(LARGE)
        clients = [self.begin(url) for _ in range(3)]
        coming = self.incoming
        coming.head()
        coming.send(1000)
        coming.send(1000)
        self.assertEqual({len(client.received) for client in clients}, {1999})
        clients.append(self.begin(url))
        coming.send(1000)
        clients.append(self.begin(url))
        self.assertEqual({len(client.received) for client in clients}, {1999})
        self.advance(0.05)
        self.assertEqual({len(client.received) for client in clients}, {2999})
        coming.rest()
        self.assertEqual([client.answer().body == LARGE for client in clients], [True] * 5)

    def test_waiting_for_bytes_takes_none(self) -> None:
        """Who sends from the spool itself waits until there is something, and is told where it is."""
        client = self.begin(self.demo(LARGE))
        coming = self.incoming
        coming.head()
        (download,) = self.house.library.downloads.values()
        reader = download.reader(0, None)
        waiting = Deferred.fromCoroutine(reader.read(0))
        self.assertNoResult(waiting)
        coming.send(1000)
        self.assertEqual(self.successResultOf(waiting), b"")
        self.assertEqual(reader.spooled(), (download.spool.descriptor, 0, 999))
        reader.close()
        coming.rest()
        self.assertEqual(client.answer().body, LARGE)

    def test_a_slow_client_holds_back_nobody(self) -> None:
        """One client stops reading; the other one and the download go on."""
        url = self.demo(LARGE)
        slow, quick = self.begin(url), self.begin(url)
        coming = self.incoming
        coming.head()
        coming.send(1000)
        self.settle()
        slow.pause()
        coming.rest()
        self.assertTrue(quick.ended_well)
        self.assertLess(len(slow.received), 2**20)
        self.assertLess(max(end.most for end in self.outside.ends), 2**20)
        self.assertEqual(len(self.shelf()), 1)
        slow.go_on()
        self.assertEqual(slow.answer().body, LARGE)


class LeavingTests(FileCase):
    """A client that leaves disturbs nothing."""

    def test_leaving_disturbs_nobody(self) -> None:
        """The download goes on for the others."""
        url = self.demo(CONTENT)
        first, second = self.begin(url), self.begin(url)
        coming = self.incoming
        coming.head()
        coming.send(1000)
        self.settle()
        first.leave()
        self.assertFalse(coming.gone)
        coming.rest()
        self.assertEqual(second.answer().body, CONTENT)
        self.assertEqual(len(self.shelf()), 1)

    def test_all_leave(self) -> None:
        """The file is kept although nobody waits for it any more."""
        url = self.demo(CONTENT)
        clients = [self.begin(url) for _ in range(3)]
        coming = self.incoming
        coming.head()
        coming.send(1000)
        self.settle()
        for client in clients:
            client.leave()
        coming.rest()
        self.settle()
        self.assertEqual(self.get(url).body, CONTENT)
        self.assertEqual(self.up.incoming, [])

    def test_leaving_before_the_head(self) -> None:
        """A client that leaves before anything came is forgotten, and the download goes on."""
        url = self.demo(CONTENT)
        self.begin(url).leave()
        coming = self.incoming
        self.assertFalse(coming.gone)
        coming.head()
        coming.rest()
        self.settle()
        self.assertEqual(self.get(url).body, CONTENT)

    def test_no_descriptor_is_left_open(self) -> None:
        """Whoever comes and goes at whatever moment, the number of open files is what it was."""
        url = self.demo(LARGE)
        before = self.descriptors()
        clients = [self.begin(url) for _ in range(4)]
        coming = self.incoming
        clients.pop().leave()
        coming.head()
        coming.send(5000)
        self.settle()
        clients.pop().leave()
        slow = clients.pop()
        slow.pause()
        coming.rest()
        self.settle()
        held = self.begin(url)
        held.pause()
        self.settle()
        self.assertGreater(self.descriptors(), before)
        slow.leave()
        held.leave()
        self.assertEqual(clients.pop().answer().body, LARGE)
        self.assertEqual(self.descriptors(), before)
        self.assertEqual(self.house.library.downloads, {})

    def test_stopping_during_a_download(self) -> None:
        """At the end of the daemon downloads end quietly: no traceback, no leftovers, nothing half kept."""
        client = self.begin(self.demo(CONTENT))
        coming = self.incoming
        coming.head()
        coming.send(1000)
        self.settle()
        self.successResultOf(self.house.tasks.stop())
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well)
        self.settle()
        self.assertTrue(coming.gone)
        self.assert_nothing_kept()
        self.assertFalse(self.logged("failed"))


class PartsOfArrivingFilesTests(FileCase):
    """Ranges and HEAD of a file that is not held yet (conformance test 43)."""

    def setUp(self) -> None:
        super().setUp()
        self.url = self.demo(LARGE)

    def test_head_asks_nothing(self) -> None:
        """Where the page gives the size, HEAD needs no upstream (conformance test 38)."""
        answer = self.get(self.url, "HEAD")
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(answer.header("content-length"), str(len(LARGE)))
        self.assertEqual(answer.header("accept-ranges"), "bytes")
        self.assertEqual(self.up.incoming, [])

    def test_head_of_unknown_size(self) -> None:
        """Where it does not, the length comes from the upstream's head, before the body."""
        url = self.demo(CONTENT, name="demo-3.0-py3-none-any.whl", size=None)
        client = self.begin(url, "HEAD")
        coming = self.incoming
        self.assertFalse(client.over)
        coming.head()
        self.assertEqual(client.answer().header("content-length"), str(len(CONTENT)))
        coming.rest()
        self.assertEqual(self.get(url).body, CONTENT)

    def test_a_near_range_waits(self) -> None:
        """A range close to what has arrived comes out of the spool."""
        client = self.begin(self.url, range="bytes=1000-1999")
        coming = self.incoming
        self.assertIsNone(coming.range)
        coming.head()
        coming.send(1500)
        self.assertEqual((client.code, client.received), (206, LARGE[1000:1499]))
        coming.send(600)
        self.assertTrue(client.ended_well)
        self.assertEqual(client.answer().body, LARGE[1000:2000])
        self.assertEqual(client.header("content-range"), f"bytes 1000-1999/{len(LARGE)}")

    def test_a_far_range_goes_through(self) -> None:
        """A range far beyond what has arrived is asked for at the upstream, with both its ends."""
        first = self.begin(self.url)
        main = self.incoming
        main.head(etag='"one"')
        main.send(10)
        far = self.begin(self.url, range="bytes=3000000-3000999")
        coming = self.incoming
        self.assertEqual(coming.range, (3000000, 3001000))
        self.assertEqual(coming.header("if-range"), '"one"')
        coming.part()
        coming.send(1000)
        coming.end()
        self.assertEqual((far.answer().code, far.answer().body), (206, LARGE[3000000:3001000]))
        main.rest()
        self.assertEqual(first.answer().body, LARGE)

    def test_a_far_range_alone(self) -> None:
        """The same if nobody asked for the file before: it is not fetched as a whole for a kilobyte."""
        far = self.begin(self.url, range="bytes=-1000")
        coming = self.incoming
        self.assertEqual(coming.range, (len(LARGE) - 1000, len(LARGE)))
        coming.part()
        coming.send(1000)
        coming.end()
        self.assertEqual(far.answer().body, LARGE[-1000:])
        self.assertEqual(self.shelf(), [])

    def test_an_upstream_without_ranges(self) -> None:
        """It answers with the whole file: that is fetched once, and the range waits for it."""
        far = self.begin(self.url, range="bytes=3000000-3000999")
        self.incoming.head(200)
        coming = self.incoming
        self.assertIsNone(coming.range)
        coming.head()
        coming.send(2_000_000)
        self.assertIsNone(far.code)
        coming.rest()
        self.assertEqual((far.answer().code, far.answer().body), (206, LARGE[3000000:3001000]))

    def test_if_range(self) -> None:
        """During the download, too, a range is honoured for our tag only (conformance test 42)."""
        etag = self.get(self.url, "HEAD").header("etag") or ""
        self.assertEqual(len(etag), 66)
        same = self.begin(self.url, range="bytes=0-9", if_range=etag)
        other = self.begin(self.url, range="bytes=0-9", if_range='"other"')
        weak = self.begin(self.url, range="bytes=0-9", if_range="W/" + etag)
        coming = self.incoming
        coming.head()
        coming.rest()
        self.assertEqual([client.answer().code for client in (same, other, weak)], [206, 200, 200])
        self.assertEqual(weak.answer().body, LARGE)

    def test_outside_of_the_file(self) -> None:
        """416 with the size, and nothing is asked (conformance test 41)."""
        answer = self.get(self.url, range=f"bytes={len(LARGE)}-")
        self.assertEqual((answer.code, answer.header("content-range")), (416, f"bytes */{len(LARGE)}"))
        self.assertEqual(self.up.incoming, [])

    def test_range_of_unknown_size(self) -> None:
        """A tail of a file whose size nobody knew: right, and fetched once (conformance test 43)."""
        url = self.demo(CONTENT, name="demo-3.0-py3-none-any.whl", size=None)
        client = self.begin(url, range="bytes=-100")
        coming = self.incoming
        coming.head(chunked=True)
        coming.rest()
        self.assertEqual((client.answer().code, client.answer().body), (206, CONTENT[-100:]))
        self.settle()
        self.assertEqual(self.up.incoming, [])
