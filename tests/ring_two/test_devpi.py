"""The devpi client against the daemon: stages and releases, two developers and their products, administration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ring_two.devpi import Devpi, person, with_credentials, write_project
from tests.ring_two.harness import Daemon, UpstreamProcess, fetch
from tests.ring_two.test_clients import version_of
from tests.ring_two.tools import Tools
from tests.upstream.dists import build_sdist, build_wheel

pytestmark = pytest.mark.daemon

CONF_PY = 'project = "hello"\nversion = release = "0.0.1"\nextensions = []\n'
TOX_INI = "[testenv]\ncommands = python -c \"import example; print('it is', example.version)\"\n"


@pytest.fixture
def devuser(tools: Tools, daemon: Daemon, tmp_path: Path) -> Devpi:
    """A developer with an index for work, above one for what was tested, above the mirror."""
    devpi = person(tools, daemon, tmp_path / "devuser", "devuser", "123")
    devpi("index", "-c", "staging", "bases=root/pypi", "volatile=False")
    devpi("index", "-c", "dev", "bases=devuser/staging")
    devpi("use", "devuser/dev")
    return devpi


def test_what_the_client_says_of_an_index(daemon: Daemon, devuser: Devpi) -> None:
    """Contract 19.2: ``use``, ``index``, ``index -l``, ``use -l``, ``user``, ``--version``."""
    assert f"current devpi index: {daemon.url}/devuser/dev (logged in as devuser)" in devuser("use")
    shown = devuser("index", "dev", "mirror_whitelist=*")
    for line in ("type=stage", "bases=devuser/staging", "volatile=True", "acl_upload=devuser", "mirror_whitelist=*"):
        assert line in shown
    assert "volatile=False" in devuser("index", "devuser/staging")
    assert sorted(re.findall(r"^(devuser/\S+)", devuser("index", "-l"), re.M)) == ["devuser/dev", "devuser/staging"]
    everything = devuser("use", "-l")
    for name in ("devuser/dev", "devuser/staging", "root/pypi"):
        assert name in everything
    assert {"devuser", "root"} <= set(devuser("user", "-l").split())
    assert "title=Dev" in devuser("index", "dev", "title=Dev", "acl_upload+=:developers")
    assert "acl_upload=devuser,:developers\n" in devuser("index", "dev")
    assert "acl_upload=devuser\n" in devuser("index", "dev", "acl_upload-=:developers")
    assert "simpleindex" in devuser("use", "--urls")
    assert "pypicache" in devuser("--version")


def test_settings_for_installers(tools: Tools, daemon: Daemon, devuser: Devpi, tmp_path: Path) -> None:
    """``devpi use --set-cfg`` writes a pip.conf that pip installs with; ``devpi install`` needs none."""
    devuser("upload", str(build_wheel(tmp_path, "example", "1.0")))
    configuration = tmp_path / "pip.conf"
    given = str(configuration)
    devuser.run("use", "--set-cfg", "--pip-set-trusted=yes", "devuser/dev", PIP_CONFIG_FILE=given).ok()
    assert f"{daemon.url}/devuser/dev/+simple/" in configuration.read_text()
    home = tmp_path / "home"
    tools.run(home, "pip", "install", "--target", str(home / "site"), "example", PIP_CONFIG_FILE=given).ok()
    assert version_of(home / "site", "example") == "1.0"


def test_upload_list_push_install(
    tools: Tools, upstream: UpstreamProcess, daemon: Daemon, devuser: Devpi, tmp_path: Path
) -> None:
    """Contract 12, 13: a release goes from the index for work to the one for tested ones, with bytes and log."""
    build_wheel(upstream.root, "leaf", "2.0")
    devuser("upload", str(build_wheel(tmp_path, "example", "1.0", requires=["leaf"])))
    devuser("upload", str(build_sdist(tmp_path, "example", "1.0", requires=["leaf"])))
    devuser("upload", str(build_wheel(tmp_path, "example", "1.1", requires=["leaf"])))
    assert "example" in devuser("list").split()
    assert f"{daemon.url}/devuser/dev/+f/" in devuser("list", "-v", "example")
    assert len(re.findall(r"example-1\.[01]\S*\.(?:whl|tar\.gz)", devuser("list", "--all", "example"))) == 3

    said = devuser("push", "example==1.0", "devuser/staging")
    assert "register example 1.0 -> devuser/staging" in said
    assert len(re.findall(r"store_releasefile devuser/staging/\+f/", said)) == 2
    home = tmp_path / "home"
    tools.pip(home, f"{daemon.url}/devuser/staging/+simple/", "example").ok()
    assert (version_of(home / "site", "example"), version_of(home / "site", "leaf")) == ("1.0", "2.0")
    links = devuser.json("/devuser/staging/example")["result"]["1.0"]["+links"]
    for link in links:
        assert [(each["what"], each["who"]) for each in link["log"]] == [("upload", "devuser"), ("push", "devuser")]
        assert (link["log"][-1]["src"], link["log"][-1]["dst"]) == ("devuser/dev", "devuser/staging")
        assert fetch(link["href"]).body == (tmp_path / link["href"].rpartition("/")[2]).read_bytes()
    assert "shadow" not in devuser("list", "--ignore-bases", "example")
    assert "already exists in non-volatile index" in devuser.refused("push", "example==1.0", "devuser/staging")
    assert "no files for example 7" in devuser.refused("push", "example==7", "devuser/staging").lower()


def test_upload_of_a_project(tools: Tools, daemon: Daemon, devuser: Devpi, tmp_path: Path) -> None:
    """``devpi upload`` in a project's directory builds and uploads; ``--with-docs`` adds what Sphinx makes of it."""
    project = write_project(tmp_path / "hello")
    (project / "doc").mkdir()
    (project / "doc" / "conf.py").write_text(CONF_PY)
    (project / "doc" / "index.rst").write_text("Hello\n=====\n\nIt says hello.\n")
    said = devuser("upload", "--no-vcs", "--no-isolation", "--with-docs", cwd=project)
    assert "file_upload of hello-0.0.1-py3-none-any.whl to" in said
    assert "file_upload of hello-0.0.1.tar.gz to" in said
    assert "doc_upload of hello-0.0.1.doc.zip to" in said
    links = devuser.json("/devuser/dev/hello")["result"]["0.0.1"]["+links"]
    assert sorted(each["rel"] for each in links) == ["doczip", "releasefile", "releasefile"]
    zipped = next(each["href"] for each in links if each["rel"] == "doczip")
    assert zipped.endswith("/hello-0.0.1.doc.zip")
    assert fetch(zipped).body.startswith(b"PK")
    said = devuser("push", "hello==0.0.1", "devuser/staging")
    assert "store_doczip hello 0.0.1 -> devuser/staging" in said


def test_refresh_sees_what_is_new_upstream(upstream: UpstreamProcess, daemon: Daemon, devuser: Devpi) -> None:
    """Contract 10: ``devpi refresh`` makes the mirror ask again although its page is fresh."""
    build_wheel(upstream.root, "leaf", "2.0")
    devuser("use", "root/pypi")
    assert "2.0" in devuser("list", "leaf")
    build_wheel(upstream.root, "leaf", "2.1")
    assert "2.1" not in devuser("list", "leaf")
    said = devuser("refresh", "leaf")
    assert "refreshed" in said.lower()
    assert "2.1" in devuser("list", "leaf")


def test_remove(tools: Tools, daemon: Daemon, devuser: Devpi, tmp_path: Path) -> None:
    """Contract 8.4: a version, a file by its URL, a whole project; never from an index that keeps releases."""
    for version in ("1.0", "1.1", "1.2"):
        devuser("upload", str(build_wheel(tmp_path, "example", version)))
    gone = devuser.json("/devuser/dev/example")["result"]["1.1"]["+links"][0]["href"]
    devuser("remove", "-y", "example==1.1")
    assert fetch(gone).status == 410
    assert sorted(devuser.json("/devuser/dev/example")["result"]) == ["1.0", "1.2"]
    devuser("remove", "-y", devuser.json("/devuser/dev/example")["result"]["1.2"]["+links"][0]["href"])
    assert tools.pip(tmp_path / "home", f"{daemon.url}/devuser/dev/+simple/", "example==1.2").status != 0
    tools.pip(tmp_path / "home", f"{daemon.url}/devuser/dev/+simple/", "example").ok()
    assert version_of(tmp_path / "home" / "site", "example") == "1.0"

    devuser("push", "example==1.0", "devuser/staging")
    devuser("remove", "-y", "example")
    assert devuser.json("/devuser/dev/?")["result"]["projects"] == []
    devuser("use", "devuser/staging")
    assert "non-volatile" in devuser.run("remove", "-y", "example==1.0").output
    assert "1.0" in devuser("list", "example")
    devuser("remove", "-y", "-f", "example==1.0")
    assert devuser.json("/devuser/staging/?")["result"]["projects"] == []


def test_toxresults(daemon: Daemon, devuser: Devpi, tmp_path: Path) -> None:
    """Contract 11.4: ``devpi test`` fetches the release, runs tox, and puts the result beside the file."""
    sdist = build_sdist(tmp_path, "example", "1.0")
    devuser("upload", str(sdist))
    (tmp_path / "tox.ini").write_text(TOX_INI)
    said = devuser("test", "-c", str(tmp_path / "tox.ini"), "-e", "py", "example==1.0")
    assert "it is 1.0" in said
    assert "posting tox result data" in said
    links = devuser.json("/devuser/dev/example")["result"]["1.0"]["+links"]
    release, result = sorted(links, key=lambda each: each["rel"])
    assert (release["rel"], result["rel"]) == ("releasefile", "toxresult")
    assert result["for_href"] == release["href"]
    assert "py" in fetch(result["href"]).json()["testenvs"]
    assert "tests passed" in devuser("list", "-t", "example")
    devuser("push", "example==1.0", "devuser/staging")
    moved = devuser.json("/devuser/staging/example")["result"]["1.0"]["+links"]
    assert sorted(each["rel"] for each in moved) == ["releasefile", "toxresult"]


def test_an_index_for_its_owner_alone(tools: Tools, daemon: Daemon, devuser: Devpi, tmp_path: Path) -> None:
    """``acl_read``: the client goes on working with its login, and pip with the password in the address."""
    devuser("upload", str(build_wheel(tmp_path, "example", "1.0")))
    devuser("index", "dev", "acl_read=devuser")
    simple = f"{daemon.url}/devuser/dev/+simple/"
    home = tmp_path / "home"
    tools.pip(home, with_credentials(simple, "devuser", "123"), "example").ok()
    assert version_of(home / "site", "example") == "1.0"
    assert tools.pip(tmp_path / "stranger", simple, "example").status != 0
    assert "1.0" in devuser("list", "example")
    devuser("push", "example==1.0", "devuser/staging")
    tools.pip(tmp_path / "stranger", f"{daemon.url}/devuser/staging/+simple/", "example").ok()


def test_two_developers_and_their_products(tools: Tools, daemon: Daemon, tmp_path: Path) -> None:
    """One's index takes in the other's: what both made is installed together; deleting an account is its own to do."""
    emilie = person(tools, daemon, tmp_path / "emilie", "emilie", "1234")
    sophie = person(tools, daemon, tmp_path / "sophie", "sophie", "1234")
    for each, name in ((emilie, "emilie"), (sophie, "sophie")):
        each("index", "-c", "prod", "volatile=False")
        each("index", "-c", "dev", f"bases=/{name}/prod")
    assert "bases=emilie/prod,sophie/dev" in emilie("index", "/emilie/dev", "bases=/emilie/prod,/sophie/dev")
    sophie("use", "sophie/dev")
    sophie("upload", str(build_wheel(tmp_path, "her-part", "1.0")))
    emilie("use", "emilie/dev")
    emilie("upload", str(build_wheel(tmp_path, "whole", "1.0", requires=["her-part"])))
    home = tmp_path / "home"
    tools.pip(home, f"{daemon.url}/emilie/dev/+simple/", "whole").ok()
    assert version_of(home / "site", "her_part") == "1.0"
    assert sorted(emilie("index", "-l").split()[-2:]) == ["emilie/dev", "emilie/prod"]
    assert "403" in emilie.refused("index", "/sophie/dev", "bases=/emilie/dev")
    assert "cannot upload" in emilie.refused("push", "whole==1.0", "sophie/prod")
    assert "her-part" in emilie("list", "her-part")

    mistake = person(tools, daemon, tmp_path / "mistake", "mistake", "1234")
    mistake("index", "-c", "dev")
    assert "403" in emilie.refused("user", "mistake", "-y", "--delete")
    assert "non-volatile" in emilie.refused("user", "emilie", "-y", "--delete")
    mistake("user", "mistake", "-y", "--delete")
    assert set(emilie.json("/")["result"]) == {"root", "emilie", "sophie"}
    assert "401" in mistake.refused("login", "mistake", "--password=1234")
    sophie("index", "-y", "--delete", "/sophie/dev")
    assert tools.pip(tmp_path / "again", f"{daemon.url}/emilie/dev/+simple/", "whole").status != 0
    tools.pip(tmp_path / "again", f"{daemon.url}/emilie/dev/+simple/", "--no-deps", "whole").ok()


@pytest.fixture
def strict(tmp_path: Path, upstream: UpstreamProcess) -> Iterator[Daemon]:
    """A daemon where only root makes and changes users and indexes."""
    with Daemon(tmp_path / "daemon", upstream.url, server={"restrict_modify": "root"}) as running:
        yield running


def test_only_root_makes_users_and_indexes(tools: Tools, strict: Daemon, tmp_path: Path) -> None:
    """Contract 2.7: with ``restrict_modify`` people use what root made for them."""
    stranger = Devpi(tools, tmp_path / "stranger", strict.url)
    stranger("use", strict.url)
    assert "403" in stranger.refused("user", "-c", "emilie", "password=1234")
    root = Devpi(tools, tmp_path / "root", strict.url)
    root("use", strict.url)
    root.login("root", "")
    root("user", "-c", "emilie", "password=1234")
    root("index", "-c", "emilie/prod", "volatile=False")
    emilie = Devpi(tools, tmp_path / "emilie", strict.url)
    emilie("use", f"{strict.url}/emilie/prod")
    emilie.login("emilie", "1234")
    assert "403" in emilie.refused("index", "-c", "dev")
    assert "403" in emilie.refused("index", "emilie/prod", "volatile=True")
    emilie("upload", str(build_wheel(tmp_path, "example", "1.0")))
    root("index", "emilie/prod", "volatile=True")
    root("user", "emilie", "-y", "--delete")
    assert "emilie" not in root.json("/")["result"]


def test_a_password_is_changed(tools: Tools, daemon: Daemon, tmp_path: Path) -> None:
    """Contract 6 and 22: the new one is needed from then on, and a login from before the change is over."""
    emilie = person(tools, daemon, tmp_path / "emilie", "emilie", "1234")
    elsewhere = Devpi(tools, tmp_path / "elsewhere", daemon.url)
    elsewhere("use", daemon.url)
    elsewhere.login("emilie", "1234")
    emilie("user", "-m", "emilie", "password=5678", "email=emilie@example.com")
    assert "403" in elsewhere.refused("index", "-c", "dev")
    assert "401" in emilie.refused("login", "emilie", "--password=1234")
    emilie.login("emilie", "5678")
    emilie("index", "-c", "dev")
    assert emilie.json("/emilie")["result"]["email"] == "emilie@example.com"
