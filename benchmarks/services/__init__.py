"""The service with single parts replaced, so that one thing is measured; every module is a process of its own."""
