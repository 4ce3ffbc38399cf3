"""Makes `python -m chatlab.cli` the same as `chatlab`."""

from chatlab.cli import main

main()
