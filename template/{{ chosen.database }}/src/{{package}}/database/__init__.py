"""SQLAlchemy and Alembic: a SQLite file by default, PostgreSQL by changing `DATABASE_URL`."""
