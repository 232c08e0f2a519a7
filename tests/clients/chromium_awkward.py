"""The dashboard over names and reasons that try to become markup: chromium_awkward.py BASE_URL NAMES FOLDER

NAMES is a JSON list of what machines, pools and people are called and reasons say. Looks at every page, follows every way on
it, types the same into every form, and watches a page while it changes. Prints what ran, what the policy of the page had to
stop, and what is in a page that should not be.
"""
import json
import sys
import unicodedata

from chromium_looks import LIMIT, launch, look, open_page, say, sync_playwright

base, names, folder = sys.argv[1:]
names = json.loads(names)
dialogs, policy, console, elsewhere, wrong = [], [], [], [], []
UNSEEN = [*map(chr, (0xAD, 0x61C, 0x180E, 0xFEFF)), *map(chr, range(0x200B, 0x2010)), *map(chr, range(0x2028, 0x202F)),
          *map(chr, range(0x2060, 0x2070))]
# What a page must not hold, however its values are written.
STRANGE = """() => {
    const own = (address) => new URL(address, location.href).origin === location.origin;
    const bad = [];
    for (const one of document.querySelectorAll('*')) {
        for (const { name, value } of one.attributes) {
            if (name.startsWith('on') || name === 'style' || name === 'srcdoc') bad.push(one.outerHTML.slice(0, 200));
            if (['href', 'src', 'action', 'formaction', 'xlink:href'].includes(name) && !own(value)) bad.push(one.outerHTML.slice(0, 200));
        }
        if (['IMG', 'SCRIPT', 'LINK'].includes(one.tagName) && !(one.getAttribute('src') || one.getAttribute('href') || '').startsWith('/dash/'))
            bad.push(one.outerHTML.slice(0, 200));
        if (['IFRAME', 'OBJECT', 'EMBED', 'BASE', 'STYLE', 'B', 'I'].includes(one.tagName) && !one.closest('.legend')) bad.push(one.outerHTML.slice(0, 200));
    }
    return bad;
}"""


def plain(text):
    """As the gate shows it: what nobody sees is written out."""
    return "".join(f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) == "Cc" or c in UNSEEN else c for c in text)


def watch(page):
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: console.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: None if request.url.startswith(base) else elsewhere.append(request.url))
    page.add_init_script("addEventListener('securitypolicyviolation', (e) => console.error('policy ' + e.violatedDirective + ' ' + e.blockedURI))")
    return page


def judge(page, path):
    found = page.evaluate(STRANGE)
    if found or page.evaluate("window.pwned !== undefined"):
        wrong.append([path, found[:3]])


with sync_playwright() as playwright:
    browser = launch(playwright)
    page = watch(open_page(browser))
    seen, ahead = set(), ["/", "/machines", "/sessions", "/queue", "/events", "/charts", "/explain"]
    while ahead:
        path = ahead.pop(0)
        answer = page.goto(base + path, timeout=LIMIT)
        seen.add(path)
        # A name with a slash is none of a configuration's, and so an order for it is one for nobody.
        is_nobody = path.startswith("/act?") and path.count("%2F") > 1
        if answer.status != 200 and not (is_nobody and answer.status == 404):
            wrong.append([path, answer.status])
        judge(page, path)
        links = page.locator("main a[href]").evaluate_all("all => all.map(one => one.getAttribute('href'))")
        ahead += [link for link in dict.fromkeys(links) if link not in seen and link not in ahead and ".csv" not in link]
    say("pages", len(seen))

    page.goto(base + "/machines", timeout=LIMIT)
    shown = page.locator("tbody th a bdi").evaluate_all("all => all.map(one => one.textContent)")
    say("named", all(plain(name) in shown for name in names))
    page.goto(base + "/sessions", timeout=LIMIT)
    shown = page.locator("tbody th bdi").evaluate_all("all => all.map(one => one.textContent)")
    say("people", all(plain(name) in shown for name in names))
    looks = [look(page, name, folder) for path, name in
             (("/", "awkward-overview"), ("/machines", "awkward-machines"), ("/sessions", "awkward-sessions"), ("/events", "awkward-events"))
             if page.goto(base + path, timeout=LIMIT)]
    say("looks", all(looks))

    # Typed into forms, and asked for in addresses.
    for at, name in enumerate(names):
        for path, field in (("/machines", "q"), ("/sessions", "q"), ("/events", "q"), ("/explain", "user")):
            page.goto(base + path, timeout=LIMIT)
            line = "".join(c for c in name if unicodedata.category(c) != "Cc")
            page.fill(f"input[name='{field}']", line)
            with page.expect_navigation(timeout=LIMIT):
                page.keyboard.press("Enter")
            judge(page, f"{path} searched for {name!r}")
            if page.input_value(f"input[name='{field}']") != line[:64 if field == "user" else 200]:
                wrong.append([path, "the search is not what was typed", name])

    # A reason that comes in while somebody watches is put in place by the script.
    page.goto(base + "/machines", timeout=LIMIT)
    page.wait_for_selector("#link:text-is('up to date')", timeout=LIMIT)
    reasons = ["".join(c for c in name if unicodedata.category(c) != "Cc") for name in names]
    for reason in reasons:
        page.request.post(base + "/act", form={"order": "cordon", "instance": "main/calm", "reason": reason}, max_redirects=0)
        page.wait_for_function("""(text) => [...document.querySelectorAll('.why')].some(one => one.textContent === text)""",
                               arg=f"by an operator: {plain(reason.strip())}", timeout=LIMIT)
        judge(page, f"watched {reason!r}")
    # How each page was answered was judged with it.
    console = [text for text in console if "404 (Not Found)" not in text]
    policy = [text for text in console if "policy" in text or "Content Security Policy" in text]
    say("dialogs", json.dumps(dialogs))
    say("policy", json.dumps(policy))
    say("console", json.dumps([text for text in console if text not in policy]))
    say("elsewhere", json.dumps(elsewhere))
    say("wrong", json.dumps(wrong))
    browser.close()
    say("done", "yes")
