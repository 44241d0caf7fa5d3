"""The API of the Kubernetes cluster that this process runs in, with the token of its service account.

The libraries of the HTTP client are loaded with the first question. See docs/kubernetes.md.
"""

import asyncio
import importlib
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from runtime.containers.engine import ASK, EngineGone, EngineRefused
from runtime.runs.job import Failed

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts the token of a pod, its namespace and the certificate of the API."""
OUTSIDE: Final = "This process has no service account of a Kubernetes cluster"
MERGE: Final = "application/merge-patch+json"


class Cluster:
    """One connection pool. The token is read for each request, because the kubelet replaces it."""

    def __init__(self, account: Path = ACCOUNT, address: str = "") -> None:
        self._account, self._address = account, address
        self._client: Any = None
        self._namespace = ""
        self.tls: ssl.SSLContext | None = None

    @property
    def namespace(self) -> str:
        """Raises Failed outside a cluster."""
        if not self._namespace:
            self._namespace = self._read("namespace")
        return self._namespace

    @property
    def address(self) -> str:
        """The origin of the API. Raises Failed outside a cluster."""
        if self._address:
            return self._address
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise Failed(OUTSIDE)
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._read('token')}"}

    def _read(self, name: str) -> str:
        try:
            return (self._account / name).read_text().strip()
        except OSError:
            raise Failed(OUTSIDE) from None

    async def opened(self) -> Any:
        """The HTTP client; it trusts the authority of the cluster alone."""
        if self._client is None:
            http = await asyncio.to_thread(importlib.import_module, "httpx2")
            if self._client is None:
                self.tls = self._trust()
                self._client = http.AsyncClient(
                    base_url=self.address, verify=True if self.tls is None else self.tls, trust_env=False
                )
        return self._client

    def _trust(self) -> ssl.SSLContext | None:
        if self.address.startswith("http:"):
            return None
        try:
            return ssl.create_default_context(cafile=str(self._account / "ca.crt"))
        except OSError:
            raise Failed(OUTSIDE) from None

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str] | None = None,
        kind: str = "application/json",
        seconds: float = ASK,
    ) -> Mapping[str, Any]:
        """The answer's object. Raises EngineRefused with the API's own message, and EngineGone without an answer."""
        client = await self.opened()
        import httpx2

        headers = self.headers() | ({"Content-Type": kind} if body is not None else {})
        try:
            answer = await client.request(
                method, path, json=body, params=parameters, headers=headers, timeout=seconds, follow_redirects=False
            )
            told: Mapping[str, Any] = answer.json()
        except (httpx2.HTTPError, OSError) as error:
            raise EngineGone from error
        except ValueError:
            raise EngineRefused(answer.status_code, answer.text) from None
        if answer.is_success:
            return told
        raise EngineRefused(answer.status_code, str(told.get("message") or told))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
