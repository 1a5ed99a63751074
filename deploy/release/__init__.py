"""Makes a release: the version in its places, rendered manifests, a bill of materials, checksums and provenance."""
