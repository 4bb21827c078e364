"""`python -m portkey_router`: the command line."""

import sys

from portkey_router.cli import main

if __name__ == "__main__":
    sys.exit(main())
