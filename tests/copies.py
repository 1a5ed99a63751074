"""Large catalogues made inside MongoDB from one document, several times as fast as inserting every document."""

from collections.abc import Mapping
from typing import Any

from pymongo import MongoClient

SEED = "seed"


def stages(count: int, collection: str = "products") -> list[dict[str, Any]]:
    """The pipeline that turns one document of the collection `seed` into `count` products with the ids 0, 1, 2, …"""
    return [{"$set": {"_id": {"$range": [0, count]}}}, {"$unwind": "$_id"}, {"$out": collection}]


def fill(client: MongoClient[dict[str, Any]], tenant: str, document: Mapping[str, Any], count: int) -> None:
    """Replace a tenant's products by `count` copies of a document, unless they are there already."""
    catalogue = client[f"catalogue_{tenant}"]
    if catalogue["products"].estimated_document_count() != count:
        catalogue[SEED].insert_one({**document})
        catalogue[SEED].aggregate(stages(count))
        catalogue[SEED].drop()
