"""An operator at the dashboard in a real browser: chromium_dashboard.py BASE_URL AXE FOLDER

Looks at every page over 1,000 sessions, has axe-core judge it, follows changes that whoever runs this makes once they read
"asks ...", and gives each order by keyboard alone: with JavaScript, then without. Prints one fact a line.
"""
import json
import re
import sys
import time

from chromium_looks import LIMIT, judge, launch, look, open_page, say, sync_playwright

base, axe, folder = sys.argv[1:]
PAGES = ["/", "/machines", "/machines/main/vm3", "/sessions", "/queue", "/events", "/charts", "/explain?instance=main%2Fvm3&user=person0777",
         "/act?order=drain&instance=main%2Fvm3", "/act?order=notice"]
console, policy, elsewhere, serious = [], [], [], []


def watch(page):
    page.on("console", lambda message: console.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: console.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(base) else elsewhere.append(request.url))
    page.add_init_script("addEventListener('securitypolicyviolation', (e) => console.error('policy ' + e.violatedDirective + ' ' + e.blockedURI))")
    return page


def fits(page):
    """Whether nothing sticks out at four times the size, at twice the size, and on a wide screen."""
    good = True
    for path in PAGES:
        page.goto(base + path, timeout=LIMIT)
        for width in (320, 600, 1920):
            page.set_viewport_size({"width": width, "height": 700})
            over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if over > 0:
                good = False
                say("too-wide", f"{path} at {width}: by {over} px")
    return good


def figure(page, name):
    return page.locator(f".figures div:has(dt:text-is('{name}')) dd").first.inner_text().split()[0]


def focus_on(page, what):
    """Presses Tab until the control that is meant has the focus."""
    for _ in range(150):
        page.keyboard.press("Tab")
        held = page.locator(":focus")
        if not held.count():
            continue
        names = [held.get_attribute("aria-label"), held.get_attribute("name"), held.inner_text()]
        if what in names:
            return
    raise AssertionError(f"Tab leads nowhere to {what}")


def order(page, path, label, fields, button, answer):
    page.goto(base + path, timeout=LIMIT)
    focus_on(page, label)
    page.keyboard.press("Enter")
    page.wait_for_selector("form[action='/act']", timeout=LIMIT)
    for name, text in fields:
        focus_on(page, name)
        page.keyboard.type(text)
    focus_on(page, button)
    page.keyboard.press("Enter")
    page.wait_for_selector(".flash.good", timeout=LIMIT)
    told = page.locator(".flash.good").inner_text()
    if not re.search(answer, told):
        raise AssertionError(f"{label}: {told}")


def give_all(page, machine, person):
    """Each order once; their names, as far as they came."""
    at = f"/machines?q={machine}"
    order(page, at, f"Cordon {machine}", [("reason", "new <i>disk</i>")], "Cordon it", "is cordoned")
    order(page, at, f"Uncordon {machine}", [], "Uncordon it", "takes people again")
    order(page, at, f"Drain {machine}", [("reason", "new disk"), ("deadline_s", "in 24")], "Drain it", "is draining: .* sessions end at")
    order(page, f"/machines/main/{machine}", "Keep", [("until", "2h")], "Keep it", "is kept until")
    order(page, f"/sessions?q={person}", f"Notice to {person}", [("text", "lunch <soon>")], "Send the notice", "given to 1 session")
    order(page, f"/sessions?q={person}", f"Move {person}", [("to", "vm4"), ("reason", "nearer its <data>")], "Move them", "goes to main/vm4")
    if not page.locator(".chosen", has_text="vm4").count() or "An operator sends" not in page.locator(".found").first.inner_text():
        raise AssertionError(f"moved, and not told why they go there: {page.locator('.found').first.inner_text()}")
    order(page, f"/sessions?q={person}", f"Evict the session of {person}", [("reason", "too busy")], "End the session", "has ended|is told to end")
    return "cordon uncordon drain keep notice move evict"


with sync_playwright() as playwright:
    browser = launch(playwright)
    page = watch(open_page(browser))
    page.goto(base + "/", timeout=LIMIT)
    for name, word in (("sessions", "Sessions"), ("machines", "Machines"), ("free", "Free seats")):
        say(name, figure(page, word))
    page.goto(base + "/machines")
    say("rows", page.locator("#rows tr").count())
    taken = [text.split(" / ") for text in page.locator("td[data-label='Seats taken'] .n").all_inner_texts()]
    say("seats", f"{sum(int(one) for one, _ in taken)} of {sum(int(all) for _, all in taken)}")
    page.goto(base + "/sessions")
    say("people", page.locator("#pager span").inner_text())
    page.goto(base + "/sessions?q=person0777")
    say("found", page.locator("#pager span").inner_text())
    for path in PAGES:
        page.goto(base + path, timeout=LIMIT)
        serious += [[path, *fault] for fault in judge(page, axe)]
    say("looks", all([look(page, path.strip("/").split("?")[0].replace("/", "-") or "overview", folder)
                      for path in PAGES[:8] if not page.goto(base + path) is None]))

    say("fits", fits(page))

    page = watch(open_page(browser))
    page.goto(base + "/machines", timeout=LIMIT)
    page.wait_for_selector("#link:text-is('up to date')", timeout=LIMIT)
    began = time.monotonic()
    say("asks", "change")
    page.wait_for_selector("#rows tr:has-text('vm17') .why", timeout=LIMIT)
    say("followed", page.locator("#rows tr:has-text('vm17') .why").inner_text())
    say("followed-in", f"{time.monotonic() - began:.2f}")
    page.goto(base + "/", timeout=LIMIT)
    page.wait_for_selector("#link:text-is('up to date')", timeout=LIMIT)
    say("asks", "leaving")
    page.wait_for_selector(".figures div:nth-child(2) dd a:text-is('900')", timeout=LIMIT)
    say("left", figure(page, "Sessions"))
    # How soon, without the time that a command takes to start: one page gives an order, another follows.
    other = watch(open_page(browser))
    page.goto(base + "/machines", timeout=LIMIT)
    page.wait_for_selector("#link:text-is('up to date')", timeout=LIMIT)
    other.request.post(base + "/act", form={"order": "cordon", "instance": "main/vm18", "reason": "dust"}, max_redirects=0)
    began = time.monotonic()
    page.wait_for_selector("#rows tr:has-text('vm18') .why", timeout=LIMIT)
    say("seen-in", f"{time.monotonic() - began:.2f} s")

    say("by-keyboard", give_all(page, "vm21", "person0501"))
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1200, "height": 700})
    plain = context.new_page()
    plain.on("request", lambda request: None if request.url.startswith(base) else elsewhere.append(request.url))
    say("without-script", give_all(plain, "vm22", "person0502"))
    policy = [text for text in console if "policy" in text or "Content Security Policy" in text]
    say("serious", json.dumps(serious))
    say("policy", json.dumps(policy))
    say("console", json.dumps([text for text in console if text not in policy]))
    say("elsewhere", json.dumps(elsewhere))
    browser.close()
    say("done", "yes")
