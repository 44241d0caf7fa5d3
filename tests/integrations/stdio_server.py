"""A server of MCP behind stdio, and what such programs do that they should not. `python3 stdio_server.py FORM`."""

import json
import os
import sys
import time

FORM = sys.argv[1]


def say(answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def flood(text):
    while True:
        sys.stdout.write(text)


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
    return [{"name": "speak", "description": "Speaks.", "inputSchema": {"type": "object", "properties": {}}}]


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
if FORM == "reads-nothing":
    time.sleep(3600)
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked or "method" not in asked:
        continue
    head = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] == "initialize":
        spoken, info = asked["params"]["protocolVersion"], {"name": "of tests", "version": "1"}
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
