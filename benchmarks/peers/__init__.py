"""The same jobs on other engines, each a small program: `python benchmarks/peers/NAME.py BROKERS PREFIX EVENTS FOLDER`.

They print one line of JSON: events, the seconds from the first event seen to the last one done in the process, its CPU seconds
and its peak memory in MB. Their packages are in requirements.txt, not among the project's own.
"""
