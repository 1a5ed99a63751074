"""The audit log: who did what to which job, platform, schedule or key, when, from where and with what result."""
