"""The forecast consumer: commands in, executions run, events out."""
