"""What a run of the benchmark shows: goals, the table, the bars, medians and slopes."""

from __future__ import annotations

from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from bench.chart import svg
from bench.figures import median
from bench.lasting import slope
from bench.table import Cell, Goal, Row, judged, markdown, number


def row(ours: Cell, theirs: Cell, more: bool = False) -> Row:
    """A row with a goal of 1.25 times nginx, and one of 3 by itself."""
    cells = {"pypicache": ours, "nginx": theirs}
    return Row(figure="f", unit="s", cells=cells, goals=(Goal(1.25, "nginx"), Goal(3)), more_is_better=more)


class GoalTests(SynchronousTestCase):
    """Goals."""

    def reached(self, row: Row) -> list[bool | None]:
        """Of all goals."""
        return [row.reached(goal) for goal in row.goals]

    def test_bounds(self) -> None:
        """A time may be at most the goal, a rate must be at least that; the bound itself is reached."""
        self.assertEqual(self.reached(row(Cell(2.5), Cell(2.0))), [True, True])
        self.assertEqual(self.reached(row(Cell(3.1), Cell(2.0))), [False, False])
        self.assertEqual(self.reached(row(Cell(2.5), Cell(2.0), more=True)), [True, False])
        self.assertEqual(self.reached(row(Cell(3.0), Cell(2.5), more=True)), [False, True])

    def test_errors_reach_nothing(self) -> None:
        """However fast it was; errors of the other server do not count against us."""
        self.assertEqual(self.reached(row(Cell(0.1, errors=1), Cell(2.0))), [False, False])
        self.assertEqual(self.reached(row(Cell(0.1), Cell(2.0, errors=1))), [True, True])

    def test_gaps(self) -> None:
        """Neither a missing server nor a reference of nothing can be divided; a number by itself needs no other."""
        self.assertEqual(self.reached(row(Cell(None), Cell(2.0))), [None, None])
        self.assertEqual(self.reached(row(Cell(1.0), Cell(None))), [None, True])
        self.assertEqual(self.reached(row(Cell(1.0), Cell(0.0))), [None, True])
        self.assertEqual(self.reached(Row(figure="f", unit="s", goals=(Goal(1, "nginx"),))), [None])

    def test_told(self) -> None:
        """What is measured, the bound and the verdict, or what there is of it."""
        told = row(Cell(3.1), Cell(2.0))
        self.assertEqual(
            [told.told(goal) for goal in (*told.goals, Goal(None, "nginx"), Goal(2, "devpi-server"))],
            ["1.55 × nginx, ≤ 1.25: **no**", "≤ 3: **no**", "1.55 × nginx", "≤ 2 × devpi-server: not measured"],
        )

    def test_judged(self) -> None:
        """Goals are counted, rows without one are not."""
        rows = [row(Cell(2.0), Cell(2.0)), row(Cell(9.0), Cell(None)), Row(figure="f", unit="s")]
        self.assertEqual(judged(rows), "2 of 4 goals reached, 1 missed, 1 not measured")


class TableTests(SynchronousTestCase):
    """The table."""

    def test_numbers(self) -> None:
        """Three digits are enough to compare."""
        self.assertEqual([number(value) for value in [0.012345, 12.345, 123.45, 12345.6, 3.0]],
                         ["0.0123", "12.3", "123", "12,346", "3"])  # fmt: skip

    def test_markdown(self) -> None:
        """A column per server in the order asked for, gaps named, text that cannot break the table."""
        rows = [
            Row(figure="a|b", unit="s", cells={"pypicache": Cell(3.0, 2, "why"), "nginx": Cell(2.0)}),
            Row(figure="c", unit="", cells={"pypicache": Cell(1.0), "nginx": Cell(None, note="not\ninstalled")}),
        ]
        self.assertEqual(
            markdown(rows, ["pypicache", "nginx", "devpi-server"]),
            "| figure | unit | pypicache | nginx | devpi-server | pypicache compared, goal |\n"
            "| --- | --- | ---: | ---: | ---: | --- |\n"
            "| a\\|b | s | 3 (2 errors, why) | 2 | - | 1.5 × nginx |\n"
            "| c |  | 1 | not installed | - |  |\n",
        )

    def test_median(self) -> None:
        """Failed rounds do not hide the others' numbers, no error is lost, and it shows how far numbers are apart."""
        cells = [Cell(9.0, 1), Cell(None, note="failed"), Cell(2.0), Cell(3.0, 2, "last", {"bytes": 7})]
        self.assertEqual(median(cells), Cell(3.0, 3, "2 to 9, last", {"bytes": 7, "values": [9.0, 2.0, 3.0]}))
        self.assertEqual(median([Cell(3.0, 2, "only")]), Cell(3.0, 2, "only"))
        self.assertEqual(median([Cell(None, note="failed")]), Cell(None, note="failed"))


class ChartTests(SynchronousTestCase):
    """The bars."""

    def bars(self, rows: list[Row]) -> list[tuple[float, float, str]]:
        """Top, width and color of each bar."""
        root = ElementTree.fromstring(svg(rows, ["pypicache", "nginx", "proxpi"]))  # noqa: S314 - written by us
        found = root.iter("{http://www.w3.org/2000/svg}rect")
        return [(float(bar.attrib["y"]), float(bar.attrib["width"]), bar.attrib["fill"]) for bar in found]

    def test_widths(self) -> None:
        """The longest bar of a group is full, the others are in proportion; a server keeps its color."""
        [ours, proxpi, again, _] = self.bars(
            [
                Row(figure="a <b>", unit="s", cells={"pypicache": Cell(1.0), "nginx": Cell(None), "proxpi": Cell(4.0)}),
                Row(figure="c", unit="s", cells={"pypicache": Cell(9.0), "nginx": Cell(3.0)}),
            ]
        )
        self.assertAlmostEqual(proxpi[1] / ours[1], 4.0, places=2)
        self.assertEqual(again[1], proxpi[1])
        self.assertEqual(again[2], ours[2])
        self.assertNotEqual(proxpi[2], ours[2])
        self.assertLess(proxpi[0], again[0])

    def test_errors_are_told(self) -> None:
        """A bar that looks good because answers were missing says so."""
        cells = {"pypicache": Cell(1.0), "nginx": Cell(0.5, errors=3)}
        self.assertIn(">0.5, 3 errors</text>", svg([Row(figure="a", unit="s", cells=cells)], ["pypicache", "nginx"]))

    def test_nothing_to_compare(self) -> None:
        """A single number makes no group, and zeros can be drawn."""
        self.assertEqual(self.bars([Row(figure="a", unit="s", cells={"pypicache": Cell(1.0)})]), [])
        zeros = Row(figure="a", unit="s", cells={"pypicache": Cell(0.0), "nginx": Cell(0.0)})
        self.assertEqual([width for _, width, _ in self.bars([zeros])], [1.0, 1.0])


class SlopeTests(SynchronousTestCase):
    """Least squares."""

    def test_line(self) -> None:
        """Of points on a line it is the line's; noise around it that evens out changes nothing."""
        self.assertAlmostEqual(slope([(0, 5), (1, 7), (4, 13)]), 2.0)
        self.assertAlmostEqual(slope([(0, 1), (1, -1), (2, -1), (3, 1)]), 0.0)

    def test_too_little(self) -> None:
        """Nothing can be said of one moment."""
        self.assertEqual((slope([]), slope([(1, 5)]), slope([(1, 5), (1, 9)])), (0.0, 0.0, 0.0))
