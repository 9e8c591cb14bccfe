"""Results: cells, rows, and the Markdown table made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import field, frozen


@frozen
class Cell:
    """What one server did: a number, or the reason why there is none."""

    value: float | None
    errors: int = 0
    note: str = ""

    def text(self) -> str:
        """The cell as the table shows it."""
        if self.value is None:
            return self.note or "-"
        remarks = [*([f"{self.errors} errors"] if self.errors else []), *([self.note] if self.note else [])]
        return number(self.value) + (f" ({', '.join(remarks)})" if remarks else "")


@frozen(kw_only=True)
class Row:
    """One figure of all servers."""

    figure: str
    unit: str
    cells: dict[str, Cell] = field(factory=dict)  # server -> what it did
    reference: str = "nginx"  # the server that pypicache is compared with
    goal: float | None = None  # of the ratio: at most for times, at least for rates
    more_is_better: bool = False

    def ratio(self, server: str = "pypicache") -> float | None:
        """The server's number divided by the reference's; None where one is missing."""
        ours, theirs = self.cells.get(server), self.cells.get(self.reference)
        if ours is None or theirs is None or ours.value is None or not theirs.value:
            return None
        return ours.value / theirs.value

    def verdict(self) -> str:
        """The goal, and whether it was met."""
        if self.goal is None:
            return ""
        ratio = self.ratio()
        sign = "≥" if self.more_is_better else "≤"
        if ratio is None:
            return f"{sign} {self.goal:g}"
        met = ratio >= self.goal if self.more_is_better else ratio <= self.goal
        ours = self.cells["pypicache"].errors
        return f"{sign} {self.goal:g} {'yes' if met and not ours else 'NO'}"


def number(value: float) -> str:
    """Three significant digits, or whole numbers with separators."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def markdown(rows: Iterable[Row], servers: Sequence[str]) -> str:
    """A table with a column per server, and pypicache's ratio to its reference."""
    heads = ["figure", "unit", *servers, "pypicache / reference", "goal"]
    lines = [_line(heads), _line(["---", "---", *("---:" for _ in servers), "---:", "---"])]
    for row in rows:
        ratio = row.ratio()
        cells = [row.cells.get(server, Cell(None)).text() for server in servers]
        compared = "" if ratio is None else f"{number(ratio)} ({row.reference})"
        lines.append(_line([row.figure, row.unit, *cells, compared, row.verdict()]))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
