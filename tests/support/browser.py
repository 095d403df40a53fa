"""A headless Chromium that opens a page and is driven over a pipe (Chrome DevTools Protocol)."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --remote-debugging-pipe about:blank".split()
DEADLINE_S = 30


class Browser:
    """Opens one page; use it in a `with` block."""

    def __init__(self, page: Path, profile: Path, width: int = 1400) -> None:
        commands, self._commands = os.pipe()
        self._replies, replies = os.pipe()
        call = [f"--user-data-dir={profile}", f"--window-size={width},900", *FLAGS]
        self._process = subprocess.Popen(  # Chromium reads from descriptor 3 and writes to 4
            ["bash", "-c", f'exec "$0" "$@" 3<&{commands} 4>&{replies}', CHROMIUM, *call],
            pass_fds=(commands, replies),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(replies)
        self._unread, self._number, self._session = b"", 0, {}
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(info["targetId"] for info in targets if info["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self.requests: list[str] = []  # addresses beside those in the page itself
        self.call("Network.enable")
        self.call("Page.navigate", url=page.as_uri())

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._commands)
        os.close(self._replies)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._read()
            if reply.get("method") == "Network.requestWillBeSent":
                self.requests.append(reply["params"]["request"]["url"])
            if reply.get("id") == self._number:
                return reply["result"]

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        reply = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return reply["result"].get("value")

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key)

    def drag(self, start: tuple[float, float], end: tuple[float, float], button: str) -> None:
        for kind, (x, y) in (
            ("mousePressed", start),
            ("mouseMoved", end),
            ("mouseReleased", end),
        ):
            held = {"left": 1, "right": 2}[button] if kind != "mouseReleased" else 0
            event = {"type": kind, "x": x, "y": y, "button": button, "buttons": held}
            self.call("Input.dispatchMouseEvent", **event, clickCount=1)

    def wait_for(self, expression: str, value: Any) -> None:
        """Waits until an expression has a value; fails with the last one that it had."""
        end = time.monotonic() + DEADLINE_S
        while (last := self.evaluate(expression)) != value:
            assert time.monotonic() < end, f"{expression} is {last!r}, not {value!r}"
            time.sleep(0.02)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            chunk = os.read(self._replies, 2**16)
            assert chunk, "Chromium has ended"
            self._unread += chunk
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)
