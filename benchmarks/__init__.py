"""Measurements of the service against itself; run with ``make bench``."""
