"""Messages of the services as JSON for REST clients."""
