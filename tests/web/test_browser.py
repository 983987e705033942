"""The page in a real browser, by its driver: what a person does there, with pictures, classes, bars, CSV and labels."""

import base64
import csv
import json
import os
import shutil
import time
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None,
    reason="no Chromium with its driver on this machine (Debian: apt-get install chromium chromium-driver)",
)

DROP = """
const [zone, files] = arguments, held = new DataTransfer();
for (const [name, text] of files)
  held.items.add(new File([Uint8Array.from(atob(text), letter => letter.charCodeAt(0))], name));
for (const kind of ["dragenter", "dragover", "drop"])
  zone.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: held}));
"""
WORDS = """
const held = new DataTransfer();
held.setData("text/plain", "four");
return arguments[0].dispatchEvent(new DragEvent("dragover", {bubbles: true, cancelable: true, dataTransfer: held}));
"""
UNLABELLED = """
return [...document.querySelectorAll("input, select, textarea, button, progress")].filter(part =>
  !part.labels?.length && !part.textContent.trim() && !part.getAttribute("aria-label")).map(part => part.outerHTML);
"""
LIVE = "return [...document.querySelectorAll('[role]')].map(part => [part.role, getComputedStyle(part).display])"
WIDER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
EDIT = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
BACKGROUND = "return getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def browser(home):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    quiet = ("background-networking", "sync", "component-update", "default-apps", "extensions", "gpu", "dev-shm-usage")
    for option in (
        "headless=new",
        "no-sandbox",
        *(f"disable-{name}" for name in quiet),
        "no-first-run",
        "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing leaves this machine
        f"user-data-dir={home / 'profile'}",
        "window-size=1200,1000",
    ):
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    places = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    service = webdriver.ChromeService(DRIVER, env=os.environ | places)
    driver = webdriver.Chrome(options, service)
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(home)})
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, address):
    """A fresh page; at the end nothing was complained of, and nobody else was asked."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # of the page before, such as the browser's own
    browser.get(address)
    wait(lambda: text(browser, "about"))
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    hosts = {urlsplit(url).netloc for url in asked if url.startswith("http")}  # others are the browser's own
    assert hosts == {urlsplit(address).netloc}


def wait(condition, seconds=30):
    """Look until it holds; what the page replaces between two looks at it has not held yet."""
    from selenium.common.exceptions import StaleElementReferenceException

    until = time.monotonic() + seconds
    while True:
        with suppress(StaleElementReferenceException):
            if found := condition():
                return found
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def part(page, name):
    return page.find_element("id", name)


def text(page, name):
    return part(page, name).text


def bars(page, number=0):
    """Class -> the percents of a picture's row, as they are read, and as long as its bars are."""
    read = """
    const width = part => part.getBoundingClientRect().width;
    const share = cell => width(cell.querySelector(".bar")) / cell.querySelector(".track").clientWidth;
    return [...arguments[0].querySelectorAll("tbody tr")].map(row => [row.querySelector("th").textContent,
      [...row.querySelectorAll("td")].map(cell => [parseFloat(cell.textContent), share(cell)])]);"""
    item = page.find_elements("css selector", "#results > li")[number]
    rows = dict(page.execute_script(read, item))
    for percents in rows.values():
        assert [100 * share for _, share in percents] == pytest.approx([percent for percent, _ in percents], abs=1)
    return {name: [percent for percent, _ in percents] for name, percents in rows.items()}


def read_aloud(page):
    """The roles and names of what a screen reader finds."""
    nodes = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    return {(node["role"]["value"].lower(), node.get("name", {}).get("value", "")) for node in shown}


def drop(page, files):
    given = [[name, base64.b64encode(content).decode()] for name, content in files]
    page.execute_script(DROP, part(page, "drop"), given)


def test_a_picture_is_dropped_classes_are_edited_bars_read_and_csv_taken(page, served, home, client):
    seven = next(path for path in served.paths if path.parent.name == "seven")
    drop(page, [("=1+1.png", seven.read_bytes())])
    wait(lambda: "%" in text(page, "status"))
    heads = [head.text for head in page.find_elements("css selector", "thead th")]
    assert heads == ["Class", "exact", "tangent", "zero-shot"]
    sent = {"ways": "exact,tangent,zero-shot"}
    told = client.post("/predict", files={"image": ("7.png", seven.read_bytes())}, data=sent).json()["results"]
    of_rows = [{one["class"]: one["probability"] for one in told[way][0]["top"]} for way in heads[1:]]
    shown = bars(page)
    assert list(shown) == [one["class"] for one in told["exact"][0]["top"]]
    assert shown == {name: [pytest.approx(100 * of[name], abs=0.06) for of in of_rows] for name in shown}

    classes = part(page, "classes")
    classes.clear()
    classes.send_keys("one\nseven")
    wait(lambda: set(bars(page)) == {"one", "seven"})
    classes.send_keys("\nSEVEN?\nfour")
    wait(lambda: "four" in bars(page))
    page.find_element("css selector", "#csv button").click()
    taken = home / "predictions-exact.csv"
    wait(lambda: taken.exists() and taken.stat().st_size)
    rows = [*csv.reader(taken.read_text().splitlines())]
    assert rows[0][:4] == ["image", "class", "probability", "error"] and rows[1][0] == "'=1+1.png"
    assert {rows[1][1], *rows[1][4::2]} == {"one", "seven", "SEVEN?", "four"}

    classes.send_keys("\nfour")
    wait(lambda: "twice" in text(page, "classes-fault"))
    part(page, "reset").click()
    wait(lambda: set(bars(page)) == {"one", "seven", "three"} and not text(page, "classes-fault"))


def test_by_the_file_button_and_by_keyboard_alone(page, served, home):
    from selenium.webdriver import ActionChains, Keys

    damaged = home / "damaged.png"
    damaged.write_bytes(b"no picture")
    part(page, "files").send_keys(f"{served.paths[0]}\n{damaged}")
    wait(lambda: "1 of 2 pictures are classified; 1 are not" in text(page, "status"))
    assert "expected an image that Pillow can decode" in page.find_elements("css selector", "#results > li")[1].text
    assert page.execute_script(UNLABELLED) == []
    heard = read_aloud(page)
    assert {
        ("combobox", "Learned prompt"),
        ("textbox", "One name a line"),
        ("button", "choose pictures"),
        ("table", f"Probabilities of the classes for {served.paths[0].name}"),
        ("columnheader", "zero-shot"),
        ("rowheader", "seven"),
        ("combobox", "It shows"),
        ("button", f"Remove {damaged.name}"),
        ("checkbox", "tangent"),
    } <= heard
    assert part(page, "status").aria_role == "status"
    seen = []
    page.execute_script("document.activeElement.blur()")
    for _ in range(20):
        ActionChains(page).send_keys(Keys.TAB).perform()
        focused = page.switch_to.active_element
        seen.append(focused.get_attribute("id") or focused.text)
        assert focused.value_of_css_property("outline-style") != "none", seen
        if seen[-1] == "Remove":
            break
    assert [name for name in seen if name in ("run", "classes", "files")] == ["run", "classes", "files"]
    ActionChains(page).send_keys(Keys.ENTER).perform()
    wait(lambda: len(page.find_elements("css selector", "#results > li")) == 1)
    assert page.switch_to.active_element.get_attribute("id") == "files"


def test_a_run_that_takes_no_other_classes_says_why(page, served):
    part(page, "files").send_keys(str(served.paths[0]))
    wait(lambda: "%" in text(page, "status"))
    part(page, "run").send_keys("linear-probe")
    wait(lambda: len(page.find_elements("css selector", "thead th")) == 3)
    assert "takes no other classes: every class has weights of its own" in text(page, "classes-about")
    assert part(page, "classes").get_attribute("readonly") and not part(page, "reset").is_displayed()
    assert "No tangent: " in part(page, "about").get_attribute("textContent")


def test_the_classes_of_a_run_may_be_more_than_edited_ones(page, served):
    """As of ImageNet's 21,000, and two may have one name, as of its 1,000; they are asked for by not naming them."""
    page.execute_script("state.limits.classes = 2")
    assert page.execute_script(LIVE) == [["alert", "block"], ["status", "block"], ["status", "block"]]
    part(page, "files").send_keys(str(served.paths[0]))
    wait(lambda: "%" in text(page, "status"))
    assert not text(page, "classes-fault") and len(bars(page)) == 3
    part(page, "classes").send_keys("\nfour")
    wait(lambda: "at most 2 classes" in text(page, "classes-fault"))
    assert part(page, "classes").get_attribute("aria-invalid") == "true"
    part(page, "reset").click()
    wait(lambda: part(page, "classes").get_attribute("aria-invalid") == "false")
    assert page.execute_script(WORDS, part(page, "classes"))  # words may be dropped there, as in any list


def test_some_are_labelled_and_learned_from(page, served):
    from selenium.webdriver.support.select import Select

    part(page, "run").send_keys("cocoop")
    chosen = [path for path in served.paths if path.stem in ("0", "1")]
    part(page, "files").send_keys("\n".join(map(str, chosen)))
    wait(lambda: f"{len(chosen)} of {len(chosen)}" in text(page, "status"))
    assert not part(page, "learn").is_enabled()
    for number, path in enumerate(chosen):
        Select(page.find_elements("css selector", "#results select")[number]).select_by_value(path.parent.name)
    before = part(page, "classes").get_property("value")
    others = sum(path.parent.name != "seven" for path in chosen)
    for edited, count in ((before.replace("seven", "sevens"), others), (before, len(chosen))):
        page.execute_script(EDIT, part(page, "classes"), edited)
        wait(lambda count=count: part(page, "learn").text == f"Learn from {count} labelled pictures")
    part(page, "learn").click()
    wait(lambda: "Learned from" in text(page, "learn-status"), 90)
    assert text(page, "learn-status").endswith(" seconds: cocoop-learned.")  # true of whatever run is chosen then
    assert part(page, "run").get_property("value") == "cocoop-learned"
    assert part(page, "zip").is_displayed()
    wait(lambda: "%" in page.find_element("css selector", "tbody").text)


def test_on_a_phone_and_in_the_dark(page, served):
    narrow = {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    drop(
        page,
        [
            (
                "a-very-long-name-of-a-picture-that-somebody-took-somewhere-in-the-mountains.png",
                served.paths[0].read_bytes(),
            )
        ],
    )
    wait(lambda: "%" in text(page, "status"))
    assert page.execute_script(WIDER) <= 0
    light = page.execute_script(BACKGROUND)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert (light, page.execute_script(BACKGROUND)) == ("rgb(255, 255, 255)", "rgb(20, 23, 28)")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
