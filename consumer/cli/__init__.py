"""The command line. ``commands`` declares it and imports next to nothing; ``work`` does it, imported when called."""
