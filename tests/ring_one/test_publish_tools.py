"""Uploads as the tools send them (conformance 56 to 65 and 68 to 71)."""

from __future__ import annotations

from hashlib import blake2b, sha256
from typing import Any

from tests.ring_one.publishing import Dist, PublishCase, digests, multipart, plain, sdist, wheel


class ToolTests(PublishCase):
    """What each tool's form comes to."""

    def test_56_twine_uploads_a_wheel_and_an_sdist(self) -> None:
        for dist in (wheel(extra=["Requires-Python: >=3.9"]), sdist(extra=["Requires-Python: >=3.9"])):
            answer = self.upload(dist, [*plain(dist), *digests(dist, "sha256", "blake2_256")])
            self.assertEqual((answer.code, answer.body), (200, b""))
        files = self.listing()
        self.assertEqual([file["filename"] for file in files], ["demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"])
        for file in files:
            self.assertEqual(file["requires-python"], ">=3.9")
            self.assertRegex(file["upload-time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        page = self.get("/team/dev/+simple/demo/", accept="text/html")
        self.assertEqual(page.header("content-type"), "text/html; charset=utf-8")
        self.assertIn(b">demo-1.0.tar.gz</a>", page.body)

    def test_56_the_bytes_and_the_metadata_are_served(self) -> None:
        dist = wheel()
        self.upload(dist)
        (file,) = self.listing()
        self.assertEqual(self.get(file["url"]).body, dist.content)
        metadata = self.get(file["url"] + ".metadata").body
        self.assertIn(b"Name: demo", metadata)
        self.assertEqual(file["core-metadata"], {"sha256": sha256(metadata).hexdigest()})
        self.assertEqual(file["hashes"], {"sha256": dist.sha256})
        self.assertEqual(file["size"], len(dist.content))

    def test_57_flit_gives_no_pyversion_and_no_type_of_the_file(self) -> None:
        dist = sdist()
        fields = [(name, value) for name, value in plain(dist) if name != "pyversion"]
        fields += digests(dist, "md5", "sha256")
        answer = self.post(multipart(fields, dist, file_type=None)).answer()
        self.assertEqual(answer.code, 200)
        self.assertEqual(len(self.listing()), 1)

    def test_old_distutils_sends_a_longer_digest(self) -> None:
        """Until Python 3.11 it sends BLAKE2b's 512 bits under the name of 256; the other digests decide."""
        dist = wheel()
        longer = ("blake2_256_digest", blake2b(dist.content).hexdigest())
        self.assertEqual(self.upload(dist, [*plain(dist), *digests(dist, "md5", "sha256"), longer]).code, 200)
        wrong = ("sha256_digest", "0" * 64)
        self.assertEqual(self.upload(sdist(), [*plain(sdist()), wrong, longer]).code, 400)

    def test_58_maturin_sends_only_sha256(self) -> None:
        dist = wheel()
        self.assertEqual(self.upload(dist, [*plain(dist), *digests(dist, "sha256")]).code, 200)

    def test_58_pdm_sends_empty_strings(self) -> None:
        dist = wheel()
        empty = {"comment": "", "summary": "", "requires_python": "", "provides_extras": "", "license": "UNKNOWN"}
        fields = [*plain(dist, **empty), *digests(dist, "md5", "sha256", "blake2_256"), ("gpg_signature", "")]
        self.assertEqual(self.upload(dist, fields).code, 200)
        self.assertNotIn("requires-python", self.listing()[0])

    def test_59_every_format_of_metadata_is_accepted(self) -> None:
        for number, version in enumerate(("1.0", "1.1", "1.2", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.9")):
            dist = wheel(version=f"1.{number}")
            fields = plain(dist, version=f"1.{number}", metadata_version=version)
            self.assertEqual(self.upload(dist, fields).code, 200, version)

    def test_59_a_format_that_nobody_knows_is_refused(self) -> None:
        dist = wheel()
        answer = self.upload(dist, plain(dist, metadata_version="3.0"))
        self.assertEqual(answer.code, 400)
        self.assertTrue(answer.body.startswith(b"metadata_version"), answer.body)
        self.assert_clean()

    def test_60_the_same_again_changes_nothing(self) -> None:
        dist = wheel()
        self.upload(dist)
        before, page, serial = self.listing(), self.page_tag(), self.serial
        self.clock.advance(60)
        client = self.post(multipart([*plain(dist), *digests(dist, "sha256")], dist))
        self.assertEqual(client.answer().code, 200)
        self.assertIn("identical", self.reason(client))
        self.assertEqual((self.listing(), self.page_tag(), self.serial), (before, page, serial))
        self.assertEqual(self.spooled(), [])

    def page_tag(self) -> str | None:
        """The entity tag of the project's page."""
        return self.get("/team/dev/+simple/demo/").header("etag")

    def test_61_other_bytes_under_the_same_name(self) -> None:
        self.upload(wheel())
        other = wheel(size=10)
        client = self.post(multipart(plain(other), other))
        answer = client.answer()
        self.assertEqual(answer.code, 409)
        self.assertTrue(answer.body.startswith(b"File already exists"), answer.body)
        self.assertTrue(self.reason(client).startswith("File already exists"))
        self.assertEqual(self.listing()[0]["hashes"], {"sha256": wheel().sha256})
        self.assertEqual(len(self.own()), 2)
        self.assertEqual(self.spooled(), [])

    def test_61_a_refused_upload_changes_no_metadata(self) -> None:
        self.upload(wheel())
        serial = self.serial
        other = wheel(size=10)
        self.upload(other, plain(other, summary="changed"))
        self.assertEqual(self.serial, serial)

    def test_62_uv_reads_the_sentence_in_code(self) -> None:
        self.upload(wheel())
        other = wheel(size=10)
        answer = self.upload(other, plain(other), accept="application/json;q=0.9, text/plain;q=0.8, text/html;q=0.7")
        self.assertEqual(answer.header("content-type"), "application/json")
        said = answer.json()
        self.assertEqual(set(said), {"message", "code", "title"})
        self.assertTrue(said["code"].startswith("409 File already exists"), said)
        self.assertTrue(said["message"].startswith("File already exists"))

    def test_62_others_read_text(self) -> None:
        answer = self.upload(Dist("demo-1.0.txt", b"x"), plain(Dist("demo-1.0.txt", b"x")))
        self.assertEqual(answer.code, 400)
        self.assertEqual(answer.header("content-type"), "text/plain; charset=utf-8")
        self.assertEqual(answer.body, b"'demo-1.0.txt' is not a valid archive name\n")

    def test_64_every_digest_is_verified(self) -> None:
        dist = wheel()
        for name, digits in (("md5_digest", 32), ("sha256_digest", 64), ("blake2_256_digest", 64)):
            client = self.post(multipart([*plain(dist), (name, "0" * digits)], dist))
            self.assertEqual(client.answer().code, 400)
            self.assertTrue(self.reason(client).startswith(name), self.reason(client))
            self.assert_clean()

    def test_64_digests_in_capitals_are_the_same(self) -> None:
        dist = wheel()
        self.assertEqual(self.upload(dist, [*plain(dist), ("sha256_digest", dist.sha256.upper())]).code, 200)

    def test_65_every_address_takes_uploads_without_a_redirect(self) -> None:
        for number, path in enumerate(("/team/dev", "/team/dev/", "/team/dev/legacy", "/team/dev/legacy/")):
            dist = wheel(version=f"1.{number}")
            self.assertEqual(self.upload(dist, plain(dist, version=f"1.{number}"), path).code, 200, path)
        self.assertEqual(len(self.listing()), 4)

    def test_69_submit_registers_a_release(self) -> None:
        fields = [(":action", "submit"), ("name", "Demo.Project"), ("version", "0.1"), ("summary", "s")]
        self.assertEqual(self.post(multipart(fields)).answer().code, 200)
        serial = self.serial
        self.assertEqual(self.post(multipart(fields)).answer().code, 200)
        self.assertEqual(self.serial, serial)

    def test_69_submit_as_an_urlencoded_form(self) -> None:
        client = self.post(
            b":action=submit&name=demo&version=0.1&summary=a+b", content_type="application/x-www-form-urlencoded"
        )
        self.assertEqual(client.answer().code, 200)
        self.assertEqual(self.metadata("demo", "0.1")["summary"], "a b")

    def metadata(self, project: str, version: str) -> dict[str, Any]:
        """What the ledger has of a release."""
        from pypicache.ledger.ledger import project_releases

        return self.house.ledger.read_now(lambda connection: project_releases(connection, "team/dev", project))[version]

    def test_the_release_has_all_keys_and_believes_the_archive(self) -> None:
        dist = wheel(
            extra=["Classifier: A", "Classifier: B", "Provides-Extra: fast", "Project-URL: Home, http://h.example"]
        )
        fields = [*plain(dist, summary="from the form", license="UNKNOWN"), ("classifiers", "A")]
        self.upload(dist, fields)
        known = self.metadata("demo", "1.0")
        self.assertEqual(len(known), 31)
        self.assertEqual(known["summary"], "made for a test")
        self.assertEqual(known["classifiers"], ["A", "B"])
        self.assertEqual(known["provides_extras"], ["fast"])
        self.assertEqual(known["project_urls"], ["Home, http://h.example"])
        self.assertEqual(known["license"], "")

    def test_70_check_url_can_compare(self) -> None:
        self.assertEqual(self.get("/team/dev/+simple/demo/", cache_control="no-cache").code, 404)
        self.upload(wheel())
        self.assertEqual(self.listing()[0]["hashes"]["sha256"], wheel().sha256)

    def test_71_hatch_reads_html(self) -> None:
        self.upload(wheel())
        page = self.get("/team/dev/+simple/demo/", accept="*/*", cache_control="no-cache")
        self.assertEqual(page.header("content-type"), "text/html; charset=utf-8")
        self.assertIn(b">demo-1.0-py3-none-any.whl</a>", page.body)
