"""Applications for credit: from what is asked to what is answered, and what is held back for it."""
