"""The pages a person sees: the first page, the status page, and errors. Text in, text out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from ipaddress import ip_address
from shlex import quote as shell
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from attrs import frozen

from pypicache.web.figures import Index, Status, counted, duration, in_bytes, percentage

if TYPE_CHECKING:
    from jinja2 import Environment

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the pages need, and no more: send it as their ``Content-Security-Policy``."""

DOWNLOADS_ON_THE_FIRST_PAGE = 10

_NOT_IN_A_LABEL = re.compile(r"[^A-Za-z0-9._-]+")


@frozen(kw_only=True)
class Snippet:
    """Lines to copy, and where they go."""

    caption: str
    text: str


@frozen(kw_only=True)
class Tool:
    """How one installer is pointed at an index."""

    name: str
    snippets: tuple[Snippet, ...]


@frozen(kw_only=True)
class Card:
    """One index on the first page."""

    index: Index
    url: str  # of the simple index, absolute
    first: Snippet  # the one that most people look for
    tools: tuple[Tool, ...]


def simple_url(base_url: str, index: str) -> str:
    """The address of an index's simple API, with the final slash that installers expect."""
    return f"{base_url.rstrip('/')}/{quote(index)}/+simple/"


def path_of(base_url: str) -> str:
    """The path below which the daemon is published, ``""`` or ``/prefix``; links are relative to the host."""
    try:
        return quote(urlsplit(base_url).path.rstrip("/"), safe="/%")
    except ValueError:
        return ""


def host_to_trust(base_url: str) -> str | None:
    """The host that pip must be told to trust, because it is asked without TLS and is not this machine.

    :return: ``None`` where pip needs no such word: with https, and for the loopback names that pip itself accepts
        (``localhost``, ``127.0.0.0/8``, ``::1``).
    """
    try:
        parts = urlsplit(base_url)
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme != "http" or not host or host == "localhost":
        return None
    try:
        return None if ip_address(host).is_loopback else host
    except ValueError:
        return host


def card(index: Index, base_url: str) -> Card:
    """What the first page says of an index.

    :param base_url: where the reader reaches the daemon, without a trailing slash.
    """
    url, trust = simple_url(base_url, index.name), host_to_trust(base_url)
    pip = f"pip install -i {shell(url)}" + (f" --trusted-host {shell(trust)}" if trust else "") + " PACKAGE"
    return Card(
        index=index,
        url=url,
        first=Snippet(caption="Install a package with pip", text=pip),
        tools=_tools(url, index.name, trust),
    )


def _tools(url: str, index: str, trust: str | None) -> tuple[Tool, ...]:
    """The lines that point each installer at an index for good.

    :param url: of the simple index.
    :param index: the index's full name; installers that name their sources get it with a dash for the slash.
    :param trust: the host to trust without TLS, if that must be said.
    """
    label = _NOT_IN_A_LABEL.sub("-", index).strip("-._") or "index"
    config = f"[global]\nindex-url = {url}" + (f"\ntrusted-host = {trust}" if trust else "")
    variables = f"export PIP_INDEX_URL={shell(url)}" + (f"\nexport PIP_TRUSTED_HOST={shell(trust)}" if trust else "")
    pdm = f"pdm config --local pypi.url {shell(url)}" + ("\npdm config --local pypi.verify_ssl false" if trust else "")
    # A basic string of TOML and a string of JSON are written alike.
    uv = f"[[tool.uv.index]]\nname = {json.dumps(label)}\nurl = {json.dumps(url)}\ndefault = true"
    return (
        Tool(
            name="pip, as its default",
            snippets=(
                Snippet(caption="In pip.conf", text=config),
                Snippet(caption="Or in the environment", text=variables),
            ),
        ),
        Tool(
            name="uv",
            snippets=(
                Snippet(caption="Install a package", text=f"uv pip install --index-url {shell(url)} PACKAGE"),
                Snippet(caption="For a project, in pyproject.toml", text=uv),
                Snippet(caption="As the default, in the environment", text=f"export UV_DEFAULT_INDEX={shell(url)}"),
            ),
        ),
        Tool(
            name="poetry",
            snippets=(
                Snippet(
                    caption="For a project", text=f"poetry source add --priority=primary {shell(label)} {shell(url)}"
                ),
            ),
        ),
        Tool(name="pdm", snippets=(Snippet(caption="For a project", text=pdm),)),
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # here, because installers never see a page

    environment = Environment(
        autoescape=True,
        loader=PackageLoader("pypicache.web", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(bytes=in_bytes, duration=duration, percentage=percentage, counted=counted)
    return environment


@frozen
class Pages:
    """Renders the pages. Whatever the values contain is shown as text, never as markup."""

    def home(self, status: Mapping[str, object], base_url: str) -> str:
        """The first page: how to install from each index, and how the cache is doing.

        :param status: the ``result`` object of ``GET /+status``.
        :param base_url: where the reader reaches the daemon, without a trailing slash.
        """
        figures = Status.read(status)
        cards = [card(index, base_url) for index in figures.indexes]
        return self._render("home.html", base_url, status=figures, cards=cards, shown=DOWNLOADS_ON_THE_FIRST_PAGE)

    def status(self, status: Mapping[str, object], base_url: str) -> str:
        """All figures in tables; the parameters are those of :meth:`home`."""
        figures = Status.read(status)
        urls = {index.name: simple_url(base_url, index.name) for index in figures.indexes}
        return self._render("status.html", base_url, status=figures, urls=urls)

    def error(self, code: int, title: str, sentence: str, base_url: str = "") -> str:
        """A page for a request that failed.

        :param code: the HTTP status.
        :param title: a few words, such as the reason phrase.
        :param sentence: what happened, and what can be done about it.
        :param base_url: needed only where the daemon is published below a path.
        """
        return self._render("error.html", base_url, code=code, title=title, sentence=sentence)

    def _render(self, template: str, base_url: str, **values: object) -> str:
        return _environment().get_template(template).render(base_url=base_url, prefix=path_of(base_url), **values)
