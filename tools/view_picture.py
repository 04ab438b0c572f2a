"""Make the picture of the viewer: python tools/view_picture.py PATH... [-o docs/view.png]

PATH... is what `zoo view` takes. The picture in docs/ is of what `make demo` wrote:
demo/defective_skull/000.nii.gz demo/complete.nii.gz demo/implant.nii.gz demo/report.json.
Needs playwright and chromium, which draws in software.
"""

import argparse
import shutil
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

from zoo.viewer import Exhibit, cases_of, save_page

IN_SOFTWARE = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SIZE, COLOURS = {"width": 1200, "height": 720}, 192
LONGEST = 120_000  # milliseconds


def draw(paths: list[Path], output: Path) -> None:
    cases, start = cases_of(paths)
    with TemporaryDirectory() as folder, sync_playwright() as driver:
        page = Path(folder, "page.html")
        save_page(page, Exhibit(cases[start]))
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=IN_SOFTWARE)
        seen = browser.new_page(viewport=SIZE)
        seen.set_default_timeout(LONGEST)
        seen.goto(page.as_uri())
        seen.wait_for_selector("body[data-ready]")
        picture = Image.open(BytesIO(seen.screenshot())).convert("RGB")
        browser.close()
    picture.quantize(COLOURS).save(output, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/view.png"))
    arguments = parser.parse_args()
    draw(arguments.paths, arguments.output)
