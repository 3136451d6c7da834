"""``python -m gaard`` is ``gaard``."""

import sys

from gaard.cli import main

sys.exit(main())
