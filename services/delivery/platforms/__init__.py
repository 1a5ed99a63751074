"""Platforms: the destinations a tenant has registered, their configuration and their secrets."""
