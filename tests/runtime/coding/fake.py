"""A program that speaks as coding agents do, and misbehaves as its prompt says.

It runs in the sandbox, on Python alone.

Its dialect is in the path it is called by. What it is asked, it asks its model; a tool call of the model is a command.
"""

import contextlib
import itertools
import json
import mmap
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def tell(**event):
    print(json.dumps(event), flush=True)


def post(path, headers, body):
    """Events of the answer's stream."""
    base = os.environ["ANTHROPIC_BASE_URL"]
    request = urllib.request.Request(
        base + path, json.dumps(body).encode(), {"content-type": "application/json", **headers}
    )
    with urllib.request.urlopen(request) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


class Claude:
    """Claude Code's dialect."""

    def __init__(self, arguments):
        named = dict(itertools.pairwise(arguments))
        self.session = named.get("--resume") or named.get("--session-id")
        self.model = named["--model"]
        self.system = Path(named["--append-system-prompt-file"]).read_text()
        file = os.path.expanduser(f"~/{self.session}.json")
        if "--resume" in named and not os.path.exists(file):
            tell(type="result", subtype="error_during_execution", is_error=True, errors=["No conversation found"])
            sys.exit(1)
        self.messages = json.loads(Path(file).read_text()) if "--resume" in named else []
        self.file = file
        self.servers = named.get("--mcp-config")

    def begin(self):
        tell(type="system", subtype="init", session_id=self.session, model=self.model, tools=["Bash"], mcp_servers=[])

    def work(self, prompt):
        self.messages.append({"role": "user", "content": prompt})
        while True:
            calls, text = self.ask()
            if not calls:
                break
            answers = []
            for call in calls:
                made = subprocess.run(call["input"]["command"], shell=True, capture_output=True, text=True, check=False)
                block = {"type": "tool_result", "tool_use_id": call["id"], "content": made.stdout + made.stderr}
                block["is_error"] = made.returncode != 0
                tell(type="user", message={"role": "user", "content": [block]})
                answers.append(block)
            self.messages.append({"role": "user", "content": answers})
        Path(self.file).write_text(json.dumps(self.messages))
        tell(type="result", subtype="success", is_error=False, result=text, session_id=self.session, num_turns=99)

    def ask(self):
        body = {"model": self.model, "messages": self.messages, "system": self.system, "stream": True}
        blocks, inputs = {}, {}
        headers = {"x-api-key": os.environ["ANTHROPIC_API_KEY"], "anthropic-version": "2023-06-01"}
        try:
            for event in post("/v1/messages", headers, body):
                tell(type="stream_event", event=event, session_id=self.session)
                if event["type"] == "message_start":
                    id = event["message"]["id"]
                elif event["type"] == "content_block_start":
                    blocks[event["index"]] = dict(event["content_block"])
                elif event["type"] == "content_block_delta":
                    delta, block = event["delta"], blocks[event["index"]]
                    if delta["type"] == "text_delta":
                        block["text"] = block.get("text", "") + delta["text"]
                    elif delta["type"] == "input_json_delta":
                        inputs[event["index"]] = inputs.get(event["index"], "") + delta["partial_json"]
        except urllib.error.HTTPError as error:
            self.fail(f"API Error: {error.code}")
        except OSError:
            self.fail("Connection error.")
        for index, text in inputs.items():
            blocks[index]["input"] = json.loads(text)
        made = list(blocks.values())
        for block in made:
            tell(type="assistant", message={"id": id, "content": [block], "usage": {"input_tokens": 7}})
        self.messages.append({"role": "assistant", "content": made})
        text = "".join(block.get("text", "") for block in made if block["type"] == "text")
        return [block for block in made if block["type"] == "tool_use"], text

    def ask_aside(self, number):
        """As one that works beside others; nothing is told of it."""
        body = {"model": self.model, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], "stream": True}
        headers = {"x-api-key": os.environ["ANTHROPIC_API_KEY"]}
        with contextlib.suppress(OSError):
            list(post("/v1/messages", headers, body))

    def call_servers(self):
        """Each one, with what stands in the environment for its headers."""
        for server in json.loads(Path(self.servers).read_text())["mcpServers"].values():
            headers = {name: os.path.expandvars(value) for name, value in server["headers"].items()}
            body = json.dumps({"method": "ping", "from": headers}).encode()
            request = urllib.request.Request(server["url"], body, {"content-type": "application/json", **headers})
            try:
                said = urllib.request.urlopen(request).read().decode()
            except urllib.error.HTTPError as error:
                said = f"{error.code} {error.read().decode()}"
            tell(type="assistant", message={"id": "m", "content": [{"type": "text", "text": said}]})

    def fail(self, said):
        tell(type="result", subtype="success", is_error=True, result=said)
        sys.exit(1)


def misshapen(hostile):
    """Events of the other dialects, none of which is as it should be."""
    tell(**json.loads(hostile))
    time.sleep(3600)


LINE = json.dumps({"type": "of the future", "event": "x" * 65536}) + "\n"
PRINTED = {
    "garbage": ["\0\udcff\x1b[31m oops\n"],
    "half and wait": ['{"type": "assistant", "mess'],
    "long": ["x" * 65536] * 1600,
    "shape": ['{"type": "assistant", "message": [17]}\n'],
    "types": ['{"type": "assistant", "message": {"id": "m", "content": [{"type": "text", "text": {"a": 1}}]}}\n'],
    "deep": ['{"type":' + "[" * 200_000 + "\n"],
    "flood": [LINE] * 1600,
}
"""What it prints before it says nothing more."""


def fill_memory(agent):
    held = []
    while len(held) < 64:
        held.append(bytearray(os.urandom(1 << 20)) * 32)
    time.sleep(3600)


def fill_the_disk(agent):
    for number in range(64):
        Path(f"/output/filled-{number}").write_bytes(b"x" * (16 << 20))
    time.sleep(3600)


def print_half(agent):
    print('{"type": "assistant", "mess', end="", flush=True)
    sys.exit(0)


def print_blank_lines(agent):
    while True:
        print(flush=True)
        time.sleep(0.05)


def flood_errors(agent):
    for _ in range(160):
        sys.stderr.write("x" * 65536)


def reserve(agent):
    mmap.mmap(-1, 5 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def leave_somebody(agent):
    subprocess.Popen(["setsid", "sh", "-c", "echo $$ > ~/left; exec sleep 3600"], start_new_session=True)
    time.sleep(0.2)


def ask_many(agent):
    with ThreadPoolExecutor(32) as threads:
        list(threads.map(agent.ask_aside, range(32)))


def ask_and_print_garbage(agent):
    threading.Thread(target=agent.ask_aside, args=(0,), daemon=True).start()
    time.sleep(0.5)
    print("oops", flush=True)
    time.sleep(3600)


def show(agent):
    told = {"env": dict(os.environ), "argv": sys.argv, "uid": os.getuid(), "home": os.listdir(os.environ["HOME"])}
    tell(type="assistant", message={"id": "m", "content": [{"type": "text", "text": json.dumps(told)}]})
    tell(type="result", subtype="success", is_error=False, result="")
    sys.exit(0)


DONE = {
    "half": print_half,
    "blank lines": print_blank_lines,
    "fill memory": fill_memory,
    "fill the disk": fill_the_disk,
    "flood of errors": flood_errors,
    "reserve": reserve,
    "unknown": lambda agent: tell(type="of the future", event={"a": 1}),
    "say nothing more": lambda agent: sys.exit(0),
    "leave somebody": leave_somebody,
    "ask many at once": ask_many,
    "ask and print garbage": ask_and_print_garbage,
    "call servers": Claude.call_servers,
    "show": show,
}
"""What it does before it works, if it comes to that."""


def main():
    prompt = sys.stdin.read()
    if "ANTHROPIC_BASE_URL" not in os.environ:
        return misshapen(prompt.rpartition("DO ")[2])
    agent = Claude(sys.argv[1:])
    hostile = prompt.rpartition("DO ")[2] if "DO " in prompt else ""
    if hostile == "nothing":
        time.sleep(3600)
    if hostile == "fail early":
        print("no such option", file=sys.stderr)
        sys.exit(64)
    agent.begin()
    if hostile in PRINTED:
        for piece in PRINTED[hostile]:
            sys.stdout.buffer.write(piece.encode(errors="surrogateescape"))
        sys.stdout.flush()
        time.sleep(3600)
    DONE.get(hostile, lambda agent: None)(agent)
    agent.work(prompt)


main()
