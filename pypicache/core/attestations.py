"""Attestations of uploads, and the provenance object that offers them (PEP 740)."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from typing import Any

import orjson

from pypicache.core.errors import BadInput

MOST = 16  # attestations of one file; there are two predicate types today


def read_attestations(text: str, file_name: str, sha256: str) -> list[dict[str, Any]]:
    """Read the field ``attestations`` of a form. Signatures are not verified: who wants to trust them does that.

    :param sha256: of the file that was uploaded; the statements must be about it.
    :raises BadInput: it is not a list of attestations, or one is about something else.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadInput("attestations: expected JSON") from None
    if not isinstance(found, list) or not 0 < len(found) <= MOST:
        raise BadInput("attestations: expected a list of attestation objects")
    types = [_predicate_type(item, file_name, sha256) for item in found]
    if len(set(types)) != len(types):
        raise BadInput("attestations: there are several of one predicate type")
    return found


def _predicate_type(item: object, file_name: str, sha256: str) -> str:
    if not isinstance(item, dict) or item.get("version") != 1:
        raise BadInput("attestations: expected objects of version 1")
    material, envelope = item.get("verification_material"), item.get("envelope")
    if (
        not isinstance(material, dict)
        or not isinstance(material.get("certificate"), str)
        or not isinstance(material.get("transparency_entries"), list)
    ):
        raise BadInput("attestations: verification_material is not as PEP 740 says")
    if not isinstance(envelope, dict) or not isinstance(envelope.get("signature"), str):
        raise BadInput("attestations: envelope is not as PEP 740 says")
    try:
        statement = orjson.loads(b64decode(str(envelope.get("statement")), validate=True))
    except (NotBase64, ValueError):
        raise BadInput("attestations: the statement is not JSON in base64") from None
    subjects = statement.get("subject") if isinstance(statement, dict) else None
    subject = subjects[0] if isinstance(subjects, list) and len(subjects) == 1 else None
    digest = subject.get("digest") if isinstance(subject, dict) else None
    if not isinstance(subject, dict) or not isinstance(digest, dict):
        raise BadInput("attestations: the statement has not exactly one subject")
    if digest.get("sha256") != sha256:
        raise BadInput(f"attestations: the statement is not about these bytes of {file_name}")
    return str(statement.get("predicateType"))


def provenance(attestations: list[dict[str, Any]], index: str, user: str | None) -> bytes:
    """The provenance object of a file, as it is served."""
    publisher = {"kind": "pypicache", "claims": None, "index": index, "user": user}
    return orjson.dumps(
        {"version": 1, "attestation_bundles": [{"publisher": publisher, "attestations": attestations}]},
        option=orjson.OPT_APPEND_NEWLINE,
    )
