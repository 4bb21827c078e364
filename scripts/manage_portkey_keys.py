"""The integration guide's door to the command line: `python scripts/manage_portkey_keys.py list-keys`.

The same as `portkey-router list-keys`.
"""

import sys

from portkey_router.cli import main

if __name__ == "__main__":
    sys.exit(main())
