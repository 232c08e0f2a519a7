"""A person at a JupyterHub, one step at a time: hub_visitor.py BASE_URL

Reads one JSON object a line, takes that step with the cookies of all steps before, and prints one JSON object: what came of it.
"""
import html
import json
import re
import sys
import time
import uuid
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
import websocket

base = sys.argv[1]
urllib3.disable_warnings()
session = requests.Session()
session.trust_env = False
session.verify = False
session.headers["User-Agent"] = "a browser of the tests"
PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
CODE = {"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
LIMIT = 120  # seconds for a server or a kernel to be there
sockets = []
last = None


def told(answer, **more):
    global last
    last = answer
    path = urlsplit(answer.url).path
    location = answer.headers.get("location")
    text = answer.text[:20000]
    hops = [urlsplit(hop.url).path for hop in answer.history]
    return {"status": answer.status_code, "path": path, "location": location, "text": text, "hops": hops, **more}


def xsrf(path):
    found = [cookie for cookie in session.cookies if cookie.name == "_xsrf" and path.startswith(cookie.path)]
    return max(found, key=lambda cookie: len(cookie.path)).value


def page(path, follow=True):
    return told(session.get(urljoin(base, path), headers=PAGE, allow_redirects=follow, timeout=60))


def code(path):
    return told(session.get(urljoin(base, path), headers={**CODE, "X-XSRFToken": xsrf(urlsplit(path).path)}, allow_redirects=False, timeout=60))


def cookie(name, value):
    session.cookies.set(name, value, domain=urlsplit(base).hostname, path="/")
    return {}


def form(path, fields, follow=True):
    """As a page of this host sends one."""
    return told(session.post(urljoin(base, path), data=fields, headers=PAGE, allow_redirects=follow, timeout=60))


def submit():
    """Sends the form of the last page as it is."""
    pairs = re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"', last.text)
    fields = [(name, html.unescape(value)) for name, value in pairs]
    return form(urlsplit(last.url)._replace(scheme="", netloc="").geturl(), fields)


def send(method, path, body=None):
    """A request of a page's own code that changes something."""
    headers = {**CODE, "X-XSRFToken": xsrf(path), "Origin": base}
    return told(session.request(method, urljoin(base, path), json=body, headers=headers, allow_redirects=False, timeout=60))


def login(user, password, next=""):
    form = {"username": user, "password": password, "_xsrf": xsrf("/hub/")}
    answer = session.post(urljoin(base, f"/hub/login?next={next}"), data=form, headers=PAGE, allow_redirects=False, timeout=60)
    return told(answer, cookies=sorted(answer.cookies.keys()))


def spawn(user):
    """Asks for the server until its lab is there; a login form on the way is told and not filled in."""
    limit = time.monotonic() + LIMIT
    answer = page("/hub/spawn")
    while time.monotonic() < limit:
        answer = page(f"/user/{user}/lab")
        if answer["path"] in (f"/user/{user}/lab", "/hub/login"):
            break
        time.sleep(0.2)
    return answer


def kernel(user):
    headers = {**CODE, "X-XSRFToken": xsrf(f"/user/{user}/"), "Origin": base}
    made = session.post(urljoin(base, f"/user/{user}/api/kernels"), json={"name": "python3"}, headers=headers, timeout=60)
    return {"status": made.status_code, "id": made.json()["id"]}


def run(user, id, source, wait=True, keep=False):
    """Runs code in a kernel; what it printed, if it is waited for."""
    cookies = "; ".join(f"{c.name}={c.value}" for c in session.cookies if f"/user/{user}/".startswith(c.path))
    url = urljoin(base, f"/user/{user}/api/kernels/{id}/channels").replace("http", "ws", 1)
    socket = websocket.create_connection(url, cookie=cookies, origin=base, timeout=LIMIT, sslopt={"cert_reqs": 0}, http_proxy_host=None)
    header = {"msg_id": uuid.uuid4().hex, "username": user, "session": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
    content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    socket.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}))
    output = ""
    while True:
        message = json.loads(socket.recv())
        if message["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        if message["msg_type"] == "stream":
            output += message["content"]["text"]
        state = message["content"].get("execution_state")
        if state == "idle" or (state == "busy" and not wait):
            break
    if keep:
        sockets.append(socket)
    else:
        socket.close()
    return {"output": output.strip()}


steps = {"page": page, "cookie": cookie, "code": code, "form": form, "submit": submit, "send": send, "login": login, "spawn": spawn, "kernel": kernel, "run": run}
for line in sys.stdin:
    wish = json.loads(line)
    step = steps[wish.pop("step")]
    try:
        came = step(**wish)
    except Exception as error:  # told to the test, which knows whether it was to be expected
        came = {"error": repr(error)}
    print(json.dumps(came), flush=True)
