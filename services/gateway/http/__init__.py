"""HTTP concerns shared by all routes: middleware, bodies, problems, OpenAPI."""
