"""The OpenAPI 3.1 document, generated from the routes, their models, and the services' models of their settings."""

from services.gateway.http.openapi.document import About, document
from services.gateway.http.openapi.kinds import Kind, Kinds

__all__ = ["About", "Kind", "Kinds", "document"]
