"""Projects and versions as JSON, and their deletion (contract devpi 8 and 11)."""

from __future__ import annotations

from tests.ring_one.stages import ALICE, BOB, StagesCase

ROOT = "http://cache.example"


class ProjectTests(StagesCase):
    def test_a_version(self) -> None:
        path = self.have("alice/dev", "own-1.0.tar.gz", b"own", project="own")
        tox = self.have(
            "alice/dev", "own-1.0.tar.gz.toxresult-20240506070809-0", b"{}", project="own", kind="toxresult", of=path
        )
        answer = self.send("GET", "/alice/dev/Own")
        self.assertEqual((answer.code, answer.json()["type"]), (200, "projectconfig"))
        (version,) = answer.json()["result"].items()
        self.assertEqual(version[0], "1.0")
        links = version[1].pop("+links")
        self.assertEqual(version[1], {"name": "own", "version": "1.0", "summary": "of alice/dev"})
        digest = links[0]["hashes"]["sha256"]
        log = [{"what": "upload", "who": "alice", "when": [2024, 5, 6, 7, 8, 9], "dst": "alice/dev"}]
        self.assertEqual(
            links[0],
            {
                "rel": "releasefile", "href": f"{ROOT}/alice/dev/{path}", "hash_spec": f"sha256={digest}",
                "hashes": {"sha256": digest}, "log": log,
            },
        )  # fmt: skip
        self.assertEqual(
            (links[1]["rel"], links[1]["href"], links[1]["for_href"]),
            ("toxresult", f"{ROOT}/alice/dev/{tox}", links[0]["href"]),
        )
        one = self.send("GET", "/alice/dev/own/1.0/").json()
        self.assertEqual((one["type"], one["result"]["+links"]), ("versiondata", links))
        self.assertEqual(self.get(f"/alice/dev/{tox}").body, b"{}")

    def test_addresses_are_those_under_which_the_client_sees_us(self) -> None:
        self.have("alice/dev", "own-1.0+local.tar.gz", b"own", version="1.0+local")
        data = self.send("GET", "/alice/dev/own/1.0+local", x_outside_url="https://front.example/devpi").json()
        href = data["result"]["+links"][0]["href"]
        self.assertTrue(href.startswith("https://front.example/devpi/alice/dev/+f/"), href)
        self.assertTrue(href.endswith("/own-1.0+local.tar.gz"), href)
        self.have("alice/dev", "own-1!2.0.tar.gz", b"own", version="1!2.0")
        data = self.send("GET", "/alice/dev/own/1!2.0").json()
        self.assertTrue(data["result"]["+links"][0]["href"].endswith("/own-1!2.0.tar.gz"), data)

    def test_a_version_of_a_mirror(self) -> None:
        self.up.pages["/simple/demo/"]["files"][0] |= {"requires-python": ">=3.8", "yanked": "bad"}  # type: ignore[index]
        data = self.send("GET", "/root/pypi/demo").json()["result"]
        links = data["1.0"].pop("+links")
        self.assertEqual(data, {"1.0": {"name": "demo", "version": "1.0", "requires_python": ">=3.8", "yanked": "bad"}})
        self.assertEqual(list(links[0]), ["rel", "href", "hash_spec", "hashes"])
        self.assertEqual(self.get(links[0]["href"].removeprefix(ROOT)).body, b"from upstream")

    def test_bases(self) -> None:
        """Versions below are shown, equal ones as shadowed; ``ignore_bases`` leaves both out."""
        self.make("bob/low", mirror_whitelist="*")
        self.send("PATCH", "/alice/dev", {"bases": "bob/low,root/pypi", "mirror_whitelist": "demo"}, **ALICE)
        self.have("alice/dev", "demo-1.0.tar.gz", b"mine")
        self.have("bob/low", "demo-2.0.tar.gz", b"his", version="2.0")
        data = self.send("GET", "/alice/dev/demo").json()["result"]
        self.assertEqual(set(data), {"1.0", "2.0"})
        self.assertEqual(data["2.0"]["summary"], "of bob/low")
        (shadowed,) = data["1.0"]["+shadowing"]
        self.assertTrue(shadowed["+links"][0]["href"].startswith(f"{ROOT}/root/pypi/+f/"))
        own = self.send("GET", "/alice/dev/demo/?ignore_bases=").json()["result"]
        self.assertEqual(list(own), ["1.0"])
        self.assertNotIn("+shadowing", own["1.0"])

    def test_a_project_that_only_a_base_has(self) -> None:
        self.assertEqual(self.send("GET", "/alice/dev/demo?ignore_bases").json()["result"], {})

    def test_what_does_not_exist(self) -> None:
        self.have("alice/dev", "own-1.0.tar.gz", b"own")
        for sentence, path in (
            ("no project 'no-pe'", "/alice/dev/No.Pe"),
            ("no project 'nope'", "/root/pypi/nope"),
            ("The version 9 of project own does not exist.", "/alice/dev/own/9"),
            ("The version 9 of project nope does not exist.", "/alice/dev/nope/9"),
        ):
            answer = self.send("GET", path)
            self.assertEqual((answer.code, answer.json()["message"]), (404, sentence))
        self.up.status = 500
        self.assertEqual(self.send("GET", "/alice/dev/unasked").code, 503)

    def test_installers_and_browsers_are_given_pages(self) -> None:
        for named in ({"user_agent": "pip/24.0", "accept": "application/json, text/html"}, {"accept": "text/html"}):
            answer = self.get("/alice/dev/demo/", **named)
            self.assertIn("demo-1.0.tar.gz</a>", answer.body.decode())

    def test_file(self) -> None:
        path = self.have("alice/dev", "own-1.0.tar.gz", b"own")
        digest = self.send("GET", "/alice/dev/own/1.0").json()["result"]["+links"][0]["hashes"]["sha256"]
        self.assertEqual(
            self.send("GET", f"/alice/dev/{path}").json(),
            {
                "type": "releasefilemeta",
                "result": {
                    "last_modified": "Mon, 06 May 2024 07:08:09 GMT", "hash_spec": f"sha256={digest}",
                    "hashes": {"sha256": digest}, "project": "own", "version": "1.0",
                },
            },
        )  # fmt: skip
        url = self.listed("root/pypi", "demo")["demo-1.0.tar.gz"]
        described = self.send("GET", url).json()["result"]
        self.assertEqual(
            (described["project"], described["version"], described["url"]),
            ("demo", "1.0", "http://files.example/packages/demo-1.0.tar.gz"),
        )
        self.assertEqual(self.send("GET", "/alice/dev/+f/abc/0123456789abc/no-1.0.zip").code, 404)


class DeleteTests(StagesCase):
    def setUp(self) -> None:
        super().setUp()
        self.one = self.have("alice/dev", "own-1.0.tar.gz", b"one")
        self.zip = self.have("alice/dev", "own-1.0.zip", b"zip")
        self.two = self.have("alice/dev", "own-2.0.tar.gz", b"two", version="2.0")

    def versions(self) -> list[str]:
        return sorted(self.send("GET", "/alice/dev/own?ignore_bases").json()["result"])

    def test_project(self) -> None:
        answer = self.send("DELETE", "/alice/dev/Own", **ALICE)
        self.assertEqual((answer.code, answer.json()), (200, {"message": "project Own deleted from stage alice/dev"}))
        self.assertEqual(self.send("GET", "/alice/dev").json()["result"]["projects"], [])
        for path in (self.one, self.zip, self.two):
            self.assertEqual((self.get(f"/alice/dev/{path}").code, self.held("alice/dev", path)), (410, False))
        self.assertEqual(self.simple("alice/dev", "own").code, 404)
        answer = self.send("DELETE", "/alice/dev/own", **ALICE)
        self.assertEqual((answer.code, answer.json()["message"]), (404, "project not found"))

    def test_version(self) -> None:
        answer = self.send("DELETE", "/alice/dev/own/1.0", **ALICE)
        self.assertEqual((answer.code, answer.json()), (200, {"message": "project 'own' version '1.0' deleted"}))
        self.assertEqual(self.versions(), ["2.0"])
        self.assertEqual(list(self.listed("alice/dev", "own")), ["own-2.0.tar.gz"])
        self.assertEqual((self.get(f"/alice/dev/{self.one}").code, self.held("alice/dev", self.zip)), (410, False))
        self.assertTrue(self.held("alice/dev", self.two))
        self.assertEqual(self.send("DELETE", "/alice/dev/own/1.0", **ALICE).code, 404)
        self.assertEqual(self.send("DELETE", "/alice/dev/own/2.0", **ALICE).code, 200)
        self.assertEqual(self.send("GET", "/alice/dev/own").code, 404)

    def test_file(self) -> None:
        """Its tox results go with it; with the last file the version goes, with the last version the project."""
        tox = self.have("alice/dev", "own-1.0.zip.toxresult-1-0", b"{}", project="own", kind="toxresult", of=self.zip)
        answer = self.send("DELETE", f"/alice/dev/{self.zip}", **ALICE)
        self.assertEqual((answer.code, answer.json()), (200, {"message": f"package 'alice/dev/{self.zip}' deleted"}))
        self.assertEqual((self.get(f"/alice/dev/{self.zip}").code, self.get(f"/alice/dev/{tox}").code), (410, 410))
        self.assertEqual((self.held("alice/dev", self.zip), self.held("alice/dev", tox)), (False, False))
        self.assertEqual(self.versions(), ["1.0", "2.0"])
        self.assertEqual(self.send("DELETE", f"/alice/dev/{self.zip}", **ALICE).code, 410)
        self.assertEqual(self.send("DELETE", f"/alice/dev/{self.one}", **ALICE).code, 200)
        self.assertEqual(self.versions(), ["2.0"])
        self.assertEqual(self.send("DELETE", f"/alice/dev/{self.two}", **ALICE).code, 200)
        self.assertEqual(self.send("GET", "/alice/dev/own").code, 404)
        self.assertEqual(self.send("DELETE", "/alice/dev/+f/abc/0123456789abc/no-1.0.zip", **ALICE).code, 404)

    def test_the_same_path_comes_back(self) -> None:
        self.send("DELETE", f"/alice/dev/{self.one}", **ALICE)
        self.assertEqual(self.have("alice/dev", "own-1.0.tar.gz", b"one"), self.one)
        self.assertEqual(self.get(f"/alice/dev/{self.one}").body, b"one")

    def test_the_same_bytes_elsewhere_stay(self) -> None:
        self.make("bob/low")
        self.assertEqual(self.have("bob/low", "own-1.0.tar.gz", b"one"), self.one)
        self.send("DELETE", "/alice/dev/own", **ALICE)
        self.assertEqual(self.get(f"/bob/low/{self.one}").body, b"one")

    def test_core_metadata_goes_with_its_wheel(self) -> None:
        path = self.have("alice/dev", "own-3.0-py3-none-any.whl", b"wheel", version="3.0", core_metadata="0" * 64)
        beside = self.house.shelf.path(f"alice/dev/{path}.metadata")
        beside.write_bytes(b"Name: own")
        self.assertEqual(self.get(f"/alice/dev/{path}.metadata").body, b"Name: own")
        self.send("DELETE", f"/alice/dev/{path}", **ALICE)
        self.assertFalse(beside.exists())

    def test_not_volatile(self) -> None:
        self.send("PATCH", "/alice/dev", ["volatile=false"], **ALICE)
        for path in ("own", "own/1.0", self.two):
            self.assertEqual(self.send("DELETE", f"/alice/dev/{path}", **ALICE).code, 403, path)
        self.assertEqual(self.versions(), ["1.0", "2.0"])
        for path in (self.two, "own/1.0?force", "own"):
            query = "" if "?" in path else "?force="
            code = 404 if path == "own" else 200
            self.assertEqual(self.send("DELETE", f"/alice/dev/{path}{query}", **ALICE).code, code, path)

    def test_who_may(self) -> None:
        for path in ("own", "own/1.0", self.two):
            for who in (BOB, {}):
                self.assertEqual(self.send("DELETE", f"/alice/dev/{path}", **who).code, 403, path)
        self.send("PATCH", "/alice/dev", ["acl_upload=bob"], **ALICE)
        self.assertEqual(self.send("DELETE", "/alice/dev/own/1.0", **BOB).code, 200)
        self.assertEqual(self.send("DELETE", "/alice/dev/own/2.0", **ALICE).code, 200)

    def test_pages_change_with_it(self) -> None:
        before = self.simple("alice/dev", "own")
        self.send("DELETE", f"/alice/dev/{self.two}", **ALICE)
        after = self.simple("alice/dev", "own", if_none_match=before.header("etag") or "")
        self.assertEqual(after.code, 200)
        self.assertEqual(after.json()["versions"], ["1.0"])


class MirrorTests(StagesCase):
    """What a mirror holds goes, and can be had again."""

    def setUp(self) -> None:
        super().setUp()
        self.make("alice/m", type="mirror", mirror_url="http://up.example/simple/")
        self.mirrored("demo", "demo-1.0.tar.gz", b"from upstream", "demo-2.0.tar.gz", b"second")
        self.urls = self.listed("alice/m", "demo")
        for url in self.urls.values():
            self.assertEqual(self.get(url).code, 200)
        self.settle()

    def kept(self) -> list[str]:
        return sorted(name for name, url in self.urls.items() if self.house.shelf.holds(url[1:]))

    def test_file(self) -> None:
        url = self.urls["demo-1.0.tar.gz"]
        self.assertEqual(self.send("DELETE", url, **ALICE).code, 200)
        self.assertEqual(self.kept(), ["demo-2.0.tar.gz"])
        self.assertEqual(self.send("DELETE", url, **ALICE).code, 404)
        self.assertEqual(self.get(url).body, b"from upstream")

    def test_version(self) -> None:
        self.assertEqual(self.send("DELETE", "/alice/m/demo/2.0", **ALICE).code, 200)
        self.assertEqual(self.kept(), ["demo-1.0.tar.gz"])
        self.assertEqual(self.send("DELETE", "/alice/m/demo/3.0", **ALICE).code, 404)

    def test_project(self) -> None:
        asked = self.up.asked("/simple/demo/")
        self.assertEqual(self.send("DELETE", "/alice/m/demo", **ALICE).code, 200)
        self.assertEqual(self.kept(), [])
        self.assertEqual(self.send("DELETE", "/alice/m/demo", **ALICE).code, 404)
        self.listed("alice/m", "demo")
        self.assertEqual(self.up.asked("/simple/demo/"), asked + 1)

    def test_who_may(self) -> None:
        self.assertEqual(self.send("DELETE", "/alice/m/demo", **BOB).code, 403)
        self.send("PATCH", "/alice/m", ["volatile=no"], **ALICE)
        for path in ("/alice/m/demo", "/alice/m/demo/1.0", self.urls["demo-1.0.tar.gz"]):
            self.assertEqual(self.send("DELETE", path, **ALICE).code, 403, path)
        self.assertEqual(self.send("DELETE", "/alice/m/demo?force", **ALICE).code, 200)
