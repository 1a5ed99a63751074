"""Services in the test's own event loop, as in tests/integration."""

from tests.integration.conftest import clean_uri, module_services, service_set

__all__ = ["clean_uri", "module_services", "service_set"]
