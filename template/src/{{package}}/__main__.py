"""Serve as in production: `python -m` and the package; options go to uvicorn."""

import os
import sys
from pathlib import Path

import structlog
import uvicorn

from . import logging
from .settings import InvalidSettings, Settings

OPTIONS = [
    f"--log-config={Path(__file__).with_name('logging.json')}",  # its parent and workers log alike
    "--no-access-log",
    "--no-proxy-headers",  # it would believe whoever is local: see APP_TRUSTED_PROXIES
    "--timeout-graceful-shutdown=20",
]


def main() -> None:
    """Listens on `PORT`, 8000 by default."""
    port = f"--port={os.environ.get('PORT') or 8000}"
    try:
        uvicorn.main([f"{__package__}.main:app", port, *OPTIONS, *sys.argv[1:]])
    except InvalidSettings as invalid:
        logging.configure(Settings.model_construct())
        structlog.get_logger(__name__).critical(str(invalid))
        sys.exit(1)


if __name__ == "__main__":
    main()
