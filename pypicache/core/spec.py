"""What an index is configured to be (contract devpi 7), from whatever source the options come."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from attrs import field, frozen

from pypicache.core.access import ANONYMOUS, IndexAccess, access_list
from pypicache.core.errors import BadInput
from pypicache.core.model import index_name

STARS = "****:****"  # in place of a user and a password
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def boolean(key: str, value: object) -> bool:
    """Read a truth value as the devpi client writes it.

    :raises BadInput: it is none of ``true/yes/on/1`` and ``false/no/off/0``.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in BOOLEANS:
        return BOOLEANS[value.lower()]
    raise BadInput(f"{key} = {value!r}: expected true or false")


def seconds(key: str, value: object) -> int:
    """Read a whole number of seconds, 0 or more.

    :raises BadInput: it is not one.
    """
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadInput(f"{key} = {value!r}: expected a whole number of seconds, 0 or more")
    return value


def text(key: str, value: object) -> str:
    """Read a text.

    :raises BadInput: it is not one.
    """
    if not isinstance(value, str):
        raise BadInput(f"{key} = {value!r}: expected a text")
    return value


def web_url_format(key: str, value: object) -> str:
    """Read a URL with the placeholder ``{name}``.

    :raises BadInput: the placeholder is missing, or there is another one.
    """
    value = text(key, value)
    if "{name}" not in value or "{" in value.replace("{name}", ""):
        raise BadInput(f"{key} = {value!r}: expected a URL with the placeholder {{name}}")
    return value


@frozen(kw_only=True, repr=False)
class UpstreamURL:
    """The address of another index, with the credentials kept apart so that they are never shown by accident."""

    base: str  # in normal form: without credentials, with a trailing slash
    spelled: str  # as it was given, without credentials
    user: str | None = None
    password: str = ""

    @classmethod
    def parse(cls, key: str, value: object) -> UpstreamURL:
        """Read an ``http://`` or ``https://`` URL that may contain ``user:password@``.

        :raises BadInput: another scheme, no host, or a port that is not a number; the sentence hides the credentials.
        """
        given = text(key, value).strip()
        try:
            parts = urlsplit(given)
            valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            valid = False
        if not valid or any(ord(character) <= 32 for character in given):
            raise BadInput(f"{key} = {masked(str(value))!r}: expected a URL that begins with http:// or https://")
        path = parts.path if parts.path.endswith("/") else parts.path + "/"
        base = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, parts.query, ""))
        spelled = given.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)
        if parts.username is None:
            return cls(base=base, spelled=spelled)
        return cls(base=base, spelled=spelled, user=unquote(parts.username), password=unquote(parts.password or ""))

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password, for the origin of :attr:`base` and no other."""
        return None if self.user is None else (self.user, self.password)

    def full(self) -> str:
        """The URL with its credentials, as it was configured; for storage only."""
        if self.user is None:
            return self.spelled
        return self._with(quote(self.user, safe="") + (":" + quote(self.password, safe="") if self.password else ""))

    def _with(self, login: str) -> str:
        scheme, _, rest = self.spelled.partition("://")
        return f"{scheme}://{login}@{rest}"

    def __str__(self) -> str:
        """The URL as anybody may see it."""
        return self.spelled if self.user is None else self._with(STARS)

    __repr__ = __str__


def masked(url: str) -> str:
    """A URL with stars in place of its credentials, for logs and answers."""
    try:
        parts: SplitResult = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=f"{STARS}@" + parts.netloc.rpartition("@")[2]))


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL; credentials stay within one origin (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


SWITCHES = (
    "volatile",
    "conceal",
    "mirror_no_project_list",
    "mirror_use_external_urls",
    "mirror_ignore_serial_header",
    "mirror_provides_core_metadata",
)
"""The options of indexes that are truth values."""
MIRROR_KEYS = frozenset(
    {
        "type",
        "volatile",
        "title",
        "description",
        "custom_data",
        "mirror_url",
        "mirror_web_url_fmt",
        "mirror_cache_expiry",
        "mirror_no_project_list",
        "mirror_use_external_urls",
        "mirror_ignore_serial_header",
        "mirror_provides_core_metadata",
        "acl_read",
        "conceal",
    }
)
IGNORED_ON_MIRRORS = frozenset({"bases", "acl_upload", "mirror_whitelist", "pypi_whitelist", "projects"})


@frozen(kw_only=True)
class MirrorSpec:
    """The options of a mirror index (contract devpi 7.2). ``None`` where an option is unset."""

    name: str = field(converter=index_name)
    url: UpstreamURL | None = None
    volatile: bool = True
    title: str | None = None
    description: str | None = None
    custom_data: object = None
    web_url_format: str | None = None
    cache_expiry: int | None = None  # seconds; None: the server's default
    no_project_list: bool | None = None
    use_external_urls: bool | None = None
    ignore_serial_header: bool | None = None
    provides_core_metadata: bool | None = None
    read: tuple[str, ...] | None = None  # "acl_read"; None: everybody
    conceal: bool = False

    @property
    def access(self) -> IndexAccess:
        """The access lists; nobody may upload."""
        return IndexAccess(name=self.name, read=(ANONYMOUS,) if self.read is None else self.read)

    @classmethod
    def from_options(cls, name: str, options: Mapping[str, object]) -> MirrorSpec:
        """Read the options as a configuration file or a client's JSON gives them.

        :raises BadInput: an unknown option, or a value that an option cannot have.
        """
        unknown = sorted(set(options) - MIRROR_KEYS - IGNORED_ON_MIRRORS)
        if unknown:
            raise BadInput(
                f"{unknown[0]} is not an option of a mirror index; expected one of {', '.join(sorted(MIRROR_KEYS))}"
            )
        if options.get("type", "mirror") != "mirror":
            raise BadInput(f"type = {options['type']!r}: expected mirror")
        given = {key: value for key, value in options.items() if value is not None}

        def flag(key: str) -> bool | None:
            return boolean(key, given[key]) if key in given else None

        return cls(
            name=name,
            url=UpstreamURL.parse("mirror_url", given["mirror_url"]) if "mirror_url" in given else None,
            volatile=boolean("volatile", given.get("volatile", True)),
            title=text("title", given["title"]) if "title" in given else None,
            description=text("description", given["description"]) if "description" in given else None,
            custom_data=given.get("custom_data"),
            web_url_format=(
                web_url_format("mirror_web_url_fmt", given["mirror_web_url_fmt"])
                if "mirror_web_url_fmt" in given
                else None
            ),
            cache_expiry=seconds("mirror_cache_expiry", given["mirror_cache_expiry"])
            if "mirror_cache_expiry" in given
            else None,
            no_project_list=flag("mirror_no_project_list"),
            use_external_urls=flag("mirror_use_external_urls"),
            ignore_serial_header=flag("mirror_ignore_serial_header"),
            provides_core_metadata=flag("mirror_provides_core_metadata"),
            read=tuple(access_list("acl_read", given["acl_read"])) if "acl_read" in given else None,
            conceal=boolean("conceal", given.get("conceal", False)),
        )

    def stored(self) -> dict[str, object]:
        """The options as they are recorded, with the credentials."""
        return self.shown() | ({} if self.url is None else {"mirror_url": self.url.full()})

    def shown(self) -> dict[str, object]:
        """The options as a client's JSON shows them: unset ones are absent, credentials are masked."""
        shown: dict[str, object] = {
            "type": "mirror",
            "volatile": self.volatile,
            "title": self.title,
            "description": self.description,
            "custom_data": self.custom_data,
            "mirror_url": None if self.url is None else str(self.url),
            "mirror_web_url_fmt": self.web_url_format,
            "mirror_cache_expiry": self.cache_expiry,
            "mirror_no_project_list": self.no_project_list,
            "mirror_use_external_urls": self.use_external_urls,
            "mirror_ignore_serial_header": self.ignore_serial_header,
            "mirror_provides_core_metadata": self.provides_core_metadata,
            "acl_read": None if self.read is None else list(self.read),
            "conceal": self.conceal or None,
        }
        return {key: value for key, value in shown.items() if value is not None}
