"""What can be typed: names, options, help. Nothing slow may be imported here outside of a function."""
