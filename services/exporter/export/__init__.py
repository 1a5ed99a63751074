"""A claimed job becomes a file in the artifact store."""
