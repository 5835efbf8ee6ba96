"""Run a command beside real servers, which services find by their TEST_ variables.

`python tests/servers.py COMMAND...` ends with the command's exit code.
"""

import os
import subprocess
import sys
from contextlib import suppress

from brokers import own_rabbitmq, own_redis
from conftest import Required, find_postgresql, own_postgresql


def main() -> int:
    required = Required(strict=True)
    programs = required.of(find_postgresql(), "PostgreSQL is not installed")
    with (
        own_postgresql(programs) as postgresql,
        own_redis(required) as redis,
        own_rabbitmq(required) as rabbitmq,
    ):
        urls = {
            "TEST_DATABASE_URL": postgresql.url("postgres"),
            "TEST_BROKER_URL__redis": redis.url,
            "TEST_BROKER_URL__rabbitmq": rabbitmq.url,
        }
        command = subprocess.Popen(sys.argv[1:], env=os.environ | urls)
        while True:
            with suppress(KeyboardInterrupt):  # Ctrl-C is for the command, which ends then
                return command.wait()


if __name__ == "__main__":
    sys.exit(main())
