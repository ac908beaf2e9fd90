"""A Chromium without a window: pages as a person sees them, after their scripts have run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from leakcheck import note
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

# Nothing but the page that is asked for: no updates, no look-ups, no account.
FLAGS = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
FLAGS += ["disable-component-update", "disable-sync", "disable-dev-shm-usage", "window-size=1400,900"]
FOUND = [shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")]
needed = pytest.mark.skipif(not all(FOUND), reason="no Chromium with its chromedriver is installed here")


class Browser:
    """What it has shown is looked through for card numbers at the end of the test."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)
        note(self.driver.page_source)

    @property
    def text(self) -> str:
        """What can be read on the page at this moment."""
        note(self.driver.page_source)
        try:
            return self.driver.find_element(By.TAG_NAME, "body").text
        except StaleElementReferenceException:
            return ""  # it is being changed

    def table(self, css: str) -> list[dict[str, str]]:
        """A table's rows as they can be read, by what stands atop their columns."""
        script = """const lines = one => [...one.querySelectorAll('th, td')].map(cell => cell.innerText.trim());
            return [...document.querySelectorAll(arguments[0] + ' tr')].map(lines)"""
        head, *rows = self.driver.execute_script(script, css) or [[]]
        return [dict(zip(head, row, strict=True)) for row in rows if len(row) == len(head)]

    def follow(self, css: str) -> None:
        """Click on a link."""
        self.driver.find_element(By.CSS_SELECTOR, css).click()

    def picture(self, path: str) -> None:
        self.driver.save_screenshot(path)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """One with a memory of its own, below ``folder``."""
    options = ChromeOptions()
    options.binary_location = str(FOUND[0])
    for flag in (*FLAGS, f"user-data-dir={folder / 'chromium'}"):
        options.add_argument(f"--{flag}")
    driver = Chrome(options, ChromeService(str(FOUND[1]), log_output=str(folder / "chromedriver.log")))
    try:
        driver.set_page_load_timeout(30)
        yield Browser(driver)
    finally:
        driver.quit()
