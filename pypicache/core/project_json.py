"""A project as the JSON API of PyPI describes it (contract clients 5.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from packaging.version import InvalidVersion, Version

from pypicache.core.dist import version_key, version_of
from pypicache.core.kinds import package_type
from pypicache.core.model import File, Project

TEXTS = (
    "author", "author_email", "description", "download_url", "keywords", "license", "maintainer", "maintainer_email",
    "summary",
)  # fmt: skip
MAYBE_TEXTS = ("description_content_type", "license_expression", "requires_python")
LISTS = {"requires_dist": "requires_dist", "provides_extra": "provides_extras", "license_files": "license_file",
         "dynamic": "dynamic"}  # fmt: skip

Metadata = Mapping[str, Mapping[str, Any]]


def by_version(project: Project, versions: Sequence[str]) -> dict[str, list[File]]:
    """The files of each version, as their names say.

    :param versions: that are known, in their spelling; they are listed also without files.
    """
    spelled = {version_key(version): version for version in reversed(versions)}
    found: dict[str, list[File]] = {version: [] for version in versions}
    for file in project.files:
        version = version_of(file.name, project.name)
        if version is not None:
            found.setdefault(version if version in found else spelled.get(version_key(version), version), []).append(
                file
            )
    return found


def latest(releases: Mapping[str, Sequence[File]]) -> str | None:
    """The newest version that is final and not yanked; failing that, the newest one at all."""

    def rank(version: str) -> tuple[bool, bool, bool, Version, str]:
        files = releases[version]
        try:
            parsed, known = Version(version), True
        except InvalidVersion:
            parsed, known = Version("0"), False
        offered = bool(files) and not all(file.yanked for file in files)
        return offered, known and not parsed.is_prerelease, known, parsed, version

    return max(releases, key=rank, default=None)


def describe(
    project: Project,
    metadata: Metadata,
    releases: Mapping[str, Sequence[File]],
    version: str,
    *,
    url_of: Callable[[File], str],
    page: str,
    whole: bool,
) -> dict[str, object]:
    """The answer for one version of a project.

    :param metadata: by version, as far as anything is known.
    :param page: the address of the project for people.
    :param whole: whether all versions are listed, as in the answer for the project.
    """
    files = releases.get(version, ())
    answer: dict[str, object] = {
        "info": _info(project, metadata.get(version, {}), version, files, page),
        "last_serial": project.serial or 0,
        "urls": [_file(file, url_of(file)) for file in files],
        "vulnerabilities": [],
        "ownership": {"roles": [], "organization": None},
    }
    if whole:
        answer["releases"] = {each: [_file(file, url_of(file)) for file in listed] for each, listed in releases.items()}
    return answer


def _info(
    project: Project, said: Mapping[str, Any], version: str, files: Sequence[File], page: str
) -> dict[str, object]:
    yanked = [file.yanked for file in files if file.yanked]
    info: dict[str, object] = {key: said.get(key) or "" for key in TEXTS}
    info |= {key: said.get(key) or None for key in MAYBE_TEXTS}
    info |= {key: said.get(stored) or None for key, stored in LISTS.items()}
    info |= {
        "name": said.get("name") or project.name,
        "version": version,
        "classifiers": list(said.get("classifiers") or ()),
        "platform": ", ".join(_texts(said.get("platform"))) or None,
        "project_urls": _labelled(_texts(said.get("project_urls"))),
        "requires_python": said.get("requires_python") or next(filter(None, (f.requires_python for f in files)), None),
        "package_url": f"{page}/",
        "project_url": f"{page}/",
        "release_url": f"{page}/{version}/",
        "bugtrack_url": None,
        "docs_url": None,
        "downloads": {"last_day": -1, "last_month": -1, "last_week": -1},
        "yanked": bool(files) and len(yanked) == len(files),
        "yanked_reason": next((reason for reason in yanked if isinstance(reason, str)), None),
    }
    if said.get("home_page"):  # a text, or not there at all (contract clients 7 F 75)
        info["home_page"] = said["home_page"]
    return info


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    return [str(item) for item in value] if isinstance(value, list | tuple) else []


def _labelled(urls: Sequence[str]) -> dict[str, str] | None:
    """``Label, URL`` as the core metadata specification has it ("Project-URL")."""
    parts = [item.partition(",") for item in urls]
    return {label.strip(): url.strip() for label, _, url in parts if url.strip()} or None


def _file(file: File, url: str) -> dict[str, object]:
    kind, python = package_type(file.name)
    when = _time(file.upload_time)
    return {
        "filename": file.name,
        "url": url,
        "packagetype": kind,
        "python_version": python,
        "requires_python": file.requires_python,
        "size": file.size,
        "digests": dict(file.hashes),
        "md5_digest": file.hashes.get("md5"),
        "upload_time": None if when is None else when.strftime("%Y-%m-%dT%H:%M:%S"),
        "upload_time_iso_8601": None if when is None else when.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "yanked": bool(file.yanked),
        "yanked_reason": file.yanked if isinstance(file.yanked, str) else None,
        "comment_text": "",
        "has_sig": file.extra.get("gpg-sig") is True,
        "downloads": -1,
        "core-metadata": file.core_metadata if isinstance(file.core_metadata, bool) or file.core_metadata is None
        else dict(file.core_metadata),
    }  # fmt: skip


def _time(text: str | None) -> datetime | None:
    try:
        when = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if when is None or when.tzinfo is None else when.astimezone(UTC)
