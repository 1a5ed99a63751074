"""The services of Catalog Exports: each folder is one deployable process, `chassis` is how a process runs."""
