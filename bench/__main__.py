"""`uv run python bench [NAME]...` prints ratios and their bounds; exit 1 if one is missed."""

import subprocess
import sys

from attacks import attacks
from auth import auth, timing
from command import create, help_of_the_command
from database import items
from jobs import jobs
from lifecycle import changes, looks
from service import health, start
from smoke import smoke

BENCHMARKS = {
    "help": lambda: [help_of_the_command()],
    "create": lambda: [create()],
    "changes": changes,
    "looks": looks,
    "health": health,
    "start": start,
    "items": items,
    "auth": auth,
    "timing": timing,
    "attacks": attacks,
    "jobs": jobs,
    "smoke": smoke,
}


def main() -> int:
    """Run the named benchmarks, or all."""
    chosen = sys.argv[1:] or list(BENCHMARKS)
    if unknown := set(chosen) - BENCHMARKS.keys():
        sys.exit(f"unknown: {', '.join(unknown)}; possible: {', '.join(BENCHMARKS)}")
    kept = True
    try:
        for name in chosen:
            for ratio in BENCHMARKS[name]():
                print(ratio, flush=True)
                kept &= ratio.kept
    except subprocess.CalledProcessError as failed:
        for said in filter(None, (failed.stdout, failed.stderr)):
            print(said.decode() if isinstance(said, bytes) else said, file=sys.stderr)
        raise
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
