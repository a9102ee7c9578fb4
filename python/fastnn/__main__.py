"""`python -m fastnn`: the same commands as the `fastnn` program. Read cli.py next."""

import sys

from fastnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
