"""Private indexes as installers see them: above a mirror, beside its projects, and closed to strangers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ring_two.devpi import Devpi, person, with_credentials
from tests.ring_two.harness import JSON_TYPE, Daemon, UpstreamProcess, fetch, free_port
from tests.ring_two.test_clients import version_of
from tests.ring_two.tools import Tools
from tests.upstream.dists import build_sdist, build_wheel

pytestmark = pytest.mark.daemon


@pytest.fixture
def admin(tools: Tools, daemon: Daemon, tmp_path: Path) -> Devpi:
    """The owner of ``admin/dev``, which lies above the mirror and does not allow to replace files."""
    devpi = person(tools, daemon, tmp_path / "admin", "admin", "admin")
    devpi("index", "-c", "dev", "bases=root/pypi", "volatile=False")
    devpi("use", "admin/dev")
    return devpi


def listed(daemon: Daemon, index: str, project: str) -> list[str]:
    """The file names on a project's page."""
    page = fetch(f"{daemon.url}/{index}/+simple/{project}/", {"Accept": JSON_TYPE})
    assert page.status == 200, page
    return sorted(each["filename"] for each in page.json()["files"])


def test_from_a_new_server_to_an_index_above_a_mirror(tools: Tools, upstream: UpstreamProcess, tmp_path: Path) -> None:
    """Contract 2, 6, 7: root sets the mirror's upstream and a password; a user's index inherits from the mirror."""
    build_wheel(upstream.root, "demo-app", "1.0", requires=["leaf"])
    build_wheel(upstream.root, "demo-app", "1.1", requires=["leaf"])
    build_sdist(upstream.root, "leaf", "2.0")
    with Daemon(tmp_path / "daemon", f"http://127.0.0.1:{free_port()}/simple/") as daemon:
        devpi = Devpi(tools, tmp_path / "home", daemon.url)
        assert "no current index" in devpi("use", daemon.url)
        assert "logged in 'root'" in devpi("login", "root", "--password=")
        devpi("index", "root/pypi", f"mirror_web_url_fmt={upstream.url}{{name}}/", f"mirror_url={upstream.url}")
        devpi("user", "-m", "root", "password=123")
        devpi("user", "-c", "admin", "password=admin", "email=admin@example.com")
        devpi("login", "admin", "--password=admin")
        assert "admin/pypi" in devpi("index", "-c", "pypi", "bases=root/pypi")
        simple = f"{daemon.url}/admin/pypi/+simple/"
        fresh = ("pip", "--no-cache-dir", "install", "--isolated", "--target", str(tmp_path / "home" / "site"))
        tools.run(tmp_path / "home", *fresh, "-i", simple, "--trusted-host", "127.0.0.1", "demo-app==1.0").ok()
        assert version_of(tmp_path / "home" / "site", "demo_app") == "1.0"
        assert version_of(tmp_path / "home" / "site", "leaf") == "2.0"

        configuration = tmp_path / "pip.conf"
        configuration.write_text(
            f"[global]\nindex-url = {daemon.url}/admin/pypi/\ntrusted-host = 127.0.0.1\nno-cache-dir = true\n"
        )
        again = tmp_path / "again"
        tools.run(
            again, "pip", "install", "--target", str(again / "site"), "demo-app", PIP_CONFIG_FILE=str(configuration)
        ).ok()
        assert version_of(again / "site", "demo_app") == "1.1"
        assert "401" in devpi.refused("login", "root", "--password=")
        devpi("login", "root", "--password=123")


def test_what_clients_made_outlives_the_daemon(
    tools: Tools, upstream: UpstreamProcess, daemon: Daemon, admin: Devpi, tmp_path: Path
) -> None:
    """Users, indexes, files and logins are there after a power cut; installing them needs no upstream."""
    admin("upload", str(build_wheel(tmp_path, "hello", "1.0")))
    before = admin.json("/admin")["result"]
    daemon.kill()
    upstream.stop()
    daemon.start()
    assert admin.json("/admin")["result"] == before
    tools.pip(tmp_path / "home", f"{daemon.url}/admin/dev/+simple/", "hello").ok()
    assert version_of(tmp_path / "home" / "site", "hello") == "1.0"
    admin("upload", str(build_wheel(tmp_path, "hello", "1.1")))


@pytest.mark.parametrize("way", ["pip", "uv"])
def test_a_private_project_hides_the_one_upstream(
    tools: Tools, upstream: UpstreamProcess, daemon: Daemon, admin: Devpi, tmp_path: Path, way: str
) -> None:
    """Contract 17.2: somebody else's release of a private name is neither listed nor fetched, nor asked for."""
    build_wheel(upstream.root, "our-secret", "9.9")
    admin("upload", str(build_wheel(tmp_path, "our-secret", "1.0", requires=["leaf"])))
    build_wheel(upstream.root, "leaf", "2.0")
    install = tools.pip if way == "pip" else tools.uv
    install(tmp_path / "home", f"{daemon.url}/admin/dev/+simple/", "our_secret").ok()
    assert version_of(tmp_path / "home" / "site", "our_secret") == "1.0"
    assert version_of(tmp_path / "home" / "site", "leaf") == "2.0"
    assert listed(daemon, "admin/dev", "our-secret") == ["our_secret-1.0-py3-none-any.whl"]
    assert upstream.requests("secret") == []
    theirs = daemon.file_url("our-secret", "our_secret-9.9-py3-none-any.whl")
    assert fetch(theirs.replace("/root/pypi/", "/admin/dev/")).status == 404


def test_a_whitelisted_project_has_both(
    tools: Tools, upstream: UpstreamProcess, daemon: Daemon, admin: Devpi, tmp_path: Path
) -> None:
    """Contract 17.2: a whitelisted name is merged; of two files with one name the private one is taken."""
    build_wheel(upstream.root, "shared", "9.9")
    build_wheel(upstream.root, "shared", "1.0", size=1000)
    build_wheel(upstream.root, "other", "9.9")
    admin("upload", str(build_wheel(tmp_path, "shared", "1.0")), str(build_wheel(tmp_path, "other", "1.0")))
    admin("index", "admin/dev", "mirror_whitelist=Shared")
    simple = f"{daemon.url}/admin/dev/+simple/"
    assert listed(daemon, "admin/dev", "shared") == ["shared-1.0-py3-none-any.whl", "shared-9.9-py3-none-any.whl"]
    assert listed(daemon, "admin/dev", "other") == ["other-1.0-py3-none-any.whl"]
    tools.pip(tmp_path / "newest", simple, "shared", "other").ok()
    assert version_of(tmp_path / "newest" / "site", "shared") == "9.9"
    assert version_of(tmp_path / "newest" / "site", "other") == "1.0"
    tools.pip(tmp_path / "pinned", simple, "shared==1.0").ok()
    assert not (tmp_path / "pinned" / "site" / "shared" / "payload.bin").exists()
    admin("index", "admin/dev", "mirror_whitelist-=shared")
    assert listed(daemon, "admin/dev", "shared") == ["shared-1.0-py3-none-any.whl"]
    admin("index", "admin/dev", "mirror_whitelist+=*")
    assert listed(daemon, "admin/dev", "other") == ["other-1.0-py3-none-any.whl", "other-9.9-py3-none-any.whl"]


def test_what_a_typo_tells_the_upstream(
    tools: Tools, upstream: UpstreamProcess, daemon: Daemon, admin: Devpi, tmp_path: Path
) -> None:
    """Only the mistyped name leaves the house: no credentials, no private name, nothing of who asks."""
    admin("upload", str(build_wheel(tmp_path, "our-secret", "1.0")))
    simple = with_credentials(f"{daemon.url}/admin/dev/+simple/", "admin", "admin")
    tools.pip(tmp_path / "home", simple, "our-secret").ok()
    outcome = tools.pip(tmp_path / "home", simple, "our-sekret")
    assert outcome.status != 0
    assert "No matching distribution found for our-sekret" in outcome.output
    asked = upstream.requests()  # pip also asks for itself
    assert {each["path"] for each in asked} <= {
        "/simple/",
        "/simple/our-sekret/",
        "/simple/pip/",
    }  # pip asks for itself
    assert {each["authorization"] for each in asked} == {None}
    assert all(each["user_agent"].startswith("pypicache/") for each in asked)
    assert "secret" not in json.dumps(asked)
    assert "admin" not in json.dumps(asked)


def test_no_index_above_a_mirror_asks_upstream_at_all(
    tools: Tools, upstream: UpstreamProcess, daemon: Daemon, admin: Devpi, tmp_path: Path
) -> None:
    """An index without bases answers for itself, typos included."""
    admin("index", "-c", "alone", "bases=")
    admin("use", "admin/alone")
    admin("upload", str(build_wheel(tmp_path, "our-secret", "1.0")))
    simple = f"{daemon.url}/admin/alone/+simple/"
    tools.pip(tmp_path / "home", simple, "our-secret").ok()
    assert tools.pip(tmp_path / "home", simple, "our-sekret").status != 0
    assert upstream.requests() == []


@pytest.mark.parametrize("way", ["pip", "uv"])
def test_an_index_that_only_some_may_read(
    tools: Tools, upstream: UpstreamProcess, daemon: Daemon, admin: Devpi, tmp_path: Path, way: str
) -> None:
    """``acl_read``: installers are asked who they are; strangers get neither page nor file."""
    build_wheel(upstream.root, "leaf", "2.0")
    admin("upload", str(build_wheel(tmp_path, "our-secret", "1.0", requires=["leaf"])))
    admin("index", "admin/dev", "acl_read=admin")
    simple = f"{daemon.url}/admin/dev/+simple/"
    install = tools.pip if way == "pip" else tools.uv
    install(tmp_path / "home", with_credentials(simple, "admin", "admin"), "our-secret").ok()
    assert version_of(tmp_path / "home" / "site", "leaf") == "2.0"
    assert install(tmp_path / "stranger", simple, "our-secret").status != 0
    assert install(tmp_path / "wrong", with_credentials(simple, "admin", "guess"), "our-secret").status != 0

    asked = fetch(f"{simple}our-secret/", {"Accept": JSON_TYPE})
    assert (asked.status, "Basic" in asked.headers["www-authenticate"]) == (401, True)
    stranger = person(tools, daemon, tmp_path / "other", "other", "123")
    assert "403" in stranger.refused("getjson", "/admin/dev/our-secret")
    links = admin.json("/admin/dev/our-secret")["result"]["1.0"]["+links"]
    assert fetch(links[0]["href"]).status in {401, 403}
    admin("index", "admin/dev", "acl_read=:ANONYMOUS:")
    assert fetch(links[0]["href"]).status == 200


def test_indexes_that_are_one_above_the_other(
    tools: Tools, upstream: UpstreamProcess, daemon: Daemon, admin: Devpi, tmp_path: Path
) -> None:
    """Contract 17.1: a new release in a base, and a base taken away, are seen by the next installer."""
    build_wheel(upstream.root, "leaf", "2.0")
    admin("index", "-c", "top", "bases=admin/dev")
    admin("upload", str(build_wheel(tmp_path, "hello", "1.0")))
    simple = f"{daemon.url}/admin/top/+simple/"
    tools.pip(tmp_path / "first", simple, "hello", "leaf").ok()
    assert version_of(tmp_path / "first" / "site", "hello") == "1.0"
    admin("upload", str(build_wheel(tmp_path, "hello", "1.1")))
    tools.pip(tmp_path / "second", simple, "hello").ok()
    assert version_of(tmp_path / "second" / "site", "hello") == "1.1"
    admin("index", "admin/top", "bases=root/pypi")
    assert tools.pip(tmp_path / "third", simple, "hello").status != 0
    tools.pip(tmp_path / "third", simple, "leaf").ok()
