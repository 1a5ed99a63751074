"""Who a request comes from, what it may do, and how often."""
