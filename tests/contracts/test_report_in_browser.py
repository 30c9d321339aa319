"""Reports in Chromium, from a file: cells open images, tables sort, the network runs, nothing is requested."""

import re

import pytest

import lenet
from lenet.report import markup
from lenet.report.page import framed

sync = pytest.importorskip("playwright.sync_api")
HOSTILE = ('<script>bad("</script>', "a&b'c\"d", "{{SCRIPT}}")


@pytest.fixture
def opened(visit, tmp_path):
    """A function that writes a run's report and opens it."""

    def open_page(run, width=380, scheme="light"):
        file = lenet.write_report(run, tmp_path / "report.html", overwrite=True).file
        return visit(file, viewport={"width": width, "height": 800}, color_scheme=scheme)

    return open_page


@pytest.fixture(scope="module")
def poor_run(photos, tmp_path_factory):
    """A finished run on photographs that it cannot tell apart, whose classes and files have hostile names."""
    folder = tmp_path_factory.mktemp("photos")
    for part, each in (("train", 12), ("test", 6)):
        photos(folder / part, each=each, classes=("x", "y", "z"), seed=1)
        for old, new in zip("xyz", HOSTILE, strict=True):
            target = (folder / part / old).rename(folder / part / new.replace("/", "\u2215"))
            (target / "0.png").rename(target / '"><img src=x onerror=alert(1)>.png')
    out = tmp_path_factory.mktemp("poor") / "run"
    return lenet.train(folder, epochs=1, size=16, lr=0.0001, augment="none", out=out)


def test_a_cell_opens_its_images(opened, poor_run):
    page = opened(poor_run)
    button = page.locator(".matrix button").first
    count = int(button.get_attribute("data-n"))
    button.click()
    assert page.locator("#cell .tile").count() == count
    title = page.inner_text("#cell-title")
    names = [name.replace("/", "\u2215") for name in HOSTILE]
    assert title in {f"True: {one}, predicted: {other}" for one in names for other in names if one != other}
    box = page.locator("#cell .tile").first.bounding_box()
    assert box["width"] == box["height"] > 60
    background = page.locator("#cell .tile").first.evaluate("tile => getComputedStyle(tile).backgroundImage")
    assert background.startswith('url("data:image/png;base64,')
    page.keyboard.press("Escape")
    assert page.is_hidden("#cell")
    page.locator(".pairs button").first.click()
    assert page.locator("#cell .tile").count() == int(page.locator(".pairs button").first.get_attribute("data-n"))
    page.get_by_role("button", name="Close", exact=True).first.click()
    assert page.is_hidden("#cell")
    assert "src=x onerror" in page.inner_text("#confident")  # as text


def test_classes_sort_and_sections_are_listed(opened, digits_run):
    page = opened(digits_run)
    accuracies = lambda: [  # noqa: E731
        float(re.match(r"[\d.]+", text)[0])
        for text in page.locator("#per-class tbody td:nth-child(2)").all_inner_texts()
    ]
    page.get_by_role("button", name="accuracy").click()
    assert accuracies() == sorted(accuracies())
    page.get_by_role("button", name="accuracy").click()
    assert accuracies() == sorted(accuracies(), reverse=True)
    links = page.locator("nav a").all()
    assert [link.inner_text() for link in links][:3] == ["Result", "Seeds", "Learning curves"]
    assert all(page.locator(link.get_attribute("href")).count() == 1 for link in links)


def test_dates_and_times_sort_by_value(visit, tmp_path):
    times = ["3:05", "45", "1:02:03", "0:12", "-"]
    dates = ["2026-07-28", "2026-01-02", "2025-12-31", "2026-03-15", "2026-10-01"]
    rows = list(zip("abcde", times, dates, strict=True))
    shown = framed(
        "Runs", "Runs", [markup.section("runs", "Runs", markup.table(["run", "time", "date"], rows, sortable=True))]
    )
    (tmp_path / "index.html").write_bytes(shown)
    page = visit(tmp_path / "index.html")
    for column, ordered in ((2, ["-", "0:12", "45", "3:05", "1:02:03"]), (3, sorted(dates))):
        page.get_by_role("button", name=["time", "date"][column - 2]).click()
        assert page.locator(f"tbody td:nth-child({column})").all_inner_texts() == ordered


@pytest.mark.parametrize(("width", "scheme"), [(380, "light"), (380, "dark"), (1600, "light"), (1600, "dark")])
def test_it_fits_the_screen_and_follows_its_colours(opened, digits_run, width, scheme):
    page = opened(digits_run, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.inner_text("#status") == "Matches training: 20 of 20 check images"
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(re.search(r"\d+", colour)[0])
    assert (red > 200) == (scheme == "light")
    ids = page.evaluate("Array.from(document.querySelectorAll('[id]'), node => node.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1300, "dark")])
def test_a_search_a_study_and_a_folder(opened, search_folder, small_study, width, scheme):
    search = search_folder()
    lenet.write_report(search, overwrite=True)
    for folder, table, rows, charts in (
        (search, "trials", 12, 6), (small_study, "runs", 4, 3), (search.parent, "runs", 1, 0)
    ):  # fmt: skip
        page = opened(folder, width, scheme)
        assert page.locator(f"#{table} tbody tr").count() == rows
        assert page.evaluate("document.documentElement.scrollWidth") == width
        first = lambda: page.locator(f"#{table} tbody tr").first.inner_text()  # noqa: B023, E731
        page.locator(f"#{table} th button").first.click()
        up = first()
        page.locator(f"#{table} th button").first.click()
        assert rows == 1 or first() != up
        drawn = page.locator("svg.chart").all()
        assert all(one.get_attribute("aria-label") for one in drawn)
        assert len(drawn) == charts
        assert all(one.bounding_box()["width"] > 200 for one in drawn)
    assert page.evaluate("document.querySelector('#runs tbody a').href") == (search / "report.html").as_uri()
