"""Parts of addresses."""

from __future__ import annotations

from urllib.parse import parse_qsl

from klein import Klein
from twisted.web.server import Request
from werkzeug.routing import BaseConverter

from pypicache.core.errors import BadInput, NotFound
from pypicache.core.model import ProjectName, project_name


class Segment(BaseConverter):
    """Any segment of a path but those that begin with ``+``, which are addresses of ours (contract devpi 1.1)."""

    regex = "[^/+][^/]*"


class Plain(BaseConverter):
    """One segment that is a name: of a user, an index, a project. It has no ``+`` (contract devpi 1.1)."""

    regex = "[^/+]+"


def application() -> Klein:
    """A Klein application whose routes take an address with and without a slash at its end.

    Werkzeug would redirect from one to the other, for ever. Variables of routes are segments that do not begin with
    ``+``.
    """
    app = Klein()
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.converters = {**app.url_map.converters, "default": Segment, "plain": Plain}
    return app


def project_in_address(text: str) -> ProjectName:
    """A project's name as it stands in an address.

    :raises NotFound: it cannot be one.
    """
    try:
        return project_name(text)
    except BadInput as error:
        raise NotFound(str(error)) from error


def has_query(request: Request, name: str) -> bool:
    """Whether a parameter is in the query, with any value or with none: ``?force`` as well as ``?force=``."""
    query = request.uri.partition(b"?")[2].decode("latin-1")
    return any(key == name for key, _ in parse_qsl(query, keep_blank_values=True))
