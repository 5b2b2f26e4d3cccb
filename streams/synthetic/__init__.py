"""Synthetic merchants and payments, for the demo and the benchmarks. Nothing here is real."""
