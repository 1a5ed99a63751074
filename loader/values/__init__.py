"""Text to BSON values: the types of columns, cells, JSON values, and the keys that identify a product."""
