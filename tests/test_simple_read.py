"""Pages of the simple API: every key kept, nothing trusted, nothing raised but BadInput."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product

import pytest

from pypicache.core.errors import BadInput
from pypicache.core.model import File, Project, project_name
from pypicache.core.simple_read import parse_page

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "text/html; charset=utf-8"
BASE = "http://up.example/simple/foo/"
FOO = project_name("foo")
SHA256 = "ab" * 32
WHEEL = "foo-1.0-py3-none-any.whl"


def page(*files: Mapping[str, object], **others: object) -> bytes:
    return json.dumps({"meta": {"api-version": "1.1"}, "name": "foo", "files": files, **others}).encode()


def read(body: bytes | str, content_type: str = JSON, base_url: str = BASE) -> Project:
    return parse_page(body.encode() if isinstance(body, str) else body, content_type, base_url, FOO)


def one(**keys: object) -> File:
    """The file read from a JSON page that lists one, with these keys (underscores are dashes)."""
    entry: dict[str, object] = {"filename": WHEEL, "url": "f/" + WHEEL, "hashes": {"sha256": SHA256}}
    entry.update({key.replace("_", "-"): value for key, value in keys.items()})
    (file,) = read(page(entry)).files
    return file


def link(href: str = WHEEL, attributes: str = "", base_url: str = BASE) -> File | None:
    """The file read from an HTML page with one link."""
    files = read(f'<!DOCTYPE html><a href="{href}" {attributes}>text</a>', HTML, base_url).files
    return files[0] if files else None


# JSON


def test_every_key_is_kept() -> None:
    body = page(
        {
            "filename": WHEEL,
            "url": "../../files/" + WHEEL,
            "hashes": {"SHA256": SHA256.upper(), "md5": "0" * 32, "sha3_256": "1" * 64},
            "size": 12,
            "upload-time": "2024-01-02T03:04:05.678900Z",
            "requires-python": ">=3.8, <4",
            "yanked": "broken & bad",
            "core-metadata": {"sha256": "cd" * 32},
            "dist-info-metadata": {"sha256": "cd" * 32},
            "gpg-sig": True,
            "provenance": "/integrity/foo",
            "x-new": {"a": [1, None, 2.5]},
        },
        versions=["1.0", "0.9", "1.0"],
        **{
            "meta": {"api-version": "1.4", "_last-serial": 7, "tracks": ["http://x/"]},
            "project-status": {"status": "archived", "reason": "gone", "x-new": 1},
            "alternate-locations": ["http://y/"],
        },
    )
    project = read(body)
    assert project == Project(
        name=FOO,
        revision=project.revision,
        files=(
            File(
                name=WHEEL,
                url="http://up.example/files/" + WHEEL,
                hashes={"sha256": SHA256, "md5": "0" * 32, "sha3_256": "1" * 64},
                size=12,
                upload_time="2024-01-02T03:04:05.678900Z",
                requires_python=">=3.8, <4",
                yanked="broken & bad",
                core_metadata={"sha256": "cd" * 32},
                extra={
                    "gpg-sig": True,
                    "provenance": "http://up.example/integrity/foo",
                    "x-new": {"a": [1, None, 2.5]},
                },
            ),
        ),
        versions=("1.0", "0.9", "1.0"),
        status={"status": "archived", "reason": "gone", "x-new": 1},
        serial=7,
        meta={"_last-serial": 7, "tracks": ["http://x/"]},
        extra={"alternate-locations": ["http://y/"]},
    )


def test_the_revision_tells_all_that_a_page_is_read_from() -> None:
    body, other = page({"filename": WHEEL, "url": WHEEL}), page({"filename": WHEEL, "url": "b/" + WHEEL})
    kinds = "application/json", "application/vnd.pypi.simple.v1+json"
    bases = "http://x/simple/foo/", "http://y/simple/foo/"
    again = [parse_page(body, kinds[0], bases[0], FOO).revision for _ in range(2)]
    assert again[0] == again[1]
    revisions = {parse_page(*read_from, FOO).revision for read_from in product((body, other), kinds, bases)}
    assert len(revisions) == 8


def test_what_is_not_said_is_not_known() -> None:
    project = read(page({"filename": WHEEL, "url": "http://x/" + WHEEL}))
    assert project.files == (File(name=WHEEL, url="http://x/" + WHEEL, hashes={}),)
    assert (project.versions, project.status, project.serial, dict(project.meta), dict(project.extra)) == (
        None,
        None,
        None,
        {},
        {},
    )


@pytest.mark.parametrize("key", ["requires-python", "provenance", "gpg-sig", "core-metadata", "x-new"])
def test_a_null_that_clients_accept_is_kept(key: str) -> None:
    file = one(**{key: None})
    assert dict(file.extra) == {key: None}
    assert (file.requires_python, file.core_metadata) == (None, None)


@pytest.mark.parametrize("key", ["size", "upload-time", "yanked", "hashes"])
def test_a_null_that_clients_refuse_is_dropped(key: str) -> None:
    file = one(**{key: None})
    assert dict(file.extra) == {}
    assert (file.size, file.upload_time, file.yanked) == (None, None, None)
    assert file.hashes == ({} if key == "hashes" else {"sha256": SHA256})


def test_a_null_status_is_dropped() -> None:
    project = read(page(**{"project-status": None, "versions": None}))
    assert (project.status, project.versions, dict(project.extra)) == (None, None, {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", "12"),
        ("size", -1),
        ("size", True),
        ("size", 1.0),
        ("upload-time", 3),
        ("upload-time", "yesterday"),
        ("upload-time", "2024-01-02T03:04:05"),
        ("upload-time", "2024-13-02T03:04:05Z"),
        ("yanked", 1),
        ("yanked", False),
        ("yanked", []),
        ("hashes", [SHA256]),
        ("hashes", {"sha256": 5}),
        ("hashes", {"sha256": "../" * 20}),
        ("hashes", {"sha256": "ab" * 16}),
        ("requires-python", 3),
        ("core-metadata", "true"),
        ("dist-info-metadata", 1),
        ("gpg-sig", "yes"),
        ("provenance", 5),
        ("provenance", "javascript:alert(1)"),
        ("provenance", "data:text/html,x"),
    ],
)
def test_a_key_of_the_wrong_type_is_dropped_and_the_file_stays(key: str, value: object) -> None:
    file = one(**{key: value})
    hashes: dict[str, str] = {} if key == "hashes" else {"sha256": SHA256}
    assert file == File(name=WHEEL, url=BASE + "f/" + WHEEL, hashes=hashes)


def test_yanked() -> None:
    assert one(yanked=True).yanked is True
    assert one(yanked="").yanked is True
    assert one(yanked="reason").yanked == "reason"


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"core-metadata": None, "dist-info-metadata": False, "data-dist-info-metadata": True}, False),
        ({"core-metadata": None, "data-dist-info-metadata": {"sha256": SHA256}}, {"sha256": SHA256}),
        ({"dist-info-metadata": {"sha256": "1" * 64}, "core-metadata": {"sha256": SHA256}}, {"sha256": SHA256}),
        ({"core-metadata": {}}, True),
        ({"core-metadata": {"sha256": "nonsense", "md5": None}}, True),
        ({"core-metadata": 5, "dist-info-metadata": True}, True),
    ],
)
def test_the_first_spelling_of_core_metadata_counts(given_: dict[str, object], expected: object) -> None:
    file = one(**given_)
    assert file.core_metadata == expected
    assert dict(file.extra) == {}


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b.whl", "a\\b", "a\0b", "x" * 300, "a%2fb", "a?b", 5, None])
def test_a_file_with_an_unsafe_name_is_left_out(name: object) -> None:
    assert read(page({"filename": name, "url": "x"})).files == ()


@pytest.mark.parametrize(
    "url",
    ["ftp://x/a", "file:///etc/passwd", "javascript:x", "", "#x", "http://:80/a", "http://[/a", "http://x:y/", 5, None],
)
def test_a_file_without_a_web_address_is_left_out(url: object) -> None:
    assert read(page({"filename": WHEEL, "url": url})).files == ()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("a.whl", BASE + "a.whl"),
        ("../../a.whl#sha256=1", "http://up.example/a.whl"),
        ('/a b\u00e9"<.whl', "http://up.example/a%20b%C3%A9%22%3C.whl"),
        ("//other.example/a", "http://other.example/a"),
        ("HTTPS://Other.example:8443/a%2Bb+c?x=1&y=2#f", "https://Other.example:8443/a%2Bb+c?x=1&y=2"),
        ("http://x/a\r\nHost: y", "http://x/aHost:%20y"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
    ],
)
def test_addresses_are_absolute_and_escaped(url: str, expected: str) -> None:
    assert one(url=url).url == expected


def test_of_files_with_one_name_the_first_with_a_hash_counts() -> None:
    names = [("a.zip", {}), ("b.zip", {}), ("a.zip", {"sha256": SHA256}), ("a.zip", {"sha256": "0" * 64})]
    files = read(page(*({"filename": name, "url": "x", "hashes": hashes} for name, hashes in names))).files
    assert [(file.name, dict(file.hashes)) for file in files] == [("a.zip", {"sha256": SHA256}), ("b.zip", {})]


def test_the_wrong_content_type_does_not_matter_for_an_object() -> None:
    for content_type in ("text/html", "application/octet-stream", "", "text/plain; charset=x"):
        assert len(read(b"\xef\xbb\xbf \n" + page({"filename": WHEEL, "url": "x"}), content_type).files) == 1


@pytest.mark.parametrize("version", ["1.0", "1.99", "1", None])
def test_versions_of_the_api_that_are_understood(version: object) -> None:
    assert read(json.dumps({"meta": {"api-version": version}, "files": []})).files == ()


@pytest.mark.parametrize(
    ("body", "content_type", "sentence"),
    [
        ("", JSON, "is not JSON"),
        ("<html>", JSON, "is not JSON"),
        ("{", "text/html", "is not JSON"),
        ("{}", JSON, "without a list of files"),
        ('{"files": {}}', JSON, "without a list of files"),
        ("[]", JSON, "without a list of files"),
        ('{"files": [], "meta": {"api-version": "2.0"}}', JSON, "api-version '2.0'"),
        ('{"files": [], "meta": {"api-version": "10"}}', JSON, "api-version '10'"),
        ('{"files": [], "meta": {"api-version": 1.0}}', JSON, "api-version '1.0'"),
        ('<meta name="pypi:repository-version" content="2.0">', HTML, "api-version '2.0'"),
        ("<html>", "image/png", "neither JSON nor HTML"),
    ],
)
def test_what_is_no_page(body: str, content_type: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read(body, content_type)


def test_no_type_at_all_is_html() -> None:
    assert [file.name for file in read(f'<a href="{WHEEL}">x</a>', "").files] == [WHEEL]


def test_values_nested_too_deep_are_left_out() -> None:
    deep: object = 1
    for _ in range(500):
        deep = [deep]
    project = read(page({"filename": WHEEL, "url": "x", "x-deep": deep, "x-flat": [[1]]}, deep=deep, flat=[[1]]))
    assert (dict(project.files[0].extra), dict(project.extra)) == ({"x-flat": [[1]]}, {"flat": [[1]]})


# HTML


def test_a_link_with_everything() -> None:
    file = link(
        f"../../f/{WHEEL}#sha256={SHA256.upper()}",
        'data-requires-python="&gt;=3.8" data-yanked="a &quot;reason&quot;" data-core-metadata="sha256=' + SHA256 + '"'
        ' data-dist-info-metadata="true" data-gpg-sig="false" data-provenance="https://x.example/p"'
        ' data-size="12" data-upload-time="2024-01-02T03:04:05Z" data-x-new="1 &amp; 2" rel="internal"',
    )
    assert file == File(
        name=WHEEL,
        url="http://up.example/f/" + WHEEL,
        hashes={"sha256": SHA256},
        size=12,
        upload_time="2024-01-02T03:04:05Z",
        requires_python=">=3.8",
        yanked='a "reason"',
        core_metadata={"sha256": SHA256},
        extra={"gpg-sig": False, "provenance": "https://x.example/p"},
        attributes={"data-x-new": "1 & 2"},
    )


@pytest.mark.parametrize(
    ("attributes", "key", "expected"),
    [
        ("", "yanked", None),
        ("data-yanked", "yanked", True),
        ('data-yanked=""', "yanked", True),
        ("data-yanked='x'", "yanked", "x"),
        ("data-core-metadata=true", "core_metadata", True),
        ("data-core-metadata=false", "core_metadata", False),
        ("data-core-metadata=nonsense", "core_metadata", None),
        ("data-core-metadata=sha256=nonsense", "core_metadata", True),
        ("data-core-metadata data-dist-info-metadata=true", "core_metadata", True),
        ("data-dist-info-metadata=sha256=" + SHA256, "core_metadata", {"sha256": SHA256}),
        ("data-size=x", "size", None),
        ("data-size=99999999999999999999", "size", None),
        ("data-upload-time=now", "upload_time", None),
        ('data-requires-python=""', "requires_python", ""),
        ("data-provenance=javascript:x", "extra", {}),
    ],
)
def test_attributes_of_a_link(attributes: str, key: str, expected: object) -> None:
    assert getattr(link(attributes=attributes), key) == expected


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("foo-1.0.tar.gz", "foo-1.0.tar.gz"),
        (" foo-1.0.tar.Z\n", "foo-1.0.tar.Z"),
        ("foo-1.0%2Blocal.zip", "foo-1.0+local.zip"),
        ("foo-1.0+local.zip", "foo-1.0+local.zip"),
        ("a/foo-1.0.zip?token=a/b.txt&amp;c", "foo-1.0.zip"),
        ("foo-1.0.egg#egg=" + "a" * 64, "foo-1.0.egg"),
        ("foo-1.0.txt", None),
        ("foo-1.0.zip/", None),
        ("..%2Ffoo-1.0.zip", None),
        ("../", None),
        ("ftp://x/foo-1.0.zip", None),
        ("", None),
        ("foo-1.0.tar.gz.asc", None),
    ],
)
def test_the_name_of_a_linked_file(href: str, name: str | None) -> None:
    file = link(href)
    assert (file and file.name) == name
    assert file is None or file.hashes == {}


def test_the_base_of_a_page_moves_its_links() -> None:
    text = '<base href="../files/"><base href="/x/"><a href="foo-1.zip">x</a>'
    assert read(text, HTML).files[0].url == "http://up.example/simple/files/foo-1.zip"
    assert read('<base href="ftp://x/"><a href="foo-1.zip">', HTML).files[0].url == BASE + "foo-1.zip"


def test_the_status_of_an_html_page() -> None:
    metas = '<meta name="pypi:project-status" content="archived"><meta name="pypi:repository-version" content="1.4">'
    assert read(metas, HTML).status == {"status": "archived"}
    reason = '<META content="a &lt; b" NAME="pypi:project-status-reason">'
    assert read(metas + reason, HTML).status == {"status": "archived", "reason": "a < b"}
    assert read(reason, HTML).status is None


def test_links_in_comments_and_scripts_are_none() -> None:
    text = '<!--<a href="a-1.zip">--><script><a href="b-1.zip"></script><a href="c-1.zip">'
    assert [file.name for file in read(text, HTML).files] == ["c-1.zip"]


def test_an_older_encoding() -> None:
    (file,) = parse_page(b'<a href="a-1.zip" data-yanked="\xe9">', "text/html; charset=ISO-8859-1", BASE, FOO).files
    assert file.yanked == "é"
