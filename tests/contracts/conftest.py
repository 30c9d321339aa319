"""Chromium, for the tests that open what lenet writes."""

import shutil

import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def browser():
    """A running Chromium, with a camera that shows a test picture. Skips the test if there is none."""
    sync = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("there is no Chromium")
    with sync.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS + CAMERA)
        yield started
        started.close()
