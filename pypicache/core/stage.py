"""The options of a stage index (contract devpi 7.1), and the editing of options by clients (7.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import field, frozen

from pypicache.core.access import ANONYMOUS, IndexAccess, access_list, listing
from pypicache.core.errors import BadInput
from pypicache.core.model import index_name, project_name
from pypicache.core.spec import boolean

LISTS = ("acl_upload", "acl_toxresult_upload", "acl_read", "bases", "mirror_whitelist")
HOOKS = ("webhook_url", "uploadtrigger_jenkins")
"""Who is told of changes. There may be a secret anywhere in such an address."""
STAGE_KEYS = frozenset({
    "type",
    "volatile",
    *LISTS,
    "mirror_whitelist_inheritance",
    "conceal",
    "title",
    "description",
    "custom_data",
    *HOOKS,
    "webhook_secret",
})  # fmt: skip
IGNORED_ON_STAGES = frozenset({"projects", "pypi_whitelist"})


def bases(key: str, value: object) -> list[str]:
    """Read the names of indexes, ``user/index`` each.

    :raises BadInput: one of them is not such a name.
    """
    found = []
    for item in listing(key, value):
        name = item.strip("/")
        try:
            found.append(index_name(name))
        except BadInput:
            raise BadInput(f"invalid base index spec: {item!r}") from None
    return found


def whitelist(key: str, value: object) -> list[str]:
    """Read project names, which are normalised, or ``*``."""
    return [item if item == "*" else project_name(item) for item in listing(key, value)]


def inheritance(key: str, value: object) -> str:
    """Read ``intersection`` or ``union``.

    :raises BadInput: it is neither.
    """
    if isinstance(value, str) and value.lower() in {"intersection", "union"}:
        return value.lower()
    raise BadInput(f"{key} = {value!r}: expected intersection or union")


def anything(key: str, value: object) -> object:
    """Take a value as it is."""
    return value


READERS: Mapping[str, Callable[[str, object], Any]] = {
    "volatile": boolean,
    "conceal": boolean,
    "acl_upload": access_list,
    "acl_toxresult_upload": access_list,
    "acl_read": access_list,
    "bases": bases,
    "mirror_whitelist": whitelist,
    "mirror_whitelist_inheritance": inheritance,
    "title": anything,
    "description": anything,
    "custom_data": anything,
    "webhook_url": anything,
    "webhook_secret": anything,
    "uploadtrigger_jenkins": anything,
}


@frozen(kw_only=True)
class StageSpec:
    """The options of a stage index."""

    name: str = field(converter=index_name)
    options: Mapping[str, Any]  # read and complete, as clients see them

    @classmethod
    def from_options(cls, name: str, options: Mapping[str, object]) -> StageSpec:
        """Read the options as a configuration file or a client's JSON gives them; what is missing gets its default.

        :raises BadInput: an unknown option, or a value that an option cannot have.
        """
        given = {key: value for key, value in options.items() if key not in IGNORED_ON_STAGES}
        if given.pop("type", "stage") != "stage":
            raise BadInput(f"type = {options['type']!r}: expected stage")
        unknown = sorted(set(given) - STAGE_KEYS)
        if unknown:
            listed = ", ".join(f"{key}={given[key]}" for key in unknown)
            raise BadInput(f"indexconfig got unexpected keyword arguments: {listed}")
        read = {key: READERS[key](key, value) for key, value in given.items() if value is not None}
        defaults = {
            "type": "stage",
            "volatile": True,
            "acl_upload": [name.partition("/")[0]],
            "acl_toxresult_upload": [ANONYMOUS],
            "bases": [],
            "mirror_whitelist": [],
            "mirror_whitelist_inheritance": "intersection",
        }
        return cls(name=name, options=defaults | read)

    def shown(self) -> dict[str, object]:
        """The options as everybody's JSON shows them: without :attr:`hooks`, and without the secret of the webhook."""
        return {key: value for key, value in self.options.items() if key not in {*HOOKS, "webhook_secret"}}

    @property
    def hooks(self) -> Mapping[str, object]:
        """The options that only those may see who may change them."""
        return {key: value for key, value in self.options.items() if key in HOOKS}

    def stored(self) -> dict[str, object]:
        """The options as they are recorded."""
        return dict(self.options)

    @property
    def volatile(self) -> bool:
        """Whether files may be replaced and deleted."""
        return bool(self.options["volatile"])

    @property
    def bases(self) -> tuple[str, ...]:
        """The names of the indexes below this one."""
        return tuple(self.options["bases"])

    @property
    def access(self) -> IndexAccess:
        """The access lists."""
        return IndexAccess(
            name=self.name,
            upload=tuple(self.options["acl_upload"]),
            toxresult_upload=tuple(self.options["acl_toxresult_upload"]),
            read=tuple(self.options.get("acl_read", (ANONYMOUS,))),
        )

    @property
    def conceal(self) -> bool:
        """Whether the index does not exist for those who may not read it."""
        return bool(self.options.get("conceal", False))


def edited(options: Mapping[str, Any], edits: Iterable[str], defaults: Mapping[str, Any]) -> dict[str, object]:
    """Options after a client's list of edits: ``key=value``, ``key+=value``, ``key-=value``, ``key-=``.

    :param options: the current ones.
    :param defaults: keys that cannot be dropped.
    :raises BadInput: an edit that cannot be done.
    """
    result: dict[str, object] = dict(options)
    for edit in edits:
        key, equals, value = edit.partition("=")
        if not equals:
            raise BadInput(f"indexconfig got unexpected keyword arguments: {edit}")
        if key.endswith("+"):
            result[key[:-1]] = _with(key[:-1], result, _item(key[:-1], value))
        elif key.endswith("-"):
            _remove(key[:-1], result, _item(key[:-1], value), defaults)
        else:
            result[key] = value
    return result


def _item(key: str, value: str) -> str:
    """One item of a list as it is stored there: a name is normalised. It is not split at commas."""
    if key not in LISTS or not value.strip():
        return value
    item: str = READERS[key](key, [value])[0]
    return item


def _list_of(key: str, options: Mapping[str, object]) -> list[str]:
    current = options.get(key, [] if key in LISTS else None)
    if isinstance(current, str) and key in LISTS:
        current = listing(key, current)
    if not isinstance(current, list):
        raise BadInput(f"The {key!r} setting is not a list")
    return current


def _with(key: str, options: Mapping[str, object], value: str) -> list[str]:
    current = _list_of(key, options)
    return current if value in current else [*current, value]


def _remove(key: str, options: dict[str, object], value: str, defaults: Mapping[str, Any]) -> None:
    if not value:
        if key in defaults:
            raise BadInput("Default values can't be removed.")
        options.pop(key, None)
        return
    current = _list_of(key, options)
    if value not in current:
        raise BadInput(f"The {key!r} setting doesn't have value {value!r}")
    options[key] = [item for item in current if item != value]
