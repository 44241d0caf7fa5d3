"""What a program in a sandbox tries, one after the other; run there, with nothing but the standard library.

Prints one JSON object: what came of each attempt. `reached` is said only by a server of the test.
"""

import json
import socket
import ssl
import sys

PROXY = ("127.0.0.1", 3128)
LISTED, OTHER, SERVICE, MODEL = sys.argv[1:3] + [int(text) for text in sys.argv[3:5]]
TIMEOUT = 10


def conversation(*messages):
    with socket.create_connection(PROXY, TIMEOUT) as opened:
        for message in messages:
            opened.sendall(message)
        said = b""
        while piece := opened.recv(65536):
            said += piece
        return said


def outcome(said):
    status = said.split(b" ")[1:2]
    return {b"200": "reached", b"302": "reached", b"403": "refused"}.get(status[0] if status else b"", "failed")


def get(target, host):
    return conversation(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())


def plain(target, host=None):
    return outcome(get(target, host or target.split("/")[2]))


def tunnel(authority, server_name=None, raw=None):
    with socket.create_connection(PROXY, TIMEOUT) as opened:
        opened.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = opened.recv(1)
            if not piece:
                return "failed"
            head += piece
        if b" 200 " not in head.split(b"\r\n")[0] + b" ":
            return outcome(head)
        if raw is not None:
            opened.sendall(raw)
            said = opened.recv(100)
            return outcome(said) if said else "refused"
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with context.wrap_socket(opened, server_hostname=server_name) as secure:
                secure.sendall(f"GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
                return "reached" if b"over TLS" in secure.recv(1000) else "failed"
        except (ssl.SSLError, ConnectionError):
            return "refused"


def direct(family, kind, address, said=b""):
    with socket.socket(family, kind) as opened:
        opened.settimeout(TIMEOUT)
        try:
            opened.connect(address)
            opened.sendall(said)
            return "reached" if opened.recv(1000) else "failed"
        except OSError as error:
            return "no way" if error.errno in (101, 111, 99, 97) else f"failed ({error})"


def resolved(name):
    try:
        return f"reached ({socket.getaddrinfo(name, 443)})"
    except socket.gaierror:
        return "no way"


def redirected():
    said = get(f"http://{LISTED}/away", LISTED).decode()
    location = next(line[10:] for line in said.split("\r\n") if line.lower().startswith("location: "))
    return plain(location)


GET = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
V4, V6, UNIX = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
ATTEMPTS = {
    "listed https": lambda: tunnel(f"{LISTED}:443", LISTED),
    "listed http": lambda: plain(f"http://{LISTED}/"),
    "listed http in a tunnel": lambda: tunnel(f"{LISTED}:80", raw=GET.replace(b"here", LISTED.encode())),
    "listed other case": lambda: tunnel(f"{LISTED.upper()}.:443", LISTED),
    "other https": lambda: tunnel(f"{OTHER}:443", OTHER),
    "other http": lambda: plain(f"http://{OTHER}/"),
    "below listed": lambda: tunnel(f"sub.{LISTED}:443", f"sub.{LISTED}"),
    "wildcard": lambda: tunnel("one.example.org:443", "one.example.org"),
    "address": lambda: tunnel("93.184.215.14:443", LISTED),
    "address v6": lambda: tunnel("[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:443", LISTED),
    "other port": lambda: tunnel(f"{LISTED}:22", raw=b"SSH-2.0 any \r\n\r\n"),
    "server name differs": lambda: tunnel(f"{LISTED}:443", OTHER),
    "no server name": lambda: tunnel(f"{LISTED}:443"),
    "no tls": lambda: tunnel("ssh.example.com:443", raw=b"SSH-2.0 any \r\n\r\n"),
    "host header differs": lambda: plain(f"http://{LISTED}/", OTHER),
    "host header differs in a tunnel": lambda: tunnel(f"{LISTED}:80", raw=GET.replace(b"here", OTHER.encode())),
    "name of loopback": lambda: tunnel("localhost.example.com:443", "localhost.example.com"),
    "name of metadata": lambda: tunnel("inside.example.com:443", "inside.example.com"),
    "loopback by proxy": lambda: plain(f"http://127.0.0.1:{SERVICE}/"),
    "localhost by proxy": lambda: plain(f"http://localhost:{SERVICE}/"),
    "short loopback by proxy": lambda: plain(f"http://0x7f.1:{SERVICE}/"),
    "loopback v6 by proxy": lambda: plain(f"http://[::1]:{SERVICE}/"),
    "private by proxy": lambda: plain("http://10.0.0.1/"),
    "metadata by proxy": lambda: plain("http://169.254.169.254/"),
    "metadata v6 by proxy": lambda: plain("http://[fd00:ec2::254]/"),
    "mapped metadata by proxy": lambda: plain("http://[::ffff:169.254.169.254]/"),
    "redirect to other": redirected,
    "model": lambda: direct(V4, TCP, ("127.0.0.1", MODEL), GET),
    "model by proxy": lambda: plain(f"http://127.0.0.1:{MODEL}/"),
    "model listed": lambda: plain("http://models.example.com/"),
    "model of another port": lambda: plain("http://models.example.com:11434/"),
    "model by another name": lambda: plain(f"http://{OTHER}:11434/"),
    "model by its address": lambda: plain("http://93.184.215.15:11434/"),
    "neighbour of a model": lambda: plain(f"http://{OTHER}:11435/"),
    "own loopback": lambda: direct(V4, TCP, ("127.0.0.1", SERVICE), GET),
    "direct v4": lambda: direct(V4, TCP, ("93.184.215.14", 443)),
    "direct v6": lambda: direct(V6, TCP, ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", 443)),
    "direct metadata": lambda: direct(V4, TCP, ("169.254.169.254", 80), GET),
    "resolver": lambda: resolved(LISTED),
    "dns of udp": lambda: direct(V4, UDP, ("1.1.1.1", 53), b"\0" * 12),
    "abstract socket": lambda: direct(UNIX, TCP, f"\0crewship-test-{SERVICE}", GET),
}


def tried(attempt):
    try:
        return attempt()
    except Exception as error:
        return f"failed ({error!r})"


print(json.dumps({name: tried(attempt) for name, attempt in ATTEMPTS.items()}))
