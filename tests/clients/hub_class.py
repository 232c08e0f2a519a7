"""A class at a pool of JupyterHubs, one step at a time: hub_class.py BASE_URL

Every second pupil's browser speaks HTTP/2. Reads one JSON object a line, has the whole class take that step at the same time,
and prints one JSON object: what came of it, and every answer that no pupil should get.
"""
import json
import random
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from browsers import PIN, Http1, Http2

base = sys.argv[1]
pupils = []
PATIENCE = 59  # seconds, the gate's with a hub


class Pupil:
    def __init__(self, number, password):
        self.number, self.user, self.password = number, f"pupil{number:02}", password
        self.browser = (Http1, Http2)[number % 2](base)
        self.other = None
        self.kernel = self.terminal = self.instance = self.open = None
        self.took, self.faults, self.hiccups = {}, [], []

    def expect(self, what, is_good, answer):
        if not is_good:
            told = f"{self.user} {self.browser.version}: {what}: {vars(answer) if isinstance(answer, SimpleNamespace) else answer!r}"[:600]
            # A machine that is too busy breaks connections off, and answers 503; neither logs anybody out.
            is_hiccup = isinstance(answer, Exception) or getattr(answer, "status", 0) == 503
            (self.hiccups if is_hiccup else self.faults).append(told)

    def timed(self, what, step):
        began = time.monotonic()
        try:
            step()
        except Exception as error:
            self.expect(what, False, error)
        self.took.setdefault(what, []).append((time.monotonic() - began) * 1000)

    def is_at(self, path, browser=None):
        began = time.monotonic()
        answer = (browser or self.browser).page(path)
        while answer.status == 503 and time.monotonic() - began > PATIENCE:
            # A hub that needs a minute for a page: the gate's own page comes, and asks again by itself.
            self.took.setdefault("asked-again", []).append((time.monotonic() - began) * 1000)
            began = time.monotonic()
            answer = (browser or self.browser).page(path)
        self.expect(path, answer.status == 200 and answer.path == path, answer)

    # The steps of a lesson.
    def form(self):
        answer = self.browser.page("/")
        self.expect("form", answer.status == 200 and answer.path == "/hub/login", answer)

    def log_in(self):
        answer = self.browser.log_in(self.user, self.password)
        self.expect("login", answer.status == 302, answer)

    def start_server(self):
        began = time.monotonic()
        self.browser.page("/hub/spawn")
        path = f"/hub/api/users/{self.user}/server/progress?_xsrf={self.browser.xsrf('/hub/')}"
        asked = time.monotonic()
        events = self.browser.events(path, {"Accept": "text/event-stream", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"})
        kind = next(events)
        self.expect("progress", kind == "200 text/event-stream", kind)
        for event in events:
            self.took.setdefault(f"first-event-{self.browser.version}", [(time.monotonic() - asked) * 1000])
            if json.loads(event[5:]).get("ready"):
                break
        events.close()
        self.lab()
        made = self.browser.code(f"/user/{self.user}/api/kernels", "POST", {"name": "python3"})
        self.kernel = json.loads(made.text)["id"]
        made = self.browser.code(f"/user/{self.user}/api/terminals", "POST", {})
        self.terminal = json.loads(made.text)["name"]
        self.instance = self.browser.run(self.user, self.kernel, "import os; print(os.environ['POOLGATE_INSTANCE'])")
        # As an open tab has it, all the time.
        self.open = self.browser.socket(f"/user/{self.user}/api/events/subscribe")
        self.took["server"] = [(time.monotonic() - began) * 1000]

    # What pupils do all the time.
    def home(self):
        self.is_at("/hub/home")

    def tokens(self):
        self.is_at("/hub/token")

    def who(self):
        answer = self.browser.code("/hub/api/user")
        self.expect("/hub/api/user", answer.status == 200 and json.loads(answer.text)["name"] == self.user, answer)

    def stray(self):
        """A request of code that came without the pin reaches any hub, which must not log its person out."""
        line = "; ".join(pair for pair in self.browser.cookie_line("/hub/").split("; ") if not pair.startswith(PIN))
        headers = {"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Cookie": line}
        answer = self.browser.ask("GET", random.choice(["/hub/home", "/hub/api/user", "/user/nobody/api/kernels"]), headers)
        self.expect("stray", answer.status < 500 or answer.status == 503, answer)
        self.home()

    def reopen(self):
        """The browser is closed and opened again: it forgets what no server gave an age."""
        self.browser.forget()
        self.home()
        if self.kernel:
            self.lab()

    def second(self):
        """Another browser of the same person, which speaks the other version."""
        if self.other is None:
            self.other = (Http2, Http1)[self.number % 2](base)
            self.other.page("/hub/login")
            answer = self.other.log_in(self.user, self.password)
            self.expect("second login", answer.status == 302, answer)
        self.is_at("/hub/home", self.other)
        if self.kernel:
            self.is_at(f"/user/{self.user}/lab", self.other)
        self.home()

    def lab(self):
        self.is_at(f"/user/{self.user}/lab")

    def requests(self):
        for what in ("kernels", "contents", "terminals", "sessions"):
            answer = self.browser.code(f"/user/{self.user}/api/{what}")
            self.expect(what, answer.status == 200, answer)

    def compute(self):
        output = self.browser.run(self.user, self.kernel, "print(6 * 7)")
        self.expect("compute", output == "42", output)

    def shell(self):
        self.browser.terminal(self.user, self.terminal, "echo $((6 * 7))=answer", "42=answer")

    def tab(self):
        self.open.ping()
        self.expect("tab", self.open.connected, "its socket was closed")

    def mix(self, until):
        acts = [self.home] * 3 + [self.tokens, self.who, self.who, self.second]
        acts += [self.stray, self.reopen] if isinstance(self.browser, Http1) else []
        acts += [self.lab, self.requests, self.requests, self.compute, self.shell, self.tab] * 2 if self.kernel else []
        # Everybody does everything once, and then what they like.
        for act in random.sample(acts, len(acts)):
            self.timed(act.__name__, act)
        while time.monotonic() < until:
            time.sleep(random.uniform(0.2, 2.0))
            act = random.choice(acts)
            self.timed(act.__name__, act)


def together(who, step):
    """All at the same moment."""
    barrier = threading.Barrier(len(who))

    def one(pupil):
        barrier.wait()
        step(pupil)
        return pupil

    with ThreadPoolExecutor(len(who)) as pool:
        list(pool.map(one, who))


def told():
    took = {}
    for pupil in pupils:
        for what, times in pupil.took.items():
            took.setdefault(what, []).extend(times)
        pupil.took = {}
    faults = [fault for pupil in pupils for fault in pupil.faults]
    hiccups = [hiccup for pupil in pupils for hiccup in pupil.hiccups]
    for pupil in pupils:
        pupil.faults, pupil.hiccups = [], []
    shape = {what: {"count": len(times), "median": round(statistics.median(times)), "max": round(max(times))} for what, times in took.items()}
    return {"took": shape, "faults": faults[:20], "fault_count": len(faults), "hiccups": hiccups[:20],
            "hiccup_count": len(hiccups), "acts": sum(one["count"] for one in shape.values())}


def enter(count, password):
    pupils.extend(Pupil(number, password) for number in range(1, count + 1))
    together(pupils, lambda pupil: pupil.timed("form", pupil.form))
    together(pupils, lambda pupil: pupil.timed("login", pupil.log_in))
    together(pupils, lambda pupil: pupil.timed("home", pupil.home))
    return told()


def servers(count):
    """In groups, as far as a small machine can start them within their time."""
    for first in range(0, count, 4):
        together(pupils[first:min(first + 4, count)], lambda pupil: pupil.timed("start", pupil.start_server))
    return {**told(), "instances": {pupil.user: pupil.instance for pupil in pupils[:count]}}


def mix(seconds):
    until = time.monotonic() + seconds
    together(pupils, lambda pupil: pupil.mix(until))
    return told()


steps = {"enter": enter, "servers": servers, "mix": mix}
for line in sys.stdin:
    wish = json.loads(line)
    step = steps[wish.pop("step")]
    print(json.dumps(step(**wish)), flush=True)
