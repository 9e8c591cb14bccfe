"""Nothing of an upstream's page is lost, and nothing is made up."""

from __future__ import annotations

from tests.ring_one.house import HouseCase, file_of, page_of
from tests.ring_one.reading import anchors, metas

STRANGE = {"deep": [{"er": [1, 2.5, True, False, "ü", {}]}], "empty": "", "zero": 0}


class JSONTests(HouseCase):
    """Pages that came as JSON."""

    def of(self, **keys: object) -> dict[str, object]:
        """The one file of a page, as we show it."""
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.tar.gz", b"1", **keys))
        (file,) = self.files("demo")
        return file

    def test_unknown_keys_at_all_levels(self) -> None:
        """Of the page, of ``meta``, of the status and of a file."""
        page = page_of(
            "demo",
            file_of("demo-1.tar.gz", b"1", **{"x-file": STRANGE, "yanked": True}),
            **{
                "meta": {"api-version": "1.4", "_last-serial": 7, "x-meta": STRANGE},
                "project-status": {"status": "deprecated", "reason": "old", "x-status": STRANGE},
                "versions": ["1", "0.9"],
                "x-page": STRANGE,
                "alternate-locations": ["https://other.example/simple/demo/"],
            },
        )
        self.up.pages["/simple/demo/"] = page
        got = self.page("demo").json()
        got["files"][0]["url"] = page["files"][0]["url"]  # type: ignore[index]  # a value of JSON
        self.assertEqual(got, page)

    def test_upload_time(self) -> None:
        """Byte for byte, as each upstream writes it."""
        for time in ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05.678901Z", "2024-01-02T03:04:05.000Z",
                     "2024-01-02T03:04:05+00:00", "2024-01-02T03:04:05.6789Z"):  # fmt: skip
            self.house.catalog.mirrors()[0]._known.forget("demo")  # type: ignore[arg-type]  # it is normal
            self.advance(1801)
            self.assertEqual(self.of(**{"upload-time": time})["upload-time"], time)

    def test_hashes(self) -> None:
        """All algorithms, also those that we do not know."""
        hashes = {"sha256": "a" * 64, "md5": "b" * 32, "blake2b_256": "c" * 64, "sha3_512": "d" * 128}
        self.assertEqual(self.of(hashes=hashes)["hashes"], hashes)

    def test_core_metadata_in_three_spellings(self) -> None:
        """Each of them is understood, and all three are written."""
        for number, spelling in enumerate(("core-metadata", "dist-info-metadata", "data-dist-info-metadata")):
            for value in ({"sha256": "a" * 64}, True):
                name = f"demo{number}{type(value).__name__}"
                wheel = file_of(f"{name}-1-py3-none-any.whl", b"1", **{spelling: value})
                self.up.pages[f"/simple/{name.lower()}/"] = page_of(name, wheel)
                (file,) = self.files(name)
                for written in ("core-metadata", "dist-info-metadata", "data-dist-info-metadata"):
                    self.assertEqual(file[written], value)

    def test_what_was_left_out(self) -> None:
        """A file with nothing but the three keys that must be there gets no others."""
        bare = {"filename": "demo-1.tar.gz", "url": "http://files.example/demo-1.tar.gz", "hashes": {}}
        self.up.pages["/simple/demo/"] = {"meta": {"api-version": "1.0"}, "name": "demo", "files": [bare]}
        page = self.page("demo").json()
        self.assertEqual(set(page["files"][0]), set(bare))
        self.assertLessEqual(set(page), {"meta", "name", "files", "versions"})

    def test_gpg_sig(self) -> None:
        """Also what nobody uses any more."""
        self.assertIs(self.of(**{"gpg-sig": True})["gpg-sig"], True)

    def test_an_empty_project(self) -> None:
        """A project without files exists."""
        self.up.pages["/simple/demo/"] = page_of("demo", versions=[])
        self.assertEqual((self.page("demo").code, self.files("demo")), (200, []))

    def test_order(self) -> None:
        """Files come in the upstream's order."""
        names = [f"demo-{version}.tar.gz" for version in ("10", "9", "2.0", "1!1")]
        self.up.pages["/simple/demo/"] = page_of("demo", *(file_of(name, b"") for name in names))
        self.assertEqual([file["filename"] for file in self.files("demo")], names)

    def test_everything_survives_a_restart(self) -> None:
        """What is remembered on disk is as complete."""
        self.of(**{"x-file": STRANGE, "yanked": "why", "core-metadata": True, "provenance": "http://up.example/p"})
        before = self.page("demo")
        self.stop()
        self.start()
        self.assertEqual(self.page("demo").body, before.body)
        self.assertEqual(self.page("demo").header("etag"), before.header("etag"))
        self.assertEqual(self.up.asked("/simple/demo/"), 1)


HTML_PAGE = f"""<!DOCTYPE html><html><head>
<meta name="pypi:repository-version" content="1.4"><meta name="pypi:project-status" content="archived">
<meta name="pypi:project-status-reason" content="a &lt; b"></head><body>
<a href="../../packages/demo-1.0-py3-none-any.whl#sha256={"a" * 64}" data-requires-python="&gt;=3.8"
   data-core-metadata="sha256={"b" * 64}" data-dist-info-metadata="sha256={"b" * 64}"
   data-yanked="a &amp; b" data-gpg-sig="true" data-provenance="/p/1" data-x-new="&quot;1&quot;">demo-1.0</a><br>
<a href=http://files.example/packages/demo-1.0%2Blocal.tar.gz data-yanked>demo-1.0+local.tar.gz</a>
<a href="/somewhere/else">Documentation</a>
</body></html>"""


class HTMLTests(HouseCase):
    """Pages that came as HTML."""

    def setUp(self) -> None:
        super().setUp()
        self.up.content_type = "text/html; charset=utf-8"
        self.up.pages["/simple/demo/"] = HTML_PAGE

    def test_as_json(self) -> None:
        """Everything that HTML can say; nothing that it cannot (PEP 700)."""
        page = self.page("demo").json()
        wheel, sdist = page["files"]
        url = wheel.pop("url")
        self.assertEqual(url, f"/root/pypi/+f/aaa/{'a' * 13}/demo-1.0-py3-none-any.whl")
        metadata = {"sha256": "b" * 64}
        self.assertEqual(
            wheel,
            {
                "filename": "demo-1.0-py3-none-any.whl",
                "hashes": {"sha256": "a" * 64},
                "requires-python": ">=3.8",
                "core-metadata": metadata,
                "dist-info-metadata": metadata,
                "data-dist-info-metadata": metadata,
                "yanked": "a & b",
                "gpg-sig": True,
                "provenance": "http://up.example/p/1",
            },
        )
        self.assertEqual((sdist["filename"], sdist["hashes"], sdist["yanked"]), ("demo-1.0+local.tar.gz", {}, True))
        self.assertEqual(page["project-status"], {"status": "archived", "reason": "a < b"})
        self.assertEqual(page["meta"]["api-version"], "1.0")

    def test_as_html(self) -> None:
        """With the attributes that nobody knows yet."""
        answer = self.page("demo", accept="text/html")
        wheel, sdist = anchors(answer.body)
        self.assertEqual(wheel.text, "demo-1.0-py3-none-any.whl")
        self.assertEqual(
            {key: value for key, value in wheel.attributes.items() if key != "href"},
            {
                "data-requires-python": ">=3.8",
                "data-core-metadata": "sha256=" + "b" * 64,
                "data-dist-info-metadata": "sha256=" + "b" * 64,
                "data-yanked": "a & b",
                "data-gpg-sig": "true",
                "data-provenance": "http://up.example/p/1",
                "data-x-new": '"1"',
            },
        )
        self.assertIn("data-yanked", sdist.attributes)
        self.assertEqual(metas(answer.body)["pypi:project-status-reason"], "a < b")
