"""Who is asking, and what may they do (contract devpi 2.6 and 2.7)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from attrs import frozen

from pypicache.core.errors import BadInput

ANONYMOUS = ":ANONYMOUS:"
AUTHENTICATED = ":AUTHENTICATED:"
ROOT = "root"


def listing(key: str, value: object) -> list[str]:
    """Read a list as the devpi client writes it: a JSON list, or a text with commas. Blank items are dropped.

    :raises BadInput: it is neither.
    """
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise BadInput(f"{key} = {value!r}: expected a list of texts")
    return [item.strip() for item in value if item.strip()]


def access_list(key: str, value: object) -> list[str]:
    """Read an access list; the two special principals are written in capitals."""
    special = {ANONYMOUS, AUTHENTICATED}
    return [item.upper() if item.upper() in special else item for item in listing(key, value)]


class Verb(StrEnum):
    """What somebody wants to do."""

    READ = "pkg_read"
    UPLOAD = "upload"
    TOXRESULT_UPLOAD = "toxresult_upload"
    DELETE = "del_entry"
    INDEX_CREATE = "index_create"
    INDEX_MODIFY = "index_modify"
    INDEX_DELETE = "index_delete"
    USER_CREATE = "user_create"
    USER_MODIFY = "user_modify"
    USER_PASSWORD = "user_modify_password"  # noqa: S105 -- the name of a permission
    USER_DELETE = "user_delete"
    TOKENS = "tokens"


@frozen(kw_only=True)
class Scope:
    """What an API token is limited to; ``None``: not limited in this way."""

    verbs: frozenset[str] | None = None
    indexes: frozenset[str] | None = None
    projects: frozenset[str] | None = None


@frozen(kw_only=True)
class Caller:
    """Who sent a request.

    A token's caller can do what its user can, and only within its scope; accounts and tokens are never in it.
    """

    user: str | None = None  # None: nobody logged in
    groups: frozenset[str] = frozenset()
    scope: Scope | None = None
    unfit: str | None = None  # why the API token that was sent is not good; then nobody logged in

    @property
    def principals(self) -> frozenset[str]:
        """What the caller is called in access lists."""
        if self.user is None:
            return frozenset({ANONYMOUS})
        return frozenset({ANONYMOUS, AUTHENTICATED, self.user, *(f":{group}" for group in self.groups)})

    def within(self, verb: Verb, index: str | None = None, project: str | None = None) -> bool:
        """Whether the scope of the caller's token admits this; true without a token."""
        scope = self.scope
        if scope is None:
            return True
        if verb not in {Verb.READ, Verb.UPLOAD, Verb.TOXRESULT_UPLOAD, Verb.DELETE}:
            return False
        return (
            (scope.verbs is None or verb in scope.verbs)
            and (scope.indexes is None or index in scope.indexes)
            and (scope.projects is None or project is None or project in scope.projects)
        )


NOBODY = Caller()


@frozen(kw_only=True)
class IndexAccess:
    """The access lists of one index, and who owns it."""

    name: str  # user/index
    upload: tuple[str, ...] = ()  # a mirror has no one
    toxresult_upload: tuple[str, ...] = (ANONYMOUS,)
    read: tuple[str, ...] = (ANONYMOUS,)

    @property
    def owner(self) -> str:
        """The user whose index it is."""
        return self.name.partition("/")[0]


@frozen(kw_only=True)
class Rules:
    """Who may do what on this server.

    :param restrict_modify: with it, users and indexes are made and changed only by these principals.
    """

    restrict_modify: frozenset[str] | None = None

    def allows(self, access: IndexAccess, caller: Caller, verb: Verb, project: str | None = None) -> bool:
        """Whether the caller may do this with an index or in it."""
        if not caller.within(verb, access.name, project):
            return False
        modifiers = {ROOT, access.owner} if self.restrict_modify is None else self.restrict_modify
        granted: Iterable[str]
        match verb:
            case Verb.READ:
                granted = {*access.read, *access.upload, ROOT, access.owner}
            case Verb.UPLOAD:
                granted = access.upload
            case Verb.TOXRESULT_UPLOAD:
                granted = access.toxresult_upload
            case Verb.DELETE:
                granted = {*access.upload, *modifiers}
            case Verb.INDEX_CREATE | Verb.INDEX_MODIFY | Verb.INDEX_DELETE:
                granted = modifiers
            case _:
                granted = ()
        return not caller.principals.isdisjoint(granted)

    def allows_account(self, user: str, caller: Caller, verb: Verb) -> bool:
        """Whether the caller may do this with a user's account."""
        if not caller.within(verb):
            return False
        modifiers = {ROOT, user} if self.restrict_modify is None else self.restrict_modify
        match verb:
            case Verb.USER_CREATE:
                return self.restrict_modify is None or not caller.principals.isdisjoint(modifiers)
            case Verb.USER_PASSWORD:
                return caller.user == user or not caller.principals.isdisjoint(modifiers)
            case Verb.USER_DELETE if self.restrict_modify is None:
                return user != ROOT and caller.user in modifiers
            case Verb.USER_DELETE:
                return caller.user != user and not caller.principals.isdisjoint(modifiers)
            case Verb.USER_MODIFY | Verb.TOKENS:
                return not caller.principals.isdisjoint(modifiers)
            case _:
                return False
