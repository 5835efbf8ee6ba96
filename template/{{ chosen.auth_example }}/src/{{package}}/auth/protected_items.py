"""Everybody may read items; changing them takes the scope `items:write`."""

from fastapi import APIRouter

from ..items.router import reads, writes
from .dependencies import require
from .users import denied

router = APIRouter()
router.include_router(reads)
router.include_router(writes, dependencies=[require("items:write")], responses=denied)
