"""A real browser for the tests: headless Chromium, controlled through a pipe.

Chromium reads commands of its DevTools protocol from file descriptor 3, and writes answers and
events to 4. Each is a JSON object followed by a zero byte.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

TROUBLE = ("Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
TIMEOUT = 60  # seconds for one answer, on a busy machine
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, " ": 32, "ArrowLeft": 37, "ArrowUp": 38,
        "ArrowRight": 39, "ArrowDown": 40}  # fmt: skip


class Chromium:
    """One browser, and a context manager; `page()` is a new page in it."""

    def __init__(self, profile):
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        words = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--remote-debugging-pipe",
            f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash", *words],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._buffer, self._number, self.events = b"", 0, []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self._write)  # the browser ends when its pipe is closed
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)

    def ask(self, method, session=None, **params):
        """Send a command and wait for its answer. Events meanwhile are added to `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": session} if session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def _next(self):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], TIMEOUT)
            assert ready, "the browser does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def page(self):
        """A new, empty page."""
        return Page(self)


class Page:
    """One page: user input, and what the page shows."""

    def __init__(self, browser):
        self._browser, self._first_event = browser, 0
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def open(self, path, width=1200, height=800, dark=False, touch=False):
        """Load a file, afresh if it is open already, and forget the events before."""
        self.resize(width, height, touch)
        self.scheme(dark)
        self.ask("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.mouse("Moved", 0, 0)
        self.run("window.isFormer = true")
        self._first_event = len(self._browser.events)
        self.ask("Page.navigate", url=path.resolve().as_uri())
        self.wait("!window.isFormer && document.readyState === 'complete'")
        self.settle()

    def ask(self, method, **params):
        return self._browser.ask(method, self._session, **params)

    def run(self, code):
        """The value of an expression of the page, as a Python object."""
        result = self.ask(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, (code, result["exceptionDetails"])
        return result["result"].get("value")

    def wait(self, code):
        """Wait until an expression of the page is true."""
        end = time.monotonic() + TIMEOUT
        while not self.run(code):
            assert time.monotonic() < end, f"never true: {code}"
            time.sleep(0.02)

    def settle(self):
        """Wait until the page has been drawn."""
        frames = "requestAnimationFrame(() => requestAnimationFrame(() => done(true)))"
        self.run(f"new Promise((done) => {frames})")

    def resize(self, width, height, mobile=False):
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if mobile else 1, mobile=mobile,
        )  # fmt: skip

    def scheme(self, dark):
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[feature])

    def mouse(self, kind, x, y, **more):
        self.ask("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **more)

    def move(self, x, y):
        self.mouse("Moved", x, y)
        self.settle()

    def click(self, x, y):
        self.mouse("Moved", x, y)
        for kind in ("Pressed", "Released"):
            self.mouse(kind, x, y, button="left", clickCount=1)
        self.settle()

    def click_on(self, selector):
        """Scroll an element into view, and click in the middle of it."""
        name = json.dumps(selector)
        self.run(f"document.querySelector({name}).scrollIntoView({{block: 'center'}})")
        box = self.run(f"document.querySelector({name}).getBoundingClientRect().toJSON()")
        self.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def key(self, *names):
        """Press keys, one after the other, with the focus where it is."""
        for name in names:
            text = "\r" if name == "Enter" else name if len(name) == 1 else ""
            code = KEYS.get(name, ord(name[0].upper()))
            kind = "keyDown" if text else "rawKeyDown"
            about = {"key": name, "windowsVirtualKeyCode": code}
            self.ask("Input.dispatchKeyEvent", type=kind, text=text, **about)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **about)
        self.settle()

    def type(self, text):
        self.ask("Input.insertText", text=text)
        self.settle()

    def screenshot(self, path):
        data = self.ask("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def events(self, *methods):
        """The parameters of the events of some methods since the page was opened."""
        self._browser.ask("Browser.getVersion")  # earlier events arrive before the answer
        return [
            event["params"]
            for event in self._browser.events[self._first_event :]
            if event.get("sessionId") == self._session and event["method"] in methods
        ]

    @contextmanager
    def without_trouble(self):
        """At the end, an error in the browser or any request but for the page itself fails."""
        yield
        assert self.events(*TROUBLE) == []
        requested = {e["request"]["url"] for e in self.events("Network.requestWillBeSent")}
        assert len(requested) == 1 and requested.pop().startswith("file:")
