"""Webhooks: the events of a tenant, and the requests that report them to the tenant's endpoints."""
