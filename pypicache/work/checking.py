"""What an upload must be before it is stored (contract devpi 12.1, contract clients 2.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, BinaryIO

from attrs import frozen

from pypicache.core.attestations import read_attestations
from pypicache.core.dist import is_wheel, projects_of, version_key, version_of, wheel_metadata
from pypicache.core.errors import BadInput
from pypicache.core.form import Form
from pypicache.core.metadata import CoreMetadata, check_format, read_metadata
from pypicache.core.model import ProjectName, project_name, safe_file_name
from pypicache.core.sdist import TARS, sdist_metadata

ENDINGS = (
    ".exe", ".tar.gz", ".bz2", ".rpm", ".deb", ".zip", ".tgz", ".egg", ".dmg", ".msi", ".whl",
)  # fmt: skip
_NOT_IN_FILE_NAMES = re.compile(r"[^\w.]+")


@frozen(kw_only=True)
class Upload:
    """What is uploaded, after the checks that the form and the name of the file allow."""

    form: Form
    project: ProjectName
    version: str  # as it is spelled in the form
    name: str  # of the file


def check_project(form: Form) -> ProjectName:
    """The project that a form is about.

    :raises BadInput: it is missing or is none, or the form is of another protocol.
    """
    protocol = form.text("protocol_version")
    if protocol not in {"", "1"}:
        raise BadInput(f"protocol_version: {protocol[:20]!r} is unknown, expected 1")
    name = form.text("name")
    if not name:
        raise BadInput("invalid metadata: name is missing")
    try:
        return project_name(name)
    except BadInput as error:
        raise BadInput(f"invalid metadata: {error}") from error


def check_release(form: Form) -> tuple[ProjectName, str]:
    """The project and the version that a form is about.

    :raises BadInput: one of them is missing or is none, or the form is of another protocol.
    """
    project = check_project(form)
    version = form.version()
    check_format(form.text("metadata_version"), "metadata_version")
    return project, version


def check_file(form: Form, name: str) -> Upload:
    """Check the name of a distribution file against what the form says.

    :raises BadInput: with the sentence of contract devpi 12.1.
    """
    if not safe_file_name(name):
        raise BadInput(f"content: {name[:80]!r} cannot be the name of a file here")
    version = form.text("version")
    if version and version not in name and _NOT_IN_FILE_NAMES.sub("_", version) not in name and not _says(name, form):
        raise BadInput(f"filename {name!r} does not contain version {version!r}")
    if not name.lower().endswith(ENDINGS):
        raise BadInput(f"{name!r} is not a valid archive name")
    project, version = check_release(form)
    found = projects_of(name)
    if project not in found:
        raise BadInput(f"filename {name!r} does not match project name {form.text('name')!r}")
    if is_wheel(name) and version_key(version_of(name, project) or "") != version_key(version):
        raise BadInput(f"filename {name!r} does not contain version {version!r}")
    return Upload(form=form, project=project, version=version, name=name)


def _says(name: str, form: Form) -> bool:
    """Whether the name has the version in another spelling."""
    try:
        spelled = version_of(name, project_name(form.text("name")))
    except BadInput:
        return False
    return spelled is not None and version_key(spelled) == version_key(form.text("version"))


def check_digests(form: Form, digests: Mapping[str, str]) -> None:
    """Compare the digests that the uploader sent, whichever they are, with those of what came.

    :raises BadInput: they differ; the sentence names the field.
    """
    for algorithm, digest in digests.items():
        field = f"{algorithm}_digest"
        said = form.text(field)
        if len(said) > len(digest) and algorithm == "blake2_256":
            continue  # distutils until Python 3.11 sends BLAKE2b's 512 bits under this name, beside the others
        if said and said.lower() != digest:
            raise BadInput(f"{field}: expected {said[:128]}, the file that came has {digest}")


def check_archive(upload: Upload, stream: BinaryIO) -> tuple[CoreMetadata | None, bytes | None]:
    """What the archive says about itself; blocks.

    :param stream: the file, open for reading.
    :return: its metadata, if it is of a kind that has some; and the same byte for byte, if it is a wheel.
    :raises BadInput: it is broken, or of another project or version.
    """
    lower = upload.name.lower()
    text = None
    if is_wheel(upload.name):
        text = wheel_metadata(stream)
        where = "METADATA"
        if text is None:
            raise BadInput(f"content: {upload.name} is not a wheel that has METADATA")
    elif lower.endswith((*TARS, ".zip")):
        text = sdist_metadata(stream, upload.name)
        where = "PKG-INFO"
    if text is None:
        return None, None
    metadata = read_metadata(text, where)
    try:
        same = project_name(metadata.name) == upload.project
    except BadInput:
        same = False
    if not same:
        raise BadInput(f"name: the form says {upload.form.text('name')!r}, the archive {metadata.name[:80]!r}")
    if version_key(metadata.version) != version_key(upload.version):
        raise BadInput(f"version: the form says {upload.version!r}, the archive {metadata.version[:80]!r}")
    return metadata, text if is_wheel(upload.name) else None


def check_attestations(upload: Upload, sha256: str) -> list[dict[str, Any]]:
    """The attestations that came with a file; empty if there are none.

    :raises BadInput: they are not as PEP 740 says, or about something else.
    """
    text = upload.form.text("attestations")
    return read_attestations(text, upload.name, sha256) if text else []
