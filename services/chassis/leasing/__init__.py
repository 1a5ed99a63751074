"""Work that is claimed under a lease: whose turn it is, and what keeps a claim alive until it ends."""
