"""The page in a real browser: pictures dropped, pasted and chosen; by mouse, keys, on a phone."""

from base64 import b64encode
import shutil

import pytest
from serving import encoded, noise

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium")
GIVE = """([name, content, how]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: "image/png" }));
  const event = how === "paste"
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
    : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.getElementById("drop").dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    options = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, client, request):
    """The page, loaded; no message may have come to the console by the end."""
    context = browser.new_context(base_url=str(client.base_url), **getattr(request, "param", {}))
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto("/")
    page.wait_for_selector("#samples button")
    yield page
    context.close()
    assert [text for text in said if "status of 4" not in text] == []  # a refusal is no mistake


def give(page, name, content, how="drop"):
    page.evaluate(GIVE, [name, b64encode(content).decode(), how])


def wait_for_answer(page, words):
    page.wait_for_function(
        "words => document.getElementById('status').textContent.includes(words)", arg=words
    )


def bars(page):
    """What the table says, by class, and how wide each bar is, as a share of its track."""
    rows = page.locator("#bars tr").all()
    said = {row.locator("th").inner_text(): row.locator(".number").inner_text() for row in rows}
    wide = "e => e.getBoundingClientRect().width / e.parentElement.getBoundingClientRect().width"
    return said, [row.locator(".bar").evaluate(wide) for row in rows]


@pytest.mark.parametrize("page", [{"reduced_motion": "reduce"}], indirect=True)
@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_that_is_dropped_or_pasted_gets_its_bars(page, model, how):
    expected = model.engine.predict(noise(5))
    give(page, "five.png", encoded(noise(5)), how)
    wait_for_answer(page, "five.png")
    said, widths = bars(page)
    assert said == {k: f"{p:.1%}" for k, p in expected.top(10)}
    assert list(said) == [label for label, _ in expected.top(10)]
    assert widths == pytest.approx([p for _, p in expected.top(10)], abs=0.02)
    status = page.locator("#status").inner_text()
    assert expected.label in status
    assert status.startswith("Not sure") is not expected.sure
    assert page.locator("#seen").evaluate("image => image.naturalWidth") == 32


def test_a_bad_file_is_refused_with_the_services_reason(page):
    give(page, "fine.png", encoded(noise(1)))
    wait_for_answer(page, "fine.png")
    give(page, "words.png", b"These are words.")
    page.wait_for_function("() => document.getElementById('error').textContent !== ''")
    assert "words.png is not a picture" in page.locator("#error").inner_text()
    assert page.locator("#error").get_attribute("role") == "alert"
    assert not page.locator("#result").is_visible()
    give(page, "fine.png", encoded(noise(1)))
    wait_for_answer(page, "fine.png")
    assert page.locator("#error").inner_text() == ""


def test_a_file_that_is_too_large_is_refused_by_either_side(page):
    give_large = "classify(new File([new Uint8Array(17e6)], 'large.png'), 'large.png')"
    page.evaluate(give_large)
    assert "larger than 16 MB" in page.locator("#error").inner_text()
    page.evaluate("model.limits.bytes = 1e9")  # so that the service has to say it
    page.evaluate(give_large)
    assert "The request is larger than 16 MB" in page.locator("#error").inner_text()


def test_everything_is_reached_and_done_by_keyboard(page, model):
    def focused():
        return page.evaluate("document.activeElement.id || document.activeElement.tagName")

    page.keyboard.press("Tab")
    assert focused() == "file"
    assert page.locator("#file").evaluate("e => getComputedStyle(e).outlineStyle") != "none"
    page.keyboard.press("Tab")
    assert focused() == "BUTTON"
    page.keyboard.press("Enter")
    wait_for_answer(page, "a test image")
    assert page.locator("#samples button").get_attribute("aria-pressed") == "true"
    expected = model.engine.predict(noise(7))
    assert bars(page)[0] == {k: f"{p:.1%}" for k, p in expected.top(10)}
    page.keyboard.press("Tab")
    assert focused() == "explain"
    page.keyboard.press("Space")
    page.wait_for_selector("#heat-figure:not([hidden])")
    assert expected.label in page.locator("#words").inner_text()
    assert page.locator("#heat").get_attribute("alt") == page.locator("#words").inner_text()
    page.keyboard.press("Tab")
    assert focused() == "SUMMARY"
    page.keyboard.press("Enter")
    assert "Model card: tiny" in page.locator("#card").inner_text()


def test_a_chosen_file_is_classified(page, tmp_path):
    (tmp_path / "nine.png").write_bytes(encoded(noise(9)))
    page.get_by_label("Choose a picture").set_input_files(tmp_path / "nine.png")
    wait_for_answer(page, "nine.png")


def test_every_part_has_a_name_for_a_screen_reader(page):
    give(page, "five.png", encoded(noise(5)))
    wait_for_answer(page, "five.png")
    tree = page.locator("body").aria_snapshot()
    for part in (
        'heading "Try the model" [level=1]', 'region "A picture"', 'region "What the model says"',
        'button "Test image 1"', "status:", 'table "Probabilities"', 'columnheader "class"',
        'button "Where did it look?"', "img \"five.png, 32 by 32 pixels\"", 'rowheader "cat"',
    ):  # fmt: skip
        assert part in tree, part
    assert page.evaluate("document.documentElement.lang") == "en"


def contrasts(page):
    """The contrast (WCAG 2.2) of each visible text with what lies behind it, by its words."""
    return page.evaluate(
        """() => {
          const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
          const light = (c) => {
            const [r, g, b] = rgb(c).map((v) => v / 255)
              .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const behind = (e) => {
            const own = getComputedStyle(e).backgroundColor;
            return rgb(own)[3] === 0 ? behind(e.parentElement) : own;
          };
          const found = {};
          for (const e of document.querySelectorAll("body *")) {
            const words = [...e.childNodes].filter((n) => n.nodeType === 3)
              .map((n) => n.data.trim()).join("");
            if (words && e.checkVisibility()) {
              const pair = [light(getComputedStyle(e).color), light(behind(e))].sort();
              found[words] = (pair[1] + 0.05) / (pair[0] + 0.05);
            }
          }
          return found;
        }"""
    )


@pytest.mark.parametrize("page", [{"color_scheme": s} for s in ("light", "dark")], indirect=True)
def test_light_and_dark_are_both_legible(page, request):
    dark = request.node.callspec.params["page"]["color_scheme"] == "dark"
    give(page, "words.png", b"These are words.")
    page.wait_for_function("() => document.getElementById('error').textContent !== ''")
    found = contrasts(page)
    give(page, "five.png", encoded(noise(5)))
    wait_for_answer(page, "five.png")
    found |= contrasts(page)
    assert len(found) > 20
    assert {words: ratio for words, ratio in found.items() if ratio < 4.5} == {}
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) is dark


@pytest.mark.parametrize("page", [{"viewport": {"width": 360, "height": 740}}], indirect=True)
def test_a_phone_shows_it_without_scrolling_sideways(page):
    give(page, "a_name_that_is_very_long_" * 4 + ".png", encoded(noise(5)))
    wait_for_answer(page, "a_name_that")
    page.get_by_role("button", name="Where did it look?").click()
    page.wait_for_selector("#heat-figure:not([hidden])")
    page.locator("summary").click()
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    for box in (page.locator(place).bounding_box() for place in ("#seen", "#heat", "#explain")):
        assert 0 <= box["x"] < box["x"] + box["width"] <= 360
