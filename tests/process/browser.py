"""A real browser, driven over its DevTools protocol: pages are looked at and typed into as a person does."""

import asyncio
import base64
import contextlib
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]
FLAGS += [
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
]
PATIENCE = 30.0  # seconds until something must be on a page
KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), "Space": (32, " "), "ArrowDown": (40, "")}
KEYS |= {letter: (ord(letter.upper()), letter) for letter in "abcdefghijklmnopqrstuvwxyz"} | {"?": (191, "?")}
KEYS |= {"ArrowUp": (38, ""), "ArrowLeft": (37, ""), "ArrowRight": (39, ""), "[": (219, "["), "]": (221, "]")}
KEYS |= {"+": (187, "+"), "-": (189, "-")}


class Page:
    """One tab. `complaints`: of its console, on errors and content policy; `requests`: the addresses it asked for.
    `workers`: registrations of service workers by their scope, once that domain is enabled.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.workers: dict[str, str] = {}
        self._dragged: asyncio.Future[dict[str, Any]] | None = None

    async def listen(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            else:
                self._hear(message["method"], message["params"])

    def _hear(self, method: str, said: dict[str, Any]) -> None:
        if method == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.complaints.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(
                str(
                    said["exceptionDetails"].get("exception", {}).get("description") or said["exceptionDetails"]["text"]
                )
            )
        elif method == "Input.dragIntercepted" and self._dragged is not None and not self._dragged.done():
            self._dragged.set_result(said["data"])
        elif method == "ServiceWorker.workerRegistrationUpdated":
            self.workers |= {
                one["scopeURL"]: one["registrationId"] for one in said["registrations"] if not one["isDeleted"]
            }
        elif method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(said["url"])

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        found = await asyncio.wait_for(answer, PATIENCE)
        assert "error" not in found, found["error"]
        return dict(found["result"])

    async def open(self, url: str) -> None:
        """Goes to an address; the old document is gone on return, and satisfies no later wait."""
        with contextlib.suppress(AssertionError):  # a document that is going anyway
            await self.value("void (window.beforeOpen = true)")
        found = await self.command("Page.navigate", url=url)
        if "loaderId" in found and "errorText" not in found:  # neither within the document nor a download
            await self.until("!window.beforeOpen")

    async def reload(self) -> None:
        """Loads the page again; the old document is gone on return, and satisfies no later wait."""
        await self.value("window.beforeReload = true")
        await self.command("Page.reload")
        await self.until("!window.beforeReload")

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to; a promise is waited for."""
        answer = await self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str, within: float = PATIENCE) -> None:
        """Waits until the expression is true."""
        deadline = asyncio.get_running_loop().time() + within
        while True:
            with contextlib.suppress(AssertionError):  # a page that is just being loaded
                if await self.value(f"!!({expression})"):
                    return
            assert asyncio.get_running_loop().time() < deadline, (
                f"{expression}\n{await self.text('body')}\n{self.complaints}"
            )
            await asyncio.sleep(0.03)

    async def text(self, selector: str) -> str:
        """What a person reads there."""
        return str(await self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def see(self, text: str, selector: str = "body", within: float = PATIENCE) -> None:
        await self.until(
            f"document.querySelector({json.dumps(selector)})?.innerText.includes({json.dumps(text)})", within
        )

    async def click(self, selector: str) -> None:
        await self.until(
            "(found => found && !found.disabled"
            f" && found.offsetParent !== null && (found.click(), true))(document.querySelector({json.dumps(selector)}))"
        )

    async def fill(self, selector: str, text: str) -> None:
        """Types a text into a field, as a person's keyboard does."""
        await self.until(f"document.querySelector({json.dumps(selector)})?.offsetParent")
        await self.value(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.command("Input.insertText", text=text)

    async def select(self, selector: str) -> None:
        """Selects the text of a field: what is typed next replaces it."""
        await self.until(f"(field => field && (field.select(), true))(document.querySelector({json.dumps(selector)}))")

    async def drag(self, selector: str, to: str, *, hold: str = "true") -> None:
        """Drags by the mouse, from the middle of one element to that of another one. `hold`: is waited for before the
        drop.
        """
        begin, end = await self._middle(selector), await self._middle(to)
        self._dragged = asyncio.get_running_loop().create_future()
        await self.command("Input.setInterceptDrags", enabled=True)
        mouse = {"button": "left", "buttons": 1, "clickCount": 1}
        await self.command("Input.dispatchMouseEvent", type="mousePressed", **begin, **mouse)
        for step in range(40):
            at = {axis: begin[axis] + (end[axis] - begin[axis]) * (step % 8 + 1) / 8 for axis in "xy"}
            await self.command("Input.dispatchMouseEvent", type="mouseMoved", **at, **mouse)
            await asyncio.wait([self._dragged], timeout=0.1)
            if self._dragged.done():
                break
        data = await asyncio.wait_for(self._dragged, 1)
        await self.command("Input.setInterceptDrags", enabled=False)
        await self.until(hold)
        for kind in ("dragEnter", "dragOver"):
            await self.command("Input.dispatchDragEvent", type=kind, data=data, **end)
        await self.command("Input.dispatchDragEvent", type="drop", data=data, **end)
        await self.command("Input.dispatchMouseEvent", type="mouseReleased", **end, button="left", clickCount=1)

    async def _middle(self, selector: str) -> dict[str, float]:
        """Where the middle of an element is, once it rests."""
        found, at = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()", None
        while at != (at := await self.value(f"(at => ({{x: at.x + at.width / 2, y: at.y + at.height / 2}}))({found})")):
            await asyncio.sleep(0.15)
        return dict(at)

    async def press(self, key: str, *, shift: bool = False, control: bool = False) -> None:
        code, text = KEYS[key]
        text = "" if control else text
        of = {
            "key": text if key == "Space" else key,
            "code": key,
            "windowsVirtualKeyCode": code,
            "modifiers": (8 if shift else 0) | (2 if control else 0),
        }
        await self.command(
            "Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **of, **({"text": text} if text else {})
        )
        await self.command("Input.dispatchKeyEvent", type="keyUp", **of)

    async def look(self, width: int = 1280, height: int = 800, *, dark: bool = False) -> None:
        """From here on through a window of this size, and with these colours."""
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        await self.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )

    async def screenshot(self, file: Path, width: int = 1280, height: int = 800, *, dark: bool = False) -> None:
        await self.look(width, height, dark=dark)
        await asyncio.sleep(0.3)
        picture = await self.command("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(picture["data"]))


@contextlib.asynccontextmanager
async def browsing(profile: Path) -> AsyncIterator[Page]:
    """A tab of a browser of its own."""
    assert CHROMIUM is not None
    process = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        address = await asyncio.to_thread(_address, process)
        port = address.split(":")[2].split("/")[0]
        target = await asyncio.to_thread(_tab, port)
        async with connect(target, max_size=None, compression=None, ping_interval=None) as socket:
            page = Page(socket)
            listening = asyncio.create_task(page.listen())
            try:
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.command(f"{domain}.enable")
                yield page
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    finally:
        process.terminate()
        process.wait(20)
        if process.stderr is not None:
            process.stderr.close()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"ws://\S+", line):
            return found[0]
    raise AssertionError("the browser did not start")


def _tab(port: str) -> str:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
        return str(next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page"))
