"""The exported page in Firefox, from a file: it predicts what lenet predicts and requests nothing."""

import shutil

import numpy as np
import pytest
from PIL import Image

import lenet
from tests.contracts.firefox import Firefox


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    """A running Firefox. Skips the test if there is none."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.skip("Firefox is not installed")
    started = Firefox(program, tmp_path_factory.mktemp("firefox"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def residual_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("residual") / "run"
    return lenet.train("digits", model="resnet8", channels=3, per_class=20, epochs=1, out=path)


@pytest.fixture(params=["grey", "residual"])
def run(request):
    return request.getfixturevalue({"grey": "digits_run", "residual": "residual_run"}[request.param])


@pytest.fixture
def image_files(tmp_path):
    """Files of images that browsers and lenet must read alike."""
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (123, 45, 3), np.uint8)).save(tmp_path / "high.png")
    waves = (127 + 120 * np.sin(np.arange(50)[:, None] / 9 + np.arange(70) / 5)).astype(np.uint8)
    grey, holes = Image.fromarray(waves), Image.fromarray((waves > 127).astype(np.uint8) * 255)
    turned = Image.Exif()
    turned[0x0112] = 6
    grey.save(tmp_path / "turned.png", exif=turned)
    Image.merge("LA", (grey, holes)).save(tmp_path / "transparent.png")
    return [tmp_path / name for name in ("high.png", "turned.png", "transparent.png")]


def test_it_predicts_what_lenet_predicts(firefox, run, image_files, tmp_path):
    page = lenet.export(run, tmp_path / "net.html").file
    firefox.open(page, width=360, height=740)
    assert firefox.evaluate("document.querySelector('#status').innerText") == (
        "Matches training: 20 of 20 check images"
    )
    for file, wanted in zip(image_files, lenet.predict(run, image_files, top=10, reject_unlike="none"), strict=True):
        firefox.choose("#file", file)
        firefox.wait_for(f'#given[aria-label^="{file.name}, "]')
        rows = firefox.evaluate(
            "[...document.querySelectorAll('#bars li')].map((row) =>"
            " [row.querySelector('.name').innerText, Number(row.querySelector('data').value)])"
        )
        assert rows[0][0] == wanted.classes[0]
        assert dict(rows) == {
            name: pytest.approx(value, abs=1e-5)
            for name, value in zip(wanted.classes, wanted.probabilities, strict=True)
        }
    assert firefox.evaluate("innerWidth") == 360
    assert firefox.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert firefox.errors() == []
    assert [url for url in firefox.requested() if not url.startswith(("data:", "blob:"))] in ([], [page.as_uri()])


def test_the_layers_inside_a_residual_block_are_folded(firefox, residual_run, tmp_path):
    firefox.open(lenet.export(residual_run, tmp_path / "net.html").file, width=360, height=740)
    titles = "[...document.querySelectorAll('{} > .layer > h3')].map((title) => title.innerText.split(' (')[0])"
    outside = firefox.evaluate(titles.format("#layers"))
    assert outside == [f"layer {number}" for number in (1, 3, 4, 5, 6, 7, 8, 9, 10, 12)]
    assert "the sum of body and shortcut" in firefox.evaluate("document.querySelectorAll('#layers h3')[2].innerText")
    shown = "[...document.querySelectorAll('details .maps')].filter((maps) => maps.checkVisibility()).length"
    assert firefox.evaluate(shown) == 0
    firefox.evaluate("document.querySelectorAll('summary')[1].click()")
    assert firefox.evaluate(shown) == 4
    inside = firefox.evaluate(titles.format("details[open]"))
    assert inside == ["layer 6, body 0", "layer 6, body 2", "layer 6, body 3", "layer 6, shortcut 0"]
    assert firefox.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert firefox.errors() == []


def test_an_error_in_a_page_is_reported(firefox, tmp_path):
    (tmp_path / "bad.html").write_text("<!DOCTYPE html><title>x</title><script>console.warn('odd'); absent()</script>")
    firefox.open(tmp_path / "bad.html", width=360, height=740)
    assert firefox.errors() == ["odd", "ReferenceError: absent is not defined"]
