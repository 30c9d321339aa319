"""Chromium, and pages in it, for the tests that open what lenet writes."""

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


@pytest.fixture
def visit(browser):
    """A function that opens a file in a window of its own, with the options of a context such as its size.

    At the end of the test: no errors, and no requests but for the files and what their pages made themselves.
    """
    contexts, files, seen, errors = [], [], [], []

    def visit(file, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("request", lambda request: seen.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        files.append(file.as_uri())
        page.goto(files[-1])
        return page

    yield visit
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in seen if not url.startswith(("data:", "blob:"))] == files
