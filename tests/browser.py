"""A real Chromium for tests: the one that is installed, without a display, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]  # a container has neither
SLOWEST = 30_000  # ms to wait for what takes a tenth of it on an idle machine


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of this machine; fails where there is none, as .ci/setup installs it."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    assert path, f"no browser: install one of {', '.join(NAMES)} (sudo apt install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a file."""
    with chromium() as made:
        yield made


class Tab:
    """A page with what it complained about in `errors`."""

    def __init__(self, browser: Browser, url: str, width: int = 1280, height: int = 720, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]  # one of two literals
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(SLOWEST)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)
        self.page.goto(url)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def close(self) -> None:
        """Close the tab, and all that is its own."""
        self.context.close()
