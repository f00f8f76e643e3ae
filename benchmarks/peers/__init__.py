"""Peers of the service, each as its own documentation recommends it; every module is a process of its own."""
