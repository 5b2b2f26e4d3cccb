"""Kafka records a fetch at a time: the transport driver under Faust.

Faust spends some 50 us on each event it carries. Here one Faust event is a whole *fold*: all
records that one fetch brought from one partition, already unpacked into columns. Agents, tables,
rebalancing, standby replicas and recovery stay Faust's.
"""
