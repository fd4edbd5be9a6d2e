"""Runs in world: Chromium follows the steps in $STEPS and the outcome is printed as JSON.

Steps: {"open": url}, {"click": css}, {"type": text, "into": css}, {"wait": css}, {"text": css, "as": name},
{"links": name}, {"screenshot": file in world}.
"""

from __future__ import annotations

import json
import os
from typing import Any

from selenium import webdriver  # type: ignore[import-not-found,unused-ignore]
from selenium.webdriver.chrome.service import Service  # type: ignore[import-not-found,unused-ignore]
from selenium.webdriver.common.by import By  # type: ignore[import-not-found,unused-ignore]
from selenium.webdriver.support.ui import WebDriverWait  # type: ignore[import-not-found,unused-ignore]


def start() -> Any:
    """Chromium with its console kept; without its own sandbox, which root cannot have."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = "/usr/bin/chromium"
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def find(driver: Any, css: str) -> Any:
    """The first element that matches and can be seen, waited for."""

    def visible(_: Any) -> Any:
        return next((one for one in driver.find_elements(By.CSS_SELECTOR, css) if one.is_displayed()), None)

    return WebDriverWait(driver, 15).until(visible, message=f"{css} on {driver.current_url}")


def follow(driver: Any, step: dict[str, str], seen: dict[str, Any]) -> None:
    """One step."""
    match step:
        case {"open": url}:
            driver.get(url)
        case {"click": css}:
            find(driver, css).click()
        case {"type": text, "into": css}:
            find(driver, css).send_keys(text)
        case {"wait": css}:
            find(driver, css)
        case {"text": css, "as": name}:
            seen[name] = find(driver, css).text
        case {"links": name}:
            seen[name] = driver.execute_script("return [...document.links].map(link => link.href)")
        case {"screenshot": file}:
            driver.save_screenshot(file)
        case _:
            raise ValueError(f"unknown step: {step}")


def main() -> None:
    """Follow the steps; always say title, address and what the console had."""
    driver = start()
    seen: dict[str, Any] = {}
    try:
        for step in json.loads(os.environ["STEPS"]):
            follow(driver, step, seen)
        seen |= {"title": driver.title, "url": driver.current_url, "console": driver.get_log("browser")}
    finally:
        driver.quit()
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
