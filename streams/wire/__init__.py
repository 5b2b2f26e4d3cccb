"""Kafka's record batches (magic 2) as columns: reading whole fetches, writing whole tables.

`fetch.read` turns what one fetch brought of one partition into one text and one set of
columns; `encode.encode` turns columns into batches for the producer. The rest are their
parts. Nothing here talks to a broker.
"""
