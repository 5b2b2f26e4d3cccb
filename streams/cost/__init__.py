"""What a decision costs: quantities from the metrics pages and the broker, times a price list.

`docs/cost.md` has the formula, with worked figures, and what is not in it.
"""
