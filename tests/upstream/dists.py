"""Distribution files made on the spot: valid, installable, and as large as a test wants them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import random
import re
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

MEBIBYTE = 1024 * 1024
EPOCH = (2024, 1, 1, 0, 0, 0)

# A build backend inside the sdist itself: it can be built without asking any index for one.
BACKEND = """\
import base64, hashlib, pathlib, zipfile

NAME, VERSION, METADATA, SOURCE = {name!r}, {version!r}, {metadata!r}, {source!r}


def get_requires_for_build_wheel(config_settings=None):
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    info = f"{{NAME}}-{{VERSION}}.dist-info"
    members = {{
        f"{{NAME}}/__init__.py": SOURCE,
        f"{{info}}/METADATA": METADATA,
        f"{{info}}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    record = []
    for path, text in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record.append(f"{{path}},sha256={{digest}},{{len(text.encode())}}")
    record.append(f"{{info}}/RECORD,,")
    members[f"{{info}}/RECORD"] = "\\n".join(record) + "\\n"
    target = f"{{NAME}}-{{VERSION}}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / target, "w") as archive:
        for path, text in members.items():
            archive.writestr(path, text)
    return target
"""


def escaped(name: str) -> str:
    """A project name as it stands in file names (binary distribution format, "escaping")."""
    return re.sub(r"[-_.]+", "_", name).lower()


def metadata(name: str, version: str, requires: Sequence[str], extra: Sequence[str]) -> str:
    """The METADATA of a distribution; ``extra`` are whole header lines such as ``Requires-Python: >=3.8``."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Summary: made for a test"]
    return "\n".join([*lines, *(f"Requires-Dist: {each}" for each in requires), *extra]) + "\n"


def filler(seed: str, size: int) -> bytes:
    """``size`` bytes that do not compress, made quickly: one random mebibyte, repeated with a counter."""
    block = random.Random(seed).randbytes(min(size, MEBIBYTE) or 1)  # noqa: S311 - test data, no secret
    out = io.BytesIO()
    for number in range(-(-size // len(block))):
        out.write(number.to_bytes(8, "big") + block[8:])
    return out.getvalue()[:size]


def place(directory: Path, filename: str, content: bytes) -> Path:
    """Put a file into a directory in one step, so that a server never lists half of it."""
    part = directory / f".{filename}.part"
    part.write_bytes(content)
    return part.replace(directory / filename)


def build_wheel(
    directory: Path,
    name: str,
    version: str,
    *,
    size: int = 0,
    requires: Sequence[str] = (),
    extra: Sequence[str] = (),
    tag: str = "py3-none-any",
) -> Path:
    """A wheel with one package, a METADATA, a right RECORD, and a payload.

    :param size: bytes of incompressible payload; the wheel is a little larger.
    :param requires: values of ``Requires-Dist``.
    :param extra: more header lines of METADATA.
    :return: the path of the wheel.
    """
    package = escaped(name)
    info = f"{package}-{version}.dist-info"
    members: dict[str, bytes] = {
        f"{package}/__init__.py": f'version = "{version}"\n'.encode(),
        f"{info}/METADATA": metadata(name, version, requires, extra).encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    if size:
        members[f"{package}/payload.bin"] = filler(f"{name} {version}", size)
    record = []
    for path, content in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(content)}")
    members[f"{info}/RECORD"] = ("\n".join([*record, f"{info}/RECORD,,"]) + "\n").encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path, content in members.items():
            archive.writestr(zipfile.ZipInfo(path, EPOCH), content)
    return place(directory, f"{package}-{version}-{tag}.whl", out.getvalue())


def build_sdist(
    directory: Path, name: str, version: str, *, requires: Sequence[str] = (), extra: Sequence[str] = ()
) -> Path:
    """An sdist that carries its own build backend, so that building it needs no index.

    :return: the path of the ``.tar.gz``.
    """
    package = escaped(name)
    text = metadata(name, version, requires, extra)
    source = f'version = "{version}"\n'
    members = {
        "PKG-INFO": text,
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND.format(name=package, version=version, metadata=text, source=source),
        f"{package}/__init__.py": source,
    }
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in members.items():
            member = tarfile.TarInfo(f"{package}-{version}/{path}")
            member.size = len(content.encode())
            archive.addfile(member, io.BytesIO(content.encode()))
    return place(directory, f"{package}-{version}.tar.gz", out.getvalue())
