"""Jobs are for users: changing them takes the scope `jobs:write`, reading `jobs:read`."""

from fastapi import APIRouter

from ..worker.router import reads, writes
from .dependencies import require
from .users import denied

router = APIRouter(responses=denied)
router.include_router(reads, dependencies=[require("jobs:read")])
router.include_router(writes, dependencies=[require("jobs:write")])
