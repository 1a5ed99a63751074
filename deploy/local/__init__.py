"""The whole system on one machine, from one command: servers from their wheels, services, a loader and a demo."""
