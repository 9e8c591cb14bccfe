"""What the measured servers serve: wheels and simple pages, made once per run and the same for everybody."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson
from attrs import define, evolve, field, frozen

JSON = "application/vnd.pypi.simple.v1+json"
_DAY = (2024, 1, 1, 0, 0, 0)  # every member's date, so that the same run makes the same bytes
_MIB = 1 << 20


@frozen(kw_only=True)
class Plan:
    """How much is measured; sizes in bytes, times in seconds."""

    set_size: int = 300  # packages that one installation asks for
    slow_sets: int = 3  # sets for cold installations from an upstream that takes its time, one per round
    pip_size: int = 80  # packages that pip installs
    small: int = 8_000
    medium: int = 5 * _MIB
    mediums: int = 9  # distinct wheels, the median of which is told
    big: int = 200 * _MIB
    herd: int = 50  # clients that want the same cold wheel
    slow_herd: int = 10  # so many of a server that would take minutes for all of them
    many: int = 4_000  # files on the long page
    rounds: int = 3  # repetitions of what can be repeated, the median of which is told
    seconds: float = 4.0  # of each request rate
    uploads: int = 8_000  # small wheels, at most, that the publishing clients have to send
    upload_seconds: float = 8.0  # of publishing, unless everything was sent before
    huge: int = 1_000_000_000  # the wheel that is published in one piece
    rate_rounds: int = 1  # in which rates are measured
    counted: int = 50  # requests, at least, of which instructions are counted
    soak: float = 15.0  # of mixed load
    delay: float = 0.05  # the upstream's, before each answer, where the upstream is slow


QUICK = Plan(
    set_size=60, slow_sets=1, pip_size=20, mediums=3, big=60 * _MIB, herd=20, slow_herd=5, rounds=1, seconds=1.0,
    uploads=2_000, upload_seconds=2.0, huge=100_000_000, soak=4.0, counted=20,
)  # fmt: skip


# Two commits are measured in turn, and often, so that what the machine does meanwhile meets both.
COMPARING = evolve(QUICK, rounds=5, rate_rounds=5, seconds=2.0, mediums=9, big=200 * _MIB)


@frozen
class Wheel:
    """One distribution file that was written, as its page lists it."""

    name: str  # file name
    sha256: str
    size: int
    metadata_sha256: str

    def listed(self) -> dict[str, object]:
        """The entry of a page (PEP 691, 700, 714), with an address relative to the page."""
        return {
            "filename": self.name,
            "url": f"../../files/{self.sha256}/{self.name}",
            "hashes": {"sha256": self.sha256},
            "size": self.size,
            "upload-time": "2024-01-01T00:00:00.000000Z",
            "requires-python": ">=3.8",
            "core-metadata": {"sha256": self.metadata_sha256},
            "yanked": False,
        }


@define
class Material:
    """A tree of static files: ``simple/{project}/index.{json,html}`` and ``files/{sha256}/{file name}``."""

    root: Path
    seed: random.Random = field(factory=lambda: random.Random(7))  # noqa: S311 - filling, not secrets
    names: list[str] = field(factory=list)

    def everything(self, plan: Plan) -> None:
        """Write all projects of a plan."""
        for number in range(plan.mediums):
            self.project(f"medium-{number}", [self.wheel(f"medium-{number}", plan.medium)])
        self.project("big", [self.wheel("big", plan.big)])
        self.project("small", [self.wheel("small", plan.small)])
        self.long_page("many", plan.many)
        for label in ["cold", *(f"slow{number}" for number in range(plan.slow_sets))]:
            members = [f"{label}-part-{number:03}" for number in range(plan.set_size)]
            for member in members:
                self.project(member, [self.wheel(member, plan.small)])
            self.project(f"{label}-all", [self.wheel(f"{label}-all", 10, members)])
            self.project(f"{label}-some", [self.wheel(f"{label}-some", 10, members[: plan.pip_size])])
        self.list_of_projects()

    def wheel(self, project: str, size: int, requires: Iterable[str] = ()) -> Wheel:
        """Write a valid wheel with ``size`` bytes of data that cannot be compressed, and its ``.metadata``."""
        file_name, content, metadata = packed(project, "1.0", self._filling(size), requires)
        digest = hashlib.sha256(content).hexdigest()
        directory = self.root / "files" / digest
        directory.mkdir(parents=True)
        (directory / file_name).write_bytes(content)
        (directory / f"{file_name}.metadata").write_bytes(metadata)
        return Wheel(file_name, digest, len(content), hashlib.sha256(metadata).hexdigest())

    def project(self, name: str, wheels: Sequence[Wheel]) -> None:
        """Write the page of a project."""
        versions = sorted({wheel.name.split("-")[1] for wheel in wheels})
        page = {"meta": {"api-version": "1.1"}, "name": name, "versions": versions}
        directory = self.root / "simple" / name
        directory.mkdir(parents=True)
        (directory / "index.json").write_bytes(orjson.dumps({**page, "files": [wheel.listed() for wheel in wheels]}))
        (directory / "index.html").write_text(
            "<!DOCTYPE html><html><body>\n"
            + "".join(
                f'<a href="../../files/{wheel.sha256}/{wheel.name}#sha256={wheel.sha256}"'
                f' data-core-metadata="sha256={wheel.metadata_sha256}">{wheel.name}</a>\n'
                for wheel in wheels
            )
            + "</body></html>\n"
        )
        self.names.append(name)

    def long_page(self, name: str, count: int) -> None:
        """Write a page of ``count`` files, none of which exists."""
        self.project(
            name,
            [
                Wheel(
                    f"{name}-{number // 8}.{number % 8}-py3-none-any.whl",
                    self._digest(),
                    10_000 + number,
                    self._digest(),
                )
                for number in range(count)
            ],
        )

    def list_of_projects(self) -> None:
        """Write the page that lists all projects written so far."""
        listing = {"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in self.names]}
        (self.root / "simple" / "index.json").write_bytes(orjson.dumps(listing))
        links = "".join(f'<a href="{name}/">{name}</a>\n' for name in self.names)
        (self.root / "simple" / "index.html").write_text(f"<!DOCTYPE html><html><body>\n{links}</body></html>\n")

    def _digest(self) -> str:
        return self.seed.randbytes(32).hex()

    def _filling(self, size: int) -> bytes:
        """Random bytes; above 1 MiB the same block again and again, which no server can know."""
        block = self.seed.randbytes(min(size, _MIB))
        return (block * (size // max(1, len(block)) + 1))[:size]


def packed(
    project: str, version: str, data: bytes, requires: Iterable[str] = (), tag: str = "py3-none-any"
) -> tuple[str, bytes, bytes]:
    """A valid wheel that contains ``data``: its file name, its bytes, and its METADATA."""
    module = project.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = "".join(
        [
            f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\nRequires-Python: >=3.8\n",
            *(f"Requires-Dist: {name}\n" for name in requires),
        ]
    ).encode()
    members = {
        f"{module}/__init__.py": b"",
        f"{module}/data.bin": data,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    members[f"{info}/RECORD"] = "".join(
        [
            *(f"{name},sha256={_record_digest(body)},{len(body)}\n" for name, body in members.items()),
            f"{info}/RECORD,,\n",
        ]
    ).encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name, _DAY), body)
    return f"{module}-{version}-{tag}.whl", content.getvalue(), metadata


def huge_wheel(path: Path, project: str, size: int) -> None:
    """Write a wheel with ``size`` bytes of data, a block at a time; its RECORD leaves the data out."""
    name, small, _ = packed(project, "1.0", b"")
    block = random.Random(size).randbytes(_MIB)  # noqa: S311 - filling, not secrets
    with zipfile.ZipFile(path / name, "w", zipfile.ZIP_STORED) as archive, zipfile.ZipFile(io.BytesIO(small)) as rest:
        for member in rest.infolist():
            if not member.filename.endswith("data.bin"):
                archive.writestr(member, rest.read(member))
        with archive.open(zipfile.ZipInfo(f"{project}/data.bin", _DAY), "w", force_zip64=True) as data:
            for begin in range(0, size, _MIB):
                data.write(block[: size - begin])


def _record_digest(body: bytes) -> str:
    """A digest as RECORD has it (PEP 376, PEP 427): URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
