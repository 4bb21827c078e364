"""Where state is kept: in memory (`memory.py`) or in Redis (`redis.py`, over `redis_client.py`)."""
