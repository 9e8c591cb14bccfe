"""Results: cells, goals, rows, and the Markdown table made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

OURS = "pypicache"


@frozen
class Cell:
    """What one server did: a number, or the reason why there is none.

    :ivar details: what only the JSON tells, such as percentiles and sizes; names say the unit.
    """

    value: float | None
    errors: int = 0
    note: str = ""
    details: Mapping[str, object] = field(factory=dict)

    def text(self) -> str:
        """The cell as the table shows it."""
        if self.value is None:
            return self.note or "-"
        remarks = [*([f"{self.errors} errors"] if self.errors else []), *([self.note] if self.note else [])]
        return number(self.value) + (f" ({', '.join(remarks)})" if remarks else "")


@frozen
class Goal:
    """What pypicache's number should be: so many times that of another server, or a number by itself.

    :ivar bound: at most for times, at least for rates; ``None``: the ratio is only told.
    :ivar of: the other server; empty for a number by itself.
    """

    bound: float | None
    of: str = ""


@frozen(kw_only=True)
class Row:
    """One figure of all servers."""

    figure: str
    unit: str
    cells: dict[str, Cell] = field(factory=dict)  # server -> what it did
    goals: tuple[Goal, ...] = (Goal(None, "nginx"),)
    more_is_better: bool = False

    def measured(self, goal: Goal) -> float | None:
        """The number that a goal is about; None where one of those that it is made of is missing."""
        ours = self.cells.get(OURS)
        if ours is None or ours.value is None or not goal.of:
            return None if ours is None else ours.value
        theirs = self.cells.get(goal.of)
        return ours.value / theirs.value if theirs is not None and theirs.value else None

    def reached(self, goal: Goal) -> bool | None:
        """Whether a goal is reached; None where there is nothing to judge. What had errors has not reached anything."""
        value = self.measured(goal)
        if value is None or goal.bound is None:
            return None
        return (value >= goal.bound if self.more_is_better else value <= goal.bound) and not self.cells[OURS].errors

    def told(self, goal: Goal) -> str:
        """A goal, what it is about, and whether it is reached, as the table shows it."""
        value, reached = self.measured(goal), self.reached(goal)
        of = f" × {goal.of}" if goal.of else ""
        parts = [f"{number(value)}{of}"] if value is not None and of else []
        if goal.bound is not None:
            sign = "≥" if self.more_is_better else "≤"
            verdict = {None: "not measured", True: "yes", False: "**no**"}[reached]
            parts.append(f"{sign} {goal.bound:g}{'' if parts else of}: {verdict}")
        return ", ".join(parts)


def number(value: float) -> str:
    """Three significant digits, or whole numbers with separators."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def markdown(rows: Iterable[Row], servers: Sequence[str]) -> str:
    """A table with a column per server, and how pypicache compares with its goals."""
    heads = ["figure", "unit", *servers, "pypicache compared, goal"]
    lines = [_line(heads), _line(["---", "---", *("---:" for _ in servers), "---"])]
    for row in rows:
        cells = [row.cells.get(server, Cell(None)).text() for server in servers]
        lines.append(_line([row.figure, row.unit, *cells, "; ".join(filter(None, map(row.told, row.goals)))]))
    return "\n".join(lines) + "\n"


def judged(rows: Iterable[Row]) -> str:
    """How many of the goals are reached, in one line."""
    verdicts = [row.reached(goal) for row in rows for goal in row.goals if goal.bound is not None]
    return (
        f"{verdicts.count(True)} of {len(verdicts)} goals reached, {verdicts.count(False)} missed, "
        f"{verdicts.count(None)} not measured"
    )


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
