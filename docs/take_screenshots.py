"""Pictures of the Dagster UI on the demo's home, for the README: `make screenshots` after `make demo`.

Starts `dg dev` on a free port, visits the pages with the system's Chromium, writes docs/images/*.png, and ends what it started.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
START_TIMEOUT_S = 180
PARTITION = "employment-ma/1"


def main() -> None:
    """Take every picture."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is needed: apt-get install chromium")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with dagster_ui() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        graph(page, address)
        for asset in ("bias_assessment", "anonymization_check", "adversarial_robustness", "policy_verdict"):
            overview(page, address, asset)
        checks(page, address, "bias_assessment", "FAIR_S")
        automation(page, address)
        card(page)
        browser.close()


def graph(page: Page, address: str) -> None:
    """The asset graph."""
    usual = page.viewport_size
    page.set_viewport_size({"width": 1500, "height": 1600})  # all of it, large enough to read
    page.goto(f"{address}/asset-groups", wait_until="networkidle")
    page.mouse.move(5, 5)  # nothing is pointed at
    page.wait_for_timeout(8_000)
    save(page, "asset-graph")
    if usual is not None:
        page.set_viewport_size(usual)


def overview(page: Page, address: str, asset: str) -> None:
    """What the newest materialization of a partition shows."""
    page.goto(f"{address}/assets/{asset}?view=partitions&partition={PARTITION}", wait_until="networkidle")
    page.wait_for_timeout(4_000)
    save(page, f"asset-{asset.replace('_', '-')}")
    for entry in ("chart", "findings"):
        opener = page.locator("tr", has_text=entry).get_by_text("Show Markdown")
        if opener.count():
            opener.first.click()
            page.wait_for_timeout(3_000)
            save(page, f"asset-{asset.replace('_', '-')}-{entry}")
            page.keyboard.press("Escape")


def checks(page: Page, address: str, asset: str, check: str) -> None:
    """The checks of an asset, one opened."""
    page.goto(f"{address}/assets/{asset}?view=checks&checkDetail={check}", wait_until="networkidle")
    page.wait_for_timeout(4_000)
    save(page, f"check-{check.lower().replace('_', '-')}")


def automation(page: Page, address: str) -> None:
    """Sensors and schedules."""
    page.goto(f"{address}/automation", wait_until="networkidle")
    page.wait_for_timeout(3_000)
    save(page, "automation")


def card(page: Page) -> None:
    """The top of a model card."""
    home = Path(os.environ.get("RAI_HOME", ROOT / ".rai"))
    page.goto((home / "documents" / PARTITION / "model_card.html").as_uri())
    save(page, "model-card", whole=True)


def save(page: Page, name: str, *, whole: bool = False) -> None:
    """One picture; first closes what Dagster lays over a page the first time."""
    for label in ("Dismiss", "Skip", "Close", "Got it"):
        button = page.get_by_role("button", name=label, exact=True)
        if button.count() and button.first.is_visible():
            button.first.click()
    page.screenshot(path=str(IMAGES / f"{name}.png"), full_page=whole)
    sys.stdout.write(f"docs/images/{name}.png\n")


@contextmanager
def dagster_ui() -> Iterator[str]:
    """`dg dev` on a free port until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("dg")), "dev", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                urllib.request.urlopen(f"{address}/server_info", timeout=5).read()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit("the Dagster UI did not start; try: make dev")
                time.sleep(1)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
