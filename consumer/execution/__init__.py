"""Running executions: claim (worker), decide the outcome (runner), do the ten steps (job)."""
