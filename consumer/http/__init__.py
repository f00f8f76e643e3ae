"""The HTTP edge: the admin port."""
