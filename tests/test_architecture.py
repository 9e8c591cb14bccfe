"""The shape of the source tree: which way imports point, and what may stand where.

Every check takes the root of a tree and returns one sentence for each thing that is wrong. It is run on this tree,
where it must find nothing, and on small trees made up for it, where it must find what they were made for.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from configparser import ConfigParser
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).resolve().parent.parent

# An import may only point to the left.
LINE = (
    "core | interfaces | process | tasks | calm | together | figures | turns | ledger | accounts | memory_seen"
    " | memory_tables | memory_database | memory | memory_coded | upstream | store | index | work | web"
    " | settings_values | settings_users | settings | settings_text | listening | workers | log_lines"
    " | assembly | daemon"
    " | tap | status_text | cli"
)
WIRE = {"twisted", "klein", "treq"}
SQL = {"sqlite3", "sqlalchemy"}
REACTOR = "twisted.internet.reactor"
LONGEST = 400  # lines of a module

# In pieces, so that this file does not name them itself.
REGISTRIES = tuple(
    name.replace(" ", ".")
    for name in ("pypi org", "pypi python org", "pythonhosted org", "debian org", "npmjs org", "npmjs com", "crates io")
)
NOT_OURS = {
    ".git",
    ".venv",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "__pycache__",
    "build",
    "dist",
}


@frozen
class Import:
    """One name that a module imports, at the top, in a function, or only for the types."""

    module: str  # who imports
    line: int
    target: str  # the dotted name, with the part after "import" in "from ... import ..."
    relative: bool = False

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def modules(root: Path, *packages: str) -> dict[str, Path]:
    """The modules of some packages: dotted name -> file."""
    found = {}
    for path in sorted(path for package in packages for path in (root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path, *packages: str) -> Iterator[Import]:
    """Everything that the modules of some packages import."""
    for module, path in modules(root, *packages).items():
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                for name in node.names:
                    yield Import(module, node.lineno, name.name)
            elif isinstance(node, ast.ImportFrom):
                for name in node.names:
                    target = "." * node.level + f"{node.module or ''}.{name.name}".removeprefix(".")
                    yield Import(module, node.lineno, target, relative=node.level > 0)


def layer(dotted: str) -> str:
    """The part of the house that a dotted name of ours belongs to; empty for the outermost package."""
    return dotted.partition(".")[2].partition(".")[0]


def imports_to_the_right(root: Path) -> list[str]:
    """Imports of ours that do not point left in LINE, and modules that have no place in it."""
    place = {"": -1} | {name: number for number, name in enumerate(LINE.split(" | "))}
    wrong = [
        f"{module} has no place in the line" for module in modules(root, "pypicache") if layer(module) not in place
    ]
    return wrong + [
        str(each)
        for each in imports(root, "pypicache")
        if each.target.split(".")[0] == "pypicache"
        and layer(each.module) in place
        and place.get(layer(each.target), -1) > place[layer(each.module)]
    ]


def import_cycles(root: Path) -> list[str]:
    """A cycle of modules that import one another, if there is one."""
    known = modules(root, "pypicache")
    graph: dict[str, set[str]] = {module: set() for module in known}
    for each in imports(root, "pypicache"):
        parts = each.target.split(".")
        prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        graph[each.module].update([name for name in prefixes if name in known][:1])
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][:-1]
        first = cycle.index(min(cycle))
        return [" <- ".join(cycle[first:] + cycle[: first + 1])]
    return []


def wire_in_core(root: Path) -> list[str]:
    """Imports of Twisted and what is built on it in the core."""
    return [
        str(each)
        for each in imports(root, "pypicache")
        if layer(each.module) == "core" and each.target.split(".")[0] in WIRE
    ]


def reactor_imports(root: Path) -> list[str]:
    """Imports of the reactor in the wrong place, and all of them if there is more than one."""
    found = [each for each in imports(root, "pypicache") if f"{each.target}.".startswith(f"{REACTOR}.")]
    return [str(each) for each in found if len(found) > 1 or layer(each.module) not in {"process"}]


def sql_outside(root: Path) -> list[str]:
    """Imports of databases anywhere but in the memory and the ledger."""
    return [
        str(each)
        for each in imports(root, "pypicache")
        if each.target.split(".")[0] in SQL and not layer(each.module).startswith(("memory", "ledger"))
    ]


def relative_imports(root: Path) -> list[str]:
    """Imports that begin with a dot."""
    return [str(each) for each in imports(root, "pypicache", "tests", "bench") if each.relative]


def long_modules(root: Path) -> list[str]:
    """Modules of more than LONGEST lines."""
    lengths = {
        module: len(path.read_bytes().splitlines())
        for module, path in modules(root, "pypicache", "tests", "bench").items()
    }
    return [f"{module} has {length} lines" for module, length in lengths.items() if length > LONGEST]


def closed_namespaces(root: Path) -> list[str]:
    """Files that would make a package of a directory that belongs to Twisted, and hide Twisted's own plugins."""
    files = ("twisted/__init__.py", "twisted/plugins/__init__.py")
    return [f"{name} must not exist" for name in files if (root / name).exists()]


def packages_out_of_step(root: Path) -> list[str]:
    """Differences between the packages that setup.cfg lists and those that are there."""
    configuration = ConfigParser()
    configuration.read(root / "setup.cfg", encoding="utf-8")
    listed = configuration["options"]["packages"].split()
    directories = {path.parent for path in modules(root, "pypicache").values()}
    present = {".".join(path.relative_to(root).parts): path for path in sorted(directories)}
    return [
        *(
            f"{name} is listed and has no modules"
            for name in listed
            if not [*root.joinpath(*name.split(".")).glob("*.py")]
        ),
        *(f"{name} is not listed" for name in present if name not in listed),
        *(f"{name} has no __init__.py" for name, path in present.items() if not (path / "__init__.py").exists()),
    ]


def repository_files(root: Path, git: str | None) -> list[Path]:
    """The files that make up the project: what git knows or would add, or without git whatever looks like ours."""
    if git is not None:
        command = [git, "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        answer = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own words, no shell
        listed = [root / os.fsdecode(name) for name in answer.stdout.split(b"\0") if name]
        if answer.returncode == 0 and listed:
            return [path for path in listed if path.is_file()]
    found = []
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name not in NOT_OURS and not name.endswith(".egg-info")]
        found += [Path(directory, name) for name in files]
    return [path for path in found if path.is_file()]


def registries_named(root: Path, git: str | None = None) -> list[str]:
    """Lines that name the host of a public package registry."""
    names = "|".join(map(re.escape, REGISTRIES))
    host = re.compile(rf"(?<![a-z0-9_-])(?:{names})(?![a-z0-9_-])".encode(), re.IGNORECASE)
    return [
        f"{path.relative_to(root)}:{number} names a registry"
        for path in sorted(repository_files(root, git))
        for number, text in enumerate(path.read_bytes().splitlines(), 1)
        if host.search(text)
    ]


def registries_named_here(root: Path) -> list[str]:
    """The same, of what git knows, if there is a git."""
    return registries_named(root, shutil.which("git"))


Check = Callable[[Path], list[str]]
CHECKS: tuple[Check, ...] = (
    imports_to_the_right,
    import_cycles,
    wire_in_core,
    reactor_imports,
    sql_outside,
    relative_imports,
    long_modules,
    closed_namespaces,
    packages_out_of_step,
    registries_named_here,
)


@pytest.mark.parametrize("check", CHECKS)
def test_nothing_is_wrong_with_this_tree(check: Check) -> None:
    assert check(ROOT) == []


def test_this_tree_is_really_read() -> None:
    assert {"pypicache", "pypicache.core.model", "tests.test_architecture"} <= set(modules(ROOT, "pypicache", "tests"))
    targets = {(each.module, each.target) for each in imports(ROOT, "pypicache")}
    assert ("pypicache.core.model", "pypicache.core.errors.BadInput") in targets
    assert Path(__file__) in repository_files(ROOT, shutil.which("git"))
    assert Path(__file__) in repository_files(ROOT, None)


def plant(root: Path, tree: Mapping[str, str]) -> Path:
    """Write the files of a made-up tree."""
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


PLACES = ("{}", "def later() -> None:\n    {}", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {}")


@pytest.mark.parametrize("place", PLACES, ids=["top", "function", "types"])
@pytest.mark.parametrize(
    ("check", "module", "statement", "wrong"),
    [
        (imports_to_the_right, "web.a", "import json, pypicache.core.b", []),
        (imports_to_the_right, "web.a", "from pypicache.web.b import c", []),
        (imports_to_the_right, "store.a", "import twisted.web", []),
        (imports_to_the_right, "cli", "from pypicache import __version__, web", []),
        (imports_to_the_right, "core.a", "import json, pypicache.web.b", ["pypicache.web.b"]),
        (imports_to_the_right, "core.a", "from pypicache import interfaces, core", ["pypicache.interfaces"]),
        (imports_to_the_right, "store.a", "from pypicache.index.b import C", ["pypicache.index.b.C"]),
        (imports_to_the_right, "tap", "from pypicache.cli import main", ["pypicache.cli.main"]),
        (imports_to_the_right, "__init__", "from pypicache.core import a", ["pypicache.core.a"]),
        (wire_in_core, "web.a", "import klein, treq, twisted", []),
        (wire_in_core, "core.a", "import attrs, twist", []),
        (wire_in_core, "core.a", "import klein, twisted.web", ["klein", "twisted.web"]),
        (wire_in_core, "core.a", "from treq.client import HTTPClient", ["treq.client.HTTPClient"]),
        (reactor_imports, "process", "from twisted.internet import reactor, task", []),
        (reactor_imports, "web.a", "from twisted.internet.interfaces import IReactorTime", []),
        (reactor_imports, "web.a", "from twisted.internet import reactor", ["twisted.internet.reactor"]),
        (reactor_imports, "web.a", "import twisted.internet.reactor", ["twisted.internet.reactor"]),
        (reactor_imports, "web.a", "from twisted.internet.reactor import run", ["twisted.internet.reactor.run"]),
        (sql_outside, "memory", "import sqlite3, sqlalchemy", []),
        (sql_outside, "ledger.a", "import sqlite3, sqlalchemy", []),
        (sql_outside, "index.a", "import sqlite3, sqlalchemy.engine", ["sqlite3", "sqlalchemy.engine"]),
        (sql_outside, "tap", "from sqlite3 import connect", ["sqlite3.connect"]),
        (relative_imports, "web.a", "from pypicache.web import b", []),
        (relative_imports, "web.a", "from . import b, c", [".b", ".c"]),
        (relative_imports, "web.a", "from ..core.b import c", ["..core.b.c"]),
    ],
)
def test_an_import_is_found_wherever_it_stands(
    check: Check, module: str, statement: str, wrong: list[str], place: str, tmp_path: Path
) -> None:
    text = place.format(statement)
    plant(tmp_path, {f"pypicache/{module.replace('.', '/')}.py": text})
    importer = f"pypicache.{module}".removesuffix(".__init__")
    assert check(tmp_path) == [f"{importer}:{len(text.splitlines())} imports {target}" for target in wrong]


REACTOR_IMPORT = "from twisted.internet import reactor"
LISTED = "[options]\npackages =\n    pypicache\n    pypicache.web\n"
INDEX = REGISTRIES[0]


@pytest.mark.parametrize(
    ("check", "tree", "wrong"),
    [
        (
            imports_to_the_right,
            {"pypicache/misc/a.py": "import pypicache.cli"},
            ["pypicache.misc.a has no place in the line"],
        ),
        (import_cycles, {"pypicache/web/a.py": "import pypicache.web.b", "pypicache/web/b.py": "import json"}, []),
        (import_cycles, {"pypicache/web/__init__.py": "from pypicache.web import a", "pypicache/web/a.py": ""}, []),
        (
            import_cycles,
            {
                "pypicache/web/a.py": "from pypicache.web import b",
                "pypicache/web/b.py": PLACES[2].format("from pypicache.web.c import C"),
                "pypicache/web/c.py": PLACES[1].format("import pypicache.web.a"),
            },
            ["pypicache.web.a <- pypicache.web.c <- pypicache.web.b <- pypicache.web.a"],
        ),
        (
            import_cycles,
            {"pypicache/core/__init__.py": "import pypicache.web", "pypicache/web.py": "from pypicache.core import A"},
            ["pypicache.core <- pypicache.web <- pypicache.core"],
        ),
        (
            reactor_imports,
            {"pypicache/cli.py": REACTOR_IMPORT, "pypicache/tap.py": REACTOR_IMPORT},
            ["pypicache.cli:1 imports twisted.internet.reactor", "pypicache.tap:1 imports twisted.internet.reactor"],
        ),
        (
            relative_imports,
            {"tests/a.py": "from ..b import c", "bench/a.py": "from .b import c", "docs/a.py": "from .b import c"},
            ["bench.a:1 imports .b.c", "tests.a:1 imports ..b.c"],
        ),
        (long_modules, {"pypicache/a.py": "\n" * 400, "tests/a.py": "\n" * 399 + "1", "docs/a.py": "\n" * 500}, []),
        (
            long_modules,
            {"pypicache/web/a.py": "\n" * 401, "tests/a.py": "\n" * 400 + "1", "bench/a.py": "\n" * 500},
            ["bench.a has 500 lines", "pypicache.web.a has 401 lines", "tests.a has 401 lines"],
        ),
        (closed_namespaces, {"twisted/plugins/pypicache_plugin.py": ""}, []),
        (closed_namespaces, {"twisted/__init__.py": ""}, ["twisted/__init__.py must not exist"]),
        (closed_namespaces, {"twisted/plugins/__init__.py": ""}, ["twisted/plugins/__init__.py must not exist"]),
        (
            packages_out_of_step,
            dict.fromkeys(["pypicache/__init__.py", "pypicache/web/__init__.py", "pypicache/web/static/a.js"], ""),
            [],
        ),
        (
            packages_out_of_step,
            dict.fromkeys(["pypicache/__init__.py", "pypicache/web/static/a.js", "pypicache/core/__init__.py"], ""),
            ["pypicache.web is listed and has no modules", "pypicache.core is not listed"],
        ),
        (
            packages_out_of_step,
            dict.fromkeys(["pypicache/__init__.py", "pypicache/web/a.py"], ""),
            ["pypicache.web has no __init__.py"],
        ),
        (registries_named, {"a.rst": f"my{INDEX} {INDEX}anisation\n", ".git/config": INDEX, "build/a": INDEX}, []),
        (registries_named, {"etc/a.toml": INDEX.upper()}, ["etc/a.toml:1 names a registry"]),
        *(
            (registries_named, {"a.rst": f"\nhttps://x.{name}/y\n"}, ["a.rst:2 names a registry"])
            for name in REGISTRIES
        ),
    ],
)
def test_a_check_finds_what_a_tree_was_made_for(
    check: Check, tree: Mapping[str, str], wrong: list[str], tmp_path: Path
) -> None:
    assert check(plant(tmp_path, {"setup.cfg": LISTED, **tree})) == wrong


@pytest.mark.parametrize(
    ("git", "expected"),
    [
        ("printf 'a.txt\\0gone.txt\\0'", ["a.txt:1 names a registry"]),
        ("printf 'a.txt\\0'; exit 128", ["a.txt:1 names a registry", "b.txt:1 names a registry"]),
        ("exit 0", ["a.txt:1 names a registry", "b.txt:1 names a registry"]),
    ],
)
def test_git_says_which_files_are_ours_if_it_knows(git: str, expected: list[str], tmp_path: Path) -> None:
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\n{git}\n", encoding="utf-8")
    program.chmod(0o700)
    tree = plant(tmp_path / "tree", {"a.txt": INDEX, "b.txt": INDEX})
    assert registries_named(tree, str(program)) == expected
