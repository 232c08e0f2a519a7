"""A person's day at a JupyterHub with a real browser: chromium_day.py BASE_URL USER PASSWORD FOLDER

Headless Chromium logs in, waits for the server, types into a terminal, uploads a file through the file browser, downloads it,
and logs out. Takes a picture at each step, and prints one fact a line.
"""
import base64
import os
import sys
import tempfile

from chromium_looks import LIMIT, launch, open_page, say, sync_playwright

base, user, password, folder = sys.argv[1:]
MEGABYTES = 3  # several chunks of JupyterLab's
READ = """async (url) => {
    const token = document.cookie.split('; ').filter(c => c.startsWith('_xsrf=')).pop().slice(6);
    const answer = await fetch(url + '?type=file&format=base64&content=1', {headers: {'X-XSRFToken': token}});
    return answer.ok ? (await answer.json()).content : '';
}"""


def picture(page, name):
    page.screenshot(path=f"{folder}/{name}.png")


def watch(page):
    """Protocols, WebSocket handshakes and bad answers, as the browser saw them."""
    seen = {"protocols": set(), "sockets": set(), "bad": []}
    wire = page.context.new_cdp_session(page)
    wire.send("Network.enable")

    def note(event):
        response = event["response"]
        if response["url"].startswith(base):
            seen["protocols"].add(response.get("protocol"))
            if response["status"] >= 500:
                seen["bad"].append(f"{response['status']} {response['url']}")

    wire.on("Network.responseReceived", note)
    wire.on("Network.webSocketHandshakeResponseReceived", lambda event: seen["sockets"].add(event["response"]["status"]))
    return seen


def log_in(page):
    page.goto(base, timeout=LIMIT)
    picture(page, "day-1-login")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.click("input[type=submit], button[type=submit]")
    page.wait_for_url(lambda url: "/hub/spawn-pending/" in url or "/lab" in url, timeout=LIMIT)
    picture(page, "day-2-spawn")
    page.wait_for_url("**/user/*/lab**", timeout=LIMIT)
    page.locator(".jp-LauncherCard").first.wait_for(timeout=LIMIT)
    picture(page, "day-3-lab")


def wait_for_file(page, name, is_whole):
    """A file of the person's, as their server gives it to code of the page."""
    for _ in range(100):
        data = base64.b64decode(page.evaluate(READ, f"/user/{user}/api/contents/{name}"))
        if is_whole(data):
            break
        page.wait_for_timeout(200)
    return data


def use_terminal(page):
    page.locator(".jp-LauncherCard[title*=terminal i], .jp-LauncherCard:has-text('Terminal')").first.click()
    page.locator(".jp-Terminal .xterm-helper-textarea").wait_for(state="attached", timeout=LIMIT)
    page.locator(".jp-Terminal").click()
    page.keyboard.type("echo told $((6 * 7)) $POOLGATE_INSTANCE | tee told.txt\n")
    told = wait_for_file(page, "told.txt", lambda data: data.endswith(b"\n"))
    say("terminal", told.decode().strip())
    picture(page, "day-4-terminal")


def upload(page):
    data = os.urandom(MEGABYTES << 20)
    with tempfile.NamedTemporaryFile(prefix="carried", suffix=".bin") as file:
        file.write(data)
        file.flush()
        name = os.path.basename(file.name)
        with page.expect_file_chooser(timeout=LIMIT) as chooser:
            page.locator("[data-command='filebrowser:upload'], [title='Upload Files'], .jp-id-upload").first.click()
        chooser.value.set_files(file.name)
        item = page.locator(".jp-DirListing-item", has_text=name)
        item.wait_for(timeout=LIMIT)
        came = wait_for_file(page, name, lambda came: len(came) >= len(data))
    say("upload", "same" if came == data else "different")
    picture(page, "day-5-upload")
    with page.expect_download(timeout=LIMIT) as download:
        item.click(button="right")
        page.locator(".lm-Menu-item[data-command='filebrowser:download']").click()
    with open(download.value.path(), "rb") as file:
        say("download", "same" if file.read() == data else "different")


def log_out(page):
    page.locator(".lm-MenuBar-item", has_text="File").first.click()
    page.locator(".lm-Menu-item[data-command='hub:logout']").click()
    page.wait_for_url("**/hub/log*", timeout=LIMIT)
    page.goto(f"{base}/hub/home", timeout=LIMIT)
    say("logged-out", page.url.removeprefix(base).split("?")[0])
    picture(page, "day-6-logout")


with sync_playwright() as playwright:
    browser = launch(playwright)
    page = open_page(browser)
    page.set_default_timeout(LIMIT)
    seen = watch(page)
    log_in(page)
    use_terminal(page)
    upload(page)
    log_out(page)
    say("protocols", " ".join(sorted(filter(None, seen["protocols"]))))
    say("sockets", " ".join(str(status) for status in sorted(seen["sockets"])))
    say("bad", seen["bad"])
    browser.close()
