"""`python -m rlnut` is `rlnut`."""

import sys

from rlnut.cli import main

sys.exit(main())
