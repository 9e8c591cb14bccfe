"""Parts of addresses."""

from __future__ import annotations

from werkzeug.routing import BaseConverter

from pypicache.core.errors import BadInput, NotFound
from pypicache.core.model import ProjectName, project_name


class Plain(BaseConverter):
    """One segment that is a name: of a user, an index, a project. It has no ``+`` (contract devpi 1.1)."""

    regex = "[^/+]+"


class Version(BaseConverter):
    """One segment that is a version. It may have a ``+``, but does not begin with it."""

    regex = "[^/+][^/]*"


def project_in_address(text: str) -> ProjectName:
    """A project's name as it stands in an address.

    :raises NotFound: it cannot be one.
    """
    try:
        return project_name(text)
    except BadInput as error:
        raise NotFound(str(error)) from error
