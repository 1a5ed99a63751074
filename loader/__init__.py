"""Files into a tenant's catalogue, so that what was exported can be loaded again and keeps its types."""
