"""REST for clients: keys, limits, problems, downloads and the OpenAPI document; every question goes on to a service."""
