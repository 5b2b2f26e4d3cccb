"""The contract with everyone outside: topics, messages and currencies, declared once.

Schemas, the AsyncAPI document and the topic set-up are all generated from these modules.
"""
