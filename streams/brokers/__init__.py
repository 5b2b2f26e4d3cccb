"""Brokers: how to reach one, two that we start ourselves, and the topics on it."""
