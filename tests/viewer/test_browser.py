"""The page in a real browser, which draws in software: served, saved, and without WebGL."""

import shutil
from io import BytesIO
from threading import Thread
from time import perf_counter

import numpy as np
import pytest
from PIL import Image
from view_cases import write_case

from zoo.viewer import Exhibit, Server, cases_of, save_page

pytest.importorskip("starlette", reason="starlette is not installed")
pytest.importorskip("fast_simplification", reason="fast-simplification is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
WITH_WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WITHOUT_WEBGL = ["--disable-3d-apis"]
LONGEST = 60_000  # milliseconds
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        yield driver.chromium


@pytest.fixture(scope="module")
def browser(chromium):
    found = chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *WITH_WEBGL])
    yield found
    found.close()


def served(paths):
    """The address of a server of these paths."""
    server = Server(*cases_of(paths))
    Thread(target=server.run, daemon=True).start()
    return server.url


class Seen:
    """A page that is shown, with all that it complained about and asked for."""

    def __init__(self, browser, url, **options):
        self.page = browser.new_page(viewport={"width": 800, "height": 400}, **options)
        self.page.set_default_timeout(LONGEST)
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)
        self.wait_for(0)

    def wait_for(self, number):
        """Wait until a case is drawn."""
        self.page.wait_for_selector(f"body[data-ready='{number}']")

    def picture(self, selector):
        """What is drawn there, (rows, columns, 3)."""
        drawn = self.page.locator(selector).screenshot()
        return np.asarray(Image.open(BytesIO(drawn)).convert("RGB")).astype(int)

    def asked_beyond(self, origin):
        """What was asked for, but from there or from the page itself."""
        return [url for url in self.requests if not url.startswith((origin, "blob:", "data:"))]


def reds(picture):
    """How many pixels have the implant's colour."""
    return int(np.count_nonzero(picture[..., 0] > picture[..., 2] + 60))


def test_a_served_case(browser, tmp_path, record_property):
    url = served(list(write_case(tmp_path).values()))
    started = perf_counter()
    seen = Seen(browser, url)
    record_property("seconds_to_the_first_picture", round(perf_counter() - started, 2))
    names = ("#surface", "#planes")
    before = {name: seen.picture(name) for name in names}
    assert np.count_nonzero(before["#surface"].min(axis=2) > 60) > 5_000  # bone
    assert min(map(reds, before.values())) > 150
    assert seen.page.locator("#legend span").all_inner_texts() == ["input", "prediction", "implant"]

    slider = seen.page.get_by_label("Opacity of implant")
    slider.fill("0.05")
    for name in names:
        assert reds(seen.picture(name)) < 0.3 * reds(before[name])
    slider.fill("1")
    assert {name: reds(seen.picture(name)) for name in names} == {
        name: reds(before[name]) for name in names
    }
    seen.page.get_by_role("checkbox", name="implant").uncheck()
    for name in names:
        assert reds(seen.picture(name)) < 0.02 * reds(before[name])
    seen.page.keyboard.press("3")
    assert reds(seen.picture("#surface")) == reds(before["#surface"])
    seen.page.keyboard.press(" ")  # before the prediction
    assert reds(seen.picture("#surface")) < 0.02 * reds(before["#surface"])

    place = seen.page.inner_text("#position")
    seen.page.keyboard.press("ArrowUp")
    assert seen.page.inner_text("#position") != place
    assert not np.array_equal(seen.picture("#planes"), before["#planes"])
    seen.page.get_by_role("button", name="Axial").click()
    assert not seen.page.locator("#surface").is_visible()
    assert np.count_nonzero(seen.picture("#planes").min(axis=2) > 60) > 1_000

    assert seen.complaints == []
    assert seen.asked_beyond(url.partition("?")[0]) == []


def test_a_saved_page_needs_no_network(browser, tmp_path):
    page = tmp_path / "page.html"
    save_page(page, Exhibit(cases_of(list(write_case(tmp_path).values()))[0][0]))
    seen = Seen(browser, page.as_uri(), offline=True)
    assert reds(seen.picture("#surface")) > 150
    assert seen.complaints == []
    assert seen.asked_beyond("file:") == []


def test_pictures_of_a_folder_without_webgl(chromium, tmp_path):
    write_case(tmp_path)
    plain = chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *WITHOUT_WEBGL])
    try:
        seen = Seen(plain, served([tmp_path]))
        assert "no WebGL" in seen.page.inner_text("#state")
        first = seen.picture("main img")
        seen.page.get_by_role("button", name="Next").click()
        seen.wait_for(1)
        assert seen.page.inner_text("#title") == "defective"
        assert not np.array_equal(seen.picture("main img"), first)
        seen.page.keyboard.press("p")
        seen.wait_for(0)
        assert np.array_equal(seen.picture("main img"), first)
        assert seen.page.inner_text("#number") == "1 of 3"
        assert seen.complaints == []
    finally:
        plain.close()
