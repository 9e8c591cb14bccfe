"""Nothing that is asked for keeps the reactor busy for long; measured by the daemon itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from tests.ring_two.harness import JSON_TYPE, Daemon, UpstreamProcess, fetch

# Seconds, more than on an idle machine, since tests share theirs with others. A page of 60,000 files takes
# longer: orjson reads and writes it in one go, and lets no other thread run meanwhile.
WORST = {"big": 0.15, "huge": 0.5}


def page(name: str, count: int) -> Mapping[str, tuple[str, str]]:
    """One project with so many files, as JSON; and another of the same files as HTML."""
    files: list[dict[str, object]] = []
    for number in range(count):
        digest = sha256(b"%d" % number).hexdigest()
        files.append(
            {
                "filename": f"{name}-1.{number}-py3-none-any.whl",
                "url": f"http://files.example/{digest}/{name}-1.{number}-py3-none-any.whl",
                "hashes": {"sha256": digest},
                "size": number,
                "upload-time": "2024-01-02T03:04:05.678901Z",
                "core-metadata": {"sha256": digest},
            }
        )
    anchors = "".join(
        f'<a href="{each["url"]}#sha256={str(each["url"])[21:85]}">{each["filename"]}</a>' for each in files
    )
    listing = {"meta": {"api-version": "1.1"}, "name": name, "versions": [], "files": files}
    return {
        name: (JSON_TYPE, json.dumps(listing)),
        f"{name}-html": ("text/html", f"<html><body>{anchors}</body></html>"),
    }


def test_large_pages(tmp_path: Path, upstream: UpstreamProcess) -> None:
    """Pages of 4,000 and of 60,000 files, cold, over both formats, in all codings, and again after a restart."""
    upstream.control(pages={**page("big", 4000), **page("huge", 60_000)})
    asked = [(name, coding) for name in ("big", "big-html", "huge", "huge-html") for coding in ("gzip", "zstd")]
    with Daemon(tmp_path / "daemon", upstream.url) as daemon:
        for name, coding in asked:
            assert daemon.page(name, {"Accept-Encoding": coding}).status == 200
            worst = daemon.status()["reactor"]["start"]["worst"]
            assert worst < WORST[name.partition("-")[0]], (name, coding, worst)
        before = {name: daemon.page(name, {"Accept-Encoding": "gzip"}).body for name in ("big", "huge")}
        daemon.stop()
        daemon.start()
        for name, body in before.items():
            assert daemon.page(name, {"Accept-Encoding": "gzip"}).body == body
        status = daemon.status()
        assert status["reactor"]["start"]["worst"] < WORST["huge"], status["reactor"]
        assert status["reactor"]["recent"]["turns"] > 0
        shown = fetch(f"{daemon.url}/+status", {"Accept": "text/html"}).body.decode()
        assert "Busy with one thing" in shown
