"""The fund sweep: idle takings in a money-market fund, and how fast they can be had back."""
