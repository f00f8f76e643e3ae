"""Models that learn from all products together: one model a target, its rows made chunk by chunk."""
