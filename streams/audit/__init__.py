"""Recomputes what lenders have received, from the log alone, and compares it.

`duoshou audit`: the log is read again from its beginning, through the worker's own decoder, engine
and handlers, with the models and policies that were in force at each offset.
"""
