"""The bars of a run as an SVG that can be read on light and on dark pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from bench.table import Row, number

_COLORS = ("#3b82c4", "#5f9e6e", "#c98a2b", "#a46bb0", "#8a8f98")  # dark and light enough for both backgrounds
_WIDTH, _BARS_FROM, _BARS_TO = 760, 150, 620  # pixels
_LINE, _HEAD, _GAP = 18, 22, 12  # pixels


def svg(rows: Iterable[Row], servers: Sequence[str]) -> str:
    """A group of bars for each row that at least two servers have a number for; the longest bar of a group is full.

    Bars are labelled with their numbers, and groups say whether long or short is good, because units differ.
    """
    parts: list[str] = []
    top = 8
    for row in rows:
        values = {name: row.cells[name].value for name in servers if name in row.cells}
        there = {name: value for name, value in values.items() if value is not None}
        if len(there) < 2:
            continue
        longest = max(there.values()) or 1
        better = "more is better" if row.more_is_better else "less is better"
        title = escape(f"{row.figure} [{row.unit}], {better}" if row.unit else f"{row.figure}, {better}")
        parts.append(f'<text class="h" x="8" y="{top + 14}">{title}</text>')
        top += _HEAD
        for name, value in there.items():
            width = max(1.0, (_BARS_TO - _BARS_FROM) * value / longest)
            errors = row.cells[name].errors
            label = number(value) + (f", {errors} errors" if errors else "")
            color = _COLORS[servers.index(name) % len(_COLORS)]
            parts.append(f'<text x="{_BARS_FROM - 8}" y="{top + 12}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{_BARS_FROM}" y="{top + 2}" width="{width:.1f}" height="13" fill="{color}"/>')
            parts.append(f'<text x="{_BARS_FROM + width + 6:.1f}" y="{top + 12}">{label}</text>')
            top += _LINE
        top += _GAP
    style = (
        "text{font:12px sans-serif;fill:#24292f}.h{font-weight:bold}"
        "@media(prefers-color-scheme:dark){text{fill:#d6dbe1}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}"'
        f' role="img"><title>The benchmark</title><style>{style}</style>\n' + "\n".join(parts) + "\n</svg>\n"
    )
