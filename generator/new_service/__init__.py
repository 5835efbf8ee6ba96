"""Scaffolds FastAPI services from a Copier template and keeps them alive."""
