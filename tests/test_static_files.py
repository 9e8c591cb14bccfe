"""The files beside the pages: the style sheet, the script and the icon."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pypicache.web.pages
from pypicache.web.pages import DOWNLOADS_ON_THE_FIRST_PAGE, Pages
from tests.test_pages import HERE, a_download, a_status, an_upstream


class TestStaticFiles:
    """The files beside the pages."""

    folder = Path(pypicache.web.pages.__file__).with_name("static")

    def test_every_file_a_page_names_is_there(self) -> None:
        for page in (Pages().home(a_status(), HERE), Pages().error(404, "a", "b")):
            for name in re.findall(r'/\+static/([^"]+)"', page):
                assert (self.folder / name).is_file(), name

    def test_both_colour_schemes_and_nothing_from_elsewhere(self) -> None:
        sheet = (self.folder / "style.css").read_text("utf-8")

        assert "prefers-color-scheme: dark" in sheet
        assert "url(" not in sheet
        assert "@import" not in sheet

    def test_every_class_of_the_pages_is_known_to_the_sheet(self) -> None:
        sheet = (self.folder / "style.css").read_text("utf-8")
        status = a_status(
            offline=True,
            downloads=[a_download()] * (DOWNLOADS_ON_THE_FIRST_PAGE + 1),
            upstreams=[an_upstream(state=state, last_error="x") for state in ("closed", "open", "half-open")],
        )
        for page in (Pages().home(status, HERE), Pages().status(status, HERE), Pages().error(404, "a", "b")):
            for names in re.findall(r'class="([^"]+)"', page):
                for name in names.split():
                    assert re.search(rf"\.{name}\b", sheet)

    def test_the_icon_is_well_formed(self) -> None:
        assert ElementTree.parse(self.folder / "icon.svg").getroot().tag.endswith("svg")  # noqa: S314 - our own file
