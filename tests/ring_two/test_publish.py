"""The programs that publish put a project on a private index, and installers get what was published."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.ring_two.devpi import Devpi, build_project, person, with_credentials, write_project
from tests.ring_two.harness import JSON_TYPE, Daemon, fetch
from tests.ring_two.tools import Outcome, Tools, new_project
from tests.upstream.dists import build_sdist, build_wheel

pytestmark = pytest.mark.daemon

PASSWORD = "s3cret:@/"  # noqa: S105 - of a test
PROJECT = '[project]\nname = "hello"\nversion = "0.0.1"\ndescription = "says hello"\nrequires-python = ">=3.8"\n'
FILES = ["hello-0.0.1-py3-none-any.whl", "hello-0.0.1.tar.gz"]


@pytest.fixture
def admin(tools: Tools, daemon: Daemon, tmp_path: Path) -> Devpi:
    """The owner of two indexes: in ``admin/dev`` files may be replaced, in ``admin/prod`` they may not."""
    devpi = person(tools, daemon, tmp_path / "admin", "admin", PASSWORD)
    devpi("index", "-c", "dev", "bases=root/pypi", "volatile=True")
    devpi("index", "-c", "prod", "volatile=False")
    return devpi


def pypirc(home: Path, daemon: Daemon, index: str = "admin/dev", password: str = PASSWORD) -> Path:
    """A ``.pypirc`` in a home, whose section ``local`` is an index."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / ".pypirc"
    section = f"[local]\nrepository = {daemon.url}/{index}/\nusername = admin\npassword = {password}\n"
    path.write_text(f"[distutils]\nindex-servers =\n    local\n\n{section}")
    return path


def page_of(daemon: Daemon, index: str = "admin/dev", project: str = "hello") -> list[dict[str, object]]:
    """The files on a project's page, sorted by name."""
    page = fetch(f"{daemon.url}/{index}/+simple/{project}/", {"Accept": JSON_TYPE})
    assert page.status == 200, page
    return sorted(page.json()["files"], key=lambda each: str(each["filename"]))


def says(site: Path) -> str:
    """What the installed package ``hello`` says when it is imported."""
    program = "import hello; print(hello.greet())"
    done = subprocess.run([sys.executable, "-c", program], cwd=site, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.strip()


# A way to publish the project in a directory to admin/dev: the tools, a home, the daemon, the project.
Way = Callable[[Tools, Path, Daemon, Path], Outcome]


def with_twine(tools: Tools, home: Path, daemon: Daemon, project: Path) -> Outcome:
    """Twine, with a section of ``.pypirc``."""
    files = build_project(tools, home, project)
    configuration = pypirc(home, daemon)
    command = ("twine", "upload", "--non-interactive", "--config-file", str(configuration), "-r", "local")
    return tools.run(home, *command, *map(str, files))


def with_uv(tools: Tools, home: Path, daemon: Daemon, project: Path) -> Outcome:
    """uv, which looks at the index first."""
    files = build_project(tools, home, project)
    simple = with_credentials(f"{daemon.url}/admin/dev/+simple/", "admin", "s3cret%3A%40%2F")
    command = ("uv", "publish", "--publish-url", f"{daemon.url}/admin/dev/", "--check-url", simple)
    return tools.run(home, *command, "-u", "admin", "-p", PASSWORD, *map(str, files), UV_KEYRING_PROVIDER="disabled")


def with_setup_py(tools: Tools, home: Path, daemon: Daemon, project: Path) -> Outcome:
    """``setup.py upload``, as the standard library had it until Python 3.11."""
    pypirc(home, daemon)
    script = project / "setup.py"
    script.write_text(script.read_text().replace("from setuptools", "from distutils.core"))
    stdlib = {"SETUPTOOLS_USE_DISTUTILS": "stdlib", "PYTHONWARNINGS": "ignore"}
    return tools.run(home, "python", "setup.py", "sdist", "upload", "-r", "local", cwd=project, **stdlib)


def with_poetry(tools: Tools, home: Path, daemon: Daemon, project: Path) -> Outcome:
    """Poetry, with a repository of its own configuration."""
    settings = '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
    (project / "pyproject.toml").write_text(
        f'[project]\nname = "hello"\nversion = "0.0.1"\nrequires-python = ">=3.8"\n\n{settings}'
    )
    given = {
        "POETRY_REPOSITORIES_LOCAL_URL": f"{daemon.url}/admin/dev/",
        "POETRY_HTTP_BASIC_LOCAL_USERNAME": "admin",
        "POETRY_HTTP_BASIC_LOCAL_PASSWORD": PASSWORD,
    }
    return tools.run(home, "poetry", "publish", "--build", "-r", "local", cwd=project, **given)


def with_flit(tools: Tools, home: Path, daemon: Daemon, project: Path) -> Outcome:
    """Flit, with a section of ``.pypirc``."""
    settings = '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
    (project / "pyproject.toml").write_text(f"{PROJECT}\n{settings}")
    configuration = pypirc(home, daemon)
    command = ("flit", "publish", "--no-use-vcs", "--pypirc", str(configuration), "--repository", "local")
    return tools.run(home, *command, cwd=project)


def with_pdm(tools: Tools, home: Path, daemon: Daemon, project: Path) -> Outcome:
    """pdm, with files that are built already."""
    build_project(tools, home, project)
    (project / "pyproject.toml").write_text(PROJECT)
    given = {"PDM_PUBLISH_USERNAME": "admin", "PDM_PUBLISH_PASSWORD": PASSWORD}
    command = ("pdm", "publish", "--no-build", "--repository", f"{daemon.url}/admin/dev/")
    return tools.run(home, *command, cwd=project, **given)


def with_hatch(tools: Tools, home: Path, daemon: Daemon, project: Path) -> Outcome:
    """Hatch, which first looks for the files on the page below ``+simple``."""
    files = build_project(tools, home, project)
    command = ("hatch", "publish", "--no-prompt", "--repo", f"{daemon.url}/admin/dev/")
    given = {"HATCH_INDEX_USER": "admin", "HATCH_INDEX_AUTH": PASSWORD}
    return tools.run(home, *command, *map(str, files), cwd=project, **given)


def with_maturin(tools: Tools, home: Path, daemon: Daemon, project: Path) -> Outcome:
    """Maturin, with files that others have built."""
    files = build_project(tools, home, project)
    command = ("maturin", "upload", "--non-interactive", "--repository-url", f"{daemon.url}/admin/dev/")
    given = {"MATURIN_USERNAME": "admin", "MATURIN_PASSWORD": PASSWORD}
    return tools.run(home, *command, *map(str, files), cwd=home, **given)


WAYS: Mapping[str, Way] = {
    "twine": with_twine,
    "uv": with_uv,
    "poetry": with_poetry,
    "flit": with_flit,
    "pdm": with_pdm,
    "hatch": with_hatch,
    "maturin": with_maturin,
    **({"setup.py": with_setup_py} if sys.version_info < (3, 12) else {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_publishes_what_installs(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path, way: str) -> None:
    """Contract 12: the file on the page is the one that was built, and it installs and imports."""
    project = write_project(tmp_path / "hello")
    WAYS[way](tools, tmp_path / "home", daemon, project).ok()
    found = page_of(daemon)
    assert [each["filename"] for each in found] == (FILES if way != "setup.py" else FILES[1:])
    for each in found:
        built = (project / "dist" / str(each["filename"])).read_bytes()
        assert each["hashes"] == {"sha256": hashlib.sha256(built).hexdigest()}
        assert each["size"] == len(built)
    release = admin.json("/admin/dev/hello")["result"]["0.0.1"]
    assert [each["log"][0]["who"] for each in release["+links"]] == ["admin"] * len(found)
    if way != "setup.py":  # whose sdist is built by setuptools, which the index does not have
        tools.pip(tmp_path / "home", f"{daemon.url}/admin/dev/+simple/", "hello==0.0.1").ok()
        assert says(tmp_path / "home" / "site") == "hello"


def test_metadata_of_a_release(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path) -> None:
    """Contract 8.3: what the upload form said is what the version's data says; the page has ``requires-python``."""
    with_twine(tools, tmp_path / "home", daemon, write_project(tmp_path / "hello")).ok()
    data = admin.json("/admin/dev/hello/0.0.1")["result"]
    told = {key: data[key] for key in ("name", "version", "summary", "author", "requires_python")}
    assert told == {
        "name": "hello",
        "version": "0.0.1",
        "summary": "says hello",
        "author": "A. Uthor",
        "requires_python": ">=3.8",
    }
    assert data["description"].strip() == "It says hello."
    assert {each["requires-python"] for each in page_of(daemon)} == {">=3.8"}


def test_the_index_offers_the_metadata_of_a_wheel(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path) -> None:
    """PEP 658: uv resolves with the metadata file alone, whose digest is on the page."""
    wheel = build_wheel(tmp_path, "hello", "0.0.1", requires=["leaf"])
    admin("use", "admin/prod")
    admin("upload", str(wheel), str(build_wheel(tmp_path, "leaf", "1.0")))
    entry = page_of(daemon, "admin/prod")[0]
    url = admin.json("/admin/prod/hello")["result"]["0.0.1"]["+links"][0]["href"]
    text = fetch(f"{url}.metadata").body
    assert b"Requires-Dist: leaf" in text
    assert entry["core-metadata"] == {"sha256": hashlib.sha256(text).hexdigest()}
    own = new_project(
        tmp_path, f'[[tool.uv.index]]\nurl = "{daemon.url}/admin/prod/+simple/"\ndefault = true\n', '["hello"]'
    )
    tools.run(tmp_path / "home", "uv", "lock", cwd=own).ok()
    assert 'name = "leaf"\nversion = "1.0"' in (own / "uv.lock").read_text()


@pytest.mark.parametrize("index", ["admin/dev", "admin/prod"])
@pytest.mark.parametrize("way", ["twine", "uv", "devpi"])
def test_the_same_file_again(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path, way: str, index: str) -> None:
    """Contract 12.1, row 12: publishing the same bytes twice is no error."""
    wheel = build_wheel(tmp_path, "hello", "0.0.1")
    for _ in range(2):
        publish(tools, daemon, admin, tmp_path, way, index, wheel).ok()
    assert [each["filename"] for each in page_of(daemon, index)] == FILES[:1]


@pytest.mark.parametrize("way", ["twine", "uv", "devpi"])
def test_other_bytes_under_the_same_name(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path, way: str) -> None:
    """Contract 12.1, row 13: refused with a sentence where files are kept for ever, and taken where they are not."""
    publish(tools, daemon, admin, tmp_path, way, "admin/prod", build_wheel(tmp_path, "hello", "0.0.1")).ok()
    publish(tools, daemon, admin, tmp_path, way, "admin/dev", build_wheel(tmp_path, "hello", "0.0.1")).ok()
    other = build_wheel(tmp_path, "hello", "0.0.1", size=100)
    before = page_of(daemon, "admin/prod")
    refused = publish(tools, daemon, admin, tmp_path, way, "admin/prod", other)
    assert refused.status != 0
    assert "409" in refused.output
    sentence = f"File already exists: {FILES[0]} is in the non-volatile index admin/prod with other bytes"
    assert sentence in " ".join(refused.output.split())
    assert page_of(daemon, "admin/prod") == before
    publish(tools, daemon, admin, tmp_path, way, "admin/dev", other).ok()
    assert page_of(daemon)[0]["hashes"] == {"sha256": hashlib.sha256(other.read_bytes()).hexdigest()}
    tools.pip(tmp_path / "home", f"{daemon.url}/admin/dev/+simple/", "hello").ok()


def publish(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path, way: str, index: str, file: Path) -> Outcome:
    """Publish one file, without looking whether it is there."""
    home = tmp_path / "publisher"
    if way == "devpi":
        return admin.run("upload", "--index", index, str(file))
    if way == "uv":
        command = ("uv", "publish", "--publish-url", f"{daemon.url}/{index}/", "-u", "admin", "-p", PASSWORD)
        return tools.run(home, *command, str(file))
    configuration = pypirc(home, daemon, index)
    return tools.run(home, "twine", "upload", "--config-file", str(configuration), "-r", "local", str(file))


def test_uv_sees_what_is_there_already(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path) -> None:
    """``--check-url``: a file that the index has is not sent again; one with other bytes is an error of uv's."""
    wheel = build_wheel(tmp_path, "hello", "0.0.1")
    publish(tools, daemon, admin, tmp_path, "twine", "admin/prod", wheel).ok()
    command = ("uv", "publish", "--publish-url", f"{daemon.url}/admin/prod/", "-u", "admin", "-p", PASSWORD)
    checked = (*command, "--check-url", f"{daemon.url}/admin/prod/+simple/", str(wheel))
    assert "already exists, skipping" in tools.run(tmp_path / "home", *checked).ok()
    build_wheel(tmp_path, "hello", "0.0.1", size=100)
    assert tools.run(tmp_path / "home", *checked).status != 0


def test_hatch_sees_what_is_there_already(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path) -> None:
    """It looks at the HTML page, by the names of the files; so not even other bytes are sent."""
    home = tmp_path / "home"
    wheel = build_wheel(tmp_path, "hello", "0.0.1")
    command = ("hatch", "publish", "--no-prompt", "--repo", f"{daemon.url}/admin/prod/", "-u", "admin", "-a", PASSWORD)
    tools.run(home, *command, str(wheel)).ok()
    before = page_of(daemon, "admin/prod")
    assert "already exists" in tools.run(home, *command, str(build_wheel(tmp_path, "hello", "0.0.1", size=100))).output
    assert page_of(daemon, "admin/prod") == before


def test_maturin_skips_what_is_there_already(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path) -> None:
    """By the sentence of a refusal."""
    home = tmp_path / "home"
    command = ("maturin", "upload", "--non-interactive", "--repository-url", f"{daemon.url}/admin/prod/")
    given = {"MATURIN_USERNAME": "admin", "MATURIN_PASSWORD": PASSWORD}
    tools.run(home, *command, str(build_wheel(tmp_path, "hello", "0.0.1")), cwd=tmp_path, **given).ok()
    other = str(build_wheel(tmp_path, "hello", "0.0.1", size=100))
    refused = tools.run(home, *command, other, cwd=tmp_path, **given)
    assert refused.status != 0
    assert "File already exists" in " ".join(refused.output.split())
    tools.run(home, *command, "--skip-existing", other, cwd=tmp_path, **given).ok()


@pytest.mark.parametrize("way", ["twine", "uv", "hatch", "maturin"])
def test_a_token_that_is_not_good(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path, way: str) -> None:
    """403, and people are told why, but by maturin, which has a sentence of its own for every 403."""
    token = "pypicache-" + "0" * 16 + "-" + "A" * 43
    url, wheel = f"{daemon.url}/admin/dev/", str(build_wheel(tmp_path, "hello", "0.0.1"))
    commands = {
        "twine": ("twine", "upload", "--non-interactive", "--repository-url", url, "-u", "__token__", "-p", token),
        "uv": ("uv", "publish", "--publish-url", url, "--token", token),
        "hatch": ("hatch", "publish", "--no-prompt", "--repo", url, "-u", "__token__", "-a", token),
        "maturin": ("maturin", "upload", "--non-interactive", "--repository-url", url, "-u", "__token__", "-p", token),
    }
    refused = tools.run(tmp_path / "home", *commands[way], wheel)
    assert refused.status != 0
    why = "Username and/or password are wrong" if way == "maturin" else "unknown or deleted API token"
    assert why in " ".join(refused.output.split())


@pytest.mark.parametrize("way", ["twine", "uv", "hatch", "maturin"])
def test_nobody_publishes_with_a_wrong_password(
    tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path, way: str
) -> None:
    """Contract 12.1, row 3: 401, and nothing is kept."""
    wheel = str(build_wheel(tmp_path, "hello", "0.0.1", size=3_000_000))
    configuration = pypirc(tmp_path / "home", daemon, password="guess")  # noqa: S106 - of a test
    commands = {
        "twine": ("twine", "upload", "--non-interactive", "--config-file", str(configuration), "-r", "local", wheel),
        "uv": ("uv", "publish", "--publish-url", f"{daemon.url}/admin/dev/", "-u", "admin", "-p", "guess", wheel),
        "hatch": ("hatch", "publish", "-n", "-r", f"{daemon.url}/admin/dev/", "-u", "admin", "-a", "guess", wheel),
        "maturin": (
            *("maturin", "upload", "--non-interactive", "--repository-url", f"{daemon.url}/admin/dev/"),
            *("-u", "admin", "-p", "guess", wheel),
        ),
    }
    outcome = tools.run(tmp_path / "home", *commands[way])
    assert outcome.status != 0
    assert "401" in outcome.output
    assert fetch(f"{daemon.url}/admin/dev/+simple/hello/", {"Accept": JSON_TYPE}).status == 404
    assert daemon.spooled() == []


def test_publishing_where_nobody_may(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path) -> None:
    """Contract 12.1, rows 1, 2 and 4: a mirror, no index, somebody else's index; twine shows our sentence."""
    wheel = build_wheel(tmp_path, "hello", "0.0.1")
    other = person(tools, daemon, tmp_path / "other", "other", "123")
    other("index", "-c", "dev")
    for index, sentence in {
        "root/pypi": "cannot submit to mirror index",
        "admin/nothing": "404",
        "other/dev": "user admin cannot upload to 'other/dev'",
    }.items():
        outcome = publish(tools, daemon, admin, tmp_path, "twine", index, wheel)
        assert outcome.status != 0, index
        assert sentence in " ".join(outcome.output.split()), outcome.output
    other("index", "other/dev", "acl_upload=other,admin")
    publish(tools, daemon, admin, tmp_path, "twine", "other/dev", wheel).ok()


def test_a_large_wheel_and_an_sdist(tools: Tools, daemon: Daemon, admin: Devpi, tmp_path: Path) -> None:
    """60 MB arrive as they were sent, in memory that does not grow with them; the sdist beside it is built."""
    publish(tools, daemon, admin, tmp_path, "uv", "admin/dev", build_sdist(tmp_path, "source-only", "1.0")).ok()
    wheel = build_wheel(tmp_path, "hello", "0.0.1", size=60_000_000)
    daemon.forget_peak()  # checking the password took its share
    before = daemon.memory()
    publish(tools, daemon, admin, tmp_path, "uv", "admin/dev", wheel).ok()
    assert daemon.memory("VmHWM") - before < 30_000_000
    tools.pip(tmp_path / "home", f"{daemon.url}/admin/dev/+simple/", "hello", "source-only").ok()
    assert page_of(daemon)[0]["size"] == wheel.stat().st_size
    assert daemon.spooled() == []
