"""Rules for rights in the Kubernetes API: few pods have a token, and each may do one thing only."""

from collections.abc import Iterator, Sequence

from tests.unit.k8s.manifests import Manifest, Pod, names, of_kind, pods

ALLOWED = {"exporter-worker": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]}
"""The accounts that may do something, with the rules of their Role."""


def with_few_rights(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Roles and their bindings are exactly those above, and no right is given in the whole cluster."""
    for one in of_kind(manifests, "ClusterRole", "ClusterRoleBinding"):
        yield f"{one['kind']} {one['metadata']['name']} is valid in the whole cluster"
    for role in of_kind(manifests, "Role"):
        if role["rules"] != ALLOWED.get(role["metadata"]["name"]):
            yield f"{role['metadata']['name']} may {role['rules']}"
    for binding in of_kind(manifests, "RoleBinding"):
        name = binding["metadata"]["name"]
        subject = {"kind": "ServiceAccount", "name": name, "namespace": binding["metadata"]["namespace"]}
        if binding["roleRef"]["name"] != name or binding["subjects"] != [subject]:
            yield f"{name} is bound to {binding['subjects']}"


def with_tokens_that_are_limited(manifests: Sequence[Manifest]) -> Iterator[str]:
    """A pod has a token only if its account has a Role and a policy that is in force; only our services have one."""
    policies = names(manifests, "ValidatingAdmissionPolicy")
    in_force = {
        one["spec"]["policyName"]
        for one in of_kind(manifests, "ValidatingAdmissionPolicyBinding")
        if one["spec"]["validationActions"] == ["Deny"]
    }
    spaces = {one["metadata"]["name"] for one in of_kind(manifests, "Namespace")}
    with_token = {pod.name for pod in pods(manifests) if _has_token(pod)}
    for name in with_token:
        if name not in ALLOWED or name not in names(manifests, "Role"):
            yield f"{name} has a token, but no Role"
        if not {f"{name}.{space}" for space in spaces} <= policies & in_force:
            yield f"{name} has a token that no policy limits"
    for name in names(manifests, "Role") - with_token:
        yield f"{name} has rights, but no token"


def _has_token(pod: Pod) -> bool:
    sources = [one for volume in pod.spec.get("volumes", ()) for one in volume.get("projected", {}).get("sources", ())]
    return any("serviceAccountToken" in one for one in sources)


RULES = (with_few_rights, with_tokens_that_are_limited)
