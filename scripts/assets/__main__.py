import sys

from contract import pipes

from .cli import main

sys.exit(pipes.status(main))
