"""Every other page of the gate's own in a real browser: chromium_pages.py BASE_URL AXE FOLDER

At a demo pool of two instances with two seats each, where ada is an administrator. Prints one fact a line; at `asks notice`
and `asks loss NAME` whoever runs this gives a notice to everybody, and ends that instance.
"""
import json
import sys
import time

from chromium_looks import LIMIT, judge, launch, look, open_page, say, sync_playwright

base, axe, folder = sys.argv[1:]


def log_in(browser, name):
    page = open_page(browser)
    page.goto(base, timeout=LIMIT)
    page.fill("input[name=username]", name)
    page.click("button")
    page.wait_for_selector("text=You are on", timeout=LIMIT)
    return page


def go_until(page, path, text):
    """Goes to the path again and again until a page says this."""
    ends = time.monotonic() + LIMIT / 1000
    while time.monotonic() < ends:
        page.goto(base + path, timeout=LIMIT)
        if text in page.inner_text("body"):
            return
    raise TimeoutError(f"{text!r} was never said; at last: {page.inner_text('body')}")


with sync_playwright() as playwright:
    browser = launch(playwright)
    ada, ben = log_in(browser, "ada"), log_in(browser, "ben")
    for _ in range(2):
        open_page(browser).goto(f"{base}/hub/login", timeout=LIMIT)
    looks, faults = [], []

    def note(page, name):
        faults.extend([name, *fault] for fault in judge(page, axe))
        looks.append(look(page, name, folder))

    for name, language in (("next", "en"), ("line", "es")):
        page = open_page(browser, locale=language)
        page.goto(f"{base}/hub/login", timeout=LIMIT)
        say(name, page.inner_text("[role=status]"))
        note(page, name)
    ada.goto(f"{base}/.poolgate/admin", timeout=LIMIT)
    say("rows", ada.locator("tbody tr").count())
    note(ada, "admin")
    say("stranger", ben.goto(f"{base}/.poolgate/admin", timeout=LIMIT).status)
    for name, path in (("visit", "/user/ada/lab"), ("share", "/hub/accept-share?code=x")):
        ben.goto(base + path, timeout=LIMIT)
        say(name, ben.inner_text("h1"))
        note(ben, name)
    say("asks", "notice")
    go_until(ada, "/hub/home", "A message from the operators")
    say("notice", ada.inner_text(".quote"))
    say("deadline", ada.inner_text("time"))
    note(ada, "notice")
    ada.click("text=Continue")
    ada.wait_for_selector("text=You are on", timeout=LIMIT)
    say("asks", f"loss {ada.inner_text('h1 em')}")
    go_until(ada, "/user/ada/lab", "Your machine does not answer")
    # It is gone before long, and is not judged further.
    looks.append(look(ada, "silent", folder))
    # It goes on by itself, to the one that tells of the loss.
    ada.wait_for_selector("text=Your machine was lost", timeout=LIMIT)
    note(ada, "lost")
    ada.click("text=Continue")
    ada.wait_for_selector("text=Log in to the demo pool", timeout=LIMIT)
    say("after-loss", ada.url.removeprefix(base))
    say("looks", all(looks))
    say("axe", json.dumps(faults))
    browser.close()
