"""Benchmarks of the whole path on a real broker; `duoshou bench` runs them."""
