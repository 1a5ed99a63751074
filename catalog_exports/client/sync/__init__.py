# Generated from ../aio by `make client`; do not edit.
"""The client for programs without asyncio."""
