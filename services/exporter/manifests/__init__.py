"""Manifests: the key and the hash of every row of a file, from which a later export finds out what changed."""
