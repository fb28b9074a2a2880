"""How long a report takes to open in Chromium, and to switch from head to head.

    python benchmarks/report_page.py runs/mine/report.html

Needs Playwright's package and a Chromium on the PATH. Prints milliseconds: to the load event, and from a click on
a head to the frame after it is drawn.
"""

from __future__ import annotations

import platform
import shutil
import statistics
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

OPENINGS = 7
HEADS = 100
SWITCH = """async (most) => {
  const taken = [];
  for (const head of [...document.querySelectorAll(".head")].slice(0, most)) {
    const begin = performance.now();
    head.click();
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
    taken.push(performance.now() - begin);
  }
  return taken;
}"""


def main(path: Path) -> None:
    """Opens the page several times and clicks through its heads."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        loads = []
        for _ in range(OPENINGS):
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(path.resolve().as_uri())
            loads.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        taken = page.evaluate(SWITCH, HEADS)
        heads = page.locator(".head").count()
        print(f"{platform.machine()}, Chromium {browser.version}; {path.stat().st_size / 1e6:.2f} MB, {heads} heads")
        browser.close()
    print(f"open:   median {statistics.median(loads):.0f} ms, worst of {len(loads)}: {max(loads):.0f} ms")
    print(f"switch: median {statistics.median(taken):.0f} ms, worst of {len(taken)}: {max(taken):.0f} ms")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
