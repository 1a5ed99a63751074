"""The servers that files are delivered to, each a process of its own, so that it can be killed."""
