"""A small server that answers a PATCH of a pod like the Kubernetes API, with the component's rights and policy.

Authentication (bound tokens), authorization (the Role), merge patches (RFC 7386) and admission (the expressions of the
ValidatingAdmissionPolicy, evaluated by Google's CEL) are those of the manifests; everything else of the API is missing.
"""

import copy
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from cel_expr_python import cel  # type: ignore[import-untyped]  # it has no types

from tests.certificates import LOOPBACK, Authority
from tests.system import ROOT

COMPONENT = ROOT / "deploy" / "k8s" / "components" / "pod-deletion-cost"
NAMESPACE = "catalog-exports"
MERGE_PATCH = "application/merge-patch+json"
_NAMES = ("request", "object", "oldObject", "variables")
_CEL = cel.NewEnv(variables=dict.fromkeys(_NAMES, cel.Type.DYN))

Object = dict[str, Any]


def manifests(name: str) -> list[Object]:
    return list(yaml.safe_load_all((COMPONENT / name).read_text()))


def evaluate(expression: str, **values: Any) -> Any:
    """The value of a CEL expression. Raises an error for one that is invalid, like the API server."""
    return _CEL.compile(expression).eval(data={**dict.fromkeys(_NAMES), **values}).plain_value()


def pod(name: str, annotations: Mapping[str, str] | None = None) -> Object:
    """A pod as it is stored."""
    metadata: Object = {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/name": "exporter-worker"}}
    if annotations is not None:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"image": "a:1"}]}}


def merged(document: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    found = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


class Policy:
    """The component's ValidatingAdmissionPolicy."""

    def __init__(self) -> None:
        self._spec: Object = manifests("own-pod-only.yaml")[0]["spec"]

    def refusal(self, request: Object, old: Object, new: Object) -> str | None:
        """Why the change is refused; None: it is not, or the policy is not about it."""
        values: Object = {"request": request, "object": new, "oldObject": old}
        if not all(evaluate(one["expression"], **values) for one in self._spec["matchConditions"]):
            return None
        variables: Object = {}
        for one in self._spec["variables"]:
            variables[one["name"]] = evaluate(one["expression"], variables=variables, **values)
        for one in self._spec["validations"]:
            if evaluate(one["expression"], variables=variables, **values) is not True:
                return str(one["message"])
        return None


class KubernetesApi:
    """The pods, the tokens with the user each belongs to, and what was changed."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.pods: dict[str, Object] = {}
        self.tokens: dict[str, Object] = {}
        self.changes: list[str] = []
        """Names of the pods of all changes that were made."""
        self.answers = True
        self.account = folder / "account"
        self.account.mkdir()
        (self.account / "ca.crt").write_bytes(authority.pem)
        (self.account / "namespace").write_text(NAMESPACE)
        self._authority = authority
        self._folder = folder
        self._policy = Policy()
        self._role: Object = manifests("rights.yaml")[0]
        self.port = 0

    def renew(self, token: str, name: str, account: str = "exporter-worker") -> None:
        """Give the pod's account a new token, and forget the old ones."""
        user = f"system:serviceaccount:{NAMESPACE}:{account}"
        extra = {"authentication.kubernetes.io/pod-name": [name]}
        self.tokens = {token: {"username": user, "extra": extra}}
        (self.account / "token").write_text(token)

    def annotations(self, name: str) -> Mapping[str, str]:
        found: Mapping[str, str] = self.pods[name]["metadata"].get("annotations", {})
        return found

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve HTTPS on a free port."""
        pair = self._authority.issue()
        (self._folder / "api.pem").write_bytes(pair.key + pair.certificate)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._folder / "api.pem")
        app = web.Application()
        app.add_routes([web.patch("/api/v1/namespaces/{namespace}/pods/{name}", self._patch)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, self.port, ssl_context=context).start()
            self.port = runner.addresses[0][1]
            yield
        finally:
            await runner.cleanup()

    async def _patch(self, request: web.Request) -> web.Response:
        name, namespace = request.match_info["name"], request.match_info["namespace"]
        user = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if not self.answers:
            return _status(503, "etcdserver: request timed out")
        if user is None:
            return _status(401, "Unauthorized")
        if namespace != NAMESPACE or not self._may_patch_pods(user):
            return _status(403, f'pods "{name}" is forbidden: User "{user["username"]}" cannot patch resource "pods"')
        if request.content_type != MERGE_PATCH:
            return _status(415, "the body of the request was in an unknown format")
        if name not in self.pods:
            return _status(404, f'pods "{name}" not found')
        old = self.pods[name]
        new = merged(copy.deepcopy(old), await request.json())
        told = {"userInfo": user, "namespace": namespace, "operation": "UPDATE"}
        if (reason := self._policy.refusal(told, old, new)) is not None:
            return _status(403, f'pods "{name}" is forbidden: ValidatingAdmissionPolicy denied request: {reason}')
        if any(not isinstance(value, str) for value in new["metadata"].get("annotations", {}).values()):
            return _status(422, "metadata.annotations: Invalid value")
        self.pods[name] = new
        self.changes.append(name)
        return web.json_response(new)

    def _may_patch_pods(self, user: Object) -> bool:
        (rule,) = self._role["rules"]
        is_bound = user["username"] == f"system:serviceaccount:{NAMESPACE}:exporter-worker"
        return is_bound and rule["resources"] == ["pods"] and "patch" in rule["verbs"]


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "status": "Failure", "message": message, "code": code}, status=code)
