"""Jobs: rows of the database, which workers of Celery run."""
