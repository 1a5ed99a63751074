"""Links from what a request makes to what can be done with it."""

from collections.abc import Sequence
from typing import Any

from services.gateway.answers.models import Accepted
from services.gateway.http.openapi.kinds import operation_id
from services.gateway.http.route import Route


def links_of(route: Route, routes: Sequence[Route]) -> dict[str, Any]:
    """The links of a POST's successful responses, to all operations whose ids are in the request's path or answer."""
    if route.method != "POST" or route.answer[1] is None:
        return {}
    known = {name: f"$request.path.{name}" for name in route.ids}
    for name in route.answer[1].model_fields:
        if name.endswith("_id"):
            known.setdefault(name, f"$response.body#/{name}")
    if made := _made(route, routes):
        known[made] = "$response.body#/id"
    targets = [other for other in routes if other.method != "HEAD" and other.ids and set(other.ids) <= set(known)]
    return {
        operation_id(target.name): {
            "operationId": operation_id(target.name),
            "description": f"{target.summary}.",
            "parameters": {name: known[name] for name in target.ids},
        }
        for target in targets
        if target.name != route.name
    }


def _made(route: Route, routes: Sequence[Route]) -> str:
    """The name in paths of the id of what the route makes; empty if it makes nothing that can be read."""
    if issubclass(route.answer[1] or object, Accepted):
        return "job_id"
    ones = (other.ids[-1] for other in routes if other.ids and other.path == f"{route.path}/{{{other.ids[-1]}}}")
    return next(ones, "")
