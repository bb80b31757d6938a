"""`python -m ragopt`: the same as the command `ragopt`."""

import sys

from ragopt.cli import main

if __name__ == "__main__":
    sys.exit(main())
