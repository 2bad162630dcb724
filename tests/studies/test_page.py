"""The report in a real browser, at desktop and phone width."""

import os
from pathlib import Path

import pytest

from primer_tf.studies.modifications import ablation_models
from primer_tf.studies.report import write_report
from primer_tf.studies.run_study import run_studies
from tests.browser import WIDTHS
from tests.studies.fake_runs import FakeRuns, compare_study, scale_study, start

pytestmark = pytest.mark.slow
STUDIES = {
    "compare": compare_study,
    "ablate": lambda: compare_study(kind="ablate", models=ablation_models("tiny")),
    "scale": scale_study,
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", STUDIES)
def test_a_report(browser, tmp_path, name, width):
    """Set PAGE_PICTURES to a folder to keep the pictures."""
    study = STUDIES[name]()
    folder = start(study, tmp_path / "study")
    run_studies([folder], lambda line: None, FakeRuns(study))
    write_report(folder)
    columns, rows = WIDTHS[width]
    page = browser.new_page(viewport={"width": columns, "height": rows})
    requests, problems = [], []
    page.on("request", lambda each: requests.append(each.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: m.type == "error" and problems.append(m.text))
    page.goto((folder / "report.html").as_uri())
    assert not problems
    assert all(url.startswith(("file:", "data:")) for url in requests)
    # Nothing sticks out; wide tables scroll inside.
    assert page.evaluate("document.documentElement.scrollWidth") <= columns
    images = page.locator("img")
    assert images.count() == {"compare": 2, "ablate": 1, "scale": 2}[name]
    for index in range(images.count()):
        image = images.nth(index)
        assert image.evaluate("image => image.naturalWidth") > 500
        assert image.bounding_box()["width"] <= columns
    assert page.locator("table").count() >= 3
    pictures = Path(os.environ.get("PAGE_PICTURES", tmp_path))
    page.screenshot(path=str(pictures / f"report_{name}_{width}.png"), full_page=True)
    page.close()
