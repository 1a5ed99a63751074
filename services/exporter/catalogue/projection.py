"""Which parts of a document MongoDB has to send for a selection of fields. Pure.

This only saves work: the transcoder selects again, so a projection may return too much, but never too little.
"""

from services.exporter.catalogue.columns import Selection, lineage

MAX_PATH_KEYS = 100
"""Keys in a path: documents are not nested deeper, and MongoDB rejects longer paths."""


def projection(selection: Selection, *, is_reduced: bool = False) -> dict[str, int] | None:
    """A MongoDB projection that keeps everything the selection accepts; None: whole documents.

    Args:
        is_reduced: the selection is of documents without their locales or currencies, so MongoDB has other paths below
            the top level.

    Only whole top-level fields are excluded here, because MongoDB would also remove fields inside lists of objects,
    which are exported whole. The name `id` may stand for `_id` or for a field called `id`, so both are read whole.
    """
    if selection.include is not None:
        if not all(_is_path(name) for name in selection.include):
            return None
        names = [name.partition(".")[0] if is_reduced else _whole_id(name) for name in selection.include]
        asked = set(names)
        roots = [name for name in names if asked.intersection(lineage(name)) == {name}]
        own_id = {"id": 1} if asked & {"id", "_id"} else {}
        return {**dict.fromkeys(roots, 1), **own_id, "_id": 1}
    whole = [name for name in selection.exclude if _is_path(name) and "." not in name and name not in ("id", "_id")]
    return dict.fromkeys(whole, 0) or None


def _whole_id(name: str) -> str:
    root = name.partition(".")[0]
    return root if root in ("id", "_id") else name


def _is_path(name: str) -> bool:
    """Whether MongoDB accepts the name as a path; it has no path for a key that contains a dot."""
    keys = name.split(".")
    return "\\" not in name and "\0" not in name and len(keys) <= MAX_PATH_KEYS and all(k and k[0] != "$" for k in keys)
