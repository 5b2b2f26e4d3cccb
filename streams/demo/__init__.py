"""The first minute of a newcomer: broker, worker, synthetic merchants and limits that move."""
