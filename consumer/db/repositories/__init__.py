"""Reading and writing the tables shared with the backend, each repository in its caller's transaction."""
