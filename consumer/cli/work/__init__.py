"""What the commands do. Imported when one is called, so that ``--help`` waits for none of it."""
