"""Loads the demo catalogue into a tenant's database."""

from typing import Any

from pymongo import MongoClient, ReplaceOne, WriteConcern

from deploy.local.demo.products.catalogue import Catalogue

SERVER_TIMEOUT_MS = 10_000


def fill(mongodb_uri: str, tenant: str, catalogue: Catalogue) -> None:
    """Make the tenant's collections equal to the catalogue.

    Documents are replaced one by one, because a second demo on the same server may be reading them.

    Raises:
        PyMongoError: the write failed.
    """
    with MongoClient[dict[str, Any]](mongodb_uri, serverSelectionTimeoutMS=SERVER_TIMEOUT_MS) as client:
        database = client.get_database(f"catalogue_{tenant}", write_concern=WriteConcern("majority"))
        for name, documents in catalogue.collections.items():
            ids = [document["_id"] for document in documents]
            database[name].delete_many({"_id": {"$nin": ids}})
            if documents:
                replaced = [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in documents]
                database[name].bulk_write(replaced, ordered=False)
