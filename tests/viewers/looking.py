"""What is seen in OHIF: whether it is in colour, which slice it is, and what went wrong."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from tests.viewers.browser import Browser

LOADED: Final = "document.querySelector('canvas') && document.body.innerText.includes('S:8800')"
CLOSE_TOUR: Final = "[...document.querySelectorAll('button')].filter(e => e.innerText.includes('Skip all'))"
NO_TRACKING: Final = "[...document.querySelectorAll('button')].filter(e => e.innerText.trim() === 'No')"
SECONDS: Final = 60
COLOURED: Final = 40
"""Difference between the channels of a pixel that is no shade of grey."""
VIEWPORT: Final = (slice(60, 770), slice(290, 1530))
"""Of a screenshot: where the images are, without toolbar, list of series, scroll bar and messages."""
PLACE: Final = r"I:\d+ \((\d+)/(\d+)\)"
"""OHIF's words for the slice that is shown: its number, its place, and how many there are."""


def coloured(picture: bytes) -> float:
    """Return the share of coloured pixels in the viewport of a screenshot."""
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    shown = pixels[VIEWPORT].astype(int)
    return float((shown.max(axis=2) - shown.min(axis=2) > COLOURED).mean())


def rest(browser: Browser, milliseconds: int) -> None:
    """Let the page work."""
    browser.evaluate(f"new Promise(done => setTimeout(done, {milliseconds}))")


def answer(browser: Browser) -> None:
    """Answer what OHIF asks: no tour, no tracking."""
    for buttons in (CLOSE_TOUR, NO_TRACKING):
        browser.evaluate(f"{buttons}.forEach(e => e.click())")


def look(browser: Browser, path: Path) -> float:
    """Answer what OHIF asks, keep a screenshot and return the share of coloured pixels."""
    answer(browser)
    rest(browser, 500)
    return coloured(browser.screenshot(path))


def place(browser: Browser) -> tuple[int, int] | None:
    """Return which slice from the head is shown, from 1, and of how many."""
    found = re.search(PLACE, browser.text())
    return None if found is None else (int(found[1]), int(found[2]))


def turn_to(browser: Browser, wanted: int) -> None:
    """Turn the wheel until a slice is shown, from the head, from 1."""
    deadline = time.monotonic() + SECONDS
    while (shown := settled(browser)) is None or shown[0] != wanted:
        assert time.monotonic() < deadline, f"slice {wanted} is not reached: {shown}"
        answer(browser)
        steps = 0 if shown is None else wanted - shown[0]
        for _ in range(abs(steps)):
            browser.scroll(1 if steps > 0 else -1)


def settled(browser: Browser) -> tuple[int, int] | None:
    """Return which slice is shown once the page has followed the wheel."""
    deadline = time.monotonic() + SECONDS
    before, shown = None, place(browser)
    while before is None or shown != before:
        assert time.monotonic() < deadline, f"the slices do not rest: {shown}"
        rest(browser, 300)
        before, shown = shown, place(browser)
    return shown


def failures(browser: Browser) -> list[str]:
    """Return what went wrong in the page."""
    return [line for line in browser.console if line.startswith("exception") or "Error" in line]
