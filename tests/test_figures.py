"""The figures of ``GET /+status``, read and put into words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pypicache.web.figures import Hits, Status, Upstream, counted, duration, in_bytes, of_bytes, percentage
from pypicache.web.pages import Pages

MIB = 1024 * 1024
KEYS = (
    "version",
    "uptime",
    "offline",
    "outside-url",
    "serial",
    "cache",
    "traffic",
    "downloads",
    "upstreams",
    "indexes",
)
ODD: st.SearchStrategy[object] = st.sampled_from(
    [None, True, -1, 10**30, 10**400, 1e308, float("nan"), "x", [], [None, {}], [{"size": "a"}], {"size": [1]}]
)


class TestFigures:
    """Figures as people read them."""

    def test_bytes(self) -> None:
        cases = {0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 5347737: "5.1 MiB", 50 * 1024**3: "50 GiB"}
        cases |= {1024**2 - 1: "1 MiB", 340 * MIB: "340 MiB", 1024**6: "1024 PiB", 1024**7: "1048576 PiB", -1: "0 B"}
        for count, shown in cases.items():
            assert in_bytes(count) == shown

    def test_part_of_bytes(self) -> None:
        assert of_bytes(2.3 * MIB, 5.1 * MIB) == "2.3 of 5.1 MiB"
        assert of_bytes(900 * 1024, 5.1 * MIB) == "900 KiB of 5.1 MiB"
        assert of_bytes(2.3 * MIB, None) == "2.3 MiB"

    def test_durations(self) -> None:
        cases = {-1: "0 s", 0.9: "0 s", 59.9: "59 s", 60: "1 min", 61: "1 min 1 s", 7533: "2 h 5 min"}
        cases |= {3600: "1 h", 86400: "1 d", 3 * 86400 + 4 * 3600 + 59: "3 d 4 h"}
        for seconds, shown in cases.items():
            assert duration(seconds) == shown

    def test_only_all_of_it_is_a_hundred_percent(self) -> None:
        assert percentage(0.99999) == "99.9 %"
        assert percentage(0.999, 0) == "99 %"
        assert percentage(1) == "100 %"
        assert percentage(1.5) == "100 %"
        assert percentage(-1) == "0 %"
        assert percentage(0.29) == "29 %"

    @given(st.integers(1, 10**12), st.integers(1, 10**12))
    def test_a_share_below_one_is_never_a_hundred_percent_by_rounding(self, hits: int, misses: int) -> None:
        if misses / (hits + misses) > 1e-6:
            assert Hits(hits=hits, misses=misses).rate != "100 %"

    def test_counts(self) -> None:
        assert counted(1, "client") == "1 client"
        assert counted(0, "client") == "0 clients"
        assert counted(2000, "entry", "entries") == "2,000 entries"

    def test_no_requests_have_no_rate(self) -> None:
        assert Hits(hits=0, misses=0).rate == "no requests yet"

    def test_states(self) -> None:
        def words(state: str) -> str:
            return Upstream(host="", state=state, failures=0, retry_in=None, last_error=None).words

        assert words("closed") == "works"
        assert "offline" in words("offline")
        assert words("on-holiday") == "on-holiday"
        assert words("") == "unknown"


class TestReading:
    """A daemon of another version is shown as far as it is understood."""

    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, ODD)))
    def test_anything_can_be_read_and_shown(self, result: dict[str, object]) -> None:
        assert Pages().home(result, "http://127.0.0.1:3141")
        assert Pages().status(result, "http://127.0.0.1:3141")

    def test_wrong_types_count_as_missing(self) -> None:
        odd = {
            "uptime": "long",
            "serial": True,
            "cache": [1],
            "downloads": {"file": "a"},
            "indexes": [1, {"name": "root/pypi", "projects": "7"}],
        }

        status = Status.read(odd)

        assert (status.uptime, status.serial, status.size, status.downloads) == (0.0, 0, 0, ())
        assert [index.projects for index in status.indexes] == [None]

    def test_numbers_that_are_none_count_as_missing(self) -> None:
        assert Status.read({"uptime": float("nan"), "serial": float("inf")}).uptime == 0.0
        assert Status.read({"serial": -3}).serial == 0
