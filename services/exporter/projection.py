"""Which parts of a document MongoDB has to send for a selection of fields. Pure.

Only saves work: transcoding selects again, so a projection may send too much and never too little.
"""

from services.exporter.columns import Selection, is_at_or_below


def projection(selection: Selection) -> dict[str, int] | None:
    """A MongoDB projection that loses nothing the selection accepts; None: whole documents.

    Exclusions are pushed down for whole top-level fields only: MongoDB would also cut inside of lists of objects, which
    are exported whole. The name `id` may stand for `_id` or for a field of its own.
    """
    if selection.include is not None:
        if not all(_is_path(name) for name in selection.include):
            return None
        roots = [n for n in selection.include if not any(n != p and is_at_or_below(n, p) for p in selection.include)]
        return {**dict.fromkeys(roots, 1), "_id": 1}
    whole = [name for name in selection.exclude if _is_path(name) and "." not in name and name not in ("id", "_id")]
    return dict.fromkeys(whole, 0) or None


def _is_path(name: str) -> bool:
    """Whether MongoDB takes the name as a path; one with an escaped dot is a single key it has no path for."""
    return "\\" not in name and "\0" not in name and all(part and part[0] != "$" for part in name.split("."))
