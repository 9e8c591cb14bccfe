"""Forms that mean harm, and archives that are not what they say."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

from pypicache.web.forms import MOST_FIELDS
from tests.ring_one.publishing import BOUNDARY, Dist, Field, PublishCase, multipart, plain, sdist, wheel

PKG_INFO = "Metadata-Version: 1.0\nName: demo\nVersion: 1.0\nRequires-Python: >3\n"


class HostileTests(PublishCase):
    """Each is answered with a sentence and leaves nothing."""

    def refused(self, dist: Dist | None, fields: list[Field], *words: str, code: int = 400) -> None:
        """Upload, and be refused with these words."""
        client = self.post(multipart(fields, dist))
        answer = client.answer()
        self.assertEqual(answer.code, code, answer.body)
        for word in words:
            self.assertIn(word, answer.body.decode())
            self.assertIn(word, self.reason(client))
        self.assert_clean()
        self.assertFalse(self.logged("Traceback"))

    def test_a_path_in_the_name_of_the_file(self) -> None:
        for name in ("../../etc/demo-1.0.tar.gz", "a/demo-1.0.tar.gz", "..", ".demo-1.0.tar.gz", "demo-1.0.tar.gz\t"):
            self.refused(Dist(name, sdist().content), plain(sdist()))

    def test_a_name_that_is_too_long(self) -> None:
        self.refused(Dist("demo-1.0" + "x" * 300 + ".tar.gz", sdist().content), plain(sdist()))

    def test_no_name(self) -> None:
        dist = wheel()
        self.refused(dist, [field for field in plain(dist) if field[0] != "name"], "invalid metadata: name is missing")

    def test_no_version(self) -> None:
        dist = wheel()
        self.refused(dist, [field for field in plain(dist) if field[0] != "version"], "version is missing")

    def test_names_that_are_none(self) -> None:
        for name in ("-demo", "de mo", "d\u00e9mo", "demo/../x", "<demo>"):
            self.refused(wheel(), plain(wheel(), name), "invalid metadata")

    def test_versions_that_cannot_stand_in_an_address(self) -> None:
        for version in ("..", "1/0", "1 0", "+x", "1%30", "1?x"):
            fields: list[Field] = [(":action", "submit"), ("name", "demo"), ("version", version)]
            self.refused(None, fields, "is not a version")

    def test_no_file(self) -> None:
        self.refused(None, plain(wheel()), "content file field not found")

    def test_a_file_that_is_a_text(self) -> None:
        self.refused(None, [*plain(wheel()), ("content", "x")], "content file field not found")

    def test_an_action_that_nobody_knows(self) -> None:
        self.refused(wheel(), plain(wheel(), **{":action": "foo"}), "action 'foo' not supported")

    def test_an_action_that_is_retired(self) -> None:
        """contract clients 2.3: 410. The other two that PyPI retired are still devpi's."""
        fields: list[Field] = [(":action", "submit_pkg_info"), ("name", "demo"), ("version", "1.0")]
        self.refused(None, fields, "action 'submit_pkg_info' is not supported any more", code=410)
        self.refused(wheel(), plain(wheel(), **{":action": "submit_pkg_info"}), "not supported any more", code=410)

    def test_another_protocol(self) -> None:
        self.refused(wheel(), plain(wheel(), protocol_version="2"), "protocol_version")

    def test_a_version_that_the_file_does_not_have(self) -> None:
        said = f"filename '{wheel().name}' does not contain version '2.0'"
        self.refused(wheel(), plain(wheel(), version="2.0"), said)

    def test_a_project_that_the_file_does_not_have(self) -> None:
        self.refused(wheel(), plain(wheel(), "other"), "does not match project name 'other'")

    def test_a_project_whose_name_only_begins_like_the_file(self) -> None:
        self.refused(wheel(), plain(wheel(), "dem"), "does not match project name 'dem'")

    def test_an_archive_of_another_project(self) -> None:
        self.refused(Dist("demo-1.0.tar.gz", sdist("other").content), plain(sdist()), "name: ")

    def test_an_archive_of_another_version(self) -> None:
        self.refused(Dist("demo-1.0.tar.gz", sdist(version="2.0").content), plain(sdist()), "version: ")

    def test_a_wheel_that_is_none(self) -> None:
        self.refused(Dist("demo-1.0-py3-none-any.whl", b"not a wheel"), plain(wheel()), "content: ")

    def test_source_archives_that_are_none(self) -> None:
        for content in (b"", b"no archive", gzip.compress(b"no tar" * 1000), sdist().content[:100]):
            self.refused(Dist("demo-1.0.tar.gz", content), plain(sdist()), "content: ")
        self.refused(Dist("demo-1.0.zip", b"PK"), plain(sdist()), "content: ")

    def test_several_files(self) -> None:
        body = multipart(plain(wheel()), wheel())
        twice = body[: -len(BOUNDARY) - 6] + multipart([], wheel())
        self.assertEqual(self.post(twice).answer().code, 400)
        self.assert_clean()

    def test_thousands_of_fields(self) -> None:
        self.refused(wheel(), [("classifiers", "x")] * (MOST_FIELDS + 1), "fields")

    def test_bodies_that_are_no_form(self) -> None:
        for body in (b"", b"x", b"--" + BOUNDARY.encode(), b"\r\n" * 1000, b"--" + BOUNDARY.encode() + b"\r\nx" * 9000):
            self.assertEqual(self.post(body).answer().code, 400, body[:50])
        self.assertEqual(self.post(b"x", content_type="multipart/form-data").answer().code, 400)
        self.assert_clean()

    def test_null_characters(self) -> None:
        dist = wheel()
        self.assertEqual(self.upload(dist, plain(dist, comment="a\0b")).code, 200)

    def test_a_sentence_has_one_line(self) -> None:
        client = self.post(multipart(plain(wheel(), **{":action": "a\r\nX-Evil: 1"}), wheel()))
        answer = client.answer()
        self.assertEqual(answer.code, 400)
        self.assertIsNone(answer.header("x-evil"))


class ArchiveTests(PublishCase):
    """Where the metadata is found."""

    def test_names_are_compared_in_their_normal_form(self) -> None:
        dist = sdist("My.Demo_Project")
        self.assertEqual(self.upload(dist, plain(dist, "my-demo.project")).code, 200)
        self.assertEqual(len(self.listing("my-demo-project")), 1)

    def test_versions_are_compared_by_what_they_mean(self) -> None:
        dist = wheel(version="1.0+local.1")
        self.assertEqual(self.upload(dist, plain(dist, version="1.0+local.1")).code, 200)

    def test_a_zip_with_pkg_info(self) -> None:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("demo-1.0/PKG-INFO", PKG_INFO)
        dist = Dist("demo-1.0.zip", out.getvalue())
        self.assertEqual(self.upload(dist).code, 200)
        self.assertEqual(self.listing()[0]["requires-python"], ">3")

    def test_a_source_archive_without_pkg_info_is_as_the_form_says(self) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            archive.addfile(tarfile.TarInfo("demo-1.0/setup.py"), io.BytesIO())
        dist = Dist("demo-1.0.tar.gz", out.getvalue())
        self.assertEqual(self.upload(dist, plain(dist, requires_python=">=3.7")).code, 200)
        self.assertEqual(self.listing()[0]["requires-python"], ">=3.7")

    def test_an_archive_that_unpacks_without_end_is_left_alone(self) -> None:
        out = io.BytesIO()
        with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as packed:
            member = tarfile.TarInfo("demo-1.0/zeros")
            member.size = 2**40
            packed.write(member.tobuf())
            for _ in range(640):
                packed.write(bytes(2**20))
        dist = Dist("demo-1.0.tar.gz", out.getvalue())
        self.assertEqual(self.upload(dist).code, 200)

    def test_eggs_and_installers_are_not_looked_into(self) -> None:
        dist = Dist("demo-1.0-py3.11.egg", b"anything")
        self.assertEqual(self.upload(dist).code, 200)
