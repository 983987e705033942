"""The page in a real browser: Chromium shows tables and pictures, complains of nothing and fetches nothing."""

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from functools import partial
from pathlib import Path

import pytest
import report_pages as pages

from cocoop.reports import html_report
from cocoop.results import read_records

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
)

# The report forbids scripts in itself, so another page of the same origin looks into it.
LOOK = """<!doctype html><title>looking</title><meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,"><pre id="found"></pre>
<iframe src="report.html" style="width: 1200px; height: 900px" onload="look(this.contentDocument)">
</iframe><script>
function look(page) {
  page.querySelectorAll("details").forEach(part => part.open = true);
  const all = what => [...page.querySelectorAll(what)];
  const shown = part => { const box = part.getBoundingClientRect(); return box.width > 40 && box.height > 40; };
  const style = part => page.defaultView.getComputedStyle(part);
  document.getElementById("found").textContent = JSON.stringify({
    title: page.title,
    tables: all("table").map(shown),
    rows: all("tbody tr").length,
    images: all("img").map(image => image.naturalWidth),
    pictures: all("svg").map(shown),
    marks: all("svg .mark").filter(mark => style(mark).fill !== "none").length,
    colors: [style(page.body).backgroundColor, style(page.body).color],
    anchors: all("nav a").every(link => page.querySelector(link.getAttribute("href"))),
    scripts: all("script").length,
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
  });
}
</script>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and keeps a list of what was asked for."""

    asked: list[str]

    def log_message(self, form, *arguments):
        self.asked.append(self.path)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    runs = pages.write_runs(folder / "runs")
    (folder / "report.html").write_text(html_report(read_records([runs]), "cocoop report runs"), encoding="utf-8")
    page = (folder / "report.html").read_text(encoding="utf-8")
    (folder / "wrong.html").write_text(page.replace("</body>", '<img src="http://elsewhere.test/x.png"></body>'))
    (folder / "look.html").write_text(LOOK)
    (folder / "look_wrong.html").write_text(LOOK.replace("report.html", "wrong.html"))
    (folder / "phone.html").write_text(LOOK.replace("1200px", "360px"))
    handler = type("Handler", (Quiet,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


def browse(address: str, work: Path, *options: str) -> subprocess.CompletedProcess[str]:
    quiet = ("background-networking", "sync", "component-update", "default-apps", "extensions", "gpu", "dev-shm-usage")
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        *(f"--disable-{name}" for name in quiet),
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing leaves this machine
        f"--user-data-dir={work / 'profile'}",
        "--enable-logging=stderr",
        "--virtual-time-budget=20000",
        "--window-size=1280,1000",
        *options,
        "--dump-dom",
        address,
    ]
    home = os.environ | {"HOME": str(work), "XDG_CONFIG_HOME": str(work), "XDG_CACHE_HOME": str(work)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=home)


def found_by(ran: subprocess.CompletedProcess[str]) -> dict:
    text = re.search(r'<pre id="found">(.*?)</pre>', ran.stdout, re.DOTALL)[1]
    return json.loads(text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


def complaints(ran: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


def test_chromium_shows_everything_and_fetches_nothing(site, tmp_path):
    address, asked = site
    log = tmp_path / "net.json"
    ran = browse(f"{address}/look.html", tmp_path, f"--log-net-log={log}")
    found = found_by(ran)
    assert found["title"] == "cocoop: 25 runs"  # the script in a class name did not run
    assert found["scripts"] == 0
    assert len(found["tables"]) == 8 and all(found["tables"])
    assert found["rows"] > 30
    assert len(found["images"]) == 14 and set(found["images"]) == {160}
    assert len(found["pictures"]) == 41 and all(found["pictures"])
    assert found["marks"] > 100
    assert found["anchors"] and found["overflow"] <= 0
    assert complaints(ran) == []
    assert asked == ["/look.html", "/report.html"]
    # Requests of pages, that is: the browser has some of its own, which lead nowhere.
    events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    requests = {event["url"] for event in events if event.get("initiator", "").startswith("http") and "url" in event}
    assert requests == {f"{address}/report.html"}


def test_chromium_shows_it_dark_where_the_reader_wants_it_dark(site, tmp_path):
    address, _ = site
    light = found_by(browse(f"{address}/look.html", tmp_path))["colors"]
    prefer_dark = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0")
    dark = found_by(browse(f"{address}/look.html", tmp_path, *prefer_dark))["colors"]
    assert light == ["rgb(255, 255, 255)", "rgb(29, 33, 41)"]
    assert dark == ["rgb(20, 23, 28)", "rgb(228, 231, 235)"]


def test_chromium_fits_it_on_a_phone(site, tmp_path):
    address, _ = site
    assert found_by(browse(f"{address}/phone.html", tmp_path))["overflow"] <= 0


def test_an_address_elsewhere_would_be_seen_and_is_refused(site, tmp_path):
    address, _ = site
    ran = browse(f"{address}/look_wrong.html", tmp_path)
    assert 0 in found_by(ran)["images"]
    assert any("elsewhere.test" in line and "Content Security Policy" in line for line in complaints(ran))
