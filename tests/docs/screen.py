"""A screen of a terminal, as `tmux capture-pane -e` tells it, as a picture in SVG: text stays text. Knows bold, faint, reversed and the 16 colours."""
import re
from html import escape

COLOURS = ["#1c2430", "#ff8f86", "#6fd39a", "#f0c674", "#7ab8ff", "#c9a6ff", "#6cd0e0", "#e8ecf2"]
INK, GROUND = "#dfe5ee", "#11151b"
WIDTH, HEIGHT, PAD, BAR = 8.4, 18, 16, 34
CODE = re.compile(r"\x1b\[([0-9;]*)m|\x1b[()].|\x1b\[[0-9;?]*[A-Za-ln-z]|[\x0e\x0f]")


def spans(line):
    """Pieces of one look: where each begins, its text and its codes."""
    at, look, begun = 0, {}, 0
    for found in list(CODE.finditer(line)) + [None]:
        text = line[begun:found.start() if found else len(line)]
        if text:
            yield at, text, dict(look)
            at += len(text)
        if not found:
            return
        begun = found.end()
        if found.group(1) is None:
            continue
        codes = iter(int(one or 0) for one in found.group(1).split(";"))
        for code in codes:
            if code == 0:
                look = {}
            elif code in (1, 2, 7):
                look[code] = True
            elif code == 22:
                look.pop(1, None), look.pop(2, None)
            elif code == 27:
                look.pop(7, None)
            elif code in (38, 48):
                # By number (5), of which the first 16 are these; by shares of red, green and blue (2) nothing here is painted.
                number = next(codes, 0) == 5 and next(codes, 0)
                if code == 38 and number is not False:
                    look["fg"] = COLOURS[number % 8]
            elif 30 <= code <= 37 or 90 <= code <= 97:
                look["fg"] = COLOURS[code % 10]
            elif code == 39:
                look.pop("fg", None)


def svg(shown, columns, title):
    lines = shown.rstrip("\n").split("\n")
    width, height = columns * WIDTH + 2 * PAD, len(lines) * HEIGHT + 2 * PAD + BAR
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img"><title>{escape(title)}</title>',
           f'<rect width="100%" height="100%" rx="10" fill="{GROUND}"/>',
           "".join(f'<circle cx="{20 + 20 * n}" cy="18" r="6" fill="{c}"/>' for n, c in enumerate(("#ff5f57", "#febc2e", "#28c840"))),
           f'<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="14" fill="{INK}">']
    for row, line in enumerate(lines):
        y = BAR + PAD + row * HEIGHT
        for at, text, look in spans(line):
            x, wide = PAD + at * WIDTH, len(text) * WIDTH
            fill = look.get("fg", INK)
            if look.get(7):
                out.append(f'<rect x="{x:.1f}" y="{y - 14}" width="{wide:.1f}" height="{HEIGHT}" fill="{fill}"/>')
                fill = GROUND
            more = ' font-weight="700"' if look.get(1) else ""
            more += ' opacity=".65"' if look.get(2) else ""
            # Blanks are places, not signs: SVG would make one of several.
            for words in re.finditer(r"\S+(?: \S+)*", text):
                left, long = PAD + (at + words.start()) * WIDTH, len(words.group()) * WIDTH
                out.append(f'<text x="{left:.1f}" y="{y}" textLength="{long:.1f}" fill="{fill}"{more}>{escape(words.group())}</text>')
    return "\n".join(out) + "\n</g></svg>\n"
