"""People who log in by a provider of accounts, in a real browser: chromium_oidc.py BASE_URL AXE FOLDER

A viewer, an operator, an admin and somebody without a role, each in a browser of their own; the operator without JavaScript
too. The provider is tests/clients/idp.mjs, by its own pages. Prints one fact a line.
"""
import sys

from chromium_looks import LIMIT, judge, launch, look, open_page, say, sync_playwright

base, axe, folder = sys.argv[1:]
serious, looks = [], []


def seen(page, name):
    serious.extend([name, *fault] for fault in judge(page, axe))
    looks.append(look(page, name, folder))


def at_provider(page, name):
    """From the provider's login form to the gate's answer."""
    page.wait_for_selector("[name=login]", timeout=LIMIT)
    page.fill("[name=login]", name)
    page.fill("[name=password]", "any")
    page.click("[type=submit]")
    page.wait_for_selector("text=Authorize", timeout=LIMIT)
    page.click("[type=submit]")
    page.wait_for_url(base + "/**", timeout=LIMIT)
    page.wait_for_selector(".who, [role=alert]", timeout=LIMIT)


def who(page):
    return " ".join(page.locator(".who > span").inner_text().split())


def cordon(page, machine):
    page.goto(f"{base}/act?order=cordon&instance=main%2F{machine}", timeout=LIMIT)
    if not page.locator("[name=reason]").count():
        return page.locator("main .card").inner_text().replace("\n", " ")
    page.fill("[name=reason]", "tried")
    page.click("main form button")
    page.wait_for_selector(".flash", timeout=LIMIT)
    return page.locator(".flash").inner_text()


def log_in(page, name, path="/"):
    page.goto(base + path, timeout=LIMIT)
    page.click("a.button")
    at_provider(page, name)


with sync_playwright() as playwright:
    browser = launch(playwright)
    page = open_page(browser)
    page.goto(base + "/machines?q=vm1", timeout=LIMIT)
    say("ways", " | ".join(page.locator("a.button, label, form.ask button").all_inner_texts()))
    page.keyboard.press("Tab")
    say("first", page.locator(":focus").inner_text())
    seen(page, "ways")
    page.goto(base + "/machines?q=vm1", timeout=LIMIT)
    page.locator("a.button").focus()
    page.keyboard.press("Enter")
    at_provider(page, "victor")
    say("went-on", page.url.removeprefix(base))
    say("viewer", who(page))
    cookie = next(one for one in page.context.cookies() if one["name"] == "poolgate_admin")
    say("cookie", f"{cookie['httpOnly']} {cookie['sameSite']}")
    say("viewer-order", cordon(page, "vm1"))
    page.goto(base + "/")
    page.click(".who button")
    page.wait_for_selector("a.button", timeout=LIMIT)
    say("left", page.locator("main .card").inner_text().replace("\n", " "))
    seen(page, "logged-out")
    page.click("a.button")
    page.wait_for_selector("text=Yes, sign me out", timeout=LIMIT)
    say("left-there", page.url.startswith(base))
    page.context.close()

    page = open_page(browser)
    log_in(page, "olivia")
    say("operator", who(page))
    say("operator-order", cordon(page, "vm1"))
    page.context.close()

    plain = open_page(browser, java_script_enabled=False)
    log_in(plain, "olivia", "/sessions")
    say("plain", plain.url.removeprefix(base) + " " + who(plain))
    say("plain-order", cordon(plain, "vm2"))
    plain.context.close()

    page = open_page(browser)
    log_in(page, "ada")
    say("admin", who(page))
    page.context.close()

    page = open_page(browser)
    log_in(page, "nina")
    say("nobody", page.locator("[role=alert]").inner_text())
    say("or", page.locator("a.button").inner_text())
    seen(page, "no-role")
    page.click("a.button")
    at_provider(page, "olivia")
    say("somebody-else", who(page))
    page.go_back()
    used = page.request.get(base + "/login/oidc/callback?code=made-up&state=made-up", headers={"Accept": "text/html"})
    say("made-up", f"{used.status} {'begin it again' in used.text()}")
    browser.close()
say("serious", serious)
say("looks", all(looks))
