"""The routes, one module a thing; `app` puts them together."""
