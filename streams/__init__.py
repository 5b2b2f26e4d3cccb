"""Everything that talks: topics, brokers, the worker and the command line."""
