"""Puts the demo catalogue into a tenant's database, whatever was there."""

from typing import Any

from pymongo import MongoClient, ReplaceOne, WriteConcern

from deploy.local.demo.catalogue import Catalogue

WITHIN_MS = 10_000


def fill(mongodb_uri: str, tenant: str, catalogue: Catalogue) -> None:
    """Bring the tenant's collections to what the catalogue says.

    Documents are replaced one by one, never dropped: a second demo on the same server reads complete ones meanwhile.

    Raises:
        PyMongoError: the server did not take them.
    """
    with MongoClient[dict[str, Any]](mongodb_uri, serverSelectionTimeoutMS=WITHIN_MS) as client:
        database = client.get_database(f"catalogue_{tenant}", write_concern=WriteConcern("majority"))
        for name, documents in catalogue.collections.items():
            ids = [document["_id"] for document in documents]
            database[name].delete_many({"_id": {"$nin": ids}})
            if documents:
                replaced = [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in documents]
                database[name].bulk_write(replaced, ordered=False)
