"""Takes docs/demo.png anew: the sandbox's page in the first minutes of an incident. Needs Chromium: `python -m tests.picture`."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bot.commands.running import set_up_logs
from bot.settings import Settings
from sandbox.__main__ import Demo
from sandbox.world import World
from tests.documents import TOP
from tests.sandbox.test_page import ARGUMENTS, CHROMIUM
from tests.stories.story import Story


def tell(story: Story, page: Page) -> None:
    """The first minutes of an incident, seen by somebody who is there: Ana's phone rings, and nobody has picked up yet."""
    page.get_by_test_id("welcome-fire").click()
    page.get_by_role("button", name="Go there").click()
    channel = story.channel()
    story.comes_to_rest()
    story.passes(minutes=2, seconds=1)
    story.says(channel, "not acknowledged after 2 of 5 min")
    story.passes(minutes=1, seconds=25)
    story.card_says("3 min")
    story.comes_to_rest()
    page.get_by_test_id("notice").first.wait_for(state="hidden")


def main() -> int:
    """Tell, look, keep."""
    set_up_logs(Settings(_env_file=None, log_level="error"))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        demo = Demo(World(is_strict=False), f"sqlite:///{Path(folder) / 'picture.db'}")
        demo.start()
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-GB")
            page.goto(demo.world.origin)
            tell(Story(demo), page)
            page.screenshot(path=TOP / "docs" / "demo.png")
            browser.close()
        finally:
            demo.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
