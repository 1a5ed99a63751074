"""Which parts of a document MongoDB has to send for a selection of fields. Only saves work: transcoding selects again. Pure."""

from services.exporter.columns import Selection, is_at_or_below


def projection(selection: Selection) -> dict[str, int] | None:
    """A MongoDB projection that loses nothing the selection accepts; None: whole documents.

    Exclusions are pushed down for whole top-level fields only: MongoDB would also cut inside of lists of objects, which are
    exported whole. The name `id` may stand for `_id` or for a field of its own.
    """
    if selection.include is not None:
        if any("\\" in name for name in selection.include):
            return None
        roots = [n for n in selection.include if not any(n != p and is_at_or_below(n, p) for p in selection.include)]
        fields = {name: 1 for name in roots if name and not name.startswith("$")}
        return {**fields, "_id": 1} if fields else None
    excluded = [n for n in selection.exclude if "." not in n and "\\" not in n and n not in ("id", "_id")]
    return {name: 0 for name in excluded if not name.startswith("$")} or None
