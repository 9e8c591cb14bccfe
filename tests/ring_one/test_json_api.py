"""The JSON API of PyPI, on stages and mirrors (contract clients 5.2 and 7 F)."""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from urllib.parse import urljoin

from tests.ring_one.house import JSON, file_of, page_of
from tests.ring_one.shelved import ShelvedCase

DEV = "alice/dev"
INFO = {
    "author", "author_email", "bugtrack_url", "classifiers", "description", "description_content_type", "docs_url",
    "download_url", "downloads", "dynamic", "keywords", "license", "license_expression", "license_files", "maintainer",
    "maintainer_email", "name", "package_url", "platform", "project_url", "project_urls", "provides_extra",
    "release_url", "requires_dist", "requires_python", "summary", "version", "yanked", "yanked_reason",
}  # fmt: skip


class JsonApiTests(ShelvedCase):
    """``/user/index/pypi/project/json`` and its relatives."""

    def setUp(self) -> None:
        super().setUp()
        self.stage(DEV, bases=["root/pypi"])

    def fill(self) -> None:
        """Two versions of a project."""
        self.release(
            DEV, "Golden.pkg", "1.0", summary="A golden", home_page="https://golden.example",
            project_urls=["Source, https://src.example/a,b", "broken"], requires_dist=["a>=1"], classifiers=["X"],
            platform=["any", "linux"], provides_extras=["dev"],
        )  # fmt: skip
        self.release(DEV, "Golden.pkg", "2.0rc1", summary="A candidate")
        self.sdist = self.file(DEV, "golden-pkg", "1.0", "golden_pkg-1.0.tar.gz", b"sdist", requires_python=">=3.8")
        self.file(DEV, "golden-pkg", "1.0", "golden_pkg-1.0-py3-none-any.whl", b"wheel", yanked="broken")
        self.file(DEV, "golden-pkg", "2.0rc1", "golden_pkg-2.0rc1.tar.gz", b"candidate")

    def ask(self, path: str, **headers: str) -> Any:
        """The answer, which must be there."""
        answer = self.get(path, **headers)
        assert answer.code == 200, (path, answer)
        assert answer.header("content-type") == "application/json"
        return answer.json()

    def test_every_address(self) -> None:
        """With ``pypi`` in it and without, with a slash at its end and without, in any spelling of the name."""
        self.fill()
        answers = [
            self.ask(f"/{DEV}/{path}")
            for path in ("pypi/golden-pkg/json", "golden-pkg/json", "pypi/golden-pkg/json/", "Golden_Pkg/json")
        ]
        assert all(answer == answers[0] for answer in answers)
        one = self.ask(f"/{DEV}/pypi/golden-pkg/1.0/json")
        assert one == self.ask(f"/{DEV}/golden-pkg/1.0/json/")
        assert one["urls"] == answers[0]["urls"]
        assert "releases" not in one

    def test_what_is_said(self) -> None:
        """Of the newest final version; the files of all."""
        self.fill()
        said = self.ask(f"/{DEV}/golden-pkg/json")
        assert set(said) == {"info", "last_serial", "releases", "urls", "vulnerabilities", "ownership"}
        info = said["info"]
        assert set(info) == INFO | {"home_page"}
        assert (info["name"], info["version"], info["summary"]) == ("Golden.pkg", "1.0", "A golden")
        assert info["home_page"] == "https://golden.example"
        assert info["project_urls"] == {"Source": "https://src.example/a,b"}
        assert (info["requires_dist"], info["provides_extra"]) == (["a>=1"], ["dev"])
        assert (info["classifiers"], info["platform"]) == (["X"], "any, linux")
        assert info["requires_python"] == ">=3.8"
        assert info["yanked"] is False
        assert list(said["releases"]) == ["1.0", "2.0rc1"]
        assert said["urls"] == said["releases"]["1.0"]
        sdist, wheel = said["urls"]
        assert sdist == {
            "filename": "golden_pkg-1.0.tar.gz", "url": f"http://cache.example/{DEV}/{self.sdist.path}",
            "packagetype": "sdist", "python_version": "source", "requires_python": ">=3.8", "size": 5,
            "digests": {"sha256": sha256(b"sdist").hexdigest()}, "md5_digest": None,
            "upload_time": "2026-11-20T10:05:31", "upload_time_iso_8601": "2026-11-20T10:05:31.123456Z",
            "yanked": False, "yanked_reason": None, "comment_text": "", "has_sig": False, "downloads": -1,
            "core-metadata": None,
        }  # fmt: skip
        assert (wheel["packagetype"], wheel["python_version"]) == ("bdist_wheel", "py3")
        assert (wheel["yanked"], wheel["yanked_reason"]) == (True, "broken")

    def test_the_addresses_are_those_of_the_page(self) -> None:
        """Tools compare the one with the other."""
        self.fill()
        self.up.pages["/simple/a/"] = page_of("a", file_of("a-1.0+local.tar.gz", b"a"))
        for index, project in [(DEV, "golden-pkg"), (DEV, "a"), ("root/pypi", "a")]:
            for outside in ({}, {"x_outside_url": "https://packages.example/pypi"}):
                page = f"/{index}/+simple/{project}/"
                listed = self.get(page, accept=JSON, **outside).json()["files"]
                base = (outside or {"x_outside_url": "http://cache.example"})["x_outside_url"] + page
                said = self.ask(f"/{index}/{project}/json", **outside)
                urls = [file["url"] for files in said["releases"].values() for file in files]
                assert urls == [urljoin(base, file["url"]) for file in listed]
                assert all("#" not in url for url in urls)

    def test_no_home_page(self) -> None:
        """The key is absent, for a null is no text."""
        self.release(DEV, "a", "1.0")
        self.file(DEV, "a", "1.0", "a-1.0.tar.gz", b"a")
        info = self.ask(f"/{DEV}/a/json")["info"]
        assert set(info) == INFO
        assert info["summary"] == ""

    def test_the_newest_version(self) -> None:
        """Neither a candidate nor a yanked one, as long as there is another; not the last by the alphabet."""
        for version, yanked in [("9.0", False), ("10.0", False), ("11.0", True), ("12.0rc1", False), ("old", False)]:
            self.release(DEV, "a", version)
            self.file(DEV, "a", version, f"a-{version}.tar.gz", version.encode(), yanked=yanked)
        self.release(DEV, "a", "13.0")  # without files
        assert self.ask(f"/{DEV}/a/json")["info"]["version"] == "10.0"
        assert self.ask(f"/{DEV}/a/11/json")["info"]["yanked"] is True

    def test_a_mirrored_project(self) -> None:
        """What the page says, on the mirror and on a stage above it."""
        self.up.pages["/simple/a/"] = page_of(
            "a",
            file_of("a-1.0.tar.gz", b"a", **{"requires-python": ">=3.9"}),
            file_of("a-2.0-py3-none-any.whl", b"b"),
        )
        for index in ("root/pypi", DEV):
            said = self.ask(f"/{index}/pypi/a/json")
            assert (said["info"]["name"], said["info"]["version"]) == ("a", "2.0")
            assert list(said["releases"]) == ["1.0", "2.0"]
            assert self.ask(f"/{index}/a/1.0/json")["info"]["requires_python"] == ">=3.9"
            url = said["urls"][0]["url"].removeprefix("http://cache.example")
            self.up.files["/packages/a-2.0-py3-none-any.whl"] = b"b"
            assert self.get(url).body == b"b"

    def test_what_is_not_there(self) -> None:
        """404."""
        self.fill()
        for path in ("other/json", "golden-pkg/9/json", "pypi/other/json", "pypi/golden-pkg/9/json", "../json"):
            assert self.get(f"/{DEV}/{path}").code == 404, path
        assert self.get("/alice/nowhere/golden-pkg/json").code == 404
        self.release(DEV, "empty", "1.0")
        assert self.ask(f"/{DEV}/empty/json")["urls"] == []

    def test_who_may_not_read(self) -> None:
        """Is told nothing."""
        self.fill()
        self.stage(DEV, acl_read=["alice"], acl_upload=["alice"])
        assert self.get(f"/{DEV}/golden-pkg/json").code == 401

    def test_asking_again(self) -> None:
        """What did not change is not sent again; what did, is."""
        self.fill()
        etag = self.get(f"/{DEV}/golden-pkg/json").header("etag")
        assert etag is not None
        assert self.get(f"/{DEV}/golden-pkg/json", if_none_match=etag).code == 304
        self.file(DEV, "golden-pkg", "1.0", "golden_pkg-1.0.zip", b"zip")
        assert self.get(f"/{DEV}/golden-pkg/json", if_none_match=etag).code == 200
