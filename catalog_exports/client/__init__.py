"""The client of the REST API: `aio` is written by hand, `sync` is generated from it, the rest serves both."""
