"""Project pages in all their formats (conformance tests 1 to 22)."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import urljoin

from tests.ring_one.house import JSON, PIP, UP, UV, HouseCase, file_of, page_of
from tests.ring_one.reading import anchors, metas

WHEEL = b"wheel " * 1000
SDIST = b"sdist " * 1000
METADATA = {"sha256": "ab" * 32}
V1_HTML = "application/vnd.pypi.simple.v1+html"

DEMO = page_of(
    "demo",
    file_of(
        "demo-1.0-py3-none-any.whl", WHEEL, **{"requires-python": ">=3.8,<4", "core-metadata": METADATA}
    ),
    file_of("demo-1.0.tar.gz", SDIST, yanked="eats & <deletes> \"data\""),
    file_of("demo-2.0.tar.gz", SDIST + b"2", yanked=True),
    versions=["1.0", "2.0"],
)  # fmt: skip


class PagesCase(HouseCase):
    """With a project of three files at the upstream."""

    def setUp(self) -> None:
        super().setUp()
        self.up.pages["/simple/demo/"] = DEMO

    def kind(self, **headers: str) -> str:
        """The media type that is given for some headers, without parameters."""
        answer = self.get("/root/pypi/+simple/demo/", **headers)
        self.assertEqual(answer.code, 200)
        return (answer.header("content-type") or "").partition(";")[0]

    def html(self, project: str = "demo") -> bytes:
        """The project's HTML page."""
        answer = self.get(f"/root/pypi/+simple/{project}/", accept="text/html")
        self.assertEqual(answer.code, 200)
        return answer.body


class NegotiationTests(PagesCase):
    """Which format a client gets."""

    def test_pip_and_uv_get_json(self) -> None:
        """What pip, uv and pdm ask for is JSON of version 1.4 (conformance test 1)."""
        for accept in (PIP, UV):
            answer = self.page("demo", accept=accept)
            self.assertEqual((answer.code, answer.header("content-type")), (200, JSON))
            self.assertEqual(answer.json()["meta"]["api-version"], "1.4")
            self.assertEqual(answer.json()["name"], "demo")

    def test_anything_means_html(self) -> None:
        """Programs without an opinion read HTML (conformance test 2)."""
        self.assertEqual(self.kind(accept="*/*"), "text/html")
        self.assertEqual(self.kind(), "text/html")

    def test_html_by_its_versioned_name(self) -> None:
        """The same files under the type that was asked for (conformance test 3)."""
        answer = self.get("/root/pypi/+simple/demo/", accept=V1_HTML)
        self.assertEqual((answer.header("content-type") or "").partition(";")[0], V1_HTML)
        self.assertEqual([one.text for one in anchors(answer.body)], [file["filename"] for file in self.files("demo")])
        self.assertEqual(len(anchors(answer.body)), 3)

    def test_latest_is_answered_with_the_version(self) -> None:
        """``latest`` is a question, never an answer (conformance test 4)."""
        self.assertEqual(self.kind(accept="application/vnd.pypi.simple.latest+json"), JSON)

    def test_weight_zero_excludes(self) -> None:
        """JSON that is not wanted is not sent (conformance test 5)."""
        self.assertEqual(self.kind(accept=f"{JSON};q=0, text/html"), "text/html")

    def test_nothing_acceptable(self) -> None:
        """406 as text, for whoever cannot read a page (conformance test 6)."""
        answer = self.get("/root/pypi/+simple/demo/", accept="image/png")
        self.assertEqual(answer.code, 406)
        self.assertEqual((answer.header("content-type") or "").partition(";")[0], "text/plain")
        self.assertIn(JSON.encode(), answer.body)
        self.assertEqual(answer.header("vary"), "Accept, Accept-Encoding")

    def test_format_in_the_address(self) -> None:
        """``?format=`` wins over ``Accept``, however its plus sign is written (conformance test 7)."""
        for plus in ("%2B", "+"):
            wanted = f"/root/pypi/+simple/demo/?format=application/vnd.pypi.simple.v1{plus}json"
            self.assertEqual(self.get(wanted, accept="text/html").header("content-type"), JSON)

    def test_poetry_compares_the_type_for_equality(self) -> None:
        """The type comes without parameters (conformance test 8)."""
        answer = self.get("/root/pypi/+simple/demo/", accept=f"{JSON}, */*;q=0.1")
        self.assertEqual(answer.header("content-type"), JSON)

    def test_vary(self) -> None:
        """Caches are told what the answer depends on, also by a 304 (conformance test 9)."""
        for accept in (PIP, "text/html", V1_HTML):
            first = self.page("demo", accept=accept)
            again = self.page("demo", accept=accept, if_none_match=first.header("etag") or "")
            self.assertEqual((first.code, again.code), (200, 304))
            self.assertEqual([first.header("vary"), again.header("vary")], ["Accept, Accept-Encoding"] * 2)


class ContentTests(PagesCase):
    """What a page says of its files."""

    def test_every_key_that_clients_need(self) -> None:
        """Name, address, digest, size and time of every file; all versions once (conformance test 10)."""
        page = self.page("demo").json()
        for file in page["files"]:
            self.assertLessEqual({"filename", "url", "hashes", "size", "upload-time"}, set(file))
            self.assertEqual(len(file["hashes"]["sha256"]), 64)
            self.assertTrue(file["upload-time"].endswith("Z"))
        self.assertEqual(sorted(page["versions"]), ["1.0", "2.0"])
        self.assertEqual(page["files"][0]["size"], len(WHEEL))

    def test_what_the_upstream_leaves_out_is_left_out(self) -> None:
        """No null anywhere, and a version that permits what is missing (conformance test 11)."""
        bare = {"filename": "old-1.tar.gz", "url": "http://files.example/old-1.tar.gz", "hashes": {"sha256": "0" * 64}}
        self.up.pages["/simple/old/"] = {"meta": {"api-version": "1.0"}, "name": "old", "files": [bare]}
        answer = self.page("old")
        self.assertNotIn(b"null", answer.body)
        (file,) = answer.json()["files"]
        self.assertEqual(set(file) & {"size", "upload-time", "requires-python", "project-status"}, set())
        self.assertEqual(answer.json()["meta"]["api-version"], "1.0")

    def test_nulls_of_the_upstream_are_not_passed_on(self) -> None:
        """uv refuses a whole page for one null in these places (conformance test 11)."""
        nulls = dict.fromkeys(("size", "upload-time", "yanked"))
        file = {**file_of("old-1.tar.gz", b"x"), **nulls}
        self.up.pages["/simple/old/"] = page_of("old", file, **{"project-status": None})
        self.assertNotIn(b"null", self.page("old").body)
        self.assertEqual(len(self.files("old")), 1)

    def test_active_project(self) -> None:
        """An ordinary project has no status, or an object, never null (conformance test 12)."""
        self.assertIsInstance(self.page("demo").json().get("project-status", {}), dict)

    def test_archived_project(self) -> None:
        """The status stands at the top level, and in both metas (conformance test 12)."""
        status = {"status": "archived", "reason": "use <that> & those"}
        self.up.pages["/simple/old/"] = page_of("old", file_of("old-1.tar.gz", b"x"), **{"project-status": status})
        self.assertEqual(self.page("old").json()["project-status"], status)
        found = metas(self.html("old"))
        self.assertEqual(found["pypi:project-status"], "archived")
        self.assertEqual(found["pypi:project-status-reason"], "use <that> & those")
        self.assertEqual(found["pypi:repository-version"], "1.4")

    def test_quarantined_project(self) -> None:
        """Nothing of it is offered, and what was fetched before is refused (conformance test 13)."""
        url = self.files("demo")[0]["url"]
        self.up.files["/packages/demo-1.0-py3-none-any.whl"] = WHEEL
        self.assertEqual(self.get(url).code, 200)
        self.up.pages["/simple/demo/"] = {**DEMO, "project-status": {"status": "quarantined"}}
        self.advance(1801)
        page = self.page("demo").json()
        self.assertEqual((page["files"], page["project-status"]["status"]), ([], "quarantined"))
        self.assertEqual(self.get(url).code, 404)

    def test_yanked(self) -> None:
        """With a reason, without one, and not (conformance test 14)."""
        found = {file["filename"]: file.get("yanked", False) for file in self.files("demo")}
        reason = 'eats & <deletes> "data"'
        names = ("demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz", "demo-2.0.tar.gz")
        self.assertEqual(found, dict(zip(names, (False, reason, True), strict=True)))
        wheel, sdist, second = anchors(self.html())
        self.assertNotIn("data-yanked", wheel.attributes)
        self.assertEqual(sdist.attributes["data-yanked"], reason)
        self.assertIn(second.attributes["data-yanked"], ("", None))

    def test_a_yank_that_is_taken_back(self) -> None:
        """It is gone when the page expired (conformance test 14)."""
        self.html()
        self.files("demo")
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.0.tar.gz", SDIST))
        self.advance(1801)
        self.assertFalse(self.files("demo")[0].get("yanked", False))
        self.assertNotIn(b"data-yanked", self.html())

    def test_requires_python(self) -> None:
        """Verbatim in JSON, escaped in HTML (conformance test 15)."""
        self.assertEqual(self.files("demo")[0]["requires-python"], ">=3.8,<4")
        self.assertEqual(anchors(self.html())[0].attributes["data-requires-python"], ">=3.8,<4")
        self.assertIn(b'data-requires-python="&gt;=3.8,&lt;4"', self.html())

    def test_core_metadata(self) -> None:
        """Under all its names, in both formats (conformance test 16)."""
        wheel, sdist, _ = self.files("demo")
        for key in ("core-metadata", "dist-info-metadata", "data-dist-info-metadata"):
            self.assertEqual(wheel[key], METADATA)
            self.assertFalse(sdist.get(key, False))
        link = anchors(self.html())[0]
        for attribute in ("data-core-metadata", "data-dist-info-metadata"):
            self.assertEqual(link.attributes[attribute], "sha256=" + METADATA["sha256"])

    def test_anchors(self) -> None:
        """The text is the file's name, and one sha256 stands behind the address (conformance test 17)."""
        hashes = {"sha1": "1" * 40, "sha256": sha256(b"x").hexdigest(), "md5": "2" * 32}
        self.up.pages["/simple/old/"] = page_of("old", file_of("old-1.tar.gz", b"x", hashes=hashes))
        (link,) = anchors(self.html("old"))
        self.assertEqual(link.text, "old-1.tar.gz")
        path, _, fragment = link.href.partition("#")
        self.assertEqual(fragment, "sha256=" + hashes["sha256"])
        self.assertTrue(path.endswith("/old-1.tar.gz"))

    def test_sha1_alone(self) -> None:
        """uv gives up on a whole HTML page that has one sha1 fragment (conformance test 17)."""
        self.up.pages["/simple/old/"] = page_of("old", file_of("old-1.tar.gz", b"x", hashes={"sha1": "1" * 40}))
        (link,) = anchors(self.html("old"))
        self.assertNotIn("#", link.href)

    def test_no_link_leaves_the_proxy(self) -> None:
        """In neither format, wherever the upstream keeps its files (conformance test 18)."""
        files = [
            file_of("demo-1.tar.gz", b"1", url="../../packages/demo-1.tar.gz"),
            file_of("demo-2.tar.gz", b"2", url="/packages/demo-2.tar.gz"),
            file_of("demo-3.tar.gz", b"3", url="//elsewhere.example/demo-3.tar.gz"),
            file_of("demo-4.tar.gz", b"4", url="https://elsewhere.example/demo-4.tar.gz"),
        ]
        self.up.pages["/simple/demo/"] = page_of("demo", *files)
        address = "http://cache.example/root/pypi/+simple/demo/"
        links = [file["url"] for file in self.files("demo")] + [link.href for link in anchors(self.html())]
        self.assertEqual(len(links), 8)
        for link in links:
            self.assertTrue(urljoin(address, link).startswith("http://cache.example/root/pypi/+f/"), link)
        for digested, path in zip(links, ("/packages/demo-1.tar.gz", "/packages/demo-2.tar.gz"), strict=False):
            self.up.files[path] = path[-8:-7].encode()
            self.assertEqual(self.get(digested).body, path[-8:-7].encode())

    def test_names_and_slashes(self) -> None:
        """Any spelling is answered, and nothing is redirected for ever (conformance test 20)."""
        self.up.pages["/simple/foo-bar/"] = page_of("foo-bar", file_of("foo_bar-1.tar.gz", b"x"))
        for spelled in ("Foo.Bar/", "foo_bar/", "foo-bar", "Foo--Bar", "FOO._-BAR/"):
            for place in ("/root/pypi/+simple/", "/root/pypi/"):
                answer = self.get(place + spelled, accept=PIP, user_agent="pip/26.2")
                self.assertEqual(answer.code, 200, place + spelled)
                self.assertEqual(answer.json()["name"], "foo-bar")
                self.assertTrue(answer.json()["files"][0]["url"].startswith("/root/pypi/+f/"))
        self.assertEqual(self.up.asked("/simple/foo-bar/"), 1)

    def test_keys_of_the_future(self) -> None:
        """A page with keys that nobody knows yet is served all the same (conformance test 21)."""
        file = file_of("demo-1.tar.gz", b"1", **{"variant-of": {"a": [1]}})
        self.up.pages["/simple/demo/"] = page_of("demo", file, namespaces=[{"name": "x", "owned": True}])
        self.assertEqual([one["filename"] for one in self.files("demo")], ["demo-1.tar.gz"])
        self.assertEqual(len(anchors(self.html())), 1)

    def test_provenance(self) -> None:
        """It still points to the upstream, which can tell it (conformance test 22)."""
        files = [
            file_of("demo-1.tar.gz", b"1", provenance="http://up.example/integrity/demo/1/provenance"),
            file_of("demo-2.tar.gz", b"2", provenance="/integrity/demo/2/provenance"),
        ]
        self.up.pages["/simple/demo/"] = page_of("demo", *files)
        wanted = [urljoin(UP, f"/integrity/demo/{number}/provenance") for number in (1, 2)]
        self.assertEqual([file["provenance"] for file in self.files("demo")], wanted)
        self.assertEqual([link.attributes["data-provenance"] for link in anchors(self.html())], wanted)
