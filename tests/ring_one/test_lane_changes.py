"""Whatever changes, the fast lane tells what a daemon would tell that was started just now."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypicache.core.changes import IndexGone, IndexSaved, TokenGone
from pypicache.core.spec import MirrorSpec
from pypicache.core.stage import StageSpec
from pypicache.settings import Settings
from tests.ring_one.accounts import bearer
from tests.ring_one.files import bytes_of
from tests.ring_one.house import JSON, UP, HouseCase, file_of, page_of
from tests.ring_one.publishing import wheel
from tests.ring_one.reading import Raw
from tests.ring_one.stages import ALICE, BOB, StagesCase

INDEXES = ("alice/dev", "alice/over")
OWN = [(f"own-{number}.0.zip", bytes_of(1000 + number), f"{number}.0") for number in (1, 2)]
UPSTREAM = [(f"demo-{number}.0.zip", bytes_of(2000 + number)) for number in (1, 2, 3)]
WHEEL = wheel("demo", "9.0")
STAGES: Mapping[str, tuple[Any, ...]] = {
    "bases": ([], ["root/pypi"], ["alice/up"], ["alice/dev"], ["alice/dev", "root/pypi"]),
    "acl_read": ([":ANONYMOUS:"], ["alice"], ["bob"], [":AUTHENTICATED:"]),
    "mirror_whitelist": ([], ["*"], ["demo"]),
    "mirror_whitelist_inheritance": ("union", "intersection"),
    "volatile": (True, False),
    "conceal": (True, False),
}
MIRRORS: Mapping[str, tuple[Any, ...]] = {
    "acl_read": ([":ANONYMOUS:"], ["alice"]),
    "mirror_provides_core_metadata": (True, False),
    "mirror_cache_expiry": (60, 100_000),
    "mirror_use_external_urls": (True, False),
}


def option(table: Mapping[str, tuple[Any, ...]]) -> st.SearchStrategy[tuple[str, Any]]:
    """One option and one value for it."""
    return st.sampled_from([(key, value) for key, values in table.items() for value in values])


STEPS = st.one_of(
    st.tuples(st.just("upload"), st.sampled_from(INDEXES), st.sampled_from(OWN), st.sampled_from([False, True, "bad"])),
    st.tuples(st.just("private"), st.sampled_from(INDEXES), st.sampled_from(UPSTREAM)),
    st.tuples(st.just("delete"), st.sampled_from(INDEXES), st.sampled_from(["own", "own/1.0", "demo", "demo/1.0"])),
    st.tuples(st.just("configure"), st.sampled_from(INDEXES), option(STAGES)),
    st.tuples(st.just("mirror"), option(MIRRORS)),
    st.tuples(st.just("gone"), st.sampled_from(INDEXES)),
    st.tuples(st.just("listed"), st.sets(st.sampled_from(UPSTREAM), min_size=1), st.sampled_from([None, "bad"])),
    st.tuples(st.just("refresh"), st.sampled_from(["root/pypi", "alice/up", "alice/over"])),
    st.tuples(st.just("pass_time"), st.sampled_from([1, 61, 1000, 1801])),
    st.tuples(st.just("password"), st.sampled_from(["pw-alice", "other"])),
    st.tuples(st.just("token_gone")),
)


class House(StagesCase):
    """A daemon that much happens to."""

    def settings(self) -> Settings:
        mirror = MirrorSpec.from_options("root/pypi", {"mirror_url": UP})
        return Settings(state=self.directory, indexes=(mirror,))

    def setUp(self) -> None:
        super().setUp()
        self.options: dict[str, dict[str, Any]] = {"alice/dev": {}, "alice/over": {"bases": ["alice/dev", "root/pypi"]}}
        self.mirror_options: dict[str, Any] = {}
        self.listed_by_upstream({*UPSTREAM}, None)
        for name in self.options:
            self.configure(name, ("volatile", True))
        self.mirror(("acl_read", [":ANONYMOUS:"]))
        self.upload("alice/dev", OWN[0], False)
        made = self.send("POST", "/alice/+token-create", {}, **self.as_("alice")).json()["result"]
        self.token = str(made["id"])
        self.proofs: tuple[dict[str, str], ...] = ({}, ALICE, BOB, bearer(made["token"]))
        self.targets = {
            f"/{index}/+simple/{project}/": None
            for index in ("root/pypi", "alice/up", *INDEXES)
            for project in ("demo", "own")
        }
        for target in list(self.targets):
            answer = self.get(target, accept=JSON)
            for file in answer.json()["files"] if answer.code == 200 else []:
                self.targets[file["url"]] = None
                self.get(file["url"])
        self.serial = 0

    def listed_by_upstream(self, files: set[tuple[str, bytes]], yanked: str | None) -> None:
        """What the upstream has from now on."""
        every = [*sorted(files), (WHEEL.name, WHEEL.content)]
        self.up.pages["/simple/demo/"] = page_of(
            "demo", *[file_of(name, content, yanked=yanked or False) for name, content in every]
        )
        for name, content in every:
            self.up.files[f"/packages/{name}"] = content

    # -- what happens ----------------------------------------------------------------------------------------------

    def upload(self, index: str, file: tuple[str, bytes, str], yanked: bool | str) -> None:
        """Have a file, or have it yanked."""
        if index in self.house.state.specs:
            self.have(index, file[0], file[1], version=file[2], yanked=yanked)

    def private(self, index: str, file: tuple[str, bytes]) -> None:
        """A private file of a project that the upstream has as well."""
        if index in self.house.state.specs:
            self.have(index, file[0], b"private " + file[1])

    def delete(self, index: str, what: str) -> None:
        """Delete a project or a version, if that is allowed."""
        self.send("DELETE", f"/{index}/{what}", **ALICE)

    def configure(self, index: str, one: tuple[str, Any]) -> None:
        """Change an option of a stage, or make it again."""
        self.options[index][one[0]] = one[1]
        spec = StageSpec.from_options(index, self.options[index])
        self.record(IndexSaved(name=index, options=spec.stored()))

    def mirror(self, one: tuple[str, Any]) -> None:
        """Change an option of a mirror."""
        self.mirror_options[one[0]] = one[1]
        options = {"type": "mirror", "mirror_url": UP, **self.mirror_options}
        self.record(IndexSaved(name="alice/up", options=options))

    def gone(self, index: str) -> None:
        """Delete an index."""
        if index in self.house.state.specs:
            self.record(IndexGone(name=index))

    def listed(self, files: Any, yanked: str | None) -> None:  # type: ignore[override]  # not the question of the case
        """The upstream changes its page."""
        self.listed_by_upstream(set(files), yanked)

    def refresh(self, index: str) -> None:
        """Somebody wants the upstream to be asked."""
        pending = self.sending("POST", f"/{index}/+simple/demo/refresh", **ALICE)
        self.advance(1)  # it may be asked once per second
        pending.answer()

    def pass_time(self, seconds: int) -> None:
        """Time passes."""
        self.advance(seconds)

    def password(self, new: str) -> None:
        """Somebody has another password."""
        self.send("PATCH", "/alice", {"password": new}, **bearer(self.token))
        self.send("PATCH", "/alice", {"password": new}, **ALICE)

    def token_gone(self) -> None:
        """A token is withdrawn."""
        if self.token in self.house.state.tokens:
            self.record(TokenGone(id=self.token))

    # -- what is told ----------------------------------------------------------------------------------------------

    def told(self, *accepts: str) -> dict[tuple[str, int, str], Raw]:
        """What everybody is told of everything."""
        found = {}
        for target in self.targets:
            for number, proof in enumerate(self.proofs):
                for accept in accepts:
                    answer = Raw.ask(self, target, accept=accept, **proof)
                    answer.headers.pop("date")
                    found[target, number, accept] = answer
        return found


class Anew(HouseCase):
    """A daemon that was started just now, in front of the same upstream; it has no fast lane."""

    told: Callable[..., dict[tuple[str, int, str], Raw]] = House.told

    def follow(self, before: House) -> None:
        """Start with what another one has on disk."""
        self.directory = Path(tempfile.mkdtemp(prefix="pypicache-test-"))
        shutil.copytree(before.directory, self.directory, dirs_exist_ok=True)
        self.clock, self.up, self.targets, self.proofs = before.clock, before.up, before.targets, before.proofs
        self.start()
        self.house = evolve(self.house, lane=None)  # type: ignore[arg-type]  # a site goes without

    def settings(self) -> Settings:
        return Settings(state=self.directory, indexes=(MirrorSpec.from_options("root/pypi", {"mirror_url": UP}),))


class ChangeTests(SynchronousTestCase):
    """Any sequence of changes, with everything asked for in between."""

    @settings(max_examples=12, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEPS, min_size=1, max_size=6))
    def test_any_changes(self, steps: list[tuple[Any, ...]]) -> None:
        """The lane and the pages that are ready say what a new daemon says."""
        case = House("setUp")
        case.setUp()
        try:
            case.told(JSON)
            for name, *arguments in steps:
                getattr(case, name)(*arguments)
                case.told(JSON)
            told = case.told(JSON, "text/html")
            anew = Anew("follow")
            anew.follow(case)
            try:
                expected = anew.told(JSON, "text/html")
            finally:
                anew.stop()
                shutil.rmtree(anew.directory)
            for question, answer in expected.items():
                self.assertEqual(told[question], answer, question)
        finally:
            case.tearDown()
            shutil.rmtree(case.directory)
