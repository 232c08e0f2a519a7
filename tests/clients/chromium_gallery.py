"""Every page of the dashboard at every width: chromium_gallery.py BASE_URL AXE FOLDER

Measures what sticks out, what has to be scrolled to, and which words are broken; goes through each page by Tab; has axe-core
judge it. Half of a width is what a page has at 200 % zoom. Prints one fact a line.
"""
import json
import sys

from chromium_looks import LIMIT, WIDEST, judge, launch, open_page, say, sync_playwright

base, axe, folder = sys.argv[1:]
LONG = "a-pool-whose-name-is-as-long-as-any-name-may-be-in-this-gate-abc"
PAGES = {
    "overview": "/", "machines": "/machines", "machine": "/machines/main/vm2", "long-machine": f"/machines/{LONG}/{LONG}",
    "no-machine": "/machines?q=nothing", "sessions": "/sessions", "long-sessions": f"/sessions?pool={LONG}", "queue": "/queue",
    "events": "/events", "charts": "/charts", "explain": "/explain?user=person0007&pool=main",
    "explain-machine": "/explain?instance=main%2Fvm2", "drain": "/act?order=drain&instance=main%2Fvm5",
    "move": "/act?order=move&user=person0007&pool=main", "notice": "/act?order=notice", "scale": "/act?order=scale&pool=asleep",
    "not-found": "/nowhere",
}
WIDTHS = (320, 360, 640, 768, 1024, 1280, 1920)
TABS_MAX = 40
# Regions that have to be scrolled sideways for their last column.
CUT_OFF = """() => [...document.querySelectorAll('.scroll')].filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)
    .map((one) => one.getAttribute('aria-label'))"""
# Words that stand on two lines though nothing is said to go on there.
BROKEN = """() => [...document.querySelectorAll('nav a, button, .pill, .kind, td.acts a, thead th')].filter((one) => {
    if (!one.checkVisibility() || !one.textContent.trim()) return false;
    const line = document.createRange();
    line.selectNodeContents(one);
    return [...line.getClientRects()].some((rect, at, all) => at && rect.top > all[0].bottom - 2);
}).map((one) => one.textContent.trim())"""
# Whether who goes by keyboard sees where they are.
FOCUSED = """() => {
    const one = document.activeElement;
    if (one === document.body) return null;
    const rect = one.getBoundingClientRect(), style = getComputedStyle(one);
    const isDrawn = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    const isThere = rect.width > 0 && rect.left < innerWidth && rect.right > 0 && rect.top < innerHeight && rect.bottom > 0;
    return { name: one.outerHTML.slice(0, 100), isSeen: isDrawn && isThere };
}"""


def note(found, page, width, what):
    if what:
        found.append([page, width, what])


with sync_playwright() as playwright:
    browser = launch(playwright)
    too_wide, cut_off, broken, unseen, faults, console = [], [], [], [], [], []
    page = open_page(browser, reduced_motion="reduce")
    page.on("console", lambda message: console.append(message.text) if message.type in ("error", "warning") else None)
    for name, path in PAGES.items():
        page.goto(base + path, timeout=LIMIT)
        if name == "overview":
            say("first-pool", page.locator(".strip h2 bdi").first.inner_text())
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            note(too_wide, name, width, page.evaluate(WIDEST) if over > 0 else "")
            note(cut_off, name, width, page.evaluate(CUT_OFF))
            note(broken, name, width, page.evaluate(BROKEN))
        for width, scheme in ((360, "dark"), (1280, "light")):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=f"{folder}/gallery-{name}-{width}-{scheme}.png", full_page=name in ("overview", "charts"))
            faults += [[name, width, *fault] for fault in judge(page, axe)]
        page.set_viewport_size({"width": 360, "height": 800})
        for _ in range(TABS_MAX):
            page.keyboard.press("Tab")
            held = page.evaluate(FOCUSED)
            if held is None:
                break
            note(unseen, name, 360, "" if held["isSeen"] else held["name"])
    say("too-wide", json.dumps(too_wide))
    say("cut-off", json.dumps(cut_off))
    say("broken-words", json.dumps(broken))
    say("unseen-focus", json.dumps(unseen))
    say("axe", json.dumps(faults))
    say("console", json.dumps([text for text in console if "404 (Not Found)" not in text]))
    browser.close()
    say("done", "yes")
