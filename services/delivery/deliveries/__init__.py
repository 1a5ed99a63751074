"""Deliveries: a completed job fans out to platforms, and a worker uploads its file to each of them."""
