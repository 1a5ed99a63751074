"""Ids in paths: UUIDs, in their canonical form."""

import uuid

from aiohttp import web

from services.gateway.errors import NoSuchThing


def id_in_path(request: web.Request, thing: str) -> str:
    """The id of a `thing` (job, platform, schedule) in the path's `{thing_id}`.

    Raises:
        NoSuchThing: it is no UUID, so there cannot be one of that id.
    """
    text = request.match_info[f"{thing}_id"]
    try:
        found = str(uuid.UUID(text))
    except ValueError as exc:
        raise NoSuchThing(thing, text) from exc
    if found != text.lower():
        raise NoSuchThing(thing, text)
    return found
