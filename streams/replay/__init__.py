"""Files of payment events, sent to the broker: read, paced, accompanied by ticks, resumable."""
