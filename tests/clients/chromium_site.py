"""Every page of the documentation's site at a telephone's width and a wide one: chromium_site.py SITE FOLDER

Served from here, on this machine alone. Prints what sticks out of a page, is missing, or comes from elsewhere; pictures of
some pages, in light and dark, go to FOLDER.
"""
import functools
import http.server
import json
import sys
import threading
from pathlib import Path

from chromium_looks import LIMIT, WIDEST, launch, open_page, say, sync_playwright

site, folder = sys.argv[1:]
PICTURED = ("index.html", "configuration/index.html", "dashboard/index.html")


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=site))
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}/"
pages = sorted(str(path.relative_to(site)) for path in Path(site).rglob("index.html"))
with sync_playwright() as playwright:
    browser = launch(playwright)
    too_wide, missing, elsewhere = [], [], []
    for scheme in ("light", "dark"):
        page = open_page(browser, color_scheme=scheme)
        page.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
        page.on("request", lambda request: None if request.url.startswith(base) else elsewhere.append(request.url))
        for path in pages if scheme == "light" else PICTURED:
            page.goto(base + path, timeout=LIMIT)
            page.wait_for_selector(f"html[data-bs-theme={scheme}]", timeout=LIMIT)
            for width in (360, 1200):
                page.set_viewport_size({"width": width, "height": 800})
                if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                    too_wide.append([path, width, page.evaluate(WIDEST)])
                if path in PICTURED:
                    page.screenshot(path=f"{folder}/{path.replace('/', '-')}-{scheme}-{width}.png")
    say("pages", len(pages))
    say("too-wide", json.dumps(too_wide))
    say("missing", json.dumps(missing))
    say("elsewhere", json.dumps(elsewhere))
    browser.close()
