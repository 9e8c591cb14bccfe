"""The files that lie in the served directory, and the pages that list them."""

from __future__ import annotations

import hashlib
import html
import json
import re
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from tests.upstream.faults import Switches

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "text/html"
UPLOADED = "2024-01-01T00:00:00Z"
HOSTILE_NAMES = (
    "../../x",
    "../../../etc/passwd-1.0.tar.gz",
    "/etc/passwd",
    "..",
    ".",
    "",
    "evil-1.0\u0000.whl",
    "evil-1.0\r\nSet-Cookie: a=b.whl",
    "<script>alert(1)</script>-1.0.tar.gz",
    '"><script>alert(1)</script>-1.0.tar.gz',
    "evil-1.0.tar.gz/../../../x",
    "x" * 5000 + "-1.0.tar.gz",
)
HOSTILE_LINKS = (
    "javascript:alert(1)",
    "file:///etc/passwd",
    "http://[::1",
    "//",
    "http://user:pw@127.0.0.1:1/x",
    "\u0000",
)


def normalized(name: str) -> str:
    """A project name as it stands in URLs (simple repository API, "normalized names")."""
    return re.sub(r"[-_.]+", "-", name).lower()


@frozen(kw_only=True)
class Listed:
    """One file of the directory with all that a page may say about it."""

    path: Path
    project: str  # normalized
    version: str
    size: int  # bytes
    digests: Mapping[str, str]
    metadata: bytes | None  # of a wheel
    requires_python: str | None

    @property
    def filename(self) -> str:
        """Its name, the same on disk and on the page."""
        return self.path.name

    @classmethod
    def read(cls, path: Path) -> Listed:
        """Read a wheel or an sdist."""
        content = path.read_bytes()
        name, version = path.name.removesuffix(".tar.gz").split("-")[:2]
        member: bytes | None
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                info = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
                described = member = archive.read(info)
        else:
            member = None
            with tarfile.open(path) as packed:
                found = packed.extractfile(f"{name}-{version}/PKG-INFO")
                described = b"" if found is None else found.read()
        return cls(
            path=path,
            project=normalized(name),
            version=version,
            size=len(content),
            digests={kind: hashlib.new(kind, content).hexdigest() for kind in ("sha256", "md5")},
            metadata=member,
            requires_python=HeaderParser().parsestr(described.decode())["Requires-Python"],
        )


@define
class Shelf:
    """All files below one directory, read again whenever the directory changes.

    :ivar said: file name -> keys that its entry gets besides, or instead of, its own (``yanked``, ...).
    :ivar synthetic: number of invented files on the page of every project called ``load-...``.
    """

    root: Path
    said: dict[str, dict[str, Any]] = field(factory=dict)
    synthetic: int = 3
    _seen: int = -1
    _files: dict[str, Listed] = field(factory=dict)

    def files(self) -> Mapping[str, Listed]:
        """File name -> file."""
        changed = self.root.stat().st_mtime_ns
        if changed != self._seen:
            names = sorted(path.name for path in self.root.iterdir() if path.suffix in {".whl", ".gz"})
            self._files = {name: self._files.get(name) or Listed.read(self.root / name) for name in names}
            self._seen = changed
        return self._files

    def projects(self) -> list[str]:
        """The names of all projects."""
        return sorted({each.project for each in self.files().values()})

    def entries(self, project: str, switches: Switches, hosts: tuple[str, str]) -> list[dict[str, Any]] | None:
        """The file objects of one page; ``None`` if there is no such project.

        :param hosts: this server's two origins, such as ``http://127.0.0.1:8000``.
        """
        if project.startswith("load-"):
            return [invented(project, number, hosts[0]) for number in range(self.synthetic)]
        found = [each for each in self.files().values() if each.project == project]
        if found and switches.project_status == "quarantined":
            return []  # PEP 792: an index offers no files of such a project
        entries = [self.entry(each, switches, hosts) for each in found]
        if switches.hostile:
            entries += hostile(project, hosts[0])
        return entries or None

    def entry(self, listed: Listed, switches: Switches, hosts: tuple[str, str]) -> dict[str, Any]:
        """One file object (PEP 691 and its followers), as far as the switches let it say."""
        prefix = {
            "absolute": f"{hosts[0]}/files/",
            "root": "/files/",
            "relative": "../../files/",
            "other": f"{hosts[1]}/files/",
        }[switches.links]
        entry: dict[str, Any] = {
            "filename": listed.filename,
            "url": prefix + listed.filename,
            "hashes": {kind: listed.digests[kind] for kind in switches.hashes},
        }
        if listed.requires_python:
            entry["requires-python"] = listed.requires_python
        if switches.size:
            entry["size"] = listed.size
        if switches.upload_time:
            entry["upload-time"] = UPLOADED
        if switches.core_metadata and listed.metadata is not None:
            entry["core-metadata"] = {"sha256": hashlib.sha256(listed.metadata).hexdigest()}
        if switches.provenance:
            entry["provenance"] = f"{hosts[0]}/integrity/{listed.project}/{listed.version}/{listed.filename}/provenance"
        if switches.unknown_keys:
            entry["x-future"] = {"of": ["this", None, 1.5]}
        return entry | self.said.get(listed.filename, {})


def invented(project: str, number: int, host: str) -> dict[str, Any]:
    """The entry of a file that does not exist, for pages that are only looked at."""
    filename = f"{project.replace('-', '_')}-1.{number}-py3-none-any.whl"
    return {
        "filename": filename,
        "url": f"{host}/files/{filename}",
        "hashes": {"sha256": hashlib.sha256(filename.encode()).hexdigest()},
        "requires-python": ">=3.8",
        "size": 1000 + number,
        "upload-time": UPLOADED,
        "core-metadata": {"sha256": hashlib.sha256(b"metadata of " + filename.encode()).hexdigest()},
    }


def hostile(project: str, host: str) -> list[dict[str, Any]]:
    """Entries with names and links that nobody should take at face value."""
    digest = hashlib.sha256(b"hostile").hexdigest()
    named = [{"filename": name, "url": f"{host}/files/{name}", "hashes": {"sha256": digest}} for name in HOSTILE_NAMES]
    linked = [
        {"filename": f"{project}-6.{number}.tar.gz", "url": link, "hashes": {"sha256": digest}}
        for number, link in enumerate(HOSTILE_LINKS)
    ]
    hashed = [
        {"filename": f"{project}-7.{number}.tar.gz", "url": f"{host}/files/x", "hashes": {"sha256": value}}
        for number, value in enumerate(("../../../../x", "zz" * 32, "", "ab"))
    ]
    return [*named, *linked, *hashed]


def version_in(filename: str) -> str:
    """The version in the name of a wheel or an sdist."""
    return filename.removesuffix(".tar.gz").partition("-")[2].split("-")[0]


def page_json(project: str, entries: Iterable[Mapping[str, Any]], switches: Switches) -> bytes:
    """A project's page as PEP 691 has it."""
    listed = list(entries)
    page: dict[str, Any] = {
        "meta": {"api-version": "1.4" if switches.size else "1.0"},
        "name": project,
        "versions": sorted({version_in(each["filename"]) for each in listed}),
        "files": listed,
    }
    if switches.serial is not None:
        page["meta"]["_last-serial"] = switches.serial
    if switches.project_status:
        page["project-status"] = {"status": switches.project_status, "reason": "because a test says so"}
    if switches.unknown_keys:
        page["x-future"] = [1, {"two": None}]
    return json.dumps(page).encode()


def page_html(project: str, entries: Iterable[Mapping[str, Any]], switches: Switches, host: str) -> bytes:
    """A project's page as PEP 503 and its followers have it."""
    lines = ["<!DOCTYPE html>", "<html><head>", '<meta name="pypi:repository-version" content="1.4">']
    if switches.base_href:
        lines.append(f'<base href="{host}/files/">')
    if switches.project_status:
        lines.append(f'<meta name="pypi:project-status" content="{html.escape(switches.project_status)}">')
    lines.append(f"<title>Links for {html.escape(project)}</title></head><body>")
    for entry in entries:
        url = entry["filename"] if switches.base_href else entry["url"]
        digests = "".join(f"#{kind}={value}" for kind, value in list(entry["hashes"].items())[:1])
        attributes = {"href": url + digests}
        if entry.get("requires-python"):
            attributes["data-requires-python"] = entry["requires-python"]
        if isinstance(entry.get("core-metadata"), dict):
            attributes["data-core-metadata"] = "sha256=" + entry["core-metadata"]["sha256"]
        if entry.get("yanked"):
            attributes["data-yanked"] = entry["yanked"] if isinstance(entry["yanked"], str) else ""
        shown = " ".join(f'{key}="{html.escape(value)}"' for key, value in attributes.items())
        lines.append(f"<a {shown}>{html.escape(entry['filename'])}</a><br>")
    return "\n".join([*lines, "</body></html>", ""]).encode()


def list_json(projects: Iterable[str], serial: int | None) -> bytes:
    """The list of all projects, JSON."""
    own = {} if serial is None else {"_last-serial": serial}
    return json.dumps(
        {
            "meta": {"api-version": "1.4", **own},
            "projects": [{"name": each, **own} for each in projects],
        }
    ).encode()


def list_html(projects: Iterable[str]) -> bytes:
    """The list of all projects, HTML."""
    links = "\n".join(f'<a href="/simple/{each}/">{each}</a><br>' for each in projects)
    head = '<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.4"></head>'
    return f"{head}<body>\n{links}\n</body></html>\n".encode()
