"""Reading a tenant's MongoDB: snapshots, samples, and the columns its documents have."""
