"""The command line `catalog-exports`."""
