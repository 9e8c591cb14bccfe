"""What ``pypicache status`` prints."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pypicache.status_text import LONGEST_NAME, bar, describe, printable, shortened

MIB = 1024 * 1024
DOWNLOAD: dict[str, object] = {
    "index": "root/pypi",
    "file": "requests-2.32.whl",
    "received": 2.3 * MIB,
    "size": 5.1 * MIB,
    "seconds": 2.0,
    "clients": 3,
}


class TestDescribe:
    """The whole text."""

    def test_a_busy_daemon(self) -> None:
        text = describe(
            {
                "version": "0.1.0",
                "uptime": 7533.2,
                "offline": False,
                "cache": {
                    "size": 25 * MIB,
                    "files": 1234,
                    "max_size": 50 * MIB,
                    "full_disk": True,
                    "evicted_files": 1,
                    "evicted_bytes": 2 * MIB,
                },
                "traffic": {
                    "page_hits": 982,
                    "page_misses": 18,
                    "file_hits": 0,
                    "file_misses": 0,
                    "bytes_from_cache": 30 * MIB,
                    "bytes_from_upstream": 10 * MIB,
                },
                "ready_pages": {"bytes": MIB, "most_bytes": 256 * MIB, "pages": 3, "hits": 3, "misses": 1},
                "reactor": {"start": {"worst": 0.123, "p99": 0.0013}, "recent": {"worst": 0.005, "p99": 0.0002}},
                "downloads": [DOWNLOAD, {**DOWNLOAD, "file": "a.tar.gz", "size": None, "clients": 1}],
                "upstreams": [
                    {
                        "host": "http://up.example",
                        "state": "closed",
                        "failures": 0,
                        "retry_in": None,
                        "last_error": "old",
                    },
                    {
                        "host": "http://b.example",
                        "state": "open",
                        "failures": 5,
                        "retry_in": 11.2,
                        "last_error": "refused",
                    },
                ],
                "indexes": [
                    {
                        "name": "root/pypi",
                        "type": "mirror",
                        "title": "PyPI",
                        "mirror_url": "http://up.example/",
                        "projects": 7,
                    },
                    {"name": "team/dev", "type": "stage"},
                ],
            }
        )

        assert text.split("\n") == [
            "pypicache 0.1.0, up for 2 h 5 min",
            "WARNING: The disk is full. Files that are cached are still served; "
            "new ones are not kept until there is room.",
            "WARNING: http://b.example does not answer (5 failures), next try in 12 s. What is cached is still served.",
            "",
            "Cache   25 of 50 MiB (50 %), 1,234 files",
            "        1 file (2 MiB) removed to make room",
            "Ready   3 pages, 1 of 256 MiB in memory; used: 75 %",
            "Busy    worst 123 ms, 99 % within 1.3 ms; last 5 minutes: worst 5.0 ms, 99 % within 0.2 ms",
            "Pages   98.2 % from the cache, 1,000 requests",
            "Files   no requests yet",
            "Bytes   30 MiB from the cache, 10 MiB from upstream",
            "",
            "Downloads under way",
            "  requests-2.32.whl  [#######.........]   45 %  2.3 of 5.1 MiB  3 clients",
            "  a.tar.gz           [????????????????]    ? %  2.3 MiB         1 client",
            "",
            "Upstreams",
            "  http://up.example works",
            "  http://b.example does not answer (5 failures), next try in 12 s",
            "    refused",
            "",
            "Indexes",
            "  root/pypi  mirror, from http://up.example/, PyPI, 7 projects",
            "  team/dev  stage",
        ]

    def test_missing_keys_are_tolerated(self) -> None:
        text = describe({"downloads": [{}], "upstreams": [{}], "indexes": [{}]})

        assert "pypicache, up for 0 s" in text
        assert "Cache   0 B, no limit, 0 files" in text
        assert "  (no name)  [????????????????]    ? %  0 B  0 clients" in text
        assert "  (no name) unknown" in text

    def test_nothing_at_all(self) -> None:
        assert "No downloads under way" in describe({})

    def test_a_limit_of_nothing_is_not_divided_by(self) -> None:
        assert "Cache   0 of 0 B, 0 files" in describe({"cache": {"max_size": 0}})

    def test_an_empty_file_is_not_divided_by(self) -> None:
        assert "? %  0 B" in describe({"downloads": [{**DOWNLOAD, "size": 0, "received": 0, "seconds": 0}]})

    def test_more_than_was_announced_is_not_more_than_all(self) -> None:
        assert "[################]  100 %" in describe({"downloads": [{**DOWNLOAD, "received": 9 * MIB}]})

    def test_offline(self) -> None:
        text = describe({"offline": True, "upstreams": [{"host": "http://up.example", "state": "offline"}]})

        assert "WARNING: Offline mode" in text
        assert "http://up.example is not asked, because pypicache runs offline" in text


class TestTerminal:
    """Nothing from elsewhere steers the terminal or forges a line."""

    def test_escape_sequences_and_line_feeds(self) -> None:
        evil = "a\x1b[2J\nWARNING: b\x9b\u202e"
        calm = describe(
            {
                "downloads": [{**DOWNLOAD, "file": "a"}],
                "upstreams": [{"host": "a", "state": "half-open", "last_error": "a"}],
                "indexes": [{"name": "a", "title": "a"}],
            }
        )

        text = describe(
            {
                "downloads": [{**DOWNLOAD, "file": evil}],
                "upstreams": [{"host": evil, "state": "half-open", "last_error": evil}],
                "indexes": [{"name": evil, "title": evil}],
            }
        )

        assert text.count("\n") == calm.count("\n")
        assert [character for character in text if not character.isprintable() and character != "\n"] == []

    def test_a_message_of_several_lines_becomes_one(self) -> None:
        text = describe({"upstreams": [{"host": "a", "state": "half-open", "last_error": "refused\n\tby the host "}]})

        assert text.endswith("\n    refused by the host")

    @given(st.text())
    def test_every_line_is_printable(self, text: str) -> None:
        assert printable(text).isprintable()
        assert len(printable(text)) == len(text)


class TestParts:
    """Bars and names."""

    def test_bars(self) -> None:
        assert bar(0) == "[................]"
        assert bar(0.5) == "[########........]"
        assert bar(0.999) == "[###############.]"
        assert bar(2) == "[################]"

    @given(st.text(max_size=3 * LONGEST_NAME))
    def test_long_names_keep_both_ends(self, name: str) -> None:
        short = shortened(name)

        assert len(short) == min(len(name), LONGEST_NAME)
        assert short[:20] == name[:20]
        assert short[-20:] == name[-20:]
