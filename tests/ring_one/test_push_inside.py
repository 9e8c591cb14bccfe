"""Pushing a release to another index of the same server (contract devpi 13.1)."""

from __future__ import annotations

import json
from typing import Any

from tests.ring_one.house import Answer
from tests.ring_one.shelved import UPLOADED, ShelvedCase

DEV, PROD = "alice/dev", "alice/prod"


class PushTests(ShelvedCase):
    """``PUSH /user/index`` with ``targetindex``."""

    def setUp(self) -> None:
        super().setUp()
        self.stage(DEV)
        self.stage(PROD, volatile=False)
        self.release(DEV, "golden.pkg", "1.0", summary="A golden", classifiers=["a", "b"])

    def fill(self) -> None:
        """A release with everything."""
        self.sdist = self.file(DEV, "golden-pkg", "1.0", "golden_pkg-1.0.tar.gz", b"sdist")
        self.wheel = self.file(
            DEV, "golden-pkg", "1.0", "golden_pkg-1.0-py3-none-any.whl", b"wheel", core_metadata="c" * 64,
            requires_python=">=3.8", yanked="broken",
        )  # fmt: skip
        self.keep(f"{DEV}/{self.wheel.path}.metadata", b"Metadata-Version: 2.1")
        self.docs = self.file(DEV, "golden-pkg", "1.0", "golden-pkg-1.0.doc.zip", b"docs", kind="doczip")
        self.result = self.file(
            DEV, "golden-pkg", "1.0", "golden_pkg-1.0.tar.gz.toxresult-20261120100547-0", b"{}", kind="toxresult",
            directory=self.sdist.path.rpartition("/")[0], of=self.sdist.path,
        )  # fmt: skip

    def push(self, method: str = "PUSH", path: str = f"/{DEV}", **order: Any) -> Answer:
        """Push."""
        usual = {"name": "golden.pkg", "version": "1.0", "targetindex": PROD}
        return self.send(method, path, {key: value for key, value in (usual | order).items() if value is not None})

    def test_everything(self) -> None:
        """Metadata, bytes, core metadata, tox results and documentation arrive; the answer says what was done."""
        self.fill()
        serial = self.house.ledger.serial
        answer = self.push()
        assert answer.code == 200, answer
        assert answer.header("content-type") == "application/json"
        assert answer.json() == {
            "type": "actionlog",
            "result": [
                [200, "register", "golden.pkg", "1.0", "->", PROD],
                [200, "store_releasefile", f"{PROD}/{self.wheel.path}"],
                [200, "store_releasefile", f"{PROD}/{self.sdist.path}"],
                [200, "store_toxresult", f"{PROD}/{self.result.path}"],
                [200, "store_doczip", "golden.pkg", "1.0", "->", PROD],
            ],
        }
        assert self.house.ledger.serial == serial + 1
        assert self.versions(PROD, "golden-pkg") == self.versions(DEV, "golden-pkg")
        there = self.stored(PROD, "golden-pkg")
        assert set(there) == set(self.stored(DEV, "golden-pkg"))
        for name, content in [(self.sdist.name, b"sdist"), (self.docs.name, b"docs"), (self.result.name, b"{}")]:
            assert self.on_shelf(f"{PROD}/{there[name].path}") == content
        wheel = there[self.wheel.name]
        assert self.on_shelf(f"{PROD}/{wheel.path}.metadata") == b"Metadata-Version: 2.1"
        assert (wheel.core_metadata, wheel.requires_python, wheel.yanked) == ("c" * 64, ">=3.8", "broken")
        assert (wheel.hashes, wheel.uploaded) == (self.wheel.hashes, self.wheel.uploaded)
        assert there[self.result.name].of == there[self.sdist.name].path
        page = self.get(f"/{PROD}/+simple/golden-pkg/", accept="application/vnd.pypi.simple.v1+json").json()
        assert {file["filename"] for file in page["files"]} == {self.sdist.name, self.wheel.name}
        assert self.get(f"/{PROD}/{self.sdist.path}").body == b"sdist"

    def test_the_same_bytes_take_room_once(self) -> None:
        """The files of both indexes are one file with two names."""
        self.fill()
        self.push()
        names = [self.house.shelf.path(f"{index}/{self.sdist.path}") for index in (DEV, PROD)]
        assert names[0].samefile(names[1])

    def test_the_log_says_where_it_came_from(self) -> None:
        """What is pushed on keeps its history."""
        self.fill()
        self.push()
        log = self.stored(PROD, "golden-pkg")[self.sdist.name].log
        assert log == [
            UPLOADED,
            {"what": "push", "who": None, "when": [2023, 11, 14, 22, 13, 20], "src": DEV, "dst": PROD},
        ]

    def test_both_spellings_of_the_address(self) -> None:
        """With a slash at the end and without, by PUSH and by POST with JSON."""
        self.fill()
        self.stage(PROD, volatile=True)
        for method in ("PUSH", "POST"):
            for path in (f"/{DEV}", f"/{DEV}/"):
                assert self.push(method, path).code == 200, (method, path)

    def test_json_that_is_called_a_form(self) -> None:
        """As curl and others call everything that is posted; also by somebody who may not upload to the source."""
        self.fill()
        body = json.dumps({"name": "golden.pkg", "version": "1.0", "targetindex": PROD}).encode()
        answer = self.send("POST", f"/{DEV}", b" " + body, content_type="application/x-www-form-urlencoded")
        assert answer.code == 200, answer
        assert set(self.stored(PROD, "golden-pkg")) == set(self.stored(DEV, "golden-pkg"))
        form = {"content_type": "application/x-www-form-urlencoded", "accept": "*/*"}
        assert self.send("POST", f"/{DEV}", body, **form).json()["message"].endswith("in non-volatile index")

    def test_a_name_in_any_spelling(self) -> None:
        """The project is found by its normalised name; the answer has the one that was registered."""
        self.fill()
        answer = self.push(name="Golden_Pkg")
        assert answer.json()["result"][0] == [200, "register", "golden.pkg", "1.0", "->", PROD]

    def test_without_documentation(self) -> None:
        """``no_docs`` and ``only_docs``."""
        self.fill()
        done = [action[1] for action in self.push(no_docs=True).json()["result"]]
        assert done == ["register", "store_releasefile", "store_releasefile", "store_toxresult"]
        done = [action[1] for action in self.push(only_docs=True).json()["result"]]
        assert done == ["register", "store_doczip"]

    def test_both_are_refused(self) -> None:
        """Nothing would be left."""
        self.fill()
        assert self.push(no_docs=True, only_docs=True).code == 400

    # -- what is there already -------------------------------------------------------------------------------------

    def test_a_file_that_is_there_is_kept(self) -> None:
        """On a non-volatile index, also an identical one; and nothing else of the release arrives either."""
        self.fill()
        self.file(PROD, "golden-pkg", "1.0", self.sdist.name, b"sdist")
        serial = self.house.ledger.serial
        answer = self.push()
        assert answer.code == 409
        assert answer.json() == {"message": f"{self.sdist.name} already exists in non-volatile index"}
        assert self.house.ledger.serial == serial
        assert set(self.stored(PROD, "golden-pkg")) == {self.sdist.name}
        assert not self.house.shelf.holds(f"{PROD}/{self.wheel.path}")
        assert self.versions(PROD, "golden-pkg") == {}

    def test_a_volatile_index_lets_it_make_way(self) -> None:
        """The old file goes with its results, and the log counts."""
        self.fill()
        self.stage(PROD, volatile=True)
        old = self.file(PROD, "golden-pkg", "1.0", self.sdist.name, b"older")
        result = self.file(
            PROD, "golden-pkg", "1.0", f"{self.sdist.name}.toxresult-1-0", b"{}", kind="toxresult", of=old.path,
            directory=old.path.rpartition("/")[0],
        )  # fmt: skip
        assert self.push().code == 200
        there = self.stored(PROD, "golden-pkg")
        assert result.name not in there
        assert self.on_shelf(f"{PROD}/{there[self.sdist.name].path}") == b"sdist"
        first = there[self.sdist.name].log[0]
        assert (first["what"], first["who"], first["count"]) == ("overwrite", None, 1)
        assert self.get(f"/{PROD}/{old.path}").code == 410
        assert not self.house.shelf.holds(f"{PROD}/{old.path}")
        assert self.push().code == 200
        assert self.stored(PROD, "golden-pkg")[self.sdist.name].log[0]["count"] == 2

    def test_pushing_on(self) -> None:
        """To a third index; the notes about replacing stay where they belong."""
        self.fill()
        self.stage(PROD, volatile=True)
        self.push()
        self.push()
        self.stage("alice/third")
        answer = self.send("PUSH", f"/{PROD}", {"name": "golden.pkg", "version": "1.0", "targetindex": "alice/third"})
        assert answer.code == 200
        log = self.stored("alice/third", "golden-pkg")[self.sdist.name].log
        assert [(item["what"], item.get("src")) for item in log] == [("upload", None), ("push", DEV), ("push", PROD)]

    # -- refusals --------------------------------------------------------------------------------------------------

    def test_a_version_that_is_not_registered(self) -> None:
        """Here; what bases have does not count."""
        self.fill()
        self.stage("alice/above", bases=[DEV])
        cases: list[tuple[str, dict[str, Any]]] = [
            (f"/{DEV}", {"version": "9"}),
            ("/alice/above", {}),
            (f"/{DEV}", {"name": "other"}),
        ]
        for path, order in cases:
            answer = self.push(path=path, **order)
            name, version = order.get("name", "golden.pkg"), order.get("version", "1.0")
            assert answer.code == 400, answer
            assert answer.json()["message"] == f"there are no files for {name} {version} on stage {path[1:]}"

    def test_a_version_without_files(self) -> None:
        """Registered is not enough."""
        answer = self.push()
        assert answer.code == 404
        assert answer.json()["message"] == "no release/files found for golden.pkg 1.0"

    def test_a_version_without_documentation(self) -> None:
        """Where only that is wanted."""
        self.file(DEV, "golden-pkg", "1.0", "golden_pkg-1.0.tar.gz", b"sdist")
        assert self.push(only_docs=True).code == 404

    def test_what_cannot_be_read(self) -> None:
        """Orders that are none."""
        self.fill()
        assert self.send("PUSH", f"/{DEV}", b"{").json()["message"] == "Bad request: could not decode json"
        nothing: tuple[object, ...] = ([], "text", 1, None)
        for order in nothing:
            assert self.send("PUSH", f"/{DEV}", order).code == 400, order
        without: list[dict[str, Any]] = [{"name": None}, {"version": None}, {"targetindex": None}]
        for missing in without:
            assert self.push(**missing).code == 400, missing
        assert self.push(name="..").code == 400
        answer = self.push(foo=1)
        assert (answer.code, answer.json()["message"]) == (400, "unknown additional options: foo")
        for target in ("prod", "a/b/c", "", 7, "/"):
            answer = self.push(targetindex=target)
            assert (answer.code, answer.json()["message"]) == (400, "targetindex not in format user/index"), target

    def test_an_index_that_is_not_there(self) -> None:
        """To push from, or to push to."""
        self.fill()
        for answer in (self.push(path="/alice/nowhere"), self.push(targetindex="alice/nowhere")):
            assert answer.code == 404
            assert answer.json()["message"] == "The stage alice/nowhere could not be found."

    def test_a_target_that_is_not_ours(self) -> None:
        """401 without a challenge; also where the target is a mirror."""
        self.fill()
        self.stage(PROD, acl_upload=["alice"])
        for target in (PROD, "root/pypi"):
            answer = self.push(targetindex=target)
            assert answer.code == 401
            assert answer.json() == {"message": f"user None cannot upload to {target!r}"}
            assert answer.header("www-authenticate") is None

    def test_a_source_that_may_not_be_read(self) -> None:
        """403, and nothing is said of what it has."""
        self.fill()
        self.stage(DEV, acl_read=["alice"], acl_upload=["alice"])
        for version in ("1.0", "9"):
            answer = self.push(version=version)
            assert (answer.code, answer.json()["message"]) == (403, "package read forbidden")

    def test_a_source_that_is_concealed(self) -> None:
        """It does not exist."""
        self.fill()
        self.stage(DEV, acl_read=["alice"], acl_upload=["alice"], conceal=True)
        assert self.push().code == 404

    def test_bytes_that_are_lost(self) -> None:
        """Nothing is recorded of a file that is not there."""
        self.fill()
        self.house.shelf.remove(f"{DEV}/{self.sdist.path}")
        serial = self.house.ledger.serial
        assert self.push().code == 502
        assert self.house.ledger.serial == serial
