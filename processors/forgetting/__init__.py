"""Forgetting a person: what the command `muster forget` does, and what control does so that she stays forgotten.

``erasing.py`` is the flow; ``reminding.py`` tells shards that lost their records whom to keep away. May use every
package of the processors; what it needs of ClickHouse stands behind the ports.
"""
