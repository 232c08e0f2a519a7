"""An operator who logs in with a token, in a real browser: chromium_login.py BASE_URL TOKEN OTHER_TOKEN AXE FOLDER

By keyboard: the login page with a wrong token and a right one, an order by form, a form that another page's text was put
into, and a session that ends under a page (whoever runs this takes the token away at "asks revocation"). Then without
JavaScript, with the other token. Prints one fact a line.
"""
import sys

from chromium_looks import LIMIT, judge, launch, look, open_page, say, sync_playwright

base, token, other, axe, folder = sys.argv[1:]
serious, console = [], []
LOOKS = []


def seen(page, name):
    serious.extend([name, *fault] for fault in judge(page, axe))
    LOOKS.append(look(page, name, folder))


def log_in(page, token):
    page.keyboard.type(token)
    page.keyboard.press("Enter")


def order(page, machine, reason):
    page.goto(f"{base}/act?order=cordon&instance=main%2F{machine}", timeout=LIMIT)
    page.fill("[name=reason]", reason)


with sync_playwright() as playwright:
    browser = launch(playwright)
    page = open_page(browser)
    page.on("pageerror", lambda error: console.append(str(error)))
    page.goto(base + "/machines?q=vm1", timeout=LIMIT)
    say("title", page.title())
    say("focus", page.locator(":focus").get_attribute("name"))
    page.keyboard.press("Tab")
    say("then", page.locator(":focus").inner_text())
    seen(page, "login")
    page.locator("[name=token]").focus()
    log_in(page, "pgt_guessed")
    page.wait_for_selector("[role=alert]", timeout=LIMIT)
    say("wrong", page.locator("[role=alert]").inner_text())
    seen(page, "login-wrong")
    page.locator("[name=token]").focus()
    log_in(page, token)
    page.wait_for_selector(".who", timeout=LIMIT)
    say("went-on", page.url.removeprefix(base))
    say("who", " ".join(page.locator(".who > span").inner_text().split()))
    seen(page, "logged-in")

    order(page, "vm1", "by form")
    page.click("main form button")
    page.wait_for_selector(".flash.good", timeout=LIMIT)
    say("ordered", page.locator(".flash.good").inner_text())
    order(page, "vm2", "forged")
    page.evaluate("document.querySelector('main [name=csrf]').value = 'x'.repeat(43)")
    page.click("main form button")
    page.wait_for_selector("body.bare", timeout=LIMIT)
    say("forged", page.locator("main .card").inner_text().replace("\n", " "))
    seen(page, "refused")

    order(page, "vm2", "too late")
    say("asks", "revocation")
    page.wait_for_timeout(100)
    while page.request.get(base + "/machines").status == 200:
        page.wait_for_timeout(200)
    page.click("main form button")
    page.wait_for_selector("[role=alert]", timeout=LIMIT)
    say("over", page.locator("[role=alert]").inner_text())
    seen(page, "login-over")
    page.context.close()

    plain = open_page(browser, java_script_enabled=False)
    plain.goto(base + "/", timeout=LIMIT)
    plain.locator("[name=token]").focus()
    log_in(plain, other)
    plain.wait_for_selector(".who", timeout=LIMIT)
    say("plain-who", " ".join(plain.locator(".who > span").inner_text().split()))
    plain.click(".who button")
    plain.wait_for_selector("[name=token]", timeout=LIMIT)
    say("plain-left", plain.url.removeprefix(base))
    plain.goto(base + "/machines", timeout=LIMIT)
    say("plain-after", plain.locator("h1").inner_text())
    browser.close()
say("serious", serious)
say("console", console)
say("looks", all(LOOKS))
