"""How long property tests look: few examples, the same each time; `HYPOTHESIS_PROFILE=thorough` for many new ones."""

import os

from hypothesis import HealthCheck, settings

# The documents are large on purpose, and a busy machine is no fault of what is tested.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.register_profile("quick", _PATIENT, max_examples=100, derandomize=True)
settings.register_profile("thorough", _PATIENT, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
