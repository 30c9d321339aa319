"""Firefox without a window, driven by WebDriver BiDi (https://w3c.github.io/webdriver-bidi): JSON over a WebSocket.

Playwright drives only Firefox builds of its own and the newest of Mozilla's. This client has what tests of a page need.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import time
from base64 import b64encode
from contextlib import suppress

SECONDS = 120  # that Firefox may take to start or to answer
_TEXT, _LAST, _MASKED, _MASK = 0x1, 0x80, 0x80, b"mask"


class Firefox:
    """A running Firefox with one tab, to be left by `close`.

    program: its path
    folder: an empty folder for its profile and log
    """

    def __init__(self, program, folder):
        command = [program, "--headless", "--no-remote", "--profile", folder, "--remote-debugging-port", "0"]
        with (folder / "log").open("wb") as log:
            # A session of its own, since Firefox starts further processes, which end with it.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._socket, self._sent, self._events = None, 0, []
        try:
            self._connect(folder)
            self._call("session.new", capabilities={})
            self._call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
            self._tab = self._call("browsingContext.getTree")["contexts"][0]["context"]
        except BaseException:
            self.close()
            raise

    def close(self):
        """Ends Firefox and all processes that it started."""
        if self._socket:
            self._stream.close()
            self._socket.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def open(self, file, width, height):
        """Opens a file in the tab, whose width and height are in CSS pixels, and waits until it has loaded."""
        self._events.clear()
        self._call("browsingContext.setViewport", context=self._tab, viewport={"width": width, "height": height})
        self._call("browsingContext.navigate", context=self._tab, url=file.as_uri(), wait="complete")

    def evaluate(self, expression):
        """The value of a JavaScript expression, or of the promise that it gives. It must be JSON, or undefined."""
        wrapped = f"Promise.resolve({expression}).then(JSON.stringify)"
        target = {"context": self._tab}
        answer = self._call("script.evaluate", expression=wrapped, target=target, awaitPromise=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"].get("value", "null"))

    def wait_for(self, selector):
        """Waits until an element with this CSS selector exists."""
        self.evaluate(f"""new Promise((done) => {{
            const look = () => document.querySelector({json.dumps(selector)}) ? done(true) : setTimeout(look, 20);
            look();
        }})""")

    def choose(self, selector, file):
        """Chooses a file in the file input with this CSS selector."""
        locator = {"type": "css", "value": selector}
        (node,) = self._call("browsingContext.locateNodes", context=self._tab, locator=locator)["nodes"]
        self._call("input.setFiles", context=self._tab, element={"sharedId": node["sharedId"]}, files=[str(file)])

    def errors(self):
        """Console messages and JavaScript errors since the page was opened."""
        return [event["text"] for event in self._told("log.entryAdded")]

    def requested(self):
        """URLs that were requested since the page was opened."""
        return [event["request"]["url"] for event in self._told("network.beforeRequestSent")]

    def _told(self, method):
        self.evaluate("0")  # what the page did before has been told before the answer
        return [event["params"] for event in self._events if event["method"] == method]

    def _connect(self, folder):
        said, end = folder / "WebDriverBiDiServer.json", time.monotonic() + SECONDS
        while not said.exists() or not said.read_text().endswith("}"):
            started = self._process.poll() is None and time.monotonic() < end
            assert started, (folder / "log").read_text()
            time.sleep(0.05)
        server = json.loads(said.read_text())
        self._socket = socket.create_connection((server["ws_host"], server["ws_port"]), SECONDS)
        self._stream = self._socket.makefile("rb")
        asked = [
            "GET /session HTTP/1.1",
            f"Host: {server['ws_host']}:{server['ws_port']}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {b64encode(bytes(16)).decode()}",
        ]
        self._socket.sendall("\r\n".join([*asked, "", ""]).encode())
        head = [line.rstrip() for line in iter(self._stream.readline, b"\r\n")]
        assert b" 101 " in head[0], head

    def _call(self, method, **params):
        """The result of a command. Events that come before it are kept."""
        self._sent += 1
        text = json.dumps({"id": self._sent, "method": method, "params": params}).encode()
        short = len(text) < 126
        length = bytes([_MASKED | len(text)]) if short else struct.pack("!BH", _MASKED | 126, len(text))
        masked = bytes(byte ^ _MASK[place % 4] for place, byte in enumerate(text))
        self._socket.sendall(bytes([_LAST | _TEXT]) + length + _MASK + masked)
        while (answer := self._received()).get("id") != self._sent:
            self._events.append(answer)
        assert answer["type"] == "success", answer
        return answer["result"]

    def _received(self):
        kind, length = self._stream.read(2)
        assert kind == _LAST | _TEXT, kind
        if length == 126:
            (length,) = struct.unpack("!H", self._stream.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._stream.read(8))
        return json.loads(self._stream.read(length))
