"""The worker: payments in, limit updates out, exact after a crash."""
