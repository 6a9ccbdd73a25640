"""Entry point of `python -m specstack_codegen`."""

import sys

from specstack_codegen.cli import main

sys.exit(main())
