"""Headless Chromium, driven over the pipe of its DevTools protocol: no driver program and no port."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1600, 1000
CONSOLE_KEPT = 200
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # a container's user has no namespaces of its own; only our own pages are opened
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--lang=en",
    f"--window-size={WIDTH},{HEIGHT}",
    "--remote-debugging-pipe",
)


class Browser:
    """One browser with one page.

    Parameters
    ----------
    program : str
        Chromium.
    folder : Path
        For its profile and its log.
    """

    def __init__(self, program: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        self._log = (folder / "chromium.log").open("wb")
        # The protocol is spoken on descriptors 3 and 4, whatever numbers the pipes have here.
        script = f'exec "$@" 3<&{commands} 4>&{answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", program, *FLAGS, f"--user-data-dir={folder / 'profile'}"],
            pass_fds=(commands, answers),
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        os.close(commands)
        os.close(answers)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self.console: list[str] = []
        """What the page wrote to its console, and its uncaught exceptions."""
        target = self.call("Target.createTarget", url="about:blank", session=None)["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True, session=None)
        self._session: str = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to a page."""
        self.console.clear()
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression[:80]}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, seconds: float, what: str) -> Any:
        """Wait until an expression is true in the page and return its value."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(AssertionError):
                if value := self.evaluate(expression):
                    return value
            if time.monotonic() > deadline:
                told = "\n".join(self.console[-15:])
                raise AssertionError(
                    f"waited {seconds:.0f} s in vain for: {what}\n{self.text()[-1500:]}\n{told}"
                )
            time.sleep(0.2)

    def text(self) -> str:
        """Return the text that the page shows."""
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def click(self, expression: str, *, times: int = 1) -> None:
        """Click on the element that an expression gives, as a mouse does."""
        x, y = self.evaluate(
            f"(() => {{ const e = {expression}; e.scrollIntoView({{block: 'center'}});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)

    def scroll(self, steps: int) -> None:
        """Turn the wheel of the mouse over the middle of the page, down by ``steps``."""
        self.call(
            "Input.dispatchMouseEvent",
            type="mouseWheel",
            x=WIDTH / 2 + 100,
            y=HEIGHT / 2 - 50,
            deltaX=0,
            deltaY=100 * steps,
        )

    def screenshot(self, path: Path) -> bytes:
        """Write what the page shows as a PNG file and return its bytes."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return data

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close", session=None)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
        os.close(self._out)
        os.close(self._in)
        self._log.close()

    def call(self, method: str, *, session: str | None = "", **parameters: Any) -> Any:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session or self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            answer = self._message(deadline)
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self._keep(answer)

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError("the browser does not answer")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise AssertionError("the browser ended; see chromium.log")
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(message))

    def _keep(self, event: dict[str, Any]) -> None:
        """Keep what the page complains of."""
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.console.append(
                f"exception: {details.get('exception', {}).get('description', details)}"[:600]
            )
        elif event.get("method") == "Runtime.consoleAPICalled":
            words = [str(item.get("value", item.get("description", ""))) for item in parameters["args"]]
            self.console.append(f"{parameters['type']}: {' '.join(words)}"[:600])
        elif event.get("method") == "Log.entryAdded":
            entry = parameters["entry"]
            self.console.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}"[:600])
        del self.console[:-CONSOLE_KEPT]
