"""Whether the API on this machine answers, for the health check of its container.

Not whether it is ready: an outage of the database is no reason to end a container.
"""

import os
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException

SECONDS = 4


def main() -> int:
    """0 if it answers as it should; what it says is printed."""
    port = int(os.environ.get("PORT") or 8000)
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as api:
            api.request("GET", "/health/live")
            answer = api.getresponse()
            print(answer.read().decode())
    except (OSError, HTTPException) as failed:
        print(failed)
        return 1
    return int(answer.status != 200)


if __name__ == "__main__":
    sys.exit(main())
