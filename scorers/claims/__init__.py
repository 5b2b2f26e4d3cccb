"""Claims on insurance cover: what of each is covered."""
