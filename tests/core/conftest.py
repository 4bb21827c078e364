from __future__ import annotations

from hypothesis import settings

# No deadline for one example: a busy machine is slow now and then. No database: tests leave nothing behind.
settings.register_profile("core", deadline=None, database=None, print_blob=True)
settings.load_profile("core")
