from __future__ import annotations

from hashlib import sha256
from urllib.parse import urljoin

import orjson

from pypicache.core.errors import BadInput
from pypicache.core.model import *


def parse_page(body, content_type, base_url, name):
    try:
        d = orjson.loads(body)
    except ValueError as e:
        raise BadInput(str(e)) from e
    fs = []
    for f in d["files"]:
        f = dict(f)
        cm = f.pop("core-metadata", None)
        fs.append(
            File(
                name=f.pop("filename"),
                url=urljoin(base_url, f.pop("url")),
                hashes=f.pop("hashes"),
                size=f.pop("size", None),
                upload_time=f.pop("upload-time", None),
                requires_python=f.pop("requires-python", None),
                yanked=f.pop("yanked", None) or None,
                core_metadata=cm,
                extra=f,
            )
        )
    return Project(
        name=name,
        revision=sha256(body).hexdigest()[:20],
        files=tuple(fs),
        serial=d["meta"].get("_last-serial"),
        meta=d["meta"],
    )
