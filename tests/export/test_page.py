"""The page of `primer serve` in a real browser, at desktop and phone width."""

import os
from pathlib import Path

import numpy as np
import pytest

from primer_tf.serving.config import ModelConfig
from tests.browser import WIDTHS
from tests.export.conftest import log_probabilities
from tests.serving.conftest import running

pytestmark = pytest.mark.slow
PROMPT = "And God said"
NEW = 20


@pytest.fixture(scope="module")
def server(texts_folder):
    names = ("first", "second")
    with running([ModelConfig(name, texts_folder.parent) for name in names]) as server:
        yield server


@pytest.fixture(params=WIDTHS)
def page(browser, server, request):
    width, height = WIDTHS[request.param]
    page = browser.new_page(viewport={"width": width, "height": height})
    page.requests, page.problems = [], []
    page.on("request", lambda each: page.requests.append(each.url))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.problems.append(m.text))
    page.goto(str(server.http.base_url))
    page.wait_for_selector("#first option", state="attached")
    page.name = request.param
    yield page
    page.close()


def generate(page, **settings):
    page.fill("#prompt", PROMPT)
    for name, value in {"max_tokens": NEW, "temperature": 0, **settings}.items():
        page.fill(f"#{name}", str(value))
    page.click("#generate")
    page.locator("#generate:enabled").wait_for()


def shown(page, panel=0):
    return page.locator(".model").nth(panel).locator(".text").text_content()


def test_the_text_streams_in_and_is_the_models(page, model, server):
    generate(page)
    request = {"model": "first", "prompt": PROMPT, "max_tokens": NEW, "temperature": 0}
    answer = server.http.post("/v1/completions", json=request).json()
    assert shown(page) == PROMPT + answer["choices"][0]["text"]
    assert page.locator(".status").first.text_content().startswith(f"{NEW} tokens in")
    assert not page.problems
    # Nothing comes from elsewhere.
    assert all(url.startswith((str(server.http.base_url), "data:")) for url in page.requests)


def test_tokens_are_shaded_and_tell_their_alternatives(page, model):
    generate(page, max_tokens=3)
    tokens = page.locator(".token")
    tokenizer = model.preprocessor.tokenizer
    ids = [tokenizer.start_token_id, *np.asarray(tokenizer(PROMPT)).tolist()]
    expected = np.exp(log_probabilities(model, ids)[-1])
    probability = float(tokens.first.get_attribute("data-probability"))
    assert probability == pytest.approx(expected.max(), abs=1e-3)
    shade = tokens.first.evaluate("span => getComputedStyle(span).backgroundColor")
    assert float(shade.rstrip(")").split()[-1].split(",")[-1]) == pytest.approx(
        0.85 * (1 - probability), abs=0.01
    )
    tokens.first.hover()
    lines = page.locator("#tip div")
    assert lines.count() == 5
    best = np.sort(expected)[::-1][:5]
    assert lines.first.text_content().endswith(f"{100 * best[0]:.1f}%")
    box = page.locator("#tip").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= WIDTHS[page.name][0]
    tokens.first.blur()
    page.mouse.move(0, 0)
    assert page.locator("#tip").is_hidden()
    tokens.nth(1).focus()  # With the keyboard, too.
    assert page.locator("#tip").is_visible()


def test_two_models_side_by_side(page):
    page.select_option("#first", "first/versions/1")
    page.select_option("#second", "second")
    generate(page)
    assert page.locator(".model:visible").count() == 2
    assert page.locator(".model h2").all_text_contents() == ["first/versions/1", "second"]
    assert shown(page, 0) == shown(page, 1) != PROMPT
    boxes = [page.locator(".model").nth(i).bounding_box() for i in (0, 1)]
    is_beside = boxes[1]["y"] == boxes[0]["y"]
    assert is_beside == (page.name == "desktop")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= WIDTHS[page.name][0]  # Nothing sticks out.


def test_errors_are_shown(page):
    page.fill("#prompt", "word " * 200)
    page.click("#generate")
    status = page.locator(".status.error")
    status.wait_for()
    assert "have room" in status.text_content()
    generate(page)
    assert page.locator(".status.error").count() == 0


def test_a_stop(page):
    page.fill("#prompt", PROMPT)
    page.route("**/v1/completions", lambda route: None)  # No answer.
    page.click("#generate")
    page.click("#cancel")
    page.locator("#generate:enabled").wait_for()
    assert "stopped" in page.locator(".status").first.text_content()


def test_the_token_is_asked_for(browser, texts_folder):
    with running([ModelConfig("primer", texts_folder.parent)], token="secret") as server:
        page = browser.new_page()
        page.goto(str(server.http.base_url))
        page.locator("#token_label").wait_for()
        page.fill("#token", "secret")
        page.press("#token", "Tab")
        page.wait_for_selector("#first option", state="attached")
        generate(page, max_tokens=3)
        assert len(shown(page)) > len(PROMPT)
        page.close()


def test_a_picture_for_the_guide(page, tmp_path):
    """Set PAGE_PICTURES to a folder to keep the pictures."""
    page.select_option("#second", "second")
    generate(page, temperature=0.8)
    page.locator(".token").nth(4).hover()
    folder = Path(os.environ.get("PAGE_PICTURES", tmp_path))
    path = folder / f"serve_page_{page.name}.png"
    page.screenshot(path=str(path))
    assert path.stat().st_size > 10_000
