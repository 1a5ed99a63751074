"""The pod that this process runs in, as an object of the Kubernetes API."""

import ssl
from pathlib import Path

import aiohttp
from yarl import URL

from services.chassis.faults import Unavailable

TIMEOUT = 5.0
MAX_MESSAGE = 300


class OwnPod:
    """Changes annotations of this process's pod.

    Args:
        host, port: of the API server, as Kubernetes tells them to every container.
        name: of the pod.
        account: folder with `token`, `ca.crt` and `namespace`, which Kubernetes renews.
    """

    def __init__(self, host: str, port: int, name: str, account: Path) -> None:
        self._server = URL.build(scheme="https", host=host, port=port)
        self._name = name
        self._account = account

    async def annotate(self, key: str, value: str) -> None:
        """Set one annotation. The connection is not kept, because this is done rarely.

        Raises:
            Unavailable: the server does not answer or does not allow it, or the account cannot be read.
        """
        try:
            namespace, token = (self._read(name) for name in ("namespace", "token"))
            trust = ssl.create_default_context(cafile=self._account / "ca.crt")
            url = self._server / "api/v1/namespaces" / namespace / "pods" / self._name
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
            timeout = aiohttp.ClientTimeout(total=TIMEOUT)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.patch(
                    url,
                    json={"metadata": {"annotations": {key: value}}},
                    headers=headers,
                    ssl=trust,
                    allow_redirects=False,
                ) as answer,
            ):
                if answer.status != 200:
                    text = await answer.content.read(MAX_MESSAGE)
                    raise Unavailable("kubernetes_refused", f"{answer.status}: {text.decode(errors='replace')}")
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise Unavailable("kubernetes_unavailable", f"{type(exc).__name__}: {exc}"[:MAX_MESSAGE]) from exc

    def _read(self, name: str) -> str:
        return (self._account / name).read_text().strip()
