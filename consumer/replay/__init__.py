"""Replays: what becomes of commands that are read from the log once more. Pure; adapters come from outside."""
