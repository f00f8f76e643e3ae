"""Processor time of the database server, including the sessions that have ended."""

from __future__ import annotations

import psutil


def server_seconds(postmaster: int) -> float:
    """User and system seconds of the postmaster, its children, and the children that it has buried."""
    root = psutil.Process(postmaster)
    times = root.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in root.children():
        try:
            spent = child.cpu_times()
        except psutil.NoSuchProcess:  # it ended between the two looks, and is counted as buried the next time
            continue
        total += spent.user + spent.system
    return total
