"""The attacks: who sends what, and what it may cost the service at most.

What one address may do a minute is limited, so attacks that take many requests come from several loopback addresses.
"""

import itertools
import json
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial

from graphql import get_introspection_query
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from bench.instance import PASSWORD, Answer, Instance

FORGED = "crewship_cli_" + "0" * 64
MEGABYTE = 1 << 20
LETTER_THAT_GROWS = "\ufdfa"  # eighteen letters once it is normalised


@dataclass(frozen=True)
class Outcome:
    """`sent` and `answered` in bytes; `told`: statuses, or what became of the connections."""

    told: str
    sent: int
    answered: int


@dataclass(frozen=True)
class Bounds:
    """What no attack may exceed. A stall in seconds, on a machine that does other things; a quiet one allows 0.1.
    All else in bytes.
    """

    stall: float = 0.5
    answered: int = 64 << 10
    service: int = 100 << 20
    backends: int = 150 << 20


@dataclass(frozen=True)
class Attack:
    """`who` sends it; `settings` are those that differ from the defaults."""

    name: str
    who: str
    run: Callable[[Instance], Outcome]
    most: Bounds = Bounds()
    settings: dict[str, str] = field(default_factory=dict)
    descriptors: int | None = None


def told(answer: Answer) -> str:
    """The status; behind it the code of the first error, where GraphQL has one."""
    code = re.match(rb'\{"errors":\[.{0,2000}?"code":"([A-Z_]+)"', answer.body, re.DOTALL)
    return f"{answer.status or 'none'}{' ' + code[1].decode() if code else ''}"


def statuses(answers: Sequence[Answer]) -> str:
    counted = Counter(map(told, answers))
    return ", ".join(f"{count} x {name}" if len(answers) > 1 else name for name, count in counted.most_common())


def outcome(answers: Sequence[Answer], sent: int) -> Outcome:
    return Outcome(statuses(answers), sent, sum(len(answer.body) for answer in answers))


def address(number: int) -> str:
    """One of many clients."""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


def repeated(at: Instance, ask: Callable[[int], Answer], number: int, at_once: int) -> list[Answer]:
    """The answers to this many questions, or to as many as there is time for."""

    def one(n: int) -> Answer | None:
        return ask(n) if at.hurry > 0 else None

    with ThreadPoolExecutor(at_once) as pool:
        return [answer for answer in pool.map(one, range(number)) if answer is not None]


# ---- documents -------------------------------------------------------------------------------------------------------


def introspection(aliases: int, at: Instance) -> Outcome:
    kind = "name kind description specifiedByURL isOneOf enumValues{name} __typename ofType{name}"
    types = " ".join(f"a{n}:types{{...F}}" for n in range(aliases))
    query = f"{{__schema{{{types}}}}}fragment F on __Type{{interfaces{{possibleTypes{{{kind}}}}}}}"
    return outcome([at.graphql(query)], len(query))


def list_of_numbers(items: int, at: Instance) -> Outcome:
    query = "mutation($s:[String!]){createCliToken(input:{scopes:$s}){id}}"
    return outcome([at.graphql(query, {"s": [1] * items})], 2 * items)


def forged_token(at: Instance) -> Outcome:
    agent = "id name slug status description roleTitle agentRole cliAdapter llmModel createdAt updatedAt"
    runs = (
        "runs(first: 5) { nodes { id status triggerType model"
        f" createdAt chat {{ id title }} agent {{ {agent} }} }} }}"
    )
    below = f"{runs} chats(first: 5) {{ nodes {{ id title agent {{ {agent} }} }} }}"
    nested = f"{agent} crew {{ id name slug }} {below} parentLead {{ {agent} {below} }}"

    def ask(number: int) -> Answer:
        aliased = " ".join(
            f"d{number}x{n}: agents(workspaceId: $w, first: 20) {{ nodes {{ {nested} }} }}" for n in range(7)
        )
        return at.graphql(f"query($w: ID!) {{ {aliased} }}", {"w": at.people.workspace}, FORGED)

    return outcome(repeated(at, ask, 23, 1), 23 * 6000)


def distinct_documents(number: int, at: Instance) -> Outcome:
    names = [
        "id",
        "name",
        "slug",
        "description",
        "issuePrefix",
        "createdAt",
        "updatedAt",
        "version",
        "color",
        "icon",
        "agentCount",
        "memberCount",
    ]

    def ask(n: int) -> Answer:
        fields = " ".join(f"f{n}x{m}: {names[m % len(names)]}" for m in range(60))
        document = f"query($w: ID!) {{ crews(workspaceId: $w, first: 2) {{ nodes {{ {fields} }} }} }}"
        return at.graphql(document, {"w": at.people.workspace}, at.people.viewer, source=address(n % 30))

    return outcome(repeated(at, ask, number, 12), number * 1400)


def long_texts(aliases: int, at: Instance, *, nested: bool = False) -> Outcome:
    """Crews with the longest description that is taken, each named as often as a document may."""
    for number in range(2 if at.name == "before" else 5):
        crew = {"name": f"Long {number}", "slug": f"long-{aliases}-{nested:d}-{number}"}
        made = [
            at.ask("POST", at.of_workspace("/api/v1/crews"), crew | {"description": "d" * size}, at.people.owner)
            for size in (900_000, 10_000)
        ]
        crew_id = next(answer.json["id"] for answer in made if answer.status == 201)
        for agent in range(10 if nested else 0):
            body = {
                "name": "Agent",
                "slug": f"long-{aliases}-{number}-{agent}",
                "crew_id": crew_id,
                "agent_role": "AGENT",
            }
            at.ask("POST", at.of_workspace("/api/v1/agents"), body, at.people.owner, source=address(number))
    texts = " ".join(f"a{n}: description" for n in range(aliases))
    within = f"agents(first: 10) {{ nodes {{ crew {{ {texts} }} }} }}" if nested else texts
    query = f"query($w: ID!) {{ crews(workspaceId: $w, first: 10) {{ nodes {{ {within} }} }} }}"
    return outcome([at.graphql(query, {"w": at.people.workspace}, at.people.owner)], len(query))


def beside_members(attackers: int, a_minute: int, seconds: float, at: Instance) -> Outcome:
    """New documents of nobody from many addresses; `told`: how long the new ones of a member take meanwhile."""
    numbers, ends = itertools.count(), time.monotonic() + seconds

    def stranger(number: int) -> list[Answer]:
        got = []
        while (left := ends - time.monotonic()) > 0:
            got.append(at.graphql(hostile(next(numbers)), source=address(number)))
            time.sleep(min(left, attackers * 60 / a_minute))
        return got

    took = list[float]()
    with ThreadPoolExecutor(attackers) as pool:
        strangers = [pool.submit(stranger, number) for number in range(attackers)]
        while time.monotonic() < ends:
            document = f"{{ crews {{ nodes {{ id name slug }} }} }} #{len(took)}{'x' * 1100}"
            began = time.monotonic()
            answer = at.ask("POST", at.of_workspace("/graphql"), {"query": document}, at.people.owner)
            took.append(time.monotonic() - began if b'"data"' in answer.body[:20] else at.patience)
            time.sleep(0.1)
        answers = [answer for future in strangers for answer in future.result()]
    took.sort()
    said = f"member: {took[len(took) // 2]:.3f} s, 99 %: {took[int(len(took) * 0.99)]:.3f} s"
    return Outcome(said, len(answers) * 4000, sum(len(answer.body) for answer in answers))


def hostile(number: int) -> str:
    """Dear to read, to judge, or to answer, and never the same."""
    arguments = (
        ",".join("a:1" for _ in range(950)),
        ",".join(f"a{n}:1" for n in range(199)),
        ",".join(f"a{n}:1" for n in range(120)),
    )
    return (
        *(f"mutation {{ createSavedView(input: {{ {names} }}) {{ id }} }} #{number}" for names in arguments),
        get_introspection_query().replace("IntrospectionQuery", f"Q{number}"),
        f"{{ a{number}: __schema {{ types {{ name fields {{ name args {{ name }} }} }} }} }}",
    )[number % 5]


# ---- bodies ----------------------------------------------------------------------------------------------------------


def letters_that_grow(at: Instance) -> Outcome:
    body = json.dumps({"message": LETTER_THAT_GROWS * 330_000}, ensure_ascii=False).encode()
    return outcome([at.ask("POST", f"/api/v1/chats/{at.people.chats[0]}/steer", body, at.people.viewer)], len(body))


def list_of_scopes(at: Instance) -> Outcome:
    return outcome([at.ask("POST", "/api/v1/auth/cli-token", {"scopes": [1] * 490_000}, at.people.viewer)], 980_000)


def logins(at: Instance) -> Outcome:
    """Of 60 addresses at once, with wrong passwords, to the owner's account and others; another one reads meanwhile."""
    csrf = at.ask("GET", "/api/auth/csrf")
    cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in csrf.cookies.items())}

    def ask(number: int) -> Answer:
        body = {
            "email": f"somebody-{number}@example.com",
            "password": PASSWORD + "!",
            "csrfToken": csrf.json["csrfToken"],
            "redirect": "false",
        }
        return at.ask("POST", "/api/auth/callback/credentials", body, headers=cookie, source=address(number % 60))

    return outcome(repeated(at, ask, 600, 60), 600 * 120)


def static_file(at: Instance) -> Outcome:
    """Without gzip, again and again."""
    answers = repeated(
        at, lambda _: at.ask("GET", "/static/vendor/scalar.js", headers={"accept-encoding": "identity"}), 100, 30
    )
    return outcome(answers, 100 * 60)


def large_answers(path: str, at: Instance) -> Outcome:
    """Compressed, again and again, of thirty addresses."""
    answers = repeated(
        at, lambda n: at.ask("GET", path, headers={"accept-encoding": "gzip"}, source=address(n % 30)), 300, 30
    )
    return outcome(answers, 300 * 90)


# ---- connections -----------------------------------------------------------------------------------------------------


def poured(at: Instance, parts: Iterable[bytes]) -> Outcome:
    """Sends until there is an answer or an end."""
    sent, said, got = 0, "cut", 0
    with suppress(OSError), closing(at.connect()) as client:
        client.settimeout(5)
        for part in parts:
            with suppress(BlockingIOError):
                client.setblocking(False)
                if client.recv(1, socket.MSG_PEEK) is not None:
                    break
            client.settimeout(5)
            client.sendall(part)
            sent += len(part)
        client.settimeout(5)
        said = "open"
        answer = client.recv(4096)
        said, got = (answer[9:12].decode() if answer else "cut"), len(answer)
    return Outcome(said, sent, got)


START = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


def large_headers(at: Instance) -> Outcome:
    return poured(at, (START if n == 0 else b"x-%d: %s\r\n" % (n, b"a" * MEGABYTE) for n in range(301)))


def long_address(at: Instance) -> Outcome:
    return poured(at, (b"GET /" if n == 0 else b"a" * MEGABYTE for n in range(51)))


def many_headers(at: Instance) -> Outcome:
    return poured(
        at, (START if n == 0 else b"".join(b"x-%d-%d: 1\r\n" % (n, m) for m in range(1000)) for n in range(501))
    )


def reset_connections(number: int, at: Instance) -> Outcome:
    """Each behind a request that only the operator may make: nobody is on the line any more when it is read. `told` is
    the answer to one that stays.
    """
    body = json.dumps({"full_name": "Eve", "email": "eve@example.com", "password": PASSWORD}).encode()
    request = b"POST /api/v1/bootstrap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    for _ in range(number):
        with suppress(OSError), closing(at.connect()) as client:
            client.sendall(request)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(1)
    return outcome([at.ask("POST", "/api/v1/bootstrap", body)], number * len(request))


TWO_MEANINGS = (
    b"POST /healthz HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /healthz HTTP/1.1\r\nHost: a, b\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 2\r\n\r\n{}",
)


def two_meanings(times: int, at: Instance) -> Outcome:
    """Heads that a server in between may read otherwise."""
    said = [poured(at, [head]) for head in TWO_MEANINGS for _ in range(times)]
    counted = Counter(one.told for one in said)
    told_ = ", ".join(f"{count} x {status}" for status, count in counted.most_common())
    return Outcome(told_, sum(one.sent for one in said), sum(one.answered for one in said))


def half_open(number: int, at: Instance) -> Outcome:
    """Requests that never end: how many of them stand after some seconds in which a newcomer has to be served."""
    beginning = (
        b"POST /api/v1/bootstrap HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: 100\r\nContent-Type: application/json\r\n\r\n{"
    )
    opened: list[socket.socket] = []
    with ExitStack() as held:
        for _ in range(number):
            with suppress(OSError):
                opened.append(held.enter_context(closing(at.connect())))
                opened[-1].sendall(beginning)
        time.sleep(max(0.0, min(20.0, at.hurry)))
        standing = sum(map(_stands, opened))
    return Outcome(f"{standing} of {number} stand", number * len(beginning), 0)


def _stands(client: socket.socket) -> bool:
    """An answer before the end does not count."""
    client.setblocking(False)
    try:
        while client.recv(4096):
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _ticket(at: Instance) -> str:
    token: str = at.ask("GET", "/api/v1/ws-token", token=at.people.viewer).json["token"]
    return f"ws://127.0.0.1:{at.port}/ws?token={token}"


def sockets(at: Instance) -> Outcome:
    """With one ticket, from thirty addresses."""
    url, opened, refused = _ticket(at), 0, Counter[str]()
    with ExitStack() as held:
        for number in range(1500):
            if at.hurry < 0:
                break
            try:
                connection = socket.create_connection(
                    ("127.0.0.1", at.port), timeout=at.patience, source_address=(address(number % 30), 0)
                )
                held.enter_context(closing(connection))
                connection.sendall(_upgrade(url))
                status = connection.recv(4096)[9:12].decode()
            except OSError:
                status = "cut"
            opened, refused[status] = opened + (status == "101"), refused[status] + (status != "101")
    return Outcome(
        ", ".join([f"{opened} open", *(f"{count} x {status}" for status, count in refused.items() if count)]),
        1500 * 400,
        0,
    )


def _upgrade(url: str) -> bytes:
    path = "/ws" + url.partition("/ws")[2]
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n".encode()


def messages(at: Instance) -> Outcome:
    """In one go on one socket, to twenty chats."""
    told, got = Counter[str](), 0
    with (
        suppress(WebSocketException, OSError, TimeoutError),
        connect(_ticket(at), open_timeout=at.patience, proxy=None, compression=None) as client,
    ):
        for number in range(400):
            chat = random.Random(number).choice(at.people.chats)
            client.send(
                json.dumps({"type": "send_message", "payload": {"session_id": chat, "content": f"message {number}"}})
            )
        ends = time.monotonic() + 8
        while (left := ends - time.monotonic()) > 0:
            heard = client.recv(timeout=left)
            got += len(heard)
            frame = json.loads(heard)
            detail = frame.get("payload")
            told[
                (
                    str((detail or {}).get("code") or (detail or {}).get("error") or frame["type"])
                    if isinstance(detail, dict)
                    else frame["type"]
                )
            ] += 1
    return Outcome(", ".join(f"{count} x {kind}" for kind, count in told.most_common(4)) or "nothing", 400 * 90, got)


def nothing(at: Instance) -> Outcome:
    threading.Event().wait(3)
    return Outcome("", 0, 0)


NOBODY, VIEWER, USER = "nobody", "VIEWER", "any user"
ANSWER_LIMIT = 16 << 20
ATTACKS = (
    Attack("nothing at all, for comparison", "", nothing),
    *(Attack(f"introspection, {n} aliases", NOBODY, partial(introspection, n)) for n in (1, 4, 16, 58)),
    *(
        Attack(f"list variable of {n:,} numbers", NOBODY, partial(list_of_numbers, n))
        for n in (10_000, 100_000, 490_000)
    ),
    Attack("23 large documents with a forged token", NOBODY, forged_token),
    Attack(
        "3,000 distinct documents",
        VIEWER,
        partial(distinct_documents, 3000),
        Bounds(answered=16 << 20, service=200 << 20, backends=400 << 20),
    ),
    Attack(
        "500 hostile documents a minute of 20 addresses",
        NOBODY,
        partial(beside_members, 20, 500, 20.0),
        Bounds(answered=64 << 20),
        settings={"CREWSHIP_RATELIMIT_API": "1000"},
    ),
    Attack("longest texts under 59 names", USER, partial(long_texts, 59), Bounds(answered=ANSWER_LIMIT)),
    Attack("longest texts under 5 names", USER, partial(long_texts, 5), Bounds(answered=ANSWER_LIMIT)),
    Attack(
        "longest texts below 50 agents under 5 names",
        USER,
        partial(long_texts, 5, nested=True),
        Bounds(answered=ANSWER_LIMIT),
    ),
    Attack("steering: 1 MB of U+FDFA", VIEWER, letters_that_grow),
    Attack("REST list of 490,000 wrong scopes", VIEWER, list_of_scopes),
    Attack("300 headers of 1 MB", NOBODY, large_headers),
    Attack("an address of 50 MB", NOBODY, long_address),
    Attack("500,000 headers", NOBODY, many_headers),
    Attack("200 heads with two meanings", NOBODY, partial(two_meanings, 28), Bounds(answered=1 << 20)),
    Attack("500 connections that are reset behind a request", NOBODY, partial(reset_connections, 500)),
    Attack("3,000 requests that never end", NOBODY, partial(half_open, 3000)),
    Attack("the same, descriptors limited to 1,024", NOBODY, partial(half_open, 1100), descriptors=1024),
    Attack("1,500 sockets of one ticket", VIEWER, sockets),
    Attack(
        "400 messages on one socket",
        VIEWER,
        messages,
        Bounds(answered=2 << 20),
        settings={"CREWSHIP_RUN_ADAPTER": "scripted"},
    ),
    Attack("600 wrong logins, 60 at once", NOBODY, logins, Bounds(answered=1 << 20, service=300 << 20)),
    Attack(
        "the OpenAPI document, 300 times with gzip",
        NOBODY,
        partial(large_answers, "/api/openapi.json"),
        Bounds(answered=500 << 20),
    ),
    Attack("static file of 4 MB, 100 times without gzip", NOBODY, static_file, Bounds(answered=500 << 20)),
)
