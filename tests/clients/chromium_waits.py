"""A person with a real browser at a pool where nothing is up: chromium_waits.py BASE_URL AXE PATH FOLDER

Opens BASE_URL + PATH in headless Chromium and takes pictures of the page. Then it is left alone, and so is one without
JavaScript, until both have gone on by themselves. Prints one fact a line.
"""
import sys

from chromium_looks import LIMIT, judge, launch, look, open_page, say, sync_playwright

base, axe, path, folder = sys.argv[1:]

with sync_playwright() as playwright:
    browser = launch(playwright)
    page = open_page(browser)
    console, requests = [], set()
    page.on("console", lambda message: console.append(message.text))
    page.on("request", lambda request: requests.add(request.url.removeprefix(base).split("?")[0]))
    page.goto(base + path, timeout=LIMIT)
    page.wait_for_selector("[role=status]")
    plain = open_page(browser, java_script_enabled=False, locale="de")
    plain.goto(base + path, timeout=LIMIT)
    say("plain-title", plain.title())
    say("title", page.title())
    say("lang", page.locator("html").get_attribute("lang"))
    say("status", page.locator("[role=status]").inner_text())
    say("looks", look(page, "starting", folder))
    say("axe", judge(page, axe))
    # A page that is answered 503 is told of on the console, and nothing else may be.
    say("console", [text for text in console if "503" not in text])
    say("requests", " ".join(sorted(requests)))
    # Whoever runs this starts an instance once they read this line.
    say("asks", "instance")
    for name, waiting in (("went-on", page), ("plain-went-on", plain)):
        waiting.wait_for_selector("text=Log in to the demo pool", timeout=LIMIT)
        say(name, waiting.url.removeprefix(base))
    browser.close()
