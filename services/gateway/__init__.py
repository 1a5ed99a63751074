"""The REST API: keys, limits, problems, downloads and the OpenAPI document. Other requests are passed to a service."""
