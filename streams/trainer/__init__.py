"""The trainer: learns from loans that have ended, and publishes what it has learnt."""
