"""Large pages as files in memory: the same bytes, for as long as the page is ready."""

from __future__ import annotations

import os

import pytest

from pypicache.web.offers import Ready
from pypicache.web.sheets import Sheet, Sheets

BODY = os.urandom(300_000)


def ready(body: bytes = BODY) -> Ready:
    """A page."""
    return Ready(etag="tag", body=body)


def is_open(descriptor: int) -> bool:
    """Whether a descriptor is one."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_the_bytes_of_the_page_that_nobody_can_change() -> None:
    sheets, page = Sheets(), ready()
    sheet = sheets.of(page)
    assert sheet is not None
    assert sheets.of(page) is sheet
    assert os.pread(sheet.descriptor, 2 * len(BODY), 0) == BODY
    for change in (lambda: os.pwrite(sheet.descriptor, b"x", 0), lambda: os.ftruncate(sheet.descriptor, 0)):
        with pytest.raises(PermissionError):
            change()


def test_each_page_has_its_own() -> None:
    """Even where the tag is the same."""
    sheets = Sheets()
    pages = [ready(b"%d" % number * 1000) for number in range(5)]
    for page in pages:
        sheet = sheets.of(page)
        assert sheet is not None
        assert os.pread(sheet.descriptor, 10_000, 0) == page.body


def test_it_goes_with_the_page() -> None:
    """Who still sends it has it to the end."""
    sheets, page = Sheets(), ready()
    sheet: Sheet | None = sheets.of(page)
    assert sheet is not None
    descriptor = sheet.descriptor
    del page
    assert is_open(descriptor)
    del sheet
    assert not is_open(descriptor)


@pytest.mark.parametrize("bounds", [(2 * len(BODY), 100), (100 * len(BODY), 2)])
def test_there_is_room_for_two(bounds: tuple[int, int]) -> None:
    sheets = Sheets(*bounds)
    pages = [ready() for _ in range(3)]
    assert [sheets.of(page) is None for page in pages] == [False, False, True]
    pages.pop(0)
    assert sheets.of(pages[-1]) is not None
