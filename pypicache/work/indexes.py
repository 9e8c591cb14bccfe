"""Making, changing and deleting indexes (contract devpi 7.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from pypicache.core.addresses import web_address
from pypicache.core.changes import IndexSaved
from pypicache.core.errors import BadInput, Conflict, Denied, NotFound
from pypicache.core.model import index_name
from pypicache.core.spec import IGNORED_ON_MIRRORS, MIRROR_KEYS, STARS, SWITCHES, MirrorSpec, UpstreamURL, boolean
from pypicache.core.stage import StageSpec, edited
from pypicache.ledger.ledger import Decision, Ledger, all_indexes, departure, index_options, user_record
from pypicache.ledger.state import Spec, spec_of


class Indexes:
    """The verbs of index administration. Who may do it, web has asked before.

    :param private: whether webhooks and build triggers may reach private networks.
    """

    def __init__(self, ledger: Ledger, private: bool = False) -> None:
        self._ledger = ledger
        self._private = private

    async def vacant(self, name: str) -> None:
        """Find out whether an index of this name can be made.

        :raises BadInput: it cannot be a name.
        :raises NotFound: there is no such user.
        :raises Conflict: there is one already.
        """
        await self._ledger.read(lambda connection: _vacant(connection, name))

    async def exists(self, name: str) -> bool:
        """Whether there is such an index, even one that this version cannot read."""
        return await self._ledger.read(lambda connection: index_options(connection, name) is not None)

    async def create(self, name: str, options: Mapping[str, object]) -> Spec:
        """Make an index.

        :raises PypicacheError: as :meth:`vacant`, or the options are wrong.
        """

        def decide(connection: Any) -> Decision[Spec]:
            _vacant(connection, name)
            spec = _checked(name, options)
            _check_bases(connection, spec, ())
            self._check_hooks(spec, None)
            return Decision([IndexSaved(name=name, options=spec.stored())], spec)

        return await self._ledger.change(decide)

    async def modify(
        self, name: str, wanted: Mapping[str, object] | Sequence[str], *, must_change: bool = False
    ) -> Spec:
        """Change an index's options.

        :param wanted: options to replace, ``None`` to unset one; or a list of edits.
        :param must_change: refuse options that are as they are.
        :raises BadInput: the options are wrong.
        :raises Denied: there is no such index; it has no access list that could allow this.
        """

        def decide(connection: Any) -> Decision[Spec]:
            options = index_options(connection, name)
            if options is None:
                raise Denied(f"no permission to modify index {name}")
            before = spec_of(name, options)
            if isinstance(wanted, Mapping):
                new = {**options, **_unmasked(before, wanted)}
            else:
                defaults = spec_of(name, {"type": options.get("type", "stage")}).stored()
                new = _unmasked(before, edited(options, wanted, defaults))
            if new.get("type", "stage") != options.get("type", "stage"):
                raise BadInput("the 'type' of an index can't be changed")
            spec = _checked(name, new)
            _check_bases(connection, spec, before.bases if isinstance(before, StageSpec) else ())
            self._check_hooks(spec, before)
            if spec == before:
                if must_change:
                    raise BadInput("The requested modifications resulted in no changes")
                return Decision((), before)
            return Decision([IndexSaved(name=name, options=spec.stored())], spec)

        return await self._ledger.change(decide)

    def _check_hooks(self, spec: Spec, before: Spec | None) -> None:
        """Refuse addresses that are not told anything; one that is there already may stay."""
        if not isinstance(spec, StageSpec):
            return
        there = before.hooks if isinstance(before, StageSpec) else {}
        for key, url in spec.hooks.items():
            if url != "" and url != there.get(key):
                web_address(key, url, self._private)
        secret = spec.options.get("webhook_secret")
        if secret is not None and not isinstance(secret, str):
            raise BadInput("webhook_secret: expected a text")

    async def delete(self, name: str) -> None:
        """Delete an index with everything in it.

        :raises Denied: there is no such index, or it is not volatile.
        """

        def decide(connection: Any) -> Decision[None]:
            options = index_options(connection, name)
            if options is None:
                raise Denied(f"no permission to delete index {name}")
            if not boolean("volatile", options.get("volatile", True)):
                raise Denied(f"index {name} non-volatile, cannot delete")
            return Decision(departure(connection, name), None)

        await self._ledger.change(decide)


def _vacant(connection: Any, name: str) -> None:
    user = index_name(name).partition("/")[0]
    if user_record(connection, user) is None:
        raise NotFound(f"no user {user!r}")
    if index_options(connection, name) is not None:
        raise Conflict(f"index {name!r} exists")


def _checked(name: str, options: Mapping[str, object]) -> Spec:
    if options.get("type") == "mirror":
        unknown = sorted(set(options) - MIRROR_KEYS - IGNORED_ON_MIRRORS)
        if unknown:
            listed = ", ".join(f"{key}={options[key]}" for key in unknown)
            raise BadInput(f"indexconfig got unexpected keyword arguments: {listed}")
    for key in SWITCHES:
        if options.get(key) is not None:
            _check_switch(key, options[key])
    return spec_of(name, options)


def _check_switch(key: str, value: object) -> None:
    try:
        boolean(key, value)
    except BadInput as error:
        raise BadInput(f"Unknown boolean value {value!r}.") from error  # the sentence of contract devpi 7.1


def _check_bases(connection: Any, spec: Spec, before: Sequence[str]) -> None:
    """Refuse bases that do not exist; one that was deleted meanwhile may stay."""
    if isinstance(spec, StageSpec):
        there = all_indexes(connection)
        missing = [base for base in spec.bases if base not in there and base not in before]
        if missing:
            raise BadInput("\n".join(f"base index {base!r} does not exist" for base in missing))


def _unmasked(before: Spec, wanted: Mapping[str, object]) -> dict[str, object]:
    """The options with the credentials that the client was not shown."""
    url = wanted.get("mirror_url")
    if not isinstance(before, MirrorSpec) or not isinstance(url, str) or f"{STARS}@" not in url:
        return dict(wanted)
    given = UpstreamURL.parse("mirror_url", url)
    if before.url is None or before.url.user is None or given.base != before.url.base:
        raise BadInput("mirror_url: the stars stand for the credentials of another address; give those of this one")
    return {**wanted, "mirror_url": evolve(before.url, spelled=given.spelled).full()}


def options_of(body: Any) -> dict[str, Any] | list[str]:
    """Read the body of a request: options, options inside ``{"type": "indexconfig", "result": ...}``, or edits.

    :raises BadInput: it is none of these.
    """
    if isinstance(body, dict) and body.get("type") == "indexconfig" and isinstance(body.get("result"), dict):
        body = body["result"]
    if isinstance(body, dict):
        return body
    if isinstance(body, list) and all(isinstance(item, str) for item in body):
        return body
    raise BadInput("expected a JSON object of options, or a list of texts such as key=value")
