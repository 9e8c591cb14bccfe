"""Who may read an index: ``acl_read``, ``conceal``, and what may be kept of the answers."""

from __future__ import annotations

from hashlib import sha256

from tests.ring_one.accounts import AccountsCase, basic
from tests.ring_one.house import PIP, UP, file_of, page_of

CONTENT = b"PK secret"
DIGEST = sha256(CONTENT).hexdigest()
NAME = "demo-1.0.tar.gz"


class ReadingCase(AccountsCase):
    """A private mirror ``alice/up`` of ``demo``, and a concealed one, ``alice/dark``."""

    def setUp(self) -> None:
        super().setUp()
        self.up.pages["/simple/demo/"] = page_of("demo", file_of(NAME, CONTENT))
        self.up.pages["/simple/"] = {"meta": {"api-version": "1.0"}, "projects": [{"name": "demo"}]}
        self.up.files[f"/packages/{NAME}"] = CONTENT
        self.index("alice/up", type="mirror", mirror_url=UP, acl_read=["bob"])
        self.index("alice/dark", type="mirror", mirror_url=UP, acl_read=["bob"], conceal=True)
        self.send("PUT", "/carol", {"password": "pw-carol"})

    def places(self, index: str) -> list[str]:
        file = f"+f/{DIGEST[:3]}/{DIGEST[3:16]}/{NAME}"
        below = ("", "/", "/+simple", "/+simple/", "/+simple/demo", "/+simple/demo/", "/demo", "/demo/", f"/{file}",
                 "/+e/somewhere/demo-1.0.tar.gz", f"/packages/source/d/demo/{NAME}", f"/{file}.metadata",
                 "/+simple/unknown/")  # fmt: skip
        return [f"/{index}{place}" for place in below]


class ReadingTests(ReadingCase):
    """Each address, for each kind of client."""

    def test_everywhere_alike(self) -> None:
        """Nobody is asked to log in, somebody else is refused, at each address; those who may are let in."""
        for place in self.places("alice/up"):
            for accept in (PIP, "application/json", "text/html", "*/*"):
                nobody = self.get(place, accept=accept)
                self.assertEqual(nobody.code, 401, place)
                self.assertEqual(nobody.header("www-authenticate"), 'Basic realm="pypicache"')
                self.assertEqual(nobody.header("cache-control"), "no-store")
                self.assertNotIn(b"http", nobody.body)
            self.assertEqual(self.get(place, **basic("alice", "wrong")).code, 401, place)
            self.assertEqual(self.get(place, **basic("carol", "pw-carol")).code, 403, place)
            for user in ("alice", "bob"):
                allowed = self.get(place, accept=PIP, **basic(user, f"pw-{user}")).code
                self.assertIn(allowed, {200, 302, 404}, place)
        self.assertEqual(self.get("/alice/up/+simple/demo/refresh", "POST").code, 401)

    def test_what_is_read(self) -> None:
        """Page and file come through; root reads everything."""
        for headers in (basic("bob", "pw-bob"), basic("root", "")):
            page = self.get("/alice/up/+simple/demo/", accept=PIP, **headers)
            self.assertEqual([file["filename"] for file in page.json()["files"]], [NAME])
            self.assertEqual(self.get(self.places("alice/up")[8], **headers).body, CONTENT)

    def test_the_client_of_devpi(self) -> None:
        """It is answered 403, which it takes for a hint to log in."""
        agent = {"user_agent": "devpi-client/7.2.0 (py3.11; linux)", "accept": "application/json"}
        self.assertEqual(self.get("/alice/up", **agent).code, 403)
        self.assertEqual(self.get("/alice/up/+api", **agent).code, 200)

    def test_concealed_is_as_if_it_were_not_there(self) -> None:
        """The answers are those for an index that does not exist, except for those who may read."""
        for place in [*self.places("alice/dark"), "/alice/dark/+api"]:
            for headers in ({}, basic("carol", "pw-carol")):
                hidden = self.get(place, accept="application/json", **headers)
                missing = self.get(place.replace("dark", "none"), accept="application/json", **headers)
                self.assertEqual((hidden.code, missing.code), (404, 404), place)
                self.assertEqual(hidden.body.replace(b"dark", b"none"), missing.body)
                self.assertIsNone(hidden.header("www-authenticate"))
        page = self.get("/alice/dark/+simple/demo/", accept=PIP, **basic("bob", "pw-bob"))
        self.assertEqual(page.code, 200)
        self.assertEqual(self.get("/alice/dark/+api", **basic("bob", "pw-bob")).code, 200)

    def test_nobody_writes_where_they_cannot_read(self) -> None:
        """A tox result is for whoever sees the file; and a concealed stage is not told of by any refusal."""
        self.index("alice/dim", acl_read=["bob"])
        self.index("alice/night", acl_read=["bob"], conceal=True)
        for method, below in (("POST", ""), ("POST", self.places("")[8].removeprefix("/")), ("DELETE", "/demo")):
            kind = "application/json" if below else "multipart/form-data; boundary=x"
            refused = self.send(method, f"/alice/dim{below}", {}, content_type=kind, **basic("carol", "pw-carol"))
            self.assertEqual(refused.code, 403, below)
            codes = [
                self.send(method, f"/alice/{name}{below}", {}, content_type=kind).code for name in ("night", "none")
            ]
            self.assertEqual(codes, [404, 404], below)
        for method in ("PUT", "PATCH", "DELETE"):
            codes = [self.send(method, f"/alice/{name}", {}).code for name in ("night", "other")]
            self.assertEqual(codes, [403, 403], method)

    def test_lists_show_what_can_be_read(self) -> None:
        """The lists of users and indexes, the first page, and the status."""
        self.index("alice/open")
        for place in ("/", "/alice", "/+status"):
            for user, seen in (("", False), ("carol", False), ("bob", True), ("alice", True)):
                headers = basic(user, f"pw-{user}") if user else {}
                for accept in ("application/json", "text/html"):
                    answer = self.get(place, accept=accept, **headers)
                    for index in ("up", "dark"):
                        name = f"alice/{index}" if place != "/alice" and accept == "text/html" else f'"{index}"'
                        name = f'"alice/{index}"' if place == "/+status" and accept != "text/html" else name
                        self.assertEqual(name in answer.body.decode(), seen, (place, user, accept))
                self.assertEqual(answer.header("cache-control"), "private, no-cache")

    def test_what_may_be_kept(self) -> None:
        """Only by the client itself, and pages are asked for each time."""
        bob = basic("bob", "pw-bob")
        page = self.get("/alice/up/+simple/demo/", accept=PIP, **bob)
        self.assertEqual(page.header("cache-control"), "private, no-cache")
        again = self.get("/alice/up/+simple/demo/", accept=PIP, if_none_match=page.header("etag") or "", **bob)
        self.assertEqual((again.code, again.header("cache-control")), (304, "private, no-cache"))
        for place in ("/alice/up/+simple/", "/alice/up"):
            listed = self.get(place, accept=PIP, **bob)
            self.assertEqual((listed.code, listed.header("cache-control")), (200, "private, no-cache"))
        file = self.get(self.places("alice/up")[8], **bob)
        self.assertEqual((file.code, file.header("cache-control")), (200, "max-age=365000000, immutable, private"))
        self.assertEqual(self.get("/+api").header("cache-control"), "private, no-cache")

    def test_a_base_that_is_private(self) -> None:
        """What is on top of it is private as well, whoever made it; nothing says what is below."""
        self.index("carol/top", bases=["alice/dark"])
        for place, accept in (("/carol/top/+simple/demo/", PIP), ("/carol/top", "application/json")):
            self.assertEqual(self.get(place, accept=accept).code, 401, place)
            refused = self.get(place, accept=accept, **basic("carol", "pw-carol"))
            self.assertEqual(refused.code, 403, place)
            self.assertNotIn(b"dark", refused.body)
            self.assertEqual(self.get(place, accept=accept, **basic("bob", "pw-bob")).code, 200, place)

    def test_the_list_is_followed_at_once(self) -> None:
        """Opening and closing an index takes effect with the next request, also for pages that are ready."""
        read = {"accept": PIP}
        self.assertEqual(self.get("/alice/up/+simple/demo/", **read).code, 401)
        self.index("alice/up", type="mirror", mirror_url=UP, acl_read=[":ANONYMOUS:"])
        self.assertEqual(self.get("/alice/up/+simple/demo/", **read).code, 200)
        self.index("alice/up", type="mirror", mirror_url=UP, acl_read=[":AUTHENTICATED:"])
        self.assertEqual(self.get("/alice/up/+simple/demo/", **read).code, 401)
        self.assertEqual(self.get("/alice/up/+simple/demo/", **read, **basic("carol", "pw-carol")).code, 200)


class AuthcheckTests(ReadingCase):
    """``GET /+authcheck``."""

    def test_it_judges_the_other_address(self) -> None:
        """200, 401 or 403, as nginx understands them."""
        file = self.places("alice/up")[8]
        for path, nobody, bob in (
            ("/+api", 200, 200),
            ("/alice/up/+api", 200, 200),
            ("/+login", 200, 200),
            ("/+static/style.css", 200, 200),
            ("/root/pypi/+simple/demo/", 200, 200),
            ("/alice/up/+simple/demo/?a=b", 401, 200),
            (file, 401, 200),
            ("/a/b/c/d/e/f/g/h", 403, 403),
            ("/none/such", 200, 200),
        ):
            self.assertEqual(self.get("/+authcheck", x_original_uri=path).code, nobody, path)
            self.assertEqual(self.get("/+authcheck", x_original_uri=path, **basic("bob", "pw-bob")).code, bob, path)
        carol = basic("carol", "pw-carol")
        self.assertEqual(self.get("/+authcheck", x_original_uri=file, **carol).code, 403)
        dark = self.places("alice/dark")[8]
        self.assertEqual(self.get("/+authcheck", x_original_uri=dark).code, 401)
        self.assertEqual(self.get("/+authcheck", x_original_uri=file, user_agent="devpi-client/7").code, 403)
