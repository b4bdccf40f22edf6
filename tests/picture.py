"""Takes docs/demo.png anew: the sandbox's page in the middle of an incident. Needs Chromium: `python -m tests.picture`."""

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from bot.commands.running import set_up_logs
from bot.settings import Settings
from sandbox.__main__ import Demo
from sandbox.world import World
from tests.documents import TOP
from tests.sandbox.test_page import ARGUMENTS, CHROMIUM
from tests.stories.story import Story


def tell(story: Story) -> str:
    """An incident some minutes old, on which people work; the name of its channel."""
    story.fires()
    channel = story.channel()
    story.eventually(lambda: story.rings("ana"), "Ana's phone rings")
    story.comes_to_rest()
    story.passes(minutes=2, seconds=1)
    story.says(channel, "not acknowledged after 2 of 5 min")
    story.picks_up("ana", "acknowledge")
    story.says(channel, "acknowledged *INC-1*")
    story.types("ana", "/incident role commander me", channel)
    story.passes(minutes=1)
    story.types("ben", "/incident note p95 follows the release of 14:02", channel)
    story.types("ana", "/incident update Rolling back the release of 14:02. next 15m", channel)
    story.comes_to_rest()
    story.passes(seconds=40)
    return channel


def main() -> int:
    """Tell, look, keep."""
    set_up_logs(Settings(_env_file=None, log_level="error"))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        demo = Demo(World(is_strict=False), f"sqlite:///{Path(folder) / 'picture.db'}")
        demo.start()
        try:
            channel = tell(Story(demo))
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-GB")
            page.goto(demo.world.origin)
            page.get_by_test_id(f"channel-{channel}").first.click()
            time.sleep(2)
            page.get_by_test_id("message").first.scroll_into_view_if_needed()
            time.sleep(0.5)
            page.screenshot(path=TOP / "docs" / "demo.png")
            browser.close()
        finally:
            demo.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
