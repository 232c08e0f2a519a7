"""How a page looks: pictures in light and dark, narrow and wide, and what can be measured of them. Imported by others."""
from playwright.sync_api import sync_playwright  # noqa: F401 (whoever imports this uses it)

LIMIT = 120_000  # milliseconds
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (360, 1200)]
HEIGHT = 700
# The lowest contrast of text on its ground (WCAG 2.2, 1.4.3 asks for 4.5; what cannot be used is exempt).
CONTRAST = """() => {
    const parse = (text) => text.match(/[0-9.]+/g).map(Number);
    const light = (color) => {
        const [r, g, b] = color.map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (; element; element = element.parentElement) {
            const color = parse(getComputedStyle(element).backgroundColor);
            if (color.length < 4 || color[3] > 0) return color.slice(0, 3);
        }
        return [255, 255, 255];
    };
    const seen = [...document.querySelectorAll('h1, p, li, a, td, th, button:enabled')].filter((e) => e.checkVisibility());
    return Math.min(...seen.map((element) => {
        const [a, b] = [light(parse(getComputedStyle(element).color).slice(0, 3)), light(ground(element))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }));
}"""


# What sticks out farthest.
WIDEST = """() => {
    const right = (element) => element.getBoundingClientRect().right;
    const all = [...document.querySelectorAll('body *')].filter((element) => !element.closest('.scroll'));
    return all.sort((a, b) => right(b) - right(a))[0].outerHTML.slice(0, 120);
}"""


def say(name, value):
    print(name, value, flush=True)


def launch(playwright):
    # Debian's browser; without a sandbox, since tests run as root in namespaces of their own.
    return playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])


def open_page(browser, **more):
    size = {"width": 1200, "height": HEIGHT}
    return browser.new_context(ignore_https_errors=True, viewport=size, **more).new_page()


def look(page, name, folder):
    """Pictures of what the page shows; returns whether text can be read and nothing is cut off."""
    is_good = True
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.screenshot(path=f"{folder}/{name}-{scheme}-{width}.png")
        contrast, over = page.evaluate(CONTRAST), page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if contrast < 4.5 or over > 0:
            is_good = False
            say("bad-look", f"{name} {scheme} {width}: contrast {contrast:.2f}, {over} px too wide{': ' + page.evaluate(WIDEST) if over > 0 else ''}")
    return is_good


def judge(page, axe):
    """What axe-core (the file) finds of the page, with the first place. A page's policy lets no foreign script in, and so it is run past that."""
    page.evaluate(open(axe).read() + "; undefined")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [[fault["id"], fault["impact"], fault["nodes"][0]["html"][:160]] for fault in found["violations"]]
