"""What is decided about a merchant: scorecard, policy, reasons, and the kernel that runs them."""
