"""A person at a JupyterHub with a real browser: chromium_person.py BASE_URL USER PASSWORD SCREENSHOT

Headless Chromium logs in, opens a notebook in JupyterLab, runs a cell, reloads. Prints one fact a line: what the cell said,
which protocol carried the pages, and how the kernel's WebSocket was opened (200 is RFC 8441 inside of HTTP/2, 101 a
connection of its own).
"""
import json
import sys

from playwright.sync_api import sync_playwright

base, user, password, screenshot = sys.argv[1:]
LIMIT = 120_000  # milliseconds for a server or a kernel to be there
NOTEBOOK = {
    "type": "notebook",
    "format": "json",
    "content": {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
        "cells": [{
            "cell_type": "code",
            "id": "one",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": "import os\nprint('answer', 6 * 7, os.environ['POOLGATE_INSTANCE'])",
        }],
    },
}
SAVE = """async ([url, notebook]) => {
    const token = document.cookie.split('; ').filter(c => c.startsWith('_xsrf=')).pop().slice(6);
    const answer = await fetch(url, {method: 'PUT', body: notebook, headers: {'X-XSRFToken': token}});
    return answer.status;
}"""


def say(name, value):
    print(name, value, flush=True)


def watch(page):
    """Collects protocols and WebSocket handshakes as the browser saw them."""
    seen = {"protocols": set(), "sockets": set(), "bad": []}
    wire = page.context.new_cdp_session(page)
    wire.send("Network.enable")
    wire.on("Network.responseReceived", lambda event: note(seen, event["response"]))
    wire.on("Network.webSocketHandshakeResponseReceived", lambda event: seen["sockets"].add(event["response"]["status"]))
    return seen


def note(seen, response):
    if response["url"].startswith(base):
        seen["protocols"].add(response.get("protocol"))
        if response["status"] >= 500:
            seen["bad"].append(f"{response['status']} {response['url']}")


def run_cell(page):
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=LIMIT)
    # A cell that is run before its kernel is there is not run at all; the status bar says when it is.
    page.get_by_text("| Idle").first.wait_for(timeout=LIMIT)
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Control+Enter")
    output = page.locator(".jp-OutputArea-output", has_text="answer").first
    try:
        output.wait_for(timeout=LIMIT)
    finally:
        page.screenshot(path=screenshot)
    return output.inner_text().strip()


with sync_playwright() as playwright:
    # Debian's browser; without a sandbox, since tests run as root in namespaces of their own.
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
    context = browser.new_context(ignore_https_errors=True, viewport={"width": 1200, "height": 800})
    page = context.new_page()
    seen = watch(page)
    page.goto(base, timeout=LIMIT)
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.click("input[type=submit], button[type=submit]")
    # Through the page that shows the server's start, by itself, to the lab.
    page.wait_for_url("**/user/*/lab**", timeout=LIMIT)
    say("saved", page.evaluate(SAVE, [f"/user/{user}/api/contents/note.ipynb", json.dumps(NOTEBOOK)]))
    page.goto(f"{base}/user/{user}/lab/tree/note.ipynb", timeout=LIMIT)
    say("output", run_cell(page))
    page.reload(timeout=LIMIT)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=LIMIT)
    say("protocols", " ".join(sorted(filter(None, seen["protocols"]))))
    say("sockets", " ".join(str(status) for status in sorted(seen["sockets"])))
    say("bad", seen["bad"])
    say("cookies", " ".join(sorted({cookie["name"] for cookie in context.cookies()})))
    browser.close()
