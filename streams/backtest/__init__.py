"""Runs recorded data through the rows, the kernels and the learner, without a broker."""
