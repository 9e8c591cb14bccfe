"""What is uploaded besides files: documentation, test results, yanks, attestations (conformance 68)."""

from __future__ import annotations

import io
import json
import re
import zipfile
from base64 import b64encode
from hashlib import sha256
from typing import Any, ClassVar

from tests.ring_one.house import Answer
from tests.ring_one.publishing import Dist, Field, PublishCase, multipart, plain, sdist, wheel

PAGES = {"index.html": "<h1>demo</h1>", "sub/page.html": "<p>page</p>", "style.css": "p {}", "a b.txt": "text"}


def docs(pages: dict[str, str]) -> Dist:
    """A ZIP archive of documentation."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in pages.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # always of the same time, so always the same bytes
    return Dist("anything.zip", out.getvalue())


class DocumentationTests(PublishCase):
    """Documentation is uploaded as an archive, and read page by page."""

    def put(self, pages: dict[str, str], version: str | None = "1.0", name: str = "Demo") -> Answer:
        """Upload documentation."""
        fields: list[Field] = [(":action", "doc_upload"), ("name", name)]
        fields += [] if version is None else [("version", version)]
        return self.upload(docs(pages), fields)

    def doc(self, path: str, version: str = "1.0", **headers: str) -> Answer:
        """A page."""
        return self.get(f"/team/dev/demo/{version}/+doc/{path}", **headers)

    def test_pages_are_served(self) -> None:
        self.assertEqual(self.put(PAGES).code, 200)
        answer = self.doc("index.html")
        self.assertEqual((answer.code, answer.body), (200, b"<h1>demo</h1>"))
        self.assertEqual(answer.header("content-type"), "text/html; charset=utf-8")
        self.assertEqual(answer.header("cache-control"), "max-age=60, public")
        self.assertTrue(str(answer.header("content-security-policy")).startswith("sandbox"))
        self.assertEqual(self.doc("sub/page.html").body, b"<p>page</p>")
        self.assertEqual(self.doc("a%20b.txt").body, b"text")
        self.assertEqual(self.doc("style.css").header("content-type"), "text/css; charset=utf-8")

    def test_conditions_and_head(self) -> None:
        self.put(PAGES)
        etag = str(self.doc("index.html").header("etag"))
        self.assertEqual(etag, f'"{docs(PAGES).sha256}"')
        unchanged = self.doc("index.html", if_none_match=etag)
        self.assertEqual((unchanged.code, unchanged.body), (304, b""))
        answer = self.get("/team/dev/demo/1.0/+doc/index.html", method="HEAD")
        self.assertEqual((answer.code, answer.header("content-length"), answer.body), (200, "13", b""))

    def test_the_first_page(self) -> None:
        self.put(PAGES)
        for path, location in (("+doc/", "index.html"), ("+doc", "+doc/index.html")):
            answer = self.get(f"/team/dev/demo/1.0/{path}")
            self.assertEqual((answer.code, answer.header("location")), (302, location))

    def test_tricks_with_paths(self) -> None:
        self.put({**PAGES, "../evil.html": "x", "/etc/passwd": "x", "a\\b": "x"})
        for path in ("../evil.html", "%2e%2e/evil.html", "..%2fevil.html", "/etc/passwd", "%2fetc/passwd", "a%5cb",
                     "sub//page.html", "sub/", "sub", "sub/../index.html", "none.html", "%00"):  # fmt: skip
            self.assertEqual(self.doc(path).code, 404, path)

    def test_an_archive_without_a_first_page_is_no_documentation(self) -> None:
        self.put({"other.html": "x"})
        self.assertEqual(self.doc("other.html").code, 404)

    def test_it_is_kept_under_the_name_of_the_release(self) -> None:
        self.put(PAGES)
        (file,) = self.stored()
        self.assertEqual((file.kind, file.name), ("doczip", "demo-1.0.doc.zip"))
        self.assertEqual(self.get(f"/team/dev/{file.path}").body, docs(PAGES).content)
        self.assertEqual(self.listing(), [])

    def test_without_a_version_it_is_of_the_newest(self) -> None:
        self.assertEqual(self.put(PAGES, None).code, 400)
        for version in ("1.9", "1.10", "old"):
            self.post(multipart([(":action", "submit"), ("name", "demo"), ("version", version)]))
        self.assertEqual(self.put(PAGES, None).code, 200)
        self.assertEqual(self.stored()[0].version, "1.10")
        self.assertEqual(self.put(PAGES, "").code, 400)

    def test_latest_and_stable(self) -> None:
        for version in ("1.0", "1.1", "2.0rc1"):
            self.put({"index.html": version}, version)
        self.assertEqual(self.doc("index.html", "latest").body, b"2.0rc1")
        self.assertEqual(self.doc("index.html", "stable").body, b"1.1")
        self.assertEqual(self.doc("index.html", "3.0").code, 404)

    def test_other_documentation_is_refused(self) -> None:
        self.put(PAGES)
        serial = self.serial
        self.assertEqual(self.put(PAGES).code, 200)
        answer = self.put({"index.html": "other"})
        self.assertEqual(answer.code, 409)
        self.assertTrue(answer.body.startswith(b"File already exists"))
        self.assertEqual(self.serial, serial)

    def test_something_that_is_no_archive(self) -> None:
        fields: list[Field] = [(":action", "doc_upload"), ("name", "demo"), ("version", "1")]
        self.assertEqual(self.upload(Dist("x.zip", b"no zip"), fields).code, 400)
        self.assert_clean()


class ToxResultTests(PublishCase):
    """Results of tests are kept beside release files (contract devpi 11.4)."""

    def test_a_result_is_kept_as_it_came(self) -> None:
        self.upload(sdist())
        content = b'{"testenvs":   {}}'
        answer = self.send("POST", f"/team/dev/{sdist().path}", content)
        self.assertEqual(answer.code, 200, answer.body)
        said = answer.json()
        self.assertEqual(said["type"], "toxresultpath")
        path, _, fragment = said["result"].partition("#")
        self.assertRegex(path, rf"^team/dev/{re.escape(sdist().path)}\.toxresult-\d{{14}}-0$")
        self.assertEqual(fragment, "sha256=" + sha256(content).hexdigest())
        self.assertEqual(self.get("/" + path).body, content)

    def test_results_are_numbered(self) -> None:
        self.upload(sdist())
        results = [self.send("POST", f"/team/dev/{sdist().path}", {"n": n}).json()["result"] for n in range(3)]
        self.assertEqual([result.partition("#")[0][-2:] for result in results], ["-0", "-1", "-2"])
        self.assertEqual([file.of for file in self.stored() if file.kind == "toxresult"], [sdist().path] * 3)

    def test_no_release_file(self) -> None:
        answer = self.send("POST", f"/team/dev/{sdist().path}", {})
        self.assertEqual((answer.code, answer.json()["message"]), (404, f"no release file found at {sdist().path}"))

    def test_no_json(self) -> None:
        self.upload(sdist())
        self.assertEqual(self.send("POST", f"/team/dev/{sdist().path}", b"no json").code, 400)
        self.assertEqual(self.send("POST", f"/team/dev/{sdist().path}").code, 400)

    def test_who_may_not(self) -> None:
        self.upload(sdist())
        self.make("team/dev", **{**self.options, "acl_toxresult_upload": ["team"]})
        self.assertEqual(self.send("POST", f"/team/dev/{sdist().path}", {}).code, 403)


class YankTests(PublishCase):
    """Releases are yanked and come back (PEP 592)."""

    options: ClassVar[Any] = {"acl_upload": ["team"], "volatile": False}

    def setUp(self) -> None:
        super().setUp()
        self.team = self.account("team")
        for dist in (wheel(), sdist(), wheel(version="2.0")):
            fields = plain(dist, version="2.0" if "2.0" in dist.name else "1.0")
            self.assertEqual(self.upload(dist, fields, **self.team).code, 200)

    def test_with_a_reason(self) -> None:
        answer = self.send("POST", "/team/dev/Demo/1.0/+yank", {"reason": 'broken "badly"'}, **self.team)
        self.assertEqual(answer.code, 200, answer.body)
        yanked = {file["filename"]: file.get("yanked") for file in self.listing()}
        self.assertEqual(
            yanked,
            {wheel().name: 'broken "badly"', sdist().name: 'broken "badly"', wheel(version="2.0").name: None},
        )
        page = self.get("/team/dev/+simple/demo/", accept="text/html").body
        self.assertEqual(page.count(b'data-yanked="broken &quot;badly&quot;"'), 2)

    def test_without_a_reason(self) -> None:
        self.assertEqual(self.send("POST", "/team/dev/demo/1.0/+yank", **self.team).code, 200)
        self.assertEqual([file.get("yanked") for file in self.listing()], [True, True, None])

    def test_and_back(self) -> None:
        for method, path in (("POST", "+unyank"), ("DELETE", "+yank")):
            self.send("POST", "/team/dev/demo/1.0/+yank", {}, **self.team)
            self.assertEqual(self.send(method, f"/team/dev/demo/1.0/{path}", **self.team).code, 200)
            self.assertEqual([file.get("yanked") for file in self.listing()], [None, None, None])

    def test_twice_is_once(self) -> None:
        self.send("POST", "/team/dev/demo/1.0/+yank", {"reason": "x"}, **self.team)
        serial = self.serial
        self.assertEqual(self.send("POST", "/team/dev/demo/1.0/+yank", {"reason": "x"}, **self.team).code, 200)
        self.assertEqual(self.serial, serial)

    def test_what_is_not_there(self) -> None:
        self.assertEqual(self.send("POST", "/team/dev/demo/9/+yank", {}, **self.team).code, 404)
        self.assertEqual(self.send("POST", "/team/dev/none/1.0/+yank", {}, **self.team).code, 404)
        self.assertEqual(self.send("POST", "/root/pypi/demo/1.0/+yank", {}, **self.team).code, 404)

    def test_who_may_not(self) -> None:
        self.assertEqual(self.send("POST", "/team/dev/demo/1.0/+yank", {}).code, 401)
        self.assertEqual(self.send("POST", "/team/dev/demo/1.0/+yank", {}, **self.account("bob")).code, 403)

    def test_reasons_that_are_none(self) -> None:
        for reason in (1, ["x"], "x" * 1001):
            self.assertEqual(self.send("POST", "/team/dev/demo/1.0/+yank", {"reason": reason}, **self.team).code, 400)


class AttestationTests(PublishCase):
    """Attestations are taken, and offered (conformance 68)."""

    def attestation(self, dist: Dist, kind: str = "publish", digest: str | None = None) -> dict[str, Any]:
        """An attestation as tools that publish make them; its signature is none."""
        statement = {
            "_type": "https://in-toto.example/Statement/v1",
            "subject": [{"name": dist.name, "digest": {"sha256": digest or dist.sha256}}],
            "predicateType": f"https://docs.example/attestations/{kind}/v1",
            "predicate": None,
        }
        return {
            "version": 1,
            "verification_material": {"certificate": "AAAA", "transparency_entries": [{}]},
            "envelope": {"statement": b64encode(json.dumps(statement).encode()).decode(), "signature": "AAAA"},
        }

    def attested(self, dist: Dist, value: object) -> Answer:
        """Upload with a value of the field."""
        text = value if isinstance(value, str) else json.dumps(value)
        return self.upload(dist, plain(dist, attestations=text))

    def test_68_the_page_offers_what_came(self) -> None:
        dist = wheel()
        attestation = self.attestation(dist)
        self.assertEqual(self.attested(dist, [attestation]).code, 200)
        (file,) = self.listing()
        self.assertEqual(file["provenance"], file["url"] + ".provenance")
        page = self.get("/team/dev/+simple/demo/", accept="text/html").body.decode()
        self.assertIn(f'data-provenance="{file["provenance"]}"', page)
        answer = self.get(file["provenance"], accept="application/vnd.pypi.integrity.v1+json")
        self.assertEqual(answer.header("content-type"), "application/vnd.pypi.integrity.v1+json")
        said = answer.json()
        self.assertEqual(said["version"], 1)
        self.assertEqual(said["attestation_bundles"][0]["attestations"], [attestation])
        self.assertEqual(said["attestation_bundles"][0]["publisher"]["kind"], "pypicache")
        self.assertEqual(self.get(file["provenance"], if_none_match=str(answer.header("etag"))).code, 304)
        self.assertEqual(self.get(file["provenance"], accept="text/html").code, 406)

    def test_68_without_there_are_none(self) -> None:
        self.upload(wheel())
        (file,) = self.listing()
        self.assertNotIn("provenance", file)
        self.assertEqual(self.get(file["url"] + ".provenance").code, 404)

    def test_68_what_is_not_of_the_form_is_refused(self) -> None:
        dist = wheel()
        good = self.attestation(dist)
        for value in ("no json", "{}", [], [1], [{**good, "version": 2}], [good, good], [good] * 20,
                      [{**good, "envelope": {"statement": "!", "signature": "x"}}],
                      [{**good, "verification_material": {}}], [self.attestation(dist, digest="0" * 64)]):  # fmt: skip
            answer = self.attested(dist, value)
            self.assertEqual(answer.code, 400, value)
            self.assertTrue(answer.body.startswith(b"attestations: "), answer.body)
        self.assert_clean()
