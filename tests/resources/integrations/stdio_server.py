"""A server of MCP behind stdio, and what such programs do that they should not. `python3 stdio_server.py FORM`."""

import functools
import json
import os
import socket
import sys
import time

FORM = sys.argv[1]


def say(answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def flood(text):
    while True:
        sys.stdout.write(text)


def reached(host):
    """What the way out says to a tunnel."""
    way = socket.create_connection(("127.0.0.1", 3128), 5)
    way.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    return way.recv(4096).decode().split(" ", 2)[1]


def written(folder):
    try:
        with open(os.path.join(folder, "made"), "w") as file:
            file.write("x")
    except OSError:
        return False
    return True


@functools.cache
def told():
    """What it finds where it is started."""
    home, folder = os.environ["HOME"], os.getcwd()
    found = {"home": os.listdir(home), "files": sorted(os.listdir(folder)), "cwd": folder}
    found |= {"writes": [written(home), written(folder), written("/output")], "environment": dict(os.environ)}
    return json.dumps(found | {"reached": [reached(host) for host in sys.argv[2:]]})


def listed():
    if FORM == "dies-listing":
        print("no harbour found", file=sys.stderr)
        sys.exit(3)
    if FORM == "endless-list":
        flood("x" * 65536)
    if FORM == "many-lines":
        flood("{}\n")
    if FORM == "notifications":
        flood('{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\n')
    if FORM == "silent":
        time.sleep(3600)
    if FORM == "no-messages":
        flood("hello people\n")
    description = told() if FORM == "tells" else "Speaks."
    return [{"name": "speak", "description": description, "inputSchema": {"type": "object", "properties": {}}}]


def called(arguments):
    if FORM == "dies":
        os._exit(9)
    if FORM == "endless":
        flood("y" * 65536)
    if FORM == "slow":
        time.sleep(3600)
    if FORM == "leaves" and os.fork() == 0:
        os.setsid()
        while True:
            with open("left", "a") as file:
                file.write("x")
            time.sleep(0.02)
    while FORM == "leaves" and not os.path.exists("left"):
        time.sleep(0.01)
    if FORM == "environment":
        return json.dumps({"environment": dict(os.environ), "arguments": sys.argv[2:]})
    if FORM == "files":
        return json.dumps({"etc": sorted(os.listdir("/etc")), "root": sorted(os.listdir("/")), "cwd": os.getcwd()})
    if FORM == "reads-nothing":
        return "never"
    return f"You said {arguments.get('text', 'nothing')}"


print("starting, for people", flush=True)
if FORM == "garbage":
    flood("garbage" * 1000)
if FORM == "garbage-in-lines":
    flood("garbage\n")
for _ in range(40 if FORM == "forks" else 0):
    if os.fork() == 0:
        os.setsid()
        time.sleep(3600)
if FORM in ("forks", "waits"):
    time.sleep(3600)
if FORM == "reads-nothing":
    time.sleep(3600)
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked or "method" not in asked:
        continue
    head = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] == "initialize":
        spoken, info = asked["params"]["protocolVersion"], {"name": "of tests", "version": "1"}
        if FORM == "tells":
            info["version"] = told()
        if FORM == "large":
            info["version"] = "v" * 100_000
        say(head | {"result": {"protocolVersion": spoken, "capabilities": {"tools": {}}, "serverInfo": info}})
    elif asked["method"] == "tools/list":
        say(head | {"result": {"tools": listed()}})
    elif asked["method"] == "tools/call":
        if FORM == "asks":
            params = {"messages": [], "maxTokens": 5}
            say({"jsonrpc": "2.0", "id": 900, "method": "sampling/createMessage", "params": params})
        text = called(asked["params"].get("arguments") or {})
        say(head | {"result": {"content": [{"type": "text", "text": text}], "isError": False}})
    else:
        say(head | {"error": {"code": -32601, "message": "unknown"}})
