import orjson


def render_json(p, url_of):
    return orjson.dumps(
        {
            "meta": {"api-version": "1.4"},
            "name": p.name,
            "files": [
                {
                    "filename": f.name,
                    "url": url_of(f),
                    "hashes": dict(f.hashes),
                    **({"core-metadata": f.core_metadata} if f.core_metadata else {}),
                    **({"size": f.size} if f.size is not None else {}),
                }
                for f in p.files
            ],
        }
    )


def render_html(p, url_of):
    return "".join(f'<a href="{url_of(f)}">{f.name}</a>' for f in p.files).encode()
