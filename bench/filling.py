"""A private index with many files in one project, put into the servers before they start; uploads would take minutes.

What it contains is written once, in the form that ``devpi-export`` writes. devpi-server imports it, pypicache gets the
same records in one transaction; its shelf stays empty, since only the page is asked for. Run as a program, this fills
a new state directory of pypicache: ``python -m bench.filling STATE DUMP``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from bench.material import packed

INDEX = "root/long"
PROJECT = "long"
_PER_RELEASE = 8  # files

# devpi-import writes the page anew after each file, which would take minutes. The first upload writes it as well.
IMPORT = (
    "from devpi_server import importexport, model; model.PrivateStage._regen_simplelinks = lambda *_: None; "
    "raise SystemExit(importexport.import_())"
)


def long_name(number: int) -> tuple[str, str]:
    """Version and file name of a wheel of the project, eight to a release."""
    return f"{number // _PER_RELEASE}.0", f"{PROJECT}-{number // _PER_RELEASE}.0-{_tag(number)}.whl"


def long_wheel(number: int) -> tuple[str, str, bytes]:
    """Such a wheel: version, file name, bytes."""
    version, name = long_name(number)
    return version, name, packed(PROJECT, version, number.to_bytes(4, "big"), tag=_tag(number))[1]


def _tag(number: int) -> str:
    return f"py3-none-manylinux_2_{number % _PER_RELEASE + 17}_x86_64"


def write_dump(directory: Path, count: int) -> None:
    """Write the files and their description, as ``devpi-import`` reads them."""
    files: list[dict[str, Any]] = []
    versions: dict[str, dict[str, str]] = {}
    (directory / "files").mkdir(parents=True)
    for number in range(count):
        version, name = long_name(number)
        content = name.encode()  # nobody looks into them, and to pack 4,000 archives takes a while
        (directory / "files" / name).write_bytes(content)
        versions[version] = {"name": PROJECT, "version": version, "requires_python": ">=3.8", "metadata_version": "2.1"}
        hashes = {"sha256": hashlib.sha256(content).hexdigest()}
        mapping = {"hashes": hashes, "last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        entry = {"type": "releasefile", "projectname": PROJECT, "version": version, "relpath": f"files/{name}"}
        files.append({**entry, "entrymapping": mapping, "log": []})
    options = {"type": "stage", "volatile": True, "bases": [], "acl_upload": ["root"]}
    index = {"indexconfig": options, "projects": {PROJECT: versions}, "files": files}
    dump = {"dumpversion": "2", "devpi_server": "6.0.0", "users": {}, "indexes": {INDEX: index}}
    (directory / "dataindex.json").write_text(json.dumps(dump))


def fill(state: Path, dump: Path) -> None:
    """Record what a dump describes in a new ledger of pypicache."""
    # Here, because the program that measures has no use for them, and another commit may have them elsewhere.
    from pypicache.core.changes import Change, FileSaved, IndexSaved, ReleaseSaved
    from pypicache.ledger.ledger import Decision, Ledger

    index = json.loads((dump / "dataindex.json").read_text())["indexes"][INDEX]
    changes: list[Change] = [IndexSaved(name=INDEX, options=index["indexconfig"])]
    for version, metadata in index["projects"][PROJECT].items():
        changes.append(ReleaseSaved(index=INDEX, project=PROJECT, version=version, metadata=metadata))
    for file in index["files"]:
        path = dump / file["relpath"]
        sha256 = file["entrymapping"]["hashes"]["sha256"]
        changes.append(
            FileSaved(
                index=INDEX, project=PROJECT, version=file["version"], kind="releasefile", name=path.name,
                path=f"+f/{sha256[:3]}/{sha256[3:16]}/{path.name}", hashes={"sha256": sha256}, size=path.stat().st_size,
                uploaded="2024-01-01T00:00:00.000000Z", requires_python=">=3.8",
            )
        )  # fmt: skip
    state.mkdir(parents=True)
    ledger = Ledger(f"sqlite:///{state / 'ledger.sqlite'}", None, None)  # type: ignore[arg-type]  # no threads here
    ledger.open(state)
    ledger.change_now(lambda _: Decision(changes, None))
    ledger.close()


if __name__ == "__main__":
    fill(Path(sys.argv[1]), Path(sys.argv[2]))
