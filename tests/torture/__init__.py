"""A thousand faults that anyone can run, and the account of what they did: `make torture`."""
