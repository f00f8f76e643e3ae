"""A broker, a database and real sales for a machine that has none: the demo and the tests use them."""
