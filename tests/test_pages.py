"""The pages a person sees, and the figures on them."""

from __future__ import annotations

import re
import tomllib
from shlex import split

from selectolax.lexbor import LexborHTMLParser

from pypicache.web.pages import (
    CONTENT_SECURITY_POLICY,
    DOWNLOADS_ON_THE_FIRST_PAGE,
    Pages,
    host_to_trust,
    path_of,
    simple_url,
)

HERE = "http://127.0.0.1:3141"
THERE = "http://cache.lab.example:3141"
SCRIPT = "<script>alert('x')</script>"
MIB = 1024 * 1024


def a_status(**changes: object) -> dict[str, object]:
    """A ``result`` of ``GET /+status`` as a busy daemon gives it."""
    return {
        "version": "0.1.0",
        "uptime": 7533.2,
        "offline": False,
        "outside-url": None,
        "serial": 0,
        "cache": a_cache(),
        "traffic": {
            "page_hits": 982,
            "page_misses": 18,
            "file_hits": 3,
            "file_misses": 1,
            "bytes_from_cache": 30 * MIB,
            "bytes_from_upstream": 10 * MIB,
        },
        "downloads": [],
        "upstreams": [],
        "indexes": [an_index()],
        "versioninfo": {"pypicache": "0.1.0"},
        **changes,
    }


def a_cache(**changes: object) -> dict[str, object]:
    """The ``cache`` part of it."""
    return {
        "size": 25 * MIB,
        "files": 1234,
        "max_size": 50 * MIB,
        "full_disk": False,
        "evicted_files": 0,
        "evicted_bytes": 0,
        **changes,
    }


def an_index(**changes: object) -> dict[str, object]:
    """One of its ``indexes``."""
    return {
        "name": "root/pypi",
        "type": "mirror",
        "title": "PyPI",
        "mirror_url": "http://up.example/simple/",
        "projects": 7,
        **changes,
    }


def a_download(**changes: object) -> dict[str, object]:
    """One of its ``downloads``."""
    return {
        "index": "root/pypi",
        "file": "numpy-2.3.whl",
        "received": 9 * MIB,
        "size": 20 * MIB,
        "seconds": 3.0,
        "clients": 3,
        **changes,
    }


def an_upstream(**changes: object) -> dict[str, object]:
    """One of its ``upstreams``."""
    return {
        "host": "http://up.example",
        "state": "closed",
        "failures": 0,
        "retry_in": None,
        "last_error": None,
        **changes,
    }


def snippets(page: str) -> dict[str, list[str]]:
    """Per card of the first page, by index name, all lines to copy."""
    cards = LexborHTMLParser(page).css("article.card")
    return {
        card.css("h3")[0].text(strip=True): [code.text() for code in card.css("pre code")]  #
        for card in cards
    }


def text_of(page: str) -> str:
    """What a person reads on a page, with single spaces."""
    body = LexborHTMLParser(page).body
    assert body is not None
    return re.sub(r"\s+", " ", body.text(separator=" "))


class TestInstallLines:
    """Every index says how each installer uses it, and the lines work as they stand."""

    def test_each_index_has_its_own_lines_for_each_installer(self) -> None:
        status = a_status(indexes=[an_index(), an_index(name="lab/mirror")])

        found = snippets(Pages().home(status, HERE))

        assert list(found) == ["root/pypi", "lab/mirror"]
        for name, lines in found.items():
            url = f"{HERE}/{name}/+simple/"
            assert f"pip install -i {url} PACKAGE" in lines
            assert f"[global]\nindex-url = {url}" in lines
            assert f"export PIP_INDEX_URL={url}" in lines
            assert f"uv pip install --index-url {url} PACKAGE" in lines
            assert f"export UV_DEFAULT_INDEX={url}" in lines
            assert f"poetry source add --priority=primary {name.replace('/', '-')} {url}" in lines
            assert f"pdm config --local pypi.url {url}" in lines

    def test_the_lines_for_uv_are_toml(self) -> None:
        lines = snippets(Pages().home(a_status(), HERE))["root/pypi"]

        (table,) = [line for line in lines if line.startswith("[[")]

        assert tomllib.loads(table) == {
            "tool": {"uv": {"index": [{"name": "root-pypi", "url": f"{HERE}/root/pypi/+simple/", "default": True}]}}
        }

    def test_pip_and_pdm_are_told_to_trust_another_host_without_tls(self) -> None:
        lines = snippets(Pages().home(a_status(), THERE))["root/pypi"]

        url = f"{THERE}/root/pypi/+simple/"
        assert lines[0] == f"pip install -i {url} --trusted-host cache.lab.example PACKAGE"
        assert f"[global]\nindex-url = {url}\ntrusted-host = cache.lab.example" in lines
        assert f"export PIP_INDEX_URL={url}\nexport PIP_TRUSTED_HOST=cache.lab.example" in lines
        assert f"pdm config --local pypi.url {url}\npdm config --local pypi.verify_ssl false" in lines

    def test_nobody_is_told_to_trust_what_is_safe(self) -> None:
        for base_url in (
            HERE,
            "http://127.9.9.9",
            "http://localhost:3141",
            "http://[::1]:3141",
            "https://cache.lab.example/sub",
        ):
            page = Pages().home(a_status(), base_url)
            assert "trust" not in page.lower(), base_url
            assert "verify_ssl" not in page, base_url

    def test_hosts_to_trust(self) -> None:
        assert host_to_trust("http://10.0.0.7:3141/sub") == "10.0.0.7"
        assert host_to_trust("http://[fe80::7]:3141") == "fe80::7"
        assert host_to_trust("http://localhost.lab.example") == "localhost.lab.example"
        assert host_to_trust("http://[nonsense") is None

    def test_a_line_is_one_shell_command_whatever_the_names(self) -> None:
        name = "it's;$(reboot)/&x"
        lines = snippets(Pages().home(a_status(indexes=[an_index(name=name)]), "http://[fe80::7]:3141/a'b"))[name]

        words = split(lines[0])

        assert words[:3] == ["pip", "install", "-i"]
        assert words[3] == simple_url("http://[fe80::7]:3141/a'b", name)
        assert words[4:] == ["--trusted-host", "fe80::7", "PACKAGE"]

    def test_names_of_sources_have_only_letters_installers_accept(self) -> None:
        page = Pages().home(a_status(indexes=[an_index(name="-jörg/pypi")]), HERE)

        assert "--priority=primary j-rg-pypi http" in page
        assert "/-j%C3%B6rg/pypi/+simple/" in page


class TestLinks:
    """Links and files stay below the path where the daemon is published."""

    def test_below_the_root(self) -> None:
        assert path_of(HERE) == ""
        assert path_of("http://[nonsense") == ""
        for page in (Pages().home(a_status(), HERE), Pages().status(a_status(), HERE), Pages().error(404, "a", "b")):
            assert 'href="/+static/style.css"' in page
            assert 'href="/+status"' in page

    def test_below_a_path(self) -> None:
        base = "https://lab.example/packages"
        for page in (
            Pages().home(a_status(), base),
            Pages().status(a_status(), base),
            Pages().error(404, "a", "b", base_url=base),
        ):
            links = [node.attributes.get("href") or "" for node in LexborHTMLParser(page).css("[href]")]
            inside = [link for link in links if not link.startswith(("/packages/", base + "/", "#"))]
            assert inside == []

    def test_the_simple_index_is_linked(self) -> None:
        for page in (Pages().home(a_status(), HERE), Pages().status(a_status(), HERE)):
            assert f'href="{HERE}/root/pypi/+simple/"' in page


class TestEscaping:
    """Whatever a value contains is text."""

    def test_no_value_becomes_markup(self) -> None:
        evil = f'">{SCRIPT}'
        status = a_status(
            **{"version": evil, "outside-url": evil},
            downloads=[a_download(file=evil, index=evil)],
            upstreams=[an_upstream(host=evil, state="open", last_error=evil), an_upstream(state=evil)],
            indexes=[an_index(name=evil, type=evil, title=evil, mirror_url=evil)],
        )
        calm = Pages().home(a_status(), HERE)
        for page in (
            Pages().home(status, HERE),
            Pages().status(status, HERE),
            Pages().home(status, HERE + "/" + evil),
            Pages().error(400, evil, evil, base_url=HERE + "/" + evil),
        ):
            assert "&lt;script&gt;" in page
            assert "<script>" not in page
            assert page.count("<script") == calm.count("<script")

    def test_a_hostile_file_name_is_readable(self) -> None:
        page = Pages().home(a_status(downloads=[a_download(file=SCRIPT)]), HERE)

        assert SCRIPT in text_of(page)

    def test_nothing_is_inline_or_from_elsewhere(self) -> None:
        assert "unsafe" not in CONTENT_SECURITY_POLICY
        status = a_status(downloads=[a_download()], upstreams=[an_upstream()])
        for page in (Pages().home(status, HERE), Pages().status(status, HERE), Pages().error(500, "a", "b")):
            tree = LexborHTMLParser(page)
            assert tree.css("style, [style], [onclick], [onload], iframe, base") == []
            for node in tree.css("script, link, img"):
                address = node.attributes.get("src") or node.attributes.get("href") or ""
                assert address.startswith("/+static/"), address


class TestHome:
    """The first page."""

    def test_the_cache(self) -> None:
        page = Pages().home(a_status(cache=a_cache(evicted_files=2)), HERE)
        text = text_of(page)

        assert "25 MiB of 50 MiB" in text
        assert "1,234 files, 2 old ones removed to make room" in text
        assert "98.2 % from the cache, 1,000 requests" in text
        assert "75 % from the cache, 4 requests" in text
        assert "30 MiB sent from the cache, 10 MiB fetched" in text
        assert f'max="{50 * MIB}" value="{25 * MIB}"' in page
        assert "pypicache 0.1.0, up for 2 h 5 min" in text

    def test_a_cache_without_a_limit_has_no_bar(self) -> None:
        for limit in (None, 0):
            page = Pages().home(a_status(cache=a_cache(max_size=limit)), HERE)
            assert "<meter" not in page
        assert "25 MiB no limit" in text_of(Pages().home(a_status(cache=a_cache(max_size=None)), HERE))

    def test_before_the_first_request(self) -> None:
        page = Pages().home(a_status(traffic={}, cache={}, indexes=[]), HERE)

        assert text_of(page).count("no requests yet") == 2
        assert "No index is set up yet" in page
        assert "Nothing is being downloaded" in page

    def test_a_download_shows_how_far_it_is(self) -> None:
        page = Pages().home(a_status(downloads=[a_download()]), HERE)

        assert "numpy-2.3.whl 45 % root/pypi 9 of 20 MiB, 3 MiB/s, 3 clients" in text_of(page)
        assert '<progress aria-label="numpy-2.3.whl" max="1" value="0.4500">' in page

    def test_a_download_of_unknown_size_moves_without_a_value(self) -> None:
        page = Pages().home(a_status(downloads=[a_download(size=None, seconds=0, clients=1)]), HERE)

        assert "size unknown root/pypi 9 MiB, 1 client" in text_of(page)
        assert '<progress aria-label="numpy-2.3.whl"></progress>' in page

    def test_many_downloads_are_continued_on_the_status_page(self) -> None:
        downloads = [a_download(file=f"a-{number}.whl") for number in range(DOWNLOADS_ON_THE_FIRST_PAGE + 2)]
        status = a_status(downloads=downloads)

        assert "2 more downloads" in Pages().home(status, HERE)
        assert f"a-{DOWNLOADS_ON_THE_FIRST_PAGE}.whl" not in Pages().home(status, HERE)
        assert f"a-{DOWNLOADS_ON_THE_FIRST_PAGE + 1}.whl" in Pages().status(status, HERE)

    def test_upstreams_in_plain_words(self) -> None:
        upstreams = [
            an_upstream(),
            an_upstream(host="http://b.example", state="open", failures=5, retry_in=11.2, last_error="refused"),
        ]
        text = text_of(Pages().home(a_status(upstreams=upstreams), HERE))

        assert "http://up.example works" in text
        assert "http://b.example does not answer (5 failures), next try in 12 s refused" in text


class TestWarnings:
    """What a person should know first stands in a banner, on both pages."""

    def banner(self, status: dict[str, object]) -> str:
        found = set()
        for page in (Pages().home(status, HERE), Pages().status(status, HERE)):
            found.add(" ".join(node.text() for node in LexborHTMLParser(page).css(".warnings")))
        (text,) = found
        return text

    def test_all_is_well(self) -> None:
        assert self.banner(a_status(upstreams=[an_upstream(), an_upstream(state="half-open")])) == ""

    def test_full_disk(self) -> None:
        assert "The disk is full" in self.banner(a_status(cache=a_cache(full_disk=True)))

    def test_offline(self) -> None:
        assert "Offline mode" in self.banner(a_status(offline=True))

    def test_open_circuit(self) -> None:
        banner = self.banner(a_status(upstreams=[an_upstream(state="open", failures=1, retry_in=None)]))

        assert "http://up.example does not answer (1 failure), will be tried again soon." in banner


class TestStatus:
    """The status page."""

    def test_all_figures_are_there(self) -> None:
        status = a_status(
            serial=1234,
            **{"outside-url": "https://lab.example/packages"},
            cache=a_cache(evicted_files=3, evicted_bytes=MIB),
            downloads=[a_download(), a_download(size=None)],
            upstreams=[an_upstream(state="half-open", failures=2, last_error="no answer")],
            indexes=[an_index(), an_index(name="lab/x", type=None, title=None, mirror_url=None, projects=None)],
        )
        text = text_of(Pages().status(status, HERE))

        for words in (
            "Serial 1,234",
            "Outside URL https://lab.example/packages",
            "Size 25 of 50 MiB (50 %)",
            "Removed to make room 3 files, 1 MiB",
            "Disk has room",
            "Pages 982 18 98.2 %",
            "Files 3 1 75 %",
            "Bytes 30 MiB 10 MiB 75 %",
            "numpy-2.3.whl root/pypi 45 % 9 of 20 MiB 3 MiB/s 3 s 3",
            "numpy-2.3.whl root/pypi size unknown 9 MiB 3 MiB/s 3 s 3",
            "http://up.example is being tried again (2 failures) 2 no answer",
            "root/pypi mirror PyPI http://up.example/simple/ 7",
            "lab/x – – – –",
        ):
            assert words in text

    def test_a_status_without_anything_is_shown_as_well(self) -> None:
        text = text_of(Pages().status({}, HERE))

        assert "No upstream has been asked yet" in text
        assert "Pages 0 0 no requests yet" in text


class TestError:
    """The page of a failed request."""

    def test_it_says_what_happened(self) -> None:
        page = Pages().error(404, "Not Found", "There is no project 'a&b'.")

        assert "Not Found There is no project 'a&b'." in text_of(page)
        assert "<title>404 Not Found" in page
