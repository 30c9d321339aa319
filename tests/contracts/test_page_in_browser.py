"""The exported page in Chromium, from a file: it predicts what lenet predicts and requests nothing."""

from base64 import b64decode
from functools import cache

import numpy as np
import pytest
from PIL import Image

import lenet

sync = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def colour_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("colour") / "run"
    return lenet.train("digits", channels=3, size=20, fit="pad", epochs=2, out=path)


@pytest.fixture(params=["grey", "colour"])
def run(request, digits_run, colour_run):
    return digits_run if request.param == "grey" else colour_run


@pytest.fixture(scope="module")
def text_of(tmp_path_factory):
    """A function of a run: the text of its page, which is exported once."""
    folder = tmp_path_factory.mktemp("pages")

    @cache
    def exported(run):
        return lenet.export(run, folder / f"{run.path.parent.name}.html").file.read_text(encoding="utf-8")

    return exported


@pytest.fixture
def opened(visit, text_of, tmp_path):
    """A function that exports a run, changes the page's text, and opens it, on a screen of a phone's width."""

    def open_page(run, change=lambda text: text):
        (tmp_path / "net.html").write_text(change(text_of(run)), encoding="utf-8")
        return visit(tmp_path / "net.html", viewport={"width": 360, "height": 740})

    return open_page


def shown(page):
    """Class to probability, as the page shows them."""
    rows = page.locator("#bars li").all()
    return {row.locator(".name").inner_text(): float(row.locator("data").get_attribute("value")) for row in rows}


def choose(page, file):
    page.set_input_files("#file", file)
    page.wait_for_selector(f'#given[aria-label^="{file.name}, "]')


def assert_as_predicted(page, run, file, tolerance=1e-5):
    choose(page, file)
    (wanted,) = lenet.predict(run, [file], top=10, reject_unlike="none")
    found = shown(page)
    assert next(iter(found)) == wanted.classes[0]
    assert found == {
        name: pytest.approx(value, abs=tolerance)
        for name, value in zip(wanted.classes, wanted.probabilities, strict=True)
    }


def test_it_matches_training_and_shows_a_check_image(opened, run):
    page = opened(run)
    assert page.inner_text("#status") == "Matches training: 20 of 20 check images"
    assert sum(shown(page).values()) == pytest.approx(1)
    assert page.get_attribute("#given", "aria-label") == "Check image 1 of 18"
    page.get_by_role("button", name="Next check image").press("Enter")
    assert page.get_attribute("#given", "aria-label") == "Check image 2 of 18"
    name, probability = next(iter(shown(page).items()))
    assert page.inner_text("#answer") == f"Result: {name}, {100 * probability:.1f}%"
    sync.expect(page.locator("#said")).to_contain_text(f"{name} {100 * probability:.1f}%, ")
    steps = [one for one in page.locator(".layer h3").all_inner_texts() if "Conv2d" in one]
    assert steps[0].startswith("layer 1 (Conv2d): 6 maps of ")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate("document.querySelector('.track').offsetWidth") >= 100
    page.locator("#bars .value").first.evaluate("value => value.textContent = '100.0%'")  # the longest
    assert page.locator("#bars .value").first.evaluate("value => value.scrollWidth <= value.clientWidth")
    assert len({value.bounding_box()["height"] for value in page.locator("#bars .value").all()}) == 1


def test_it_says_so_if_it_does_not_match(opened, digits_run):
    def change(text):
        return text.replace('"mean":[', '"mean":[0.5,', 1)

    page = opened(digits_run, change)
    assert page.inner_text("#status").startswith("Does not match training: only ")
    assert "bad" in page.get_attribute("#status", "class")


def test_image_files_are_predicted_alike(opened, run, tmp_path):
    page, random = opened(run), np.random.default_rng(0)
    for height, width in ((1, 1), (123, 45), (45, 200), (17, 16)):
        file = tmp_path / f"{height}x{width}.png"
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(file)
        assert_as_predicted(page, run, file)
    waves = 127 + 120 * np.sin(np.arange(50)[:, None] / 9 + np.arange(70) / 5)
    grey = Image.fromarray(waves.astype(np.uint8))
    grey.save(tmp_path / "grey.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    grey.save(tmp_path / "turned.png", exif=turned)
    grey.quantize(8).save(tmp_path / "palette.gif")
    holes = Image.merge("LA", (grey, Image.fromarray((waves > 127).astype(np.uint8) * 255)))
    holes.save(tmp_path / "transparent.png")
    for name in ("grey.png", "turned.png", "palette.gif", "transparent.png"):
        assert_as_predicted(page, run, tmp_path / name)


def test_what_is_no_image_gives_one_line(opened, digits_run, tmp_path):
    page = opened(digits_run)
    before = shown(page)
    (tmp_path / "notes.png").write_text("no image")
    page.set_input_files("#file", tmp_path / "notes.png")
    page.wait_for_selector("#error:visible")
    assert page.inner_text("#error") == (
        "Cannot read notes.png: it is not an image that this browser reads. Use PNG or JPEG."
    )
    assert shown(page) == before
    Image.new("L", (30, 40), 200).save(tmp_path / "good.png")
    choose(page, tmp_path / "good.png")
    assert page.is_hidden("#error")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_dropped_and_pasted_images(opened, digits_run, tmp_path, event):
    page = opened(digits_run)
    send = """async ([event, pixels]) => {
        const transfer = new DataTransfer();
        if (pixels) transfer.items.add(new File([new Uint8Array(pixels)], "sent.png", { type: "image/png" }));
        document.body.dispatchEvent(event === "drop"
            ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
    }"""
    page.evaluate(send, [event, None])
    assert "image" in page.inner_text("#error")
    Image.new("L", (30, 40), 200).save(tmp_path / "sent.png")
    page.evaluate(send, [event, list((tmp_path / "sent.png").read_bytes())])
    page.wait_for_selector('#given[aria-label="sent.png, 30 × 40 pixels"]')


def test_an_image_that_is_read_late_does_not_replace_a_later_one(opened, digits_run, tmp_path):
    page = opened(digits_run)
    page.evaluate("""() => {
        const read = window.createImageBitmap;
        window.createImageBitmap = async (file, options) => {
            const bitmap = await read(file, options);
            if (file.name === "slow.png") await new Promise((resolve) => (window.release = resolve));
            return bitmap;
        };
    }""")
    Image.new("L", (30, 40), 200).save(tmp_path / "slow.png")
    Image.new("L", (50, 60), 100).save(tmp_path / "fast.png")
    page.set_input_files("#file", tmp_path / "slow.png")
    page.wait_for_function("() => window.release")
    choose(page, tmp_path / "fast.png")
    page.evaluate("() => new Promise((resolve) => { window.release(); setTimeout(resolve, 50); })")
    assert page.get_attribute("#given", "aria-label") == "fast.png, 50 × 60 pixels"


def test_a_drawing_and_a_photograph(opened, digits_run):
    page = opened(digits_run)
    page.get_by_role("button", name="Draw").click()
    box = page.locator("#board").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 30, steps=5)
    page.mouse.up()
    page.wait_for_selector('#given[aria-label^="Drawing, "]', state="attached")
    page.get_by_role("button", name="Close", exact=True).click()
    assert page.evaluate("document.activeElement.id") == "draw"
    page.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Take the photograph").click()
    page.wait_for_selector('#given[aria-label^="Photograph, "]')
    assert page.evaluate("video.srcObject") is None


def test_a_drawing_by_keyboard(opened, digits_run, tmp_path):
    page = opened(digits_run)
    page.get_by_role("button", name="Draw").press("Enter")
    assert page.evaluate("document.activeElement.id") == "board"
    assert page.locator("#pen").is_visible()

    def ink():
        """The pixels of each row and column that the pen has reached."""
        pixels = page.evaluate("String.fromCharCode(...board.getContext('2d').getImageData(0, 0, 320, 320).data"
                               ".filter((_, place) => place % 4 === 0))")  # fmt: skip
        drawn = np.array([ord(red) for red in pixels]).reshape(320, 320) > 127
        return drawn.sum(), np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))

    for _ in range(6):
        page.keyboard.press("ArrowUp")
    assert ink()[0] == 0
    for _ in range(12):
        page.keyboard.press("Shift+ArrowDown")
    _, rows, columns = ink()
    assert (rows[0], rows[-1]) == (pytest.approx(64 - 14, abs=2), pytest.approx(256 + 14, abs=2))
    assert (columns[0], columns[-1]) == (pytest.approx(160 - 14, abs=2), pytest.approx(160 + 14, abs=2))
    drawn = page.evaluate("board.toDataURL()").partition(",")[2]
    (tmp_path / "drawn.png").write_bytes(b64decode(drawn))
    (wanted,) = lenet.predict(digits_run, [tmp_path / "drawn.png"], top=10, reject_unlike="none")
    sync.expect(page.locator("#answer")).to_have_text(
        f"Result: {wanted.classes[0]}, {100 * wanted.probabilities[0]:.1f}%"
    )
    for _ in range(10):
        page.keyboard.press("Shift+ArrowDown")
    assert ink()[1][-1] == 319  # not beyond the edge
