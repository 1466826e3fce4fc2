"""Run a command with its output thrown away; write its wall time in seconds, its peak resident memory in bytes, and its status.

    python3 -I -S spawn.py COMMAND...

A child's peak counts what its parent held when it was started. This file imports next to nothing and so holds little: with
the command `true` it says how much.
"""

import json
import os
import sys
import time

null = os.open(os.devnull, os.O_RDWR)
started = time.perf_counter()
actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1)]
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions)
_, status, usage = os.wait4(process, 0)
seconds = time.perf_counter() - started
kibibytes = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss / 1024
print(json.dumps([seconds, int(kibibytes * 1024), os.waitstatus_to_exitcode(status)]))
